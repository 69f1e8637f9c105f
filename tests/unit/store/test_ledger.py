"""The ledger: one step is one transaction, spans are kept once, and bounds are kept."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from bridge.errors import StoreError
from bridge.langfuse.wire import decode_span
from bridge.model.counted import Series
from bridge.model.delivery import LangfuseState
from bridge.model.outcomes import Outcome
from bridge.store.ledger import Ledger
from bridge.store.reader import LedgerReader, LedgerTotals
from bridge.store.retention import PRUNE_ROWS
from bridge.store.step import Finished, Quarantined
from tests.unit.store.samples import a_finished, a_step


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What the correlator saves, of turns and conversations alike."""

    key: str
    session_id: str | None = "s"
    live: bool = True
    held: int = 0
    started_ms: int = 1
    state: bytes = b"state"


FIRST = (0, 0, "")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    made = Ledger(path)
    yield made
    made.close()


def test_a_new_ledger_is_empty(ledger: Ledger, path: Path) -> None:
    assert (ledger.watermark(), ledger.looks(FIRST, 10), ledger.claim(1000, 10)) == (0, [], [])
    assert (ledger.turn("t"), ledger.conversation("c")) == (None, None)
    assert _totals(path).outcomes == {outcome.value: 0 for outcome in Outcome}


def test_a_step_is_there_after_it_was_committed_and_after_a_restart(
    ledger: Ledger, path: Path
) -> None:
    ledger.commit(
        a_step(
            watermark=7,
            turns=[(Saved(key="t", held=2, state=b"turn"), "ab")],
            conversations=[Saved(key="c", held=3, state=b"conversation")],
            finished=[a_finished(1, records=3)],
            outcomes={Outcome.LATE: 1},
            looks_planned=[(5, 0, "c")],
        )
    )
    ledger.close()
    again = Ledger(path)

    assert (again.watermark(), again.looks(FIRST, 10)) == (7, [(5, 0, "c")])
    assert (again.turn("t"), again.conversation("c")) == (b"turn", b"conversation")
    assert [pending.span for pending in again.claim(1000, 10)] == [a_finished(1).span]
    totals = _totals(path)
    assert (totals.live_records, totals.pending, totals.watermark) == (5, 1, 7)
    assert {k: v for k, v in totals.outcomes.items() if v} == {
        "observed": 1,
        "folded": 2,
        "late": 1,
    }
    again.close()


def test_a_step_that_fails_anywhere_changes_nothing(ledger: Ledger, path: Path) -> None:
    ledger.commit(a_step(watermark=1, turns=[(Saved(key="t", state=b"old"), "ab")]))
    broken = Quarantined(position=2, record_index=None, records=1, reason="x", body=[])  # type: ignore[arg-type]  # what SQLite refuses

    with pytest.raises((StoreError, sqlite3.Error)):
        ledger.commit(
            a_step(
                watermark=2,
                turns=[(Saved(key="t", state=b"new"), "ab")],
                conversations=[Saved(key="c")],
                finished=[a_finished(1)],
                outcomes={Outcome.LATE: 1},
                quarantined=[broken],
            )
        )

    assert (ledger.watermark(), ledger.turn("t"), ledger.conversation("c")) == (1, b"old", None)
    assert ledger.claim(1000, 10) == []
    assert _totals(path).outcomes["observed"] == 0


def test_looks_are_read_in_order_from_any_place_in_it(ledger: Ledger) -> None:
    queue = [(1, 1, "b"), (1, 2, "a"), (2, 0, "a"), (2, 0, "b"), (3, 0, "a")]
    ledger.commit(a_step(looks_planned=queue[::-1]))
    ledger.commit(a_step(looks_done=queue[:1], looks_planned=queue[:1]))

    assert ledger.looks(FIRST, 10) == queue
    assert ledger.looks((1, 2, "a"), 2) == [(2, 0, "a"), (2, 0, "b")]

    ledger.commit(a_step(looks_done=queue[:4]))
    assert ledger.looks(FIRST, 10) == queue[4:]


def test_repetitions_among_the_spans_of_one_step_add_nothing(ledger: Ledger, path: Path) -> None:
    usage = {Series("prompts"): 1}
    made = [msgspec.structs.replace(a_finished(n, records=2), usage=usage) for n in (1, 2, 2, 3)]

    ledger.commit(a_step(finished=made[:1]))
    ledger.rehearse(a_step(finished=made))
    ledger.commit(a_step(finished=made))

    assert {k: v for k, v in _totals(path).outcomes.items() if v} == {
        "observed": 3,
        "folded": 3,
        "duplicate": 4,
    }
    assert [pending.span for pending in ledger.claim(10**6, 10)] == [
        a_finished(number).span for number in (1, 2, 3)
    ]
    with closing(LedgerReader(path, decode_span)) as reader:
        assert reader.watched().counts == [("prompts", {}, 3)]


def test_a_span_is_kept_once_and_its_repetition_is_a_duplicate(ledger: Ledger, path: Path) -> None:
    for watermark in (1, 2):
        ledger.commit(a_step(watermark=watermark, finished=[a_finished(1, records=3)]))

    assert len(ledger.claim(1000, 10)) == 1
    assert {k: v for k, v in _totals(path).outcomes.items() if v} == {
        "observed": 1,
        "folded": 2,
        "duplicate": 3,
    }


def test_the_first_bytes_of_a_span_are_the_ones_that_stay(ledger: Ledger) -> None:
    ledger.commit(a_step(finished=[a_finished(1, name="first")]))
    ledger.commit(a_step(finished=[a_finished(1, name="second")]))

    assert [pending.span for pending in ledger.claim(1000, 10)] == [
        a_finished(1, name="first").span
    ]


def test_spans_are_claimed_in_order_up_to_the_bounds(ledger: Ledger) -> None:
    ledger.commit(a_step(finished=[a_finished(n) for n in range(1, 6)]))
    size_bytes = len(a_finished(1).span)

    assert _positions(ledger, 10**9, 3) == [1, 2, 3]
    assert _positions(ledger, 2 * size_bytes, 10) == [1, 2]
    assert _positions(ledger, 2 * size_bytes - 1, 10) == [1]
    assert _positions(ledger, 1, 10) == [1], "a span larger than the bound goes alone"
    assert _positions(ledger, 1, 0) == []


def test_a_claim_changes_nothing(ledger: Ledger) -> None:
    ledger.commit(a_step(finished=[a_finished(1)]))

    assert _positions(ledger, 1000, 1) == _positions(ledger, 1000, 1) == [1]


def test_a_span_says_whose_resource_it_is(ledger: Ledger) -> None:
    ledger.commit(a_step(finished=[a_finished(1)]))

    (pending,) = ledger.claim(1000, 1)
    assert (pending.service_name, pending.service_version) == ("claude-code", "2.1.330")


def test_what_was_delivered_or_rejected_is_not_claimed_again(ledger: Ledger, path: Path) -> None:
    ledger.commit(a_step(finished=[a_finished(n) for n in range(1, 4)]))
    ledger.delivered([1], at_ms=50)
    ledger.rejected(2, "bad id", at_ms=51)

    assert _positions(ledger, 1000, 10) == [3]
    totals = _totals(path)
    assert (totals.delivered, totals.dead_lettered, totals.pending) == (1, 1, 1)
    assert totals.last_delivery_ms == 50


def test_what_would_skip_a_pending_span_is_not_taken_for_delivered(
    ledger: Ledger, path: Path
) -> None:
    ledger.commit(a_step(finished=[a_finished(number) for number in range(1, 8)]))

    ledger.delivered([2, 3], at_ms=1)
    assert _positions(ledger, 10_000, 10) == [1, 2, 3, 4, 5, 6, 7]
    ledger.rejected(1, "bad id", at_ms=1)
    ledger.delivered([2, 3], at_ms=1)
    assert _positions(ledger, 10_000, 10) == [4, 5, 6, 7]
    assert (_totals(path).delivered, _totals(path).pending) == (2, 4)


def test_a_repetition_does_not_hold_up_what_is_behind_it(ledger: Ledger) -> None:
    ledger.commit(a_step(finished=[a_finished(1), a_finished(1), a_finished(2)]))
    ledger.commit(a_step(finished=[a_finished(2), a_finished(3)]))

    assert _positions(ledger, 10_000, 10) == [1, 3, 5]
    ledger.delivered([1, 3, 5], at_ms=1)
    assert _positions(ledger, 10_000, 10) == []


def test_a_ledger_of_before_the_first_release_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1")

    with pytest.raises(StoreError, match="let that one deliver"):
        Ledger(path).watermark()


def test_what_is_known_of_langfuse_is_remembered(ledger: Ledger, path: Path) -> None:
    assert _totals(path).langfuse is None
    ledger.note(LangfuseState.UNAUTHORIZED)

    assert _totals(path).langfuse is LangfuseState.UNAUTHORIZED


def test_quarantined_records_are_counted_and_their_bytes_are_kept(
    ledger: Ledger, path: Path
) -> None:
    whole = Quarantined(position=3, record_index=None, records=4, reason="not JSON", body=b"{")
    one = Quarantined(position=3, record_index=2, records=1, reason="odd", body=b"r")
    ledger.commit(a_step(quarantined=[whole, one]))

    assert _totals(path).outcomes["quarantined"] == 5
    rows = sqlite3.connect(path).execute(
        "SELECT position, record_index, records, reason, body FROM quarantine ORDER BY id"
    )
    assert rows.fetchall() == [(3, None, 4, "not JSON", b"{"), (3, 2, 1, "odd", b"r")]


def test_retention_deletes_what_is_old_and_done_with(ledger: Ledger) -> None:
    ledger.commit(
        a_step(
            at_ms=10,
            finished=[a_finished(1), a_finished(2), a_finished(3)],
            turns=[(Saved(key="live"), "a"), (Saved(key="done", live=False), "b")],
            conversations=[Saved(key="live"), Saved(key="done", live=False)],
        )
    )
    ledger.delivered([1], at_ms=20)
    ledger.delivered([2], at_ms=100)

    assert ledger.prune(50, pending_too=False) == 3
    assert (ledger.turn("live"), ledger.turn("done")) == (b"state", None)
    assert (ledger.conversation("live"), ledger.conversation("done")) == (b"state", None)
    assert _positions(ledger, 1000, 10) == [3], "undelivered spans stay"
    assert ledger.prune(50, pending_too=False) == 0


def test_retention_leaves_nothing_of_what_it_deletes(ledger: Ledger, path: Path) -> None:
    for number in range(1, 6):
        ledger.commit(a_step(at_ms=number, finished=[of_trace(number, number)]))
        ledger.delivered([number], at_ms=10 * number)

    assert ledger.prune(31, pending_too=False) == 3
    assert ledger.prune(31, pending_too=False) == 0
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT position FROM deliveries").fetchall() == [(4,), (5,)]
        assert connection.execute("SELECT count(*) FROM traces").fetchall() == [(2,)]


def test_a_trace_that_comes_again_after_retention_has_its_observations(
    ledger: Ledger, path: Path
) -> None:
    for number in (1, 2):
        ledger.commit(a_step(at_ms=1, finished=[of_trace(number, number)]))
    ledger.delivered([1], at_ms=2)
    ledger.prune(10, pending_too=False)

    ledger.commit(a_step(at_ms=3, finished=[of_trace(3, 1), of_trace(2, 2)]))
    assert _positions(ledger, 10_000, 10) == [2, 3]
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT position, trace_id FROM observations JOIN traces ON trace = number"
        told = connection.execute(query)
        assert dict(told) == {2: "02" * 16, 3: "01" * 16}


def of_trace(number: int, trace: int) -> Finished:
    """An observation of another trace than those of ``a_finished``."""
    made = a_finished(number)
    return replace(made, observation=replace(made.observation, trace_id=f"{trace:02x}" * 16))


def test_undelivered_spans_expire_only_where_nothing_delivers(ledger: Ledger) -> None:
    ledger.commit(a_step(at_ms=10, finished=[a_finished(1)]))

    assert ledger.prune(50, pending_too=False) == 0
    assert ledger.prune(50, pending_too=True) == 1
    assert ledger.claim(1000, 10) == []


def test_retention_deletes_in_bounded_steps(ledger: Ledger) -> None:
    spans = [a_finished(n) for n in range(1, PRUNE_ROWS + 3)]
    ledger.commit(a_step(at_ms=10, finished=spans))

    assert ledger.prune(50, pending_too=True) == PRUNE_ROWS
    assert ledger.prune(50, pending_too=True) == 2


def test_positions_are_never_used_again(ledger: Ledger) -> None:
    ledger.commit(a_step(at_ms=10, finished=[a_finished(1)]))
    ledger.prune(50, pending_too=True)
    ledger.commit(a_step(finished=[a_finished(2)]))

    assert _positions(ledger, 1000, 10) == [2]


def test_a_ledger_of_a_newer_version_is_refused(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()

    with pytest.raises(StoreError, match="newer version"):
        Ledger(path).watermark()


def test_a_ledger_that_cannot_be_opened_is_opened_once_it_can(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    ledger = Ledger(folder / "ledger.db")
    with pytest.raises(StoreError, match="cannot open"):
        ledger.watermark()

    folder.mkdir()

    assert ledger.watermark() == 0
    ledger.close()


def test_a_ledger_that_somebody_has_locked_can_be_opened_and_read(
    ledger: Ledger, path: Path
) -> None:
    ledger.commit(a_step(watermark=7))
    ledger.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        assert ledger.watermark() == 7


def test_a_damaged_ledger_is_named(path: Path) -> None:
    path.write_bytes(b"this is no database" * 100)

    with pytest.raises(StoreError, match=r"ledger\.db"):
        Ledger(path).watermark()


def _positions(ledger: Ledger, max_bytes: int, max_spans: int) -> list[int]:
    return [pending.position for pending in ledger.claim(max_bytes, max_spans)]


def _totals(path: Path) -> LedgerTotals:
    reader = LedgerReader(path, decode_span)
    try:
        return reader.totals()
    finally:
        reader.close()
