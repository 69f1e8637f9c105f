"""What needs no joining leaves as it would if it were looked at for halves elsewhere."""

from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bridge.correlate import turns
from bridge.correlate.building import Builder
from bridge.correlate.closing import Patience
from bridge.correlate.saved import decode_turn, saved_turn
from bridge.correlate.settling import Cut
from bridge.correlate.state import LiveTurn
from bridge.model.events import ModelRequest, Record, ToolDecision, ToolResult
from bridge.model.parts import Settled
from tests.property.examples import few
from tests.property.test_kinds import ALEX, events, events_of

PATIENCE = Patience(settle_ms=3_000, quiet_ms=30_000, idle_ms=1_800_000)
alone = events.map(lambda event: [event])
requests = events_of(ModelRequest).map(lambda event: [event])
calls = st.tuples(events_of(ToolDecision), events_of(ToolResult), st.sampled_from("abc")).map(
    lambda call: [replace(event, call_id=call[2], otel_trace_id=None) for event in call[:2]]
)
groups = st.lists(calls | requests | alone, min_size=1, max_size=6)
moments = st.sampled_from([3_000, 15_000, 30_000, 1_800_000])


@few(500)
@given(groups, moments, st.booleans())
def test_a_part_leaves_alike_whether_it_is_plain_or_not(
    seen: list[list[Any]], now_ms: int, traced: bool
) -> None:
    saved = _saved([event for group in seen for event in group])
    with patch.object(Builder, "plain", lambda *_: False):
        slow = _cut(saved, now_ms, traced)

    assert _cut(saved, now_ms, traced) == slow


def _saved(seen: list[Any]) -> bytes:
    records = [Record(event=event, origin=ALEX, arrived_ms=0) for event in seen]
    turn = turns.new_turn("turn", records[0], seen[0].order)
    for record in records:
        turns.fold(turn, record, record.event.order)
    return saved_turn(turn).state


def _cut(saved: bytes, now_ms: int, traced: bool) -> tuple[list[Settled], int, LiveTurn]:
    turn = decode_turn(saved)
    cut = Cut(
        turn, PATIENCE, prompted_again=False, undecided=False, traced=traced, now_ms=now_ms
    )  # fmt: skip
    return cut.run(), cut.late, turn
