"""What is looked up by the kind of an event is what asking its classes one by one gives."""

from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from bridge.correlate import activity, halves, sums
from bridge.correlate.activity import Activity
from bridge.correlate.halves import HALVES
from bridge.correlate.notes import NOTES
from bridge.correlate.turns import digest
from bridge.model.event import Event, Purpose
from bridge.model.events import (
    AgentCompleted,
    AnyEvent,
    ModelAnswer,
    ModelFailure,
    ModelRequest,
    Origin,
    PointEvent,
    RawBody,
    Record,
    ToolDecision,
    ToolResult,
    UserPrompt,
)
from bridge.model.spans import (
    SPAN_KINDS,
    ModelSpan,
    SpanEvent,
    ToolRun,
    ToolSpan,
    ToolWait,
)
from bridge.model.totals import Totals
from tests.property.examples import few

KINDS = get_args(AnyEvent)
ALEX = Origin(product="agent", service_name="agent", service_version=None, attributes={})

ids = st.sampled_from([None, "", "a", "b"])
purposes = st.sampled_from(Purpose)
numbers = st.integers(0, 10**6)
usages = st.dictionaries(st.sampled_from(["input", "output", "cache"]), numbers)
OWN: dict[str, st.SearchStrategy[Any]] = {
    "key": st.binary(min_size=8, max_size=8),
    "session_id": st.just("s"),
    "conversation": st.just("s"),
    "usage": usages,
    "model": st.sampled_from(["opus", "haiku"]),
    "cost_picousd": st.none() | numbers,
    "purpose": purposes,
    "parameters": st.just({}),
    "attributes": st.just({}),
}
IDS = (
    *("agent_id", "agent_type", "body_id", "call_id", "otel_parent_id", "otel_span_id"),
    *("otel_trace_id", "prompt_id", "request_id", "spawns"),
)
OWN |= dict.fromkeys(IDS, ids)


def events_of(kind: type[Event]) -> st.SearchStrategy[Any]:
    return st.builds(kind, **{name: OWN[name] for name in kind.__struct_fields__ if name in OWN})


events = st.one_of([events_of(kind) for kind in KINDS])


def test_every_kind_has_its_place_in_the_tables() -> None:
    assert set(HALVES) == set(NOTES) == set(KINDS)
    assert {kind for kind in KINDS if issubclass(kind, SpanEvent)} == SPAN_KINDS


@few(300)
@given(events)
def test_the_half_of_an_event_is_what_its_class_says(event: Any) -> None:
    key, told = HALVES[type(event)](event)

    assert key == _part_key(event)
    assert bool(told & halves.RECORD) == (not isinstance(event, _SPANS_OF_WORK))
    assert bool(told & halves.COMPLETE) == _completes(event)
    assert bool(told & halves.REQUEST) == isinstance(event, (ModelRequest, ModelFailure))
    assert bool(told & halves.DECIDED) == isinstance(event, ToolDecision)
    assert bool(told & halves.ENDED) == _ends_tool(event)
    assert bool(told & halves.MOMENT) == isinstance(event, (PointEvent, UserPrompt))
    assert bool(told & halves.SPAN) == isinstance(event, (ModelSpan, ToolSpan))
    assert bool(told & halves.AWAITS_RECORD) == _awaits_record(event)
    assert bool(told & halves.SPAWNS) == _spawns(event)
    assert not told & halves.TRACED


@few(100)
@given(st.lists(events, max_size=12))
def test_totals_are_the_sums_over_the_events(seen: list[Any]) -> None:
    totals = Totals()
    for event in seen:
        totals.add(event)

    requests = [event for event in seen if isinstance(event, ModelRequest)]
    results = [event for event in seen if isinstance(event, ToolResult)]
    keys = {key for request in requests for key in request.usage}
    assert totals == Totals(
        requests=len(requests),
        failures=sum(isinstance(event, ModelFailure) for event in seen),
        tools=len(results),
        tool_errors=sum(not result.success for result in results),
        rejections=sum(isinstance(e, ToolDecision) and not e.accepted for e in seen),
        cost_picousd=sum(request.cost_picousd or 0 for request in requests),
        unpriced=sum(request.cost_picousd is None for request in requests),
        usage={key: sum(request.usage.get(key, 0) for request in requests) for key in keys},
        models=sorted({request.model for request in requests}),
    )


@few(100)
@given(st.lists(events, max_size=12))
def test_an_event_changes_what_is_told_if_and_only_if_it_says_so(seen: list[Any]) -> None:
    found = Activity()
    for event in seen:
        told = found.shown, found.numbers.tool_errors

        changes = sums.note_event(found, event)

        assert changes == ((found.shown, found.numbers.tool_errors) != told)


@few(100)
@given(st.lists(events, max_size=12), st.integers(0, 12))
def test_a_sessions_totals_are_those_of_its_events_whenever_they_are_summed_up(
    seen: list[Any], before: int
) -> None:
    found, totals = Activity(), Totals()
    for place, event in enumerate(seen):
        if place == before:
            found.numbers.sum_up()
        sums.note_event(found, event)
        totals.add(event)

    found.numbers.sum_up()

    assert found.numbers.totals == totals


@few(100)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=30), st.data())
def test_records_in_any_order_make_one_stretch(sequences: list[int], data: st.DataObject) -> None:
    """A process counts its records as time goes on: missing is what is in none of the requests."""
    found = Activity()
    arrivals = [data.draw(numbers) for _ in sequences]
    for sequence, arrived_ms in zip(sequences, arrivals, strict=True):
        event = _a_point(sequence)
        record = Record(event=event, origin=ALEX, arrived_ms=arrived_ms)
        activity.note_record(found, record, event.order)

    first, last = min(sequences), max(sequences)
    assert (found.start_ms, found.end_ms, found.since_ms) == (
        1000 + first,
        1000 + last,
        1000 + first,
    )
    assert found.touched_ms == max(arrivals)
    assert activity.lost_records(found.runs) == last - first + 1 - len(set(sequences))


@few(300)
@given(st.sets(st.text(st.characters(codec="ascii"), max_size=40), min_size=2))
def test_digests_of_different_keys_differ(keys: set[str]) -> None:
    assert len({digest(f"g:{key}") for key in keys}) == len(keys)


_SPANS_OF_WORK = (ModelSpan, ToolSpan, ToolRun, ToolWait)


def _a_point(sequence: int) -> PointEvent:
    return PointEvent(
        key=sequence.to_bytes(8, "big"),
        session_id="s",
        conversation="s",
        prompt_id=None,
        time_ms=1000 + sequence,
        sequence=sequence,
        name="point",
    )


def _completes(event: Any) -> bool:
    works = (ModelRequest, ModelFailure, ToolResult, AgentCompleted)
    return isinstance(event, works) or (isinstance(event, ToolDecision) and not event.accepted)


def _ends_tool(event: Any) -> bool:
    ends = (ToolResult, ToolSpan, ToolRun)
    return isinstance(event, ends) or (isinstance(event, ToolDecision) and not event.accepted)


def _awaits_record(event: Any) -> bool:
    is_awaited = isinstance(event, ModelSpan) and event.success
    return is_awaited and event.purpose is not Purpose.AUXILIARY


def _spawns(event: Any) -> bool:
    if not isinstance(event, (ToolDecision, ToolResult)) or event.call_id is None:
        return False
    refused = isinstance(event, ToolDecision) and not event.accepted
    return event.spawns is not None and not refused


def _part_key(event: Any) -> str:  # noqa: C901, PLR0911, PLR0912 - one line for each kind
    """The slow way to it: by what an event is, from the most to the least that it tells."""
    own = event.key.hex()
    match event:
        case ToolDecision(call_id=None | ""):
            return f"d:{own}"
        case ModelAnswer(request_id=None | ""):
            return f"a:{own}"
        case RawBody(request_id=None):
            return f"b:{event.body_id or own}"
        case ModelSpan(request_id=None) | ToolSpan(call_id=None):
            return f"{'m' if isinstance(event, ModelSpan) else 'u'}:{event.otel_span_id}"
        case ToolRun(call_id=None):
            return f"u:{event.otel_parent_id}"
        case ToolWait():
            return f"w:{event.otel_parent_id}"
        case ModelSpan() | RawBody():
            return f"g:{event.request_id}"
        case ModelRequest() | ModelFailure() | ModelAnswer():
            return f"g:{event.request_id or own}"
        case ToolSpan() | ToolRun():
            return f"t:{event.call_id}"
        case ToolDecision() | ToolResult():
            return f"t:{event.call_id or own}"
        case AgentCompleted():
            return f"c:{event.agent_id or own}"
        case SpanEvent():
            return f"s:{event.otel_span_id}"
        case _:
            return f"p:{own}"
