"""A further record of the turn that the one before it was of is folded as if it were looked up."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bridge.correlate.closing import Patience
from bridge.correlate.correlator import Correlator
from bridge.correlate.looks import Look
from bridge.correlate.saved import Changes
from bridge.model.events import Record, UserPrompt
from bridge.model.parts import Root, Settled
from bridge.model.spans import TurnSpan
from tests.property.examples import few
from tests.property.test_kinds import ALEX, events

PATIENCE = Patience(settle_ms=3_000, quiet_ms=30_000, idle_ms=1_800_000)
TOGETHER = 6
APART_MS = 4_000
"""Longer than settling takes: between what comes together something leaves."""

prompt_ids = st.sampled_from(["p", "p", "p", "p", "q", "", None])
traces = st.sampled_from([*[None] * 8, "", "t"])
sessions = st.sampled_from([*["s"] * 8, "r"])


class Nothing:
    """An archive in which nothing is."""

    def turn(self, _key: str) -> None:
        """The saved state of a turn."""

    def conversation(self, _key: str) -> None:
        """The saved state of a conversation."""

    def looks(self, _after: Look, _limit: int) -> list[Look]:
        """The queue as it was saved."""
        return []


class LooksUp(Correlator):
    """One that remembers no turn from one record to the next."""

    _going_on = property(lambda _: None, lambda *_: None)  # type: ignore[assignment]


def _in_a_turn(event: Any, prompt: str | None, trace: str | None, session: str) -> Any:
    return replace(event, prompt_id=prompt, otel_trace_id=trace, conversation=session)


records = st.builds(
    Record,
    event=st.builds(_in_a_turn, events, prompt_ids, traces, sessions),
    origin=st.sampled_from([*[ALEX] * 8, replace(ALEX, installation="i")]),
    arrived_ms=st.integers(300_001, 310_000),
)


@few(300)
@given(st.lists(records, min_size=TOGETHER, max_size=24))
def test_what_is_remembered_of_the_record_before_changes_nothing(seen: list[Record]) -> None:
    assert _correlated(Correlator, seen) == _correlated(LooksUp, seen)


def _correlated(kind: type[Correlator], seen: list[Record]) -> tuple[list[Settled], Changes]:
    correlator = kind(PATIENCE, Nothing())
    settled = []
    for place, record in enumerate(seen):
        if place % TOGETHER == 0:
            settled += correlator.due(300_000 + place * APART_MS)
        correlator.fold(record)
    return settled, correlator.take_changes()


def test_of_two_prompts_of_the_same_moment_a_span_belongs_to_one() -> None:
    """Found by the property above: the marks of the two were compared, which have no order."""
    told: dict[str, Any] = {"key": bytes(8), "session_id": "s", "conversation": "s", "time_ms": 0}
    text: dict[str, Any] = {"text": None, "length": None}
    prompts = [UserPrompt(**told, **text, prompt_id=name) for name in ("p", "q")]
    span = TurnSpan(**told, **text, prompt_id=None, began_ms=0)

    correlator = Correlator(PATIENCE, Nothing())
    for event in (*prompts, span):
        correlator.fold(Record(event=event, origin=ALEX, arrived_ms=300_001))

    roots = [each.turn.key for each in correlator.due(2_400_000) if type(each.part) is Root]
    assert sorted(roots) == ["s\0p", "s\0q"]
