import msgspec
import pytest

from bridge.model.views import TraceView
from bridge.terminal.choice import Chosen, NotChosen, choose
from tests.unit.terminal.samples import FACTS, a_summary, a_trace, an_observation


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


def test_a_summary_follows_the_prompts_it_sums_up_and_precedes_the_next() -> None:
    first, second = a_view("t1", FACTS.session_id, 0), a_view("t2", FACTS.session_id, 65_000)
    third, live = a_view("t3", FACTS.session_id, 90_000), a_view("t4", FACTS.session_id)
    summary = a_summary(commits=1)
    found = [live, summary, third, second, first]
    assert choose(found, "97d2") == Chosen((first, second, summary, third, live))


def test_a_dash_means_all_that_have_no_session() -> None:
    other = a_view("x8", None, 0)
    assert choose([ALONE, other], "-") == Chosen((other, ALONE))


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
