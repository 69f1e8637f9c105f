"""The tree does not depend on how log records and spans travelled, nor on restarts.

Every example takes the real records and spans of a capture, changes their way and nothing else,
and compares all that would be sent, byte for byte. The examples are the same in every run.
"""

import random
from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from bridge.model.requests import ExportRequest, Signal
from tests.golden.fused.signals import (
    Item,
    Spanned,
    batched,
    capture_spans,
    items_of,
    requests_of,
    span_batch,
    spread,
)
from tests.pipeline import (
    QUIET_MS,
    SETTLE_MS,
    Assembly,
    Json,
    Pipeline,
    assemble,
    batch,
    capture_records,
    pipeline,
    result,
)
from tests.property.examples import few, randoms

SAMPLES = [
    "2.0.76/b-tools-full",
    "2.0.76/f-resume",
    "2.1.45/b-tools-full",
    "2.1.126/e-subagent",
    "2.1.126/f-resume",
    "2.1.207/e-subagent",
    "2.1.330/d-429-then-ok",
    "2.1.330/e-subagent",
    "2.1.330/f-resume",
    "2.1.330/g-interactive",
    "2.1.330/i-ext",
    "2.1.330/j-kill9",
]
"""Some of every version with spans, with what is hard in it."""

START_MS = 1_795_400_000_000
OWN_TRACES = ("2.0.76", "2.1.45")
"""Clients all or some of whose requests are a trace of their own each: which of these traces a
turn names is not compared."""

some = few(60)
samples = st.sampled_from(SAMPLES)


@cache
def at_once(capture: str) -> Assembly:
    """What comes of a capture whose records and spans arrive whole, together."""
    records = batch(capture_records(capture), START_MS)
    return assemble([records, span_batch(capture_spans(capture), START_MS)])


@cache
def as_it_came(capture: str) -> Assembly:
    """What comes of all signals of a capture at their own times."""
    return assemble(requests_of(capture))


@some
@given(samples, randoms)
def test_any_order_and_any_batches_within_the_settle_time_give_the_same(
    capture: str, rng: random.Random
) -> None:
    made = assemble(_mixed(capture, rng))

    _assert_same(made, at_once(capture))


@some
@given(samples, randoms)
def test_one_signal_after_the_other_within_the_settle_time_gives_the_same(
    capture: str, rng: random.Random
) -> None:
    items = _items(capture)
    spans_first = rng.random() < 0.5
    rng.shuffle(items)
    items.sort(key=lambda item: isinstance(item, Spanned) is not spans_first)

    made = assemble(spread(batched(items, rng, START_MS), rng, START_MS, SETTLE_MS - 1))

    _assert_same(made, at_once(capture))


@some
@given(samples, randoms)
def test_repeated_spans_change_nothing_and_are_counted(capture: str, rng: random.Random) -> None:
    """Whole requests come again, and single spans in another batch."""
    once = _mixed(capture, rng)
    traces = [request for request in once if request.signal is Signal.TRACES]
    spans = rng.sample(capture_spans(capture), 2)
    again = [*once, *rng.choices(traces, k=2), span_batch(spans, START_MS + SETTLE_MS - 2)]

    made = assemble(sorted(again, key=lambda request: request.received_at_ms))

    repeats = made.accepted - at_once(capture).accepted
    assert _differing(made, at_once(capture)) == []
    ended = made.outcomes.get("duplicate", 0) + made.outcomes.get("late", 0)
    assert ended == repeats + at_once(capture).outcomes.get("late", 0)
    assert made.accepted == sum(made.outcomes.values())


@some
@given(samples, randoms)
def test_a_restart_between_any_two_steps_changes_nothing(capture: str, rng: random.Random) -> None:
    requests = requests_of(capture)
    with pipeline() as made:
        now_ms = requests[0].received_at_ms
        for request in requests:
            for tick_ms in range(now_ms + 1000, request.received_at_ms, 1000):
                _step(made, tick_ms, rng)
            now_ms = request.received_at_ms
            made.post(request)
            _step(made, now_ms, rng)
        for tick_ms in range(now_ms + 1000, now_ms + QUIET_MS + 10_000, 1000):
            _step(made, tick_ms, rng)
        made.finish(now_ms + QUIET_MS + 10_000)
        whole = result(made)

    assert _differing(whole, as_it_came(capture)) == []
    assert whole.outcomes == as_it_came(capture).outcomes


@some
@given(samples, randoms)
def test_each_record_and_span_is_held_or_has_ended_at_any_moment(
    capture: str, rng: random.Random
) -> None:
    requests = _mixed(capture, rng, within_ms=40_000)
    with pipeline() as made:
        now_ms = START_MS
        for request in requests:
            made.wait(now_ms, request.received_at_ms)
            now_ms = request.received_at_ms
            made.post(request)
            _assert_accounted(made, request.records)
            made.work(now_ms)
            _assert_accounted(made, 0)
        made.finish(now_ms)
        whole = result(made)

    assert whole.held == 0
    assert whole.accepted == sum(whole.outcomes.values())
    assert len({span.id for span in whole.spans}) == len(whole.spans)


def _assert_accounted(made: Pipeline, unread: int) -> None:
    """``held`` looks through the inbox for records alone, so spans there are counted here."""
    view = made.local_view()
    try:
        totals = view.totals()
    finally:
        view.close()
    ended = sum(totals.outcomes.values())
    assert made.accepted() == ended + totals.live_records + unread


def _step(made: Pipeline, now_ms: int, rng: random.Random) -> None:
    made.step(now_ms)
    if rng.random() < 0.2:
        made.restart()
    made.work(now_ms)


def _mixed(capture: str, rng: random.Random, within_ms: int = SETTLE_MS - 1) -> list[ExportRequest]:
    items = _items(capture)
    rng.shuffle(items)
    return spread(batched(items, rng, START_MS), rng, START_MS, within_ms)


def _items(capture: str) -> list[Item]:
    return items_of(requests_of(capture, Signal.LOGS, Signal.TRACES))


def _assert_same(made: Assembly, expected: Assembly) -> None:
    assert _differing(made, expected) == []
    assert made.outcomes == expected.outcomes


def _differing(made: Assembly, expected: Assembly) -> list[str]:
    """What differs, described for people; nothing if all spans are the same."""
    assert made.held == 0
    ours, theirs = _readable(made), _readable(expected)
    return [
        f"{key} {field}: made {left.get(field)!r}, expected {right.get(field)!r}"
        for key in sorted(ours.keys() | theirs.keys())
        for left, right in [(ours.get(key, {}), theirs.get(key, {}))]
        for field in sorted(left.keys() | right.keys())
        if left.get(field) != right.get(field)
    ]


def _readable(made: Assembly) -> dict[str, Json]:
    named = "langfuse.trace.metadata.otel_trace_id"
    return {
        span.id: {
            key: value
            for key, value in span.attributes.items()
            if key != named or span.service[1] not in OWN_TRACES
        }
        | {
            "name": span.name,
            "trace": span.trace_id,
            "parent": span.parent_id,
            "times": (span.start_ns, span.end_ns),
            "failed": span.failed,
        }
        for span in made.spans
    }
