"""The assemble step: atomic, bounded, and not stopped by a record that nobody expected."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from bridge.app.assembler import STEP_ENTRIES, Assembler
from bridge.decode.claude_code.shapes import Row, Shape
from bridge.errors import StoreError
from bridge.model.requests import Encoding, ExportRequest, Progress, Signal
from bridge.otlp.pieces import pieces
from bridge.store.ledger import Ledger
from bridge.store.step import Step
from tests.builders import T0_MS, a_prompt, a_record, a_request, a_result, an_answer
from tests.pipeline import IDLE_MS, SETTLE_MS, Json, Logged, Pipeline, batch, of_prompts


class PoisonedLedger(Ledger):
    """Fails, for no reason a disk could have, whenever one request is taken in as it is."""

    poison = 2

    def commit(self, step: Step) -> None:
        """Refuse the poisoned request unless it is quarantined."""
        before = self.watermark()
        quarantined = {item.position for item in step.quarantined}
        if before < self.poison <= step.watermark and self.poison not in quarantined:
            raise RuntimeError("a bug of ours")
        super().commit(step)


class FailingLedger(Ledger):
    """Fails, for no reason a disk could have, unless something is quarantined."""

    def commit(self, step: Step) -> None:
        """Refuse."""
        if not step.quarantined:
            raise RuntimeError("a bug of ours")
        super().commit(step)


class FullLedger(Ledger):
    """Cannot commit for as long as its disk is full."""

    full = True

    def commit(self, step: Step) -> None:
        """Refuse while the disk is full."""
        if self.full:
            raise StoreError("disk full")
        super().commit(step)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(tmp_path)
    yield pipeline
    pipeline.close()


def test_an_empty_inbox_is_no_work(made: Pipeline) -> None:
    assert made.step(T0_MS) == 0
    made.post(batch([a_prompt(0)]))
    assert made.step(T0_MS) == 1
    assert made.step(T0_MS) == 0


def test_a_step_takes_in_a_bounded_number_of_requests(made: Pipeline) -> None:
    made.post(*(batch([a_prompt(n, prompt=f"p{n}")]) for n in range(STEP_ENTRIES + 3)))

    assert [made.step(T0_MS), made.step(T0_MS), made.step(T0_MS)] == [STEP_ENTRIES, 3, 0]


def test_what_was_taken_in_and_what_came_of_it_become_true_together(made: Pipeline) -> None:
    made.post(batch([a_prompt(0), a_request(300)]))
    made.work(T0_MS)

    assert (made.ledger.watermark(), made.held(), made.outcomes()) == (1, 2, {})


def test_nothing_is_due_before_the_time_that_is_told_and_something_is_then(made: Pipeline) -> None:
    assert made.assembler.due_ms == 0
    made.work(T0_MS)
    assert made.assembler.due_ms is None
    made.post(batch([a_prompt(0), a_request(300)]))
    made.work(T0_MS)
    due_ms, committed = made.assembler.due_ms, made.assembler.committed
    assert due_ms is not None
    made.work(due_ms - 1)
    assert (made.assembler.due_ms, made.assembler.committed) == (due_ms, committed)
    made.work(due_ms)
    assert made.assembler.committed == committed + 1
    assert made.outcomes() == {"observed": 1}


def test_after_a_failure_something_may_be_due_at_once(made: Pipeline) -> None:
    made.work(T0_MS)
    made.assembler.forget()
    assert made.assembler.due_ms == 0


@pytest.mark.parametrize(("level", "told"), [(logging.DEBUG, 1), (logging.INFO, 0)])
def test_closed_turns_are_told_to_those_who_debug(
    made: Pipeline, caplog: pytest.LogCaptureFixture, level: int, told: int
) -> None:
    caplog.set_level(level)
    made.post(batch([a_prompt(0), a_request(300)]))
    with capture_logs() as lines:
        made.finish(T0_MS)

    assert [line["event"] for line in lines].count("turn.closed") == told


def test_a_body_that_cannot_be_decoded_is_quarantined_whole(made: Pipeline, tmp_path: Path) -> None:
    made.post(_broken(records=3), batch([a_prompt(0)]))
    made.finish(T0_MS)

    assert made.outcomes() == {"quarantined": 3, "observed": 1}
    (row,) = _quarantine(tmp_path)
    assert row[:3] == (1, None, 3)
    assert msgspec.msgpack.decode(row[4], type=ExportRequest) == _broken(records=3)


def test_a_record_that_cannot_be_read_is_quarantined_alone(made: Pipeline) -> None:
    odd = a_record("odd", 0)
    attributes = {"key": "number", "value": {"intValue": 5}}
    odd.record["attributes"].append(attributes)
    with pytest.MonkeyPatch.context() as bug:
        bug.setattr(Shape, "shown", _failing_on(5))
        made.post(batch([odd, a_prompt(1), a_request(300)]))
        _work_or_isolate(made, T0_MS)
    made.finish(T0_MS)

    assert made.outcomes() == {"quarantined": 1, "observed": 2}


@pytest.mark.parametrize(
    "poison",
    [
        a_request(300, more={"duration_ms": 10**15}),
        a_request(300, more={"duration_ms": "99999999999999999999"}),
        a_request(300, more={"ttft_ms": 10**15}),
        a_result(300, more={"duration_ms": "9e15"}),
        a_record("subagent_completed", 300, {"agent_id": "a1", "duration_ms": 10**15}),
        a_request(300, more={"input_tokens": 10**18, "output_tokens": 10**30}),
        a_request(300, more={"cost_usd": 1e17, "cost_usd_micros": 10**18}),
        a_request(300, sequence=2**62),
    ],
    ids=["duration", "long-duration", "ttft", "tool", "agent", "tokens", "cost", "sequence"],
)
def test_absurd_numbers_are_shown_somehow_and_stop_nothing(made: Pipeline, poison: Logged) -> None:
    """They can be decoded, so they must not blow up later, when no request can be blamed."""
    made.post(batch([a_prompt(0), poison]))
    made.post(batch([a_prompt(5000, prompt="p2"), a_request(5300, "r2", prompt="p2")]))

    _finish_or_isolate(made, T0_MS + 5300)

    assert made.held() == 0
    assert made.accepted() == sum(made.outcomes().values())
    assert sum(s.parent_id is None for s in of_prompts(made.spans())) == 2


@pytest.mark.parametrize(
    "time_ns", [-1, -(10**18), 2**63, 2**64 - 1], ids=["before-1970", "1938", "2262", "2554"]
)
def test_absurd_times_stop_nothing(made: Pipeline, time_ns: int) -> None:
    made.post(batch([_timed(a_request(300, "odd"), time_ns), _timed(a_record("x", 0), time_ns)]))
    made.post(batch([a_prompt(0), a_request(300)]))

    _finish_or_isolate(made, T0_MS + 300)

    assert made.held() == 0
    assert made.accepted() == sum(made.outcomes().values())
    assert "Do it" in {s.input for s in made.spans()}


def test_a_request_that_nobody_expected_is_quarantined_and_the_others_go_on(
    made: Pipeline, tmp_path: Path
) -> None:
    ledger = PoisonedLedger(made.config.ledger_path)
    assembler = Assembler(made.config, made.reader, ledger)
    made.post(*(batch([a_prompt(n, f"number {n}", prompt=f"p{n}")]) for n in (1, 2, 3)))

    with pytest.raises(RuntimeError, match="a bug of ours"):
        assembler.step(T0_MS)
    for _ in range(2):
        assembler.isolate(T0_MS)
    while assembler.step(T0_MS + 2 * IDLE_MS):
        pass
    assembler.step(T0_MS + 2 * IDLE_MS)

    assert [(row[0], row[2], row[3]) for row in _quarantine(tmp_path)] == [
        (2, 1, "the bridge failed on it (RuntimeError), as its log tells")
    ]
    assert {s.input for s in of_prompts(made.spans())} == {"number 1", "number 3"}
    ledger.close()


def test_isolation_ends_when_the_culprit_was_found(made: Pipeline) -> None:
    ledger = PoisonedLedger(made.config.ledger_path)
    assembler = Assembler(made.config, made.reader, ledger)
    made.post(*(batch([a_prompt(n, prompt=f"p{n}")]) for n in range(5)))
    with pytest.raises(RuntimeError):
        assembler.step(T0_MS)
    assembler.isolate(T0_MS)
    assembler.isolate(T0_MS)

    assert assembler.step(T0_MS) == 3, "the rest is taken in at once"
    ledger.close()


def test_isolation_without_a_culprit_does_not_make_every_later_step_a_small_one(
    made: Pipeline,
) -> None:
    """A failure while the inbox is empty is nobody's fault and passes with its cause."""
    ledger = FullLedger(made.config.ledger_path)
    assembler = Assembler(made.config, made.reader, ledger)
    ledger.full = False
    made.post(batch([a_prompt(0), a_request(300), an_answer(301)]))
    assembler.step(T0_MS)
    ledger.full = True
    with pytest.raises(StoreError):
        assembler.isolate(T0_MS + SETTLE_MS + 1000)
    ledger.full = False

    made.post(*(batch([a_prompt(n, prompt=f"p{n}")]) for n in range(5)))

    assert assembler.step(T0_MS + SETTLE_MS + 1001) == 5
    ledger.close()


def a_large_request(prompts: int = 40) -> ExportRequest:
    """One request of many prompts; no step takes it in whole while pieces are small."""
    records = [
        record
        for n in range(prompts)
        for record in (
            a_prompt(n, f"number {n}", prompt=f"p{n}", session=f"s{n}"),
            a_request(300 + n, f"r{n}", prompt=f"p{n}", session=f"s{n}"),
        )
    ]
    return batch(records, encoding=Encoding.PROTOBUF, gzipped=True)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    split = partial(pieces, piece_bytes=2_000)
    monkeypatch.setattr("bridge.decode.records.pieces", split)
    monkeypatch.setattr("bridge.app.assembler.STEP_BYTES", 2_000)


@pytest.mark.usefixtures("small_steps")
def test_a_large_request_takes_several_steps_and_adds_up_after_each(made: Pipeline) -> None:
    made.post(a_large_request())
    came = [0]
    while made.ledger.watermark() == 0:
        assert made.step(T0_MS) == 1
        came.append(made.ledger.progress().records)
        assert made.accepted() == 80
    assert len(came) > 5
    assert made.ledger.progress() == Progress()
    made.finish(T0_MS)
    assert made.outcomes() == {"observed": 80}


@pytest.mark.usefixtures("small_steps")
def test_a_restart_in_the_middle_of_a_request_goes_on_behind_what_is_in_the_ledger(
    made: Pipeline,
) -> None:
    made.post(a_large_request(), batch([a_prompt(900, prompt="next")]))
    while made.ledger.watermark() == 0:
        made.step(T0_MS)
        made.restart()
    made.finish(T0_MS)

    assert made.outcomes() == {"observed": 81}, "nothing twice, nothing missing"


@pytest.mark.usefixtures("small_steps")
def test_what_fails_in_the_middle_of_a_request_quarantines_only_the_rest(
    made: Pipeline, tmp_path: Path
) -> None:
    made.post(a_large_request(), batch([a_prompt(900, prompt="next")]))
    made.step(T0_MS)
    known = made.ledger.progress().records
    ledger = FailingLedger(made.config.ledger_path)
    assembler = Assembler(made.config, made.reader, ledger)
    assembler.isolate(T0_MS)
    ledger.close()
    made.restart()
    made.finish(T0_MS)

    assert [row[:3] for row in _quarantine(tmp_path)] == [(1, None, 80 - known)]
    assert made.outcomes() == {"observed": known + 1, "quarantined": 80 - known}


def test_a_full_disk_loses_nothing(made: Pipeline) -> None:
    ledger = FullLedger(made.config.ledger_path)
    assembler = Assembler(made.config, made.reader, ledger)
    made.post(batch([a_prompt(0), a_request(300), an_answer(301)]))
    for later_ms in (0, 1000, SETTLE_MS, 2 * SETTLE_MS):
        with pytest.raises(StoreError, match="disk full"):
            assembler.step(T0_MS + later_ms)

    ledger.full = False
    while assembler.step(T0_MS + 10_000):
        pass
    assembler.step(T0_MS + IDLE_MS)

    assert made.outcomes() == {"observed": 2, "folded": 1}
    ledger.close()


def test_a_restart_takes_up_live_turns_where_they_were(made: Pipeline) -> None:
    made.post(batch([a_prompt(0)]))
    made.work(T0_MS)
    made.restart()
    made.post(batch([a_request(300), an_answer(301)]))
    made.work(T0_MS + 301)
    made.restart()
    made.finish(T0_MS + 301)

    (root,) = [s for s in of_prompts(made.spans()) if s.parent_id is None]
    assert (root.input, root.output) == ("Do it", "Done")
    assert made.outcomes() == {"observed": 2, "folded": 1}


def test_a_record_that_comes_again_after_a_restart_is_a_duplicate(made: Pipeline) -> None:
    request = batch([a_prompt(0), a_request(300)])
    made.post(request)
    made.finish(T0_MS + 300)
    made.restart()
    made.post(request)
    made.finish(T0_MS + 4 * IDLE_MS)

    assert made.outcomes() == {"observed": 2, "duplicate": 2}


def _failing_on(value: object) -> Callable[[Shape, Row], Json]:
    """As ``Shape.shown``, with a bug that an attribute of that value meets."""
    shown = Shape.shown

    def failing(shape: Shape, row: Row) -> Json:
        if value in row:
            raise LookupError(value)
        return shown(shape, row)

    return failing


def _work_or_isolate(made: Pipeline, now_ms: int) -> None:
    """As the worker does it."""
    for _ in range(10):
        try:
            made.work(now_ms)
        except StoreError:
            raise
        except Exception:  # noqa: BLE001 - any bug of ours is what the test is about
            made.assembler.isolate(now_ms)
        else:
            return


def _finish_or_isolate(made: Pipeline, now_ms: int) -> None:
    for later_ms in (0, SETTLE_MS, 2 * SETTLE_MS, 60_000, IDLE_MS, 2 * IDLE_MS, 4 * IDLE_MS):
        _work_or_isolate(made, now_ms + later_ms)


def _broken(records: int) -> ExportRequest:
    return ExportRequest(
        signal=Signal.LOGS,
        encoding=Encoding.JSON,
        body=b'{"resourceLogs": [',
        gzipped=False,
        records=records,
        received_at_ms=T0_MS,
    )


def _timed(record: Logged, time_ns: int) -> Logged:
    times: Json = {"timeUnixNano": str(time_ns), "observedTimeUnixNano": str(time_ns)}
    return Logged(record.resource, record.scope, record.record | times, record.at_ms)


def _quarantine(folder: Path) -> list[tuple[int, int | None, int, str, bytes]]:
    connection = sqlite3.connect(folder / "ledger.db")
    try:
        return connection.execute(
            "SELECT position, record_index, records, reason, body FROM quarantine ORDER BY id"
        ).fetchall()
    finally:
        connection.close()
