import msgspec
import pytest

from bridge.model.views import TraceView
from bridge.terminal.choice import Chosen, NotChosen, choose
from tests.unit.terminal.samples import a_trace, an_observation


def a_view(trace_id: str, session_id: str | None, *after_ms: int) -> TraceView:
    observations = [an_observation(f"o{ms}", after_ms=ms) for ms in after_ms]
    return msgspec.structs.replace(a_trace(*observations), trace_id=trace_id, session_id=session_id)


LATER, EARLIER = a_view("t1", "session-a", 9), a_view("t2", "session-a", 1, 5)
LIVE, OTHER, ALONE = a_view("t0", "session-a"), a_view("t3", "session-ab", 1), a_view("x9", None, 1)


@pytest.mark.parametrize(
    ("found", "text", "chosen"),
    [
        ([LATER, LIVE, EARLIER], "session", (EARLIER, LATER, LIVE)),
        ([LATER, EARLIER], "t2", (EARLIER,)),
        ([LATER, OTHER], "session-a", (LATER,)),
        ([ALONE], "x", (ALONE,)),
    ],
    ids=["session by prefix in order of start", "one trace", "exact beats prefix", "no session"],
)
def test_an_unambiguous_beginning_is_enough(
    found: list[TraceView], text: str, chosen: tuple[TraceView, ...]
) -> None:
    assert choose(found, text) == Chosen(chosen)


def test_nothing_that_matches_points_to_the_list() -> None:
    assert choose([], "zz") == NotChosen(
        "nothing that is kept begins with 'zz'; `sessions` lists what is"
    )


def test_several_matches_are_named() -> None:
    assert choose([LATER, OTHER], "session") == NotChosen(
        "2 ids begin with 'session'; give more of one:\n  session-a\n  session-ab"
    )


def test_very_many_matches_are_named_in_part() -> None:
    advice = choose([a_view(f"t{n:02}", None) for n in range(12)], "t")
    assert isinstance(advice, NotChosen)
    assert advice.advice.splitlines()[-2:] == ["  t09", "  and 2 more"]
