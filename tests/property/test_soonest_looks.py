"""When to look at a turn next is worked out as it would be from all that it waits for."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.correlate import settling
from bridge.correlate.closing import Patience
from bridge.correlate.halves import COMPLETE, DECIDED, ENDED, MOMENT
from bridge.correlate.state import AgentState, LiveTurn, OpenPart
from bridge.model.events import Origin
from bridge.model.parts import ClosedBy
from bridge.model.spans import TurnSpan
from bridge.model.totals import Totals

ALEX = Origin(product="agent", service_name="agent", service_version=None, attributes={})
SPAN = TurnSpan(
    key=b"8 bytes.",
    session_id="s",
    conversation="s",
    prompt_id=None,
    time_ms=2,
    began_ms=1,
    text=None,
    length=None,
)

moments_ms = st.integers(0, 100)
waits_ms = st.integers(0, 60)
told = st.sampled_from([0, COMPLETE, MOMENT, DECIDED, DECIDED | ENDED, ENDED | COMPLETE])
parts = st.builds(
    OpenPart, events=st.just([]), touched_ms=moments_ms, order=st.just((0, -1, b"")), told=told
)
agents = st.builds(
    AgentState,
    first_ms=st.just(0),
    last_ms=st.just(0),
    totals=st.builds(Totals),
    touched_ms=moments_ms,
    sent=st.booleans(),
)
patiences = st.builds(
    Patience, settle_ms=waits_ms, quiet_ms=waits_ms, idle_ms=waits_ms, span_settle_ms=waits_ms
)
turns = st.builds(
    LiveTurn,
    key=st.just("s"),
    conversation=st.just("s"),
    session_id=st.just("s"),
    prompt_id=st.just("p"),
    origin=st.just(ALEX),
    origin_order=st.just((0, -1, b"")),
    totals=st.builds(Totals),
    touched_ms=moments_ms,
    parts=st.dictionaries(st.text(max_size=2), parts, max_size=3),
    agents=st.dictionaries(st.text(max_size=2), agents, max_size=2),
    closed_by=st.none() | st.sampled_from(ClosedBy),
    span=st.none() | st.just(SPAN),
    has_logs=st.booleans(),
    last_main=st.none() | st.just((1, -1, b"")),
    last_main_finishes=st.booleans(),
)


@given(turns, patiences, st.booleans())
def test_the_next_look_is_the_earliest_of_all(
    turn: LiveTurn, patience: Patience, prompted_again: bool
) -> None:
    looks_ms = settling.all_looks_ms(turn, patience, prompted_again)

    assert settling.next_look_ms(turn, patience, prompted_again) == min(looks_ms)


@given(turns, patiences, st.booleans(), moments_ms)
def test_a_later_look_is_the_earliest_of_those_to_come(
    turn: LiveTurn, patience: Patience, prompted_again: bool, now_ms: int
) -> None:
    looks_ms = settling.all_looks_ms(turn, patience, prompted_again)
    to_come_ms = [at_ms for at_ms in looks_ms if at_ms > now_ms]

    found_ms = settling.later_look_ms(turn, patience, prompted_again, now_ms)

    assert found_ms == min(to_come_ms, default=now_ms + patience.settle_ms + 1)
