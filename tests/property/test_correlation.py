"""The traces do not depend on how records travelled, nor on when the bridge was restarted.

Every example takes real records, changes their way and nothing else, and compares all that would
be sent: span for span, byte for byte. The examples are the same in every run.
"""

import random
from collections import Counter
from collections.abc import Sequence
from functools import cache

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.requests import Encoding, ExportRequest
from tests.pipeline import (
    ALL_CAPTURES,
    IDLE_MS,
    QUIET_MS,
    SETTLE_MS,
    Assembly,
    Json,
    Logged,
    Seen,
    assemble,
    assemble_capture,
    batch,
    capture_records,
    capture_requests,
    pipeline,
    result,
)
from tests.property.examples import few, randoms

SAMPLES = [
    "1.0.60/g-interactive",
    "2.0.76/e-subagent",
    "2.0.76/f-resume",
    "2.1.45/b-tools-full",
    "2.1.126/e-subagent",
    "2.1.126/f-resume",
    "2.1.207/e-subagent",
    "2.1.330/d-500-exhaust",
    "2.1.330/e-subagent",
    "2.1.330/f-resume",
    "2.1.330/g-interactive",
    "2.1.330/i-compact-p",
    "2.1.330/i-ext",
]
"""Some of every version, with what is hard in it."""

START_MS = 1_795_400_000_000
"""When requests arrive here: later than every record was made."""

some = few(25)
samples = st.sampled_from(SAMPLES)


@cache
def at_once(capture: str) -> Assembly:
    """What comes of a capture that arrives whole, in one request."""
    return assemble([batch(capture_records(capture), START_MS)])


@cache
def as_it_came(capture: str) -> Assembly:
    """What comes of a capture in its own requests at their own times."""
    return assemble_capture(capture)


@pytest.mark.parametrize("capture", ALL_CAPTURES)
def test_a_capture_that_arrives_whole_gives_what_it_gave_as_it_came(capture: str) -> None:
    """Only why the root was made when it was may differ, for the times differ."""
    assert _but_closed_by(at_once(capture)) == _but_closed_by(as_it_came(capture))


@pytest.mark.parametrize("capture", ALL_CAPTURES)
def test_a_backlog_is_assembled_as_it_would_have_been_without_one(capture: str) -> None:
    requests = capture_requests(capture)
    with pipeline() as made:
        made.post(*requests)
        made.finish(requests[-1].received_at_ms)

        assert _different(result(made), as_it_came(capture)) == []


@some
@given(samples, randoms)
def test_any_batches_in_any_encoding_give_the_same(capture: str, rng: random.Random) -> None:
    made = assemble(_batches(capture_records(capture), rng))

    assert _different(made, at_once(capture)) == []


@some
@given(samples, randoms)
def test_any_order_within_the_settle_time_gives_the_same(capture: str, rng: random.Random) -> None:
    records = capture_records(capture)
    rng.shuffle(records)

    made = assemble(_batches(records, rng))

    assert _different(made, at_once(capture)) == []


@some
@given(samples, randoms)
def test_repeated_requests_change_nothing_and_are_counted(capture: str, rng: random.Random) -> None:
    """A client repeats a request whose answer it did not see, byte for byte or in a new batch."""
    records = capture_records(capture)
    once = _batches(records, rng)
    again = [*once, *(rng.choice(once) for _ in range(3))]
    rng.shuffle(again)

    made = assemble(_spread(again, rng))

    assert _different(made, at_once(capture)) == []
    _assert_repeats_are_counted(made, at_once(capture))


@some
@given(samples.filter(lambda capture: capture > "2.1.2"), randoms)
def test_repeated_records_change_nothing_and_are_counted(capture: str, rng: random.Random) -> None:
    """Records with a sequence number are known wherever they come again, even in one request."""
    records = capture_records(capture)
    again = [*records, *(rng.choice(records) for _ in range(10))]
    rng.shuffle(again)

    made = assemble(_batches(again, rng))

    assert _different(made, at_once(capture)) == []
    _assert_repeats_are_counted(made, at_once(capture))


@some
@given(
    st.sets(samples, min_size=2, max_size=4).filter(
        lambda chosen: sum("f-resume" in c or "i-compact" in c for c in chosen) <= 1
    ),
    randoms,
)
def test_sessions_in_one_batch_do_not_touch_each_other(
    captures: set[str], rng: random.Random
) -> None:
    queues = [capture_records(capture) for capture in sorted(captures)]
    mixed = [_taken(queues, rng) for _ in range(sum(map(len, queues)))]

    made = assemble(_batches(mixed, rng))

    together: dict[str, bytes] = {}
    for capture in captures:
        together |= at_once(capture).sent
    assert _different_bytes(made.sent, together) == []


@some
@given(samples, randoms)
def test_requests_that_overtake_each_other_by_moments_change_nothing(
    capture: str, rng: random.Random
) -> None:
    """A large request is received first and committed last: arrival times go back a little."""
    records = capture_records(capture)
    batches = _batches(records, rng)
    late = [
        msgspec.structs.replace(r, received_at_ms=r.received_at_ms - rng.randrange(100))
        for r in batches
    ]
    with pipeline() as made:
        now_ms = START_MS
        for posted, request in zip(late, batches, strict=True):
            made.wait(now_ms, request.received_at_ms)
            now_ms = request.received_at_ms
            made.post(posted)
            made.work(now_ms)
        made.finish(now_ms)

        assert _different(result(made), at_once(capture)) == []


@some
@given(samples, randoms)
def test_a_restart_between_any_two_steps_changes_nothing(capture: str, rng: random.Random) -> None:
    requests = capture_requests(capture)
    with pipeline() as made:
        now_ms = requests[0].received_at_ms
        for request in requests:
            for tick_ms in range(now_ms + 1000, request.received_at_ms, 1000):
                made.work(tick_ms)
                _perhaps(made.restart, rng)
            now_ms = request.received_at_ms
            made.post(request)
            _perhaps(made.restart, rng)
            made.work(now_ms)
            _perhaps(made.restart, rng)
        for tick_ms in range(now_ms + 1000, now_ms + QUIET_MS + 10_000, 1000):
            made.step(tick_ms)
            _perhaps(made.restart, rng)
        made.finish(now_ms + QUIET_MS + 10_000)

        assert _different(result(made), as_it_came(capture)) == []
        assert made.outcomes() == as_it_came(capture).outcomes


@some
@given(samples, randoms)
def test_everything_again_after_the_end_adds_nothing(capture: str, rng: random.Random) -> None:
    requests = capture_requests(capture)
    with pipeline() as made:
        for request in requests:
            made.post(request)
            made.work(request.received_at_ms)
        made.finish(request.received_at_ms)
        first = result(made)

        again_ms = request.received_at_ms + 5 * IDLE_MS
        made.post(*_batches(capture_records(capture), rng, start_ms=again_ms))
        made.finish(again_ms + SETTLE_MS)
        second = result(made)

    assert _different(second, first) == []
    unprompted = first.outcomes.get("no_prompt", 0)
    expected = Counter(first.outcomes)
    expected.update(duplicate=first.accepted - unprompted, no_prompt=unprompted)
    assert second.outcomes == {name: count for name, count in expected.items() if count}


@some
@given(samples, randoms)
def test_what_the_client_sends_late_is_neither_lost_nor_sent_twice(
    capture: str, rng: random.Random
) -> None:
    """In the client's order, but with pauses in which parts and whole turns are sent off."""
    records = capture_records(capture)
    pauses_ms = (300, SETTLE_MS + 500, SETTLE_MS + 500, QUIET_MS + 5_000)
    requests, at_ms = [], START_MS
    for part in _cut(records, rng):
        at_ms += rng.choice(pauses_ms)
        requests.append(batch(part, at_ms, encoding=rng.choice(list(Encoding))))

    made = assemble(requests)

    _assert_sound(made)
    assert "duplicate" not in made.outcomes, "a span was made twice, or a record taken for another"
    assert _money(made.spans) == _money(as_it_came(capture).spans)
    assert made.accepted == sum(made.outcomes.values())
    work = {"generation", "tool"}
    assert {s.id for s in made.spans if s.type in work} == {
        s.id for s in as_it_came(capture).spans if s.type in work
    }


@pytest.mark.parametrize("capture", ALL_CAPTURES)
def test_traces_are_sound(capture: str) -> None:
    _assert_sound(as_it_came(capture))


def _assert_sound(made: Assembly) -> None:
    """What holds of every trace, whatever came when."""
    for spans in made.traces.values():
        (root,) = [span for span in spans if span.parent_id is None]
        assert root.input, "the session page lists only what has an input and an output"
        assert root.output
        assert root.name == root.attributes["langfuse.trace.name"]
        for span in spans:
            assert span.trace_facts == root.trace_facts
            assert span.service == root.service
            assert span.start_ms <= span.end_ms
            assert all(key.startswith("langfuse.") for key in span.attributes)
            _assert_inside(span, root)


def _assert_inside(span: Seen, root: Seen) -> None:
    """Only true times of work may lie outside the root's."""
    if span.type == "event":
        assert root.start_ms <= span.start_ms <= max(root.end_ms, root.start_ms + 1), span.name


def _assert_repeats_are_counted(made: Assembly, once: Assembly) -> None:
    """Records that are shown nowhere are not kept, so their repeats are not known as such."""
    unprompted = made.outcomes.get("no_prompt", 0) - once.outcomes.get("no_prompt", 0)
    duplicates = made.outcomes.get("duplicate", 0)
    assert duplicates + unprompted == made.accepted - once.accepted
    ended = {"no_prompt", "duplicate"}
    assert {k: v for k, v in made.outcomes.items() if k not in ended} == {
        k: v for k, v in once.outcomes.items() if k not in ended
    }


def _batches(
    records: Sequence[Logged], rng: random.Random, *, start_ms: int = START_MS
) -> list[ExportRequest]:
    """The records in order, cut anywhere, in both encodings, all within the settle time."""
    requests = [
        batch(
            part,
            start_ms,
            encoding=rng.choice(list(Encoding)),
            gzipped=rng.random() < 0.3,
            ints_as_strings=rng.random() < 0.5,
        )
        for part in _cut(records, rng)
    ]
    return _spread(requests, rng, start_ms=start_ms)


def _spread(
    requests: Sequence[ExportRequest], rng: random.Random, *, start_ms: int = START_MS
) -> list[ExportRequest]:
    """In this order, at any times within the settle time."""
    times_ms = sorted(start_ms + rng.randrange(SETTLE_MS - 1) for _ in requests)
    return [
        msgspec.structs.replace(request, received_at_ms=at_ms)
        for request, at_ms in zip(requests, times_ms, strict=True)
    ]


def _cut(records: Sequence[Logged], rng: random.Random) -> list[Sequence[Logged]]:
    marks = sorted(rng.sample(range(1, len(records)), rng.randrange(min(8, len(records)))))
    return [records[a:b] for a, b in zip([0, *marks], [*marks, len(records)], strict=True)]


def _taken(queues: list[list[Logged]], rng: random.Random) -> Logged:
    return rng.choice([queue for queue in queues if queue]).pop(0)


def _perhaps(action: object, rng: random.Random) -> None:
    if callable(action) and rng.random() < 0.2:
        action()


def _different(made: Assembly, expected: Assembly) -> list[str]:
    """What differs, described for people; nothing if all spans are the same bytes."""
    assert made.held == 0
    return _different_bytes(made.sent, expected.sent) and _described(made, expected)


def _different_bytes(made: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    return [key for key in made.keys() | expected.keys() if made.get(key) != expected.get(key)]


def _described(made: Assembly, expected: Assembly) -> list[str]:
    ours, theirs = _readable(made), _readable(expected)
    found = []
    for key in sorted(ours.keys() | theirs.keys()):
        left, right = ours.get(key, {}), theirs.get(key, {})
        found += [
            f"{left.get('name') or right.get('name')} {key} {field}:"
            f" made {left.get(field)!r}, expected {right.get(field)!r}"
            for field in sorted(left.keys() | right.keys())
            if left.get(field) != right.get(field)
        ]
    return found or ["the same attributes in another order"]


def _but_closed_by(made: Assembly) -> dict[str, Json]:
    closed_by = "langfuse.observation.metadata.closed_by"
    return {
        key: {name: value for name, value in span.items() if name != closed_by}
        for key, span in _readable(made).items()
    }


def _readable(made: Assembly) -> dict[str, Json]:
    return {
        span.id: span.attributes
        | {
            "name": span.name,
            "trace": span.trace_id,
            "parent": span.parent_id,
            "times": (span.start_ns, span.end_ns),
            "failed": span.failed,
        }
        for span in made.spans
    }


def _money(spans: Sequence[Seen]) -> tuple[object, Counter[str]]:
    usage: Counter[str] = Counter()
    for span in spans:
        usage.update(span.usage)
    return sum(span.cost or 0 for span in spans), usage
