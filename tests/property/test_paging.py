"""What is in memory and what is in the ledger makes no difference to anything.

With bounds so tiny that every session leaves memory after every step, real records and spans give
the same spans, byte for byte and in the same order, as with everything in memory.
"""

import random
import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, rule

from bridge.correlate.looks import Look, Looks
from bridge.correlate.saved import Bounds
from bridge.model.requests import ExportRequest
from bridge.store.ledger import Ledger
from bridge.store.step import Step
from tests.golden.fused.signals import Item, batched, items_of, requests_of
from tests.measurements import all_requests, arriving
from tests.pipeline import QUIET_MS, SETTLE_MS, Assembly, assemble, pipeline, result
from tests.property.examples import few, randoms

CAPTURES = [
    "1.0.60/g-interactive",
    "2.0.76/f-resume",
    "2.1.45/b-tools-full",
    "2.1.126/e-subagent",
    "2.1.126/f-resume",
    "2.1.207/e-subagent",
    "2.1.330/e-subagent",
    "2.1.330/f-resume",
    "2.1.330/g-interactive",
    "2.1.330/j-kill9",
]
START_MS = 1_795_400_000_000

some = few(12)
several = st.sets(st.sampled_from(CAPTURES), min_size=2, max_size=4)
tiny = st.builds(
    Bounds,
    held=st.integers(min_value=0, max_value=3),
    held_bytes=st.sampled_from([0, 10_000]),
    changed=st.integers(min_value=1, max_value=5),
    looks=st.integers(min_value=1, max_value=4),
)


@some
@given(several, randoms, tiny)
def test_sessions_that_leave_memory_give_what_those_in_memory_give(
    captures: set[str], rng: random.Random, bounds: Bounds
) -> None:
    """In any order and any batches, with pauses in which parts and whole turns leave."""
    requests = _paused(captures, rng)

    _assert_same(assemble(requests, bounds=bounds), assemble(requests))


@some
@given(several, randoms, tiny)
def test_restarts_of_sessions_that_leave_memory_change_nothing(
    captures: set[str], rng: random.Random, bounds: Bounds
) -> None:
    requests = _paused(captures, rng)
    with pipeline(bounds=bounds) as made:
        now_ms = START_MS
        for request in requests:
            for tick_ms in range(now_ms + 1000, request.received_at_ms, 1000):
                made.work(tick_ms)
                if rng.random() < 0.2:
                    made.restart()
            now_ms = request.received_at_ms
            made.post(request)
            made.step(now_ms)
            made.restart()
            made.work(now_ms)
        made.finish(now_ms)

        _assert_same(result(made), assemble(requests))


@few(5)
@given(st.sampled_from(["2.1.330/g-interactive", "2.1.330/f-resume"]), tiny)
def test_numbers_of_sessions_that_leave_memory_are_the_same(capture: str, bounds: Bounds) -> None:
    requests = all_requests(capture)

    _assert_same(assemble(requests, bounds=bounds), assemble(requests))


@few(5)
@given(several, randoms, tiny)
def test_a_backlog_larger_than_memory_is_assembled_as_it_would_have_been_without_one(
    captures: set[str], rng: random.Random, bounds: Bounds
) -> None:
    requests = _paused(captures, rng)
    with pipeline(bounds=bounds) as made:
        made.post(*requests)
        made.finish(requests[-1].received_at_ms)

        _assert_same(result(made), assemble(requests))


class QueueAgainstList(RuleBasedStateMachine):
    """The queue of looks, of which memory has the near end, against a plain list of all."""

    LONGEST_MS = 30

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.ledger = Ledger(self.folder / "ledger.db")
        self.all: set[Look] = set()
        self.now_ms = 0
        self.looks = Looks(self.ledger, self.LONGEST_MS, most_near=2)

    @rule(
        in_ms=st.integers(min_value=-5, max_value=LONGEST_MS),
        kind=st.integers(0, 2),
        key=st.sampled_from("abc"),
    )
    def plan(self, in_ms: int, kind: int, key: str) -> None:
        look = (self.now_ms + in_ms, kind, key)
        self.all.add(look)
        self.looks.plan(look)

    @rule(rng=randoms)
    def cancel(self, rng: random.Random) -> None:
        if self.all:
            look = rng.choice(sorted(self.all))
            self.all.remove(look)
            self.looks.cancel(look)

    @rule(in_ms=st.integers(min_value=0, max_value=10))
    def pass_time(self, in_ms: int) -> None:
        self.now_ms += in_ms
        taken = []
        while look := self.looks.take_due(self.now_ms):
            taken.append(look)
        due = {look for look in self.all if look[0] <= self.now_ms}
        assert taken == sorted(due)
        self.all -= due

    @rule()
    def save(self) -> None:
        changes = self.looks.take_changes()
        self.ledger.commit(
            Step(
                watermark=0,
                turns=(),
                conversations=(),
                finished=(),
                quarantined=(),
                outcomes={},
                at_ms=0,
                looks_done=changes.done,
                looks_planned=changes.planned,
            )
        )
        assert self.looks.near <= 2 * 2

    @rule()
    def restart(self) -> None:
        self.save()
        self.looks = Looks(self.ledger, self.LONGEST_MS, most_near=2)

    @rule(back_ms=st.integers(min_value=100, max_value=1000))
    def set_the_clock_back(self, back_ms: int) -> None:
        """All that was planned before is too far ahead now, and due at once."""
        self.now_ms -= back_ms
        taken = set()
        for _ in range(len(self.all) + 1):
            while look := self.looks.take_due(self.now_ms):
                taken.add(look[1:])
            self.save()
        assert taken == {look[1:] for look in self.all}
        assert self.ledger.looks((-(2**62), 0, ""), 1) == []
        self.all.clear()

    def teardown(self) -> None:
        self.ledger.close()
        shutil.rmtree(self.folder)


TestQueue = QueueAgainstList.TestCase
TestQueue.settings = settings(derandomize=True, deadline=None, max_examples=25)


def _paused(captures: set[str], rng: random.Random) -> list[ExportRequest]:
    """The records and spans of captures, each in the client's order, mixed, cut anywhere."""
    queues = [items_of(requests_of(capture)) for capture in sorted(captures)]
    mixed: list[Item] = []
    while waiting := [queue for queue in queues if queue]:
        mixed.append(rng.choice(waiting).pop(0))
    requests, at_ms = [], START_MS
    for request in batched(mixed, rng, START_MS):
        at_ms += rng.choice((10, 300, SETTLE_MS + 500, QUIET_MS + 5_000))
        requests.append(arriving(request, at_ms))
    return requests


def _assert_same(made: Assembly, expected: Assembly) -> None:
    assert made.outcomes == expected.outcomes
    assert [span.id for span in made.spans] == [span.id for span in expected.spans]
    assert made.sent == expected.sent
    assert made.held == expected.held == 0
