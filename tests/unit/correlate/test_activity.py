"""Numbers of a session, its stretches of activity, and how events and metrics compare."""

import random
from itertools import permutations
from typing import Any

import msgspec
import pytest

from bridge.correlate import activity, sums
from bridge.correlate.activity import KEPT_RUNS, Activity
from bridge.model.events import (
    Event,
    ModelRequest,
    Origin,
    PointEvent,
    Record,
    ToolDecision,
    ToolResult,
    UserPrompt,
)
from bridge.model.measures import PICO, Measure, Measurement, MetricPoint, Temporality
from bridge.model.sessions import CostGap, Counter, GapReason, SessionNumbers, Summary
from bridge.model.totals import Totals

T0_MS = 1_795_400_000_000
ALEX = Origin(
    product="claude-code", service_name="claude-code", service_version="2.1.330", attributes={}
)


def an_event(kind: type[Event], at_ms: int, sequence: int | None = None, **fields: Any) -> Any:
    common = {"session_id": "s", "conversation": "s", "prompt_id": "p"}
    key = f"{at_ms}.{sequence}".encode()
    return kind(key=key, time_ms=T0_MS + at_ms, sequence=sequence, **common, **fields)


def a_prompt(at_ms: int, **fields: Any) -> UserPrompt:
    prompt: UserPrompt = an_event(UserPrompt, at_ms, **{"text": "Go on", "length": 5} | fields)
    return prompt


def a_request(at_ms: int, cost_picousd: int | None = PICO // 1000, **fields: Any) -> ModelRequest:
    asked = {"request_id": None, "model": "opus", "usage": {"input": 3}, "duration_ms": 10}
    request: ModelRequest = an_event(
        ModelRequest, at_ms, **asked | {"cost_picousd": cost_picousd} | fields
    )
    return request


def a_point(measure: str, value: float, at_ms: int = 1_000, **attributes: str) -> Measurement:
    point = MetricPoint(
        session_id="s",
        conversation="s",
        measure=measure,
        attributes=tuple(sorted(attributes.items())),
        temporality=Temporality.DELTA,
        start_ms=T0_MS + at_ms - 1_000,
        time_ms=T0_MS + at_ms,
        value_pico=round(value * PICO),
    )
    return Measurement(
        point=point, origin=ALEX, arrived_ms=T0_MS + at_ms, measured_ms=point.time_ms
    )


def active(*seen: Event | Measurement) -> Activity:
    found = Activity()
    for each in seen:
        take_in(found, each)
    return found


def take_in(found: Activity, each: Any) -> None:
    if isinstance(each, Measurement):
        activity.measure(found, each)
    else:
        record = Record(event=each, origin=ALEX, arrived_ms=each.time_ms)
        activity.note_record(found, record, each.order)
        sums.note_event(found, each)


def ended(*seen: Event | Measurement) -> Summary:
    summary = activity.end_stretch(active(*seen))
    assert summary is not None
    return summary


def sequences(*sequences: int | None) -> list[PointEvent]:
    """Events a millisecond apart with these sequence numbers."""
    return [
        an_event(PointEvent, at_ms, sequence, name="n") for at_ms, sequence in enumerate(sequences)
    ]


# --- records lost --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "lost"),
    [
        ([0, 1, 2, 3], 0),
        ([0, 1, 4, 5, 8], 4),
        ([0, 1, 2, 0, 1, 2, 3], 0),
        ([41, 42, 43], 0),
        ([0, 1, 2, 0, 3], 2),
        ([None, None], 0),
        ([], 0),
    ],
    ids=["all", "gaps", "resumed", "after /clear", "gap after resume", "no numbers", "nothing"],
)
def test_missing_sequence_numbers_of_one_process_are_lost_records(
    seen: list[int | None], lost: int
) -> None:
    found = active(*sequences(*seen))
    activity.end_stretch(found)
    assert found.numbers.lost_records == lost


def test_the_order_of_arrival_loses_no_record() -> None:
    events = sequences(0, 1, 2, 3, 0, 1, 2)
    for order in permutations(events):
        assert activity.lost_records(active(*order).runs) == 0


def test_unbroken_events_are_remembered_as_one_run_however_many() -> None:
    events = sequences(*range(500))
    rng = random.Random(1)  # noqa: S311 - an order, not a secret
    events.sort(key=lambda event: event.time_ms + rng.uniform(0, 50))
    assert len(active(*events).runs) == 1


def test_memory_is_bounded_where_every_other_event_is_missing() -> None:
    found = active(*sequences(*range(0, 2_000, 2)))
    activity.end_stretch(found)
    assert len(found.runs) == KEPT_RUNS
    assert found.numbers.lost_records == 999


def test_what_comes_after_its_neighbours_were_forgotten_is_not_counted_twice() -> None:
    events = sequences(*range(0, 2_000, 2))
    found = active(*events, *events[:5])
    activity.end_stretch(found)
    assert found.numbers.lost_records == 999


# --- events against metrics ----------------------------------------------------------------------


def numbers(usd: float | None, **fields: Any) -> SessionNumbers:
    """Metrics that tell so many dollars, beside events that tell one dollar in ten requests."""
    totals = Totals(**{"requests": 10, "cost_picousd": PICO} | fields.pop("totals", {}))
    series = {} if usd is None else {"cost_usd\0model=opus": round(usd * PICO)}
    return SessionNumbers(totals=totals, series=series, **{"prompts": 1} | fields)


@pytest.mark.parametrize("usd", [None, 1.0, 1.00001, 0.99999], ids=str)
def test_costs_that_are_equal_within_rounding_are_no_gap(usd: float | None) -> None:
    assert activity.cost_gap(numbers(usd)) is None


@pytest.mark.parametrize(
    ("told", "gap", "reason"),
    [
        (numbers(1.5), 0.5, GapReason.INTERRUPTED),
        (numbers(1.5, lost_records=2), 0.5, GapReason.LOST_RECORDS),
        (numbers(1.5, lost_records=2, totals={"unpriced": 1}), 0.5, GapReason.UNPRICED),
        (numbers(0.5), -0.5, GapReason.NO_METRICS),
        (
            numbers(1.5, prompts=0, totals={"requests": 0, "cost_picousd": 0}),
            1.5,
            GapReason.NO_EVENTS,
        ),
        (numbers(1.000011), 0.000011, GapReason.INTERRUPTED),
    ],
    ids=["interrupted", "lost", "unpriced", "metrics missing", "events missing", "just above"],
)
def test_a_gap_has_a_size_and_its_likeliest_reason(
    told: SessionNumbers, gap: float, reason: GapReason
) -> None:
    assert activity.cost_gap(told) == CostGap(gap_picousd=round(gap * PICO), reason=reason)


# --- stretches -----------------------------------------------------------------------------------


def test_a_summary_begins_a_millisecond_before_the_first_prompt() -> None:
    summary = ended(sequences(0)[0], a_prompt(50), a_prompt(20, text="First"), a_request(80))
    assert (summary.start_ms, summary.end_ms) == (T0_MS + 19, T0_MS + 80)
    assert summary.first_prompt is not None
    assert summary.first_prompt.text == "First"


def test_without_a_prompt_it_begins_with_the_first_record() -> None:
    summary = ended(a_point("lines", 3, 900, type="added"), a_point("commits", 1, 400))
    assert (summary.start_ms, summary.end_ms) == (T0_MS + 400, T0_MS + 900)
    assert summary.first_prompt is None


def test_prompts_that_the_client_put_in_are_not_counted() -> None:
    assert ended(a_prompt(1), a_prompt(2, synthetic=True)).numbers.prompts == 1


@pytest.mark.parametrize(
    "seen",
    [
        (),
        (sequences(0, 1)),
        (a_point("sessions", 1, start_type="continue"),),
        (*sequences(0, 1), a_point("sessions", 1)),
        (a_point("lines", 0, type="added"),),
    ],
    ids=["nothing", "start-up events", "a start", "a ghost session", "zeros"],
)
def test_a_stretch_in_which_nothing_was_done_has_no_summary(
    seen: tuple[Event | Measurement, ...],
) -> None:
    found = active(*seen)
    assert activity.totals(found, final=False) is None
    assert activity.end_stretch(found) is None


def test_a_second_stretch_tells_only_what_it_added() -> None:
    found = active(a_prompt(1), a_request(2), a_point("lines", 3, 10, type="added"))
    first = activity.end_stretch(found)
    assert not found.open
    for each in (a_request(5_000, model="haiku"), a_point("lines", 4, 6_000, type="added")):
        take_in(found, each)
    second = activity.end_stretch(found)

    assert first is not None
    assert second is not None
    assert first.numbers.series == {"lines\0type=added": 3 * PICO}
    assert second.numbers.series == {"lines\0type=added": 4 * PICO}
    assert (first.numbers.totals.requests, second.numbers.totals.requests) == (1, 1)
    assert list(second.numbers.models) == ["haiku"]
    assert second.numbers.prompts == 0
    assert second.first_prompt is None
    assert found.numbers.series == {"lines\0type=added": 7 * PICO}


def test_a_model_that_a_stretch_did_not_ask_is_not_among_its_models() -> None:
    found = active(a_prompt(1), a_request(2, model="opus"))
    activity.end_stretch(found)
    take_in(found, a_request(5_000, model="haiku"))
    second = activity.end_stretch(found)
    assert second is not None
    assert second.numbers.totals.models == ["haiku"]


def test_a_stretch_that_adds_nothing_to_the_one_before_has_no_summary() -> None:
    found = active(a_prompt(1), a_point("lines", 3, type="added"))
    assert activity.end_stretch(found)
    take_in(found, *sequences(9))
    assert activity.end_stretch(found) is None


def test_a_repeated_point_neither_counts_nor_opens_a_stretch() -> None:
    point = a_point("lines", 3, type="added")
    found = active(point)
    activity.end_stretch(found)
    assert not activity.measure(found, point)
    assert not found.open


def test_no_two_stretches_begin_at_the_same_time() -> None:
    """A summary is known by when its stretch began."""
    found = active(a_prompt(1), a_request(500))
    starts = [found.start_ms]
    for sequence in range(3):
        activity.end_stretch(found)
        take_in(found, an_event(UserPrompt, 1, sequence, text=None, length=None))
        starts.append(found.start_ms)
    assert starts == [T0_MS + 1, T0_MS + 501, T0_MS + 502, T0_MS + 503]


def test_sums_by_model_and_by_type_of_agent_are_parts_of_the_whole() -> None:
    summary = ended(
        a_prompt(0),
        a_request(1, model="opus"),
        a_request(2, model="haiku", agent_type="general-purpose"),
        a_request(3, model="haiku", cost_picousd=None),
    )
    told = summary.numbers
    assert {name: sums.requests for name, sums in told.models.items()} == {"opus": 1, "haiku": 2}
    assert sum(s.cost_picousd for s in told.models.values()) == told.totals.cost_picousd
    assert told.agents["general-purpose"].usage == {"input": 3}
    assert told.totals.unpriced == 1


def test_the_time_it_was_first_told_of_stays() -> None:
    found = active(a_prompt(500))
    first = activity.totals(found, final=False)
    take_in(found, a_prompt(100))
    second = activity.totals(found, final=True)
    assert first is not None
    assert second is not None
    assert first.since_ms == second.since_ms == T0_MS + 500
    assert (first.final, second.final) == (False, True)


def test_numbers_that_were_told_do_not_change_any_more() -> None:
    found = active(a_prompt(1))
    told = activity.totals(found, final=False)
    take_in(found, a_request(2))
    assert told is not None
    assert told.numbers.totals.requests == 0


def test_what_was_saved_goes_on_as_it_was() -> None:
    found = active(a_prompt(1), a_request(2), a_point("lines", 3, type="added"), *sequences(1, 5))
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=Activity)
    assert again == found
    assert activity.end_stretch(again) == activity.end_stretch(found)


# --- counters ------------------------------------------------------------------------------------


def test_only_counters_that_are_not_zero_are_shown_each_at_a_moment_of_its_own() -> None:
    summary = ended(
        a_prompt(10),
        an_event(ToolResult, 20, **tool(), success=False, duration_ms=1),
        an_event(ToolDecision, 30, **tool(), accepted=False, source="user_reject"),
        a_point("lines", 3, type="added", model="opus"),
        a_point("lines", 2, 2_000, type="added", model="haiku"),
        a_point("lines", 0, type="removed"),
        a_point("commits", 1),
        a_point("pull_requests", 2),
        a_point("edit_decisions", 1, decision="accept", tool_name="Write"),
        a_point("edit_decisions", 1, decision="accept", tool_name="Edit"),
        a_point("edit_decisions", 1, decision="reject", tool_name="Edit"),
        a_point("active_s", 1.25, type="cli"),
        a_point("active_s", 2.5, type="user"),
    )
    start_ms = summary.start_ms
    assert activity.counters(summary) == [
        Counter(name="prompts", value=1, start_ms=start_ms + 1),
        Counter(name="tool_calls", value=1, start_ms=start_ms + 2),
        Counter(name="tool_errors", value=1, start_ms=start_ms + 3),
        Counter(name="rejected_tools", value=1, start_ms=start_ms + 4),
        Counter(name="lines_added", value=5, start_ms=start_ms + 5),
        Counter(name="commits", value=1, start_ms=start_ms + 6),
        Counter(name="pull_requests", value=2, start_ms=start_ms + 7),
        Counter(name="edits_accepted", value=2, start_ms=start_ms + 8),
        Counter(name="edits_rejected", value=1, start_ms=start_ms + 9),
        Counter(name="active_time_s", value=4, start_ms=start_ms + 10, duration_ms=3_750),
    ]


def tool() -> dict[str, Any]:
    return {"call_id": None, "name": "Bash", "title": "Bash"}


def test_a_measure_is_summed_over_all_its_series_with_these_attributes() -> None:
    told = SessionNumbers(
        totals=Totals(),
        series={
            "lines\0model=a\0type=added": 1,
            "lines\0model=b\0type=added": 2,
            "lines\0type=removed": 4,
            "lines_of_poetry\0type=added": 8,
        },
    )
    assert told.measured(Measure.LINES) == 7
    assert told.measured(Measure.LINES, type="added") == 3
    assert told.measured(Measure.LINES, type="added", model="b") == 2
    assert told.measured(Measure.COMMITS) is None


def test_an_event_says_whether_what_is_told_of_its_session_changes() -> None:
    found = Activity()
    ran: dict[str, Any] = {"call_id": None, "name": "Bash", "title": "Bash", "duration_ms": 1}
    first, same = (an_event(ToolResult, at, success=True, **ran) for at in (2, 3))
    failed = an_event(ToolResult, 4, success=False, **ran)

    told = [
        sums.note_event(found, event) for event in (a_prompt(1), first, same, a_request(3), failed)
    ]
    assert told == [True, True, False, False, True]


def test_an_event_behind_the_last_run_lengthens_it_and_a_gap_begins_another() -> None:
    found = active(
        *(an_event(UserPrompt, number, number, text="Go on", length=5) for number in (1, 2, 3, 5))
    )

    assert [(first[1], last[1]) for first, last in found.runs] == [(1, 3), (5, 5)]
