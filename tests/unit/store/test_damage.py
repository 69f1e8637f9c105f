"""Damaged files: set aside, replaced, and as much of them saved as SQLite can read."""

import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bridge.errors import DamagedStoreError, IntakeUnavailableError, StoreError
from bridge.langfuse.wire import decode_span
from bridge.model.requests import Signal
from bridge.store.damage import damaged_files
from bridge.store.inbox import Inbox
from bridge.store.inbox_reader import InboxReader
from bridge.store.ledger import Ledger
from bridge.store.reader import LedgerReader
from bridge.store.schema import PAGE_BYTES as LEDGER_PAGE_BYTES
from tests.builders import T0_MS, a_prompt, a_request
from tests.pipeline import Pipeline, batch
from tests.requests import an_export
from tests.unit.store.samples import a_finished, a_step

PAGE_BYTES = 4096
REQUESTS = 1_000
PLENTY = 1 << 30

Damage = Callable[[Path], None]


def overwrite(at_bytes: int, content: bytes) -> Damage:
    def damage(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(at_bytes)
            file.write(content)

    return damage


def fill_middle(path: Path) -> None:
    middle = path.stat().st_size // 2 // PAGE_BYTES * PAGE_BYTES
    overwrite(middle, b"\xff" * PAGE_BYTES)(path)


def truncate_half(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def truncate_all(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(0)


header = overwrite(0, b"x" * 100)
first_page = overwrite(0, b"x" * PAGE_BYTES)


def fill(inbox: Inbox) -> None:
    """Many requests in the file itself, and one that only its log of commits has."""
    inbox.append([an_export(body=b"%05d" % n * 100) for n in range(REQUESTS)])
    inbox.checkpoint()
    inbox.checkpoint()
    inbox.append([an_export(body=b"last" * 100)])


def bodies(reader: InboxReader) -> list[bytes]:
    return [entry.request.body for entry in reader.read(0, None, PLENTY, PLENTY)]


@pytest.mark.parametrize(
    ("damage", "saved_at_least"),
    [
        (header, REQUESTS + 1),
        (first_page, REQUESTS + 1),
        (fill_middle, REQUESTS - 20),
        (truncate_half, REQUESTS // 3),
    ],
    ids=["header", "first-page", "middle", "half"],
)
def test_a_damaged_inbox_is_set_aside_and_what_can_be_read_goes_on(
    inbox: Inbox, reader: InboxReader, path: Path, damage: Damage, saved_at_least: int
) -> None:
    fill(inbox)
    inbox.close()
    damage(path)
    size_bytes = path.stat().st_size

    with closing(Inbox(path)) as started:
        replaced = _recover(started, reader)
        started.append([an_export(body=b"after")])
        found = bodies(reader)
        totals = started.totals()

    (aside,) = damaged_files(path.parent)
    assert (path.parent / aside) == replaced
    assert replaced.stat().st_size == size_bytes, "it stays as it was"
    assert len(found) > saved_at_least
    assert found[-1] == b"after"
    assert sorted(found[:-1]) == found[:-1], "in their order"
    assert totals.accepted == totals.kept_requests == len(found)


def test_a_file_emptied_while_it_is_open_is_set_aside_with_its_log(
    inbox: Inbox, reader: InboxReader, path: Path
) -> None:
    fill(inbox)
    truncate_all(path)
    aside = _recover(inbox, reader)
    inbox.append([an_export(body=b"after")])

    assert bodies(reader)[-1] == b"after"
    files = [aside, aside.with_name(f"{aside.name}-wal")]
    assert any(b"last" * 100 in file.read_bytes() for file in files if file.exists())


def test_damage_that_only_the_reader_meets_is_told_to_the_writer(
    inbox: Inbox, reader: InboxReader, path: Path
) -> None:
    fill(inbox)
    fill_middle(path)
    inbox.append([an_export()])
    with pytest.raises(DamagedStoreError):
        bodies(reader)

    replaced = inbox.recover()

    assert replaced
    assert replaced.cut == ("requests",)
    assert "not all could be read of: requests" in str(replaced)
    assert len(bodies(reader)) > REQUESTS - 20
    assert inbox.recover() is None, "once is enough"


def test_a_new_inbox_is_another_one_and_so_are_its_positions(
    inbox: Inbox, reader: InboxReader, path: Path
) -> None:
    fill(inbox)
    before = inbox.generation()
    header(path)
    _recover(inbox, reader)

    bodies(reader)
    assert before is not None
    assert reader.generation == inbox.generation() != before


def test_requests_are_refused_at_once_until_the_damaged_file_is_replaced(
    inbox: Inbox, path: Path
) -> None:
    path.write_bytes(b"this is no database" * 1000)
    for _ in range(2):
        with pytest.raises(IntakeUnavailableError, match="not a database"):
            inbox.append([an_export()])
    assert inbox.recover()
    inbox.append([an_export()])


def test_a_log_without_its_file_is_not_taken_for_a_new_inbox(inbox: Inbox, path: Path) -> None:
    log = path.with_name("inbox.db-wal")
    fill(inbox)
    kept = log.read_bytes()
    inbox.close()
    path.unlink()
    log.write_bytes(kept)

    with closing(Inbox(path)) as started:
        with pytest.raises(IntakeUnavailableError):
            started.append([an_export()])
        replaced = started.recover()
        assert replaced
        started.append([an_export()])
    assert replaced.aside.with_name(f"{replaced.aside.name}-wal").read_bytes() == kept


@pytest.mark.parametrize("moved", [0, 1, 2], ids=["nothing", "file", "file-and-log"])
def test_a_crash_while_a_file_is_replaced_is_taken_up_again(
    inbox: Inbox, reader: InboxReader, path: Path, moved: int
) -> None:
    fill(inbox)
    log = path.with_name("inbox.db-wal")
    files = {path: path.read_bytes(), log: log.read_bytes()}
    inbox.close()
    for file, content in files.items():
        file.write_bytes(content)
    header(path)
    path.with_name("inbox.db.salvage").write_bytes(b"half of it")
    for file in list(files)[:moved]:
        suffix = file.name.removeprefix("inbox.db")
        file.rename(path.with_name(f"inbox.db.damaged-20261122T101500Z{suffix}"))

    with closing(Inbox(path)) as started:
        _recover(started, reader)
        assert len(bodies(reader)) == REQUESTS + 1
    assert len(damaged_files(path.parent)) == 1
    assert not path.with_name("inbox.db.salvage").exists()


def test_what_was_set_aside_is_for_its_owner_only(
    inbox: Inbox, reader: InboxReader, path: Path
) -> None:
    fill(inbox)
    header(path)
    _recover(inbox, reader)

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert set(modes.values()) == {0o600}, modes


def test_an_inbox_whose_file_was_taken_away_makes_a_new_one(
    inbox: Inbox, reader: InboxReader, path: Path
) -> None:
    inbox.append([an_export(body=b"before")])
    before = inbox.generation()
    for file in list(path.parent.iterdir()):
        file.unlink()
    inbox.append([an_export(body=b"after")])

    assert bodies(reader) == [b"after"]
    assert reader.generation != before


# ------------------------------------------------------------------------------------ the two files


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(tmp_path)
    yield pipeline
    pipeline.close()


def test_a_replaced_inbox_is_read_from_its_beginning(made: Pipeline, path: Path) -> None:
    for number in range(5):
        made.post(batch([a_prompt(number, prompt=f"p{number}")]))
        made.work(T0_MS)
    assert made.ledger.watermark() == 5
    made.inbox.release(dict.fromkeys(Signal, 5))
    made.reader.close()
    made.inbox.close()
    truncate_half(path)
    first_page(path)

    with pytest.raises(IntakeUnavailableError):
        made.post(batch([a_request(300)]))
    assert made.inbox.recover()
    made.post(batch([a_prompt(9, prompt="p9")]))
    made.work(T0_MS)

    assert made.ledger.watermark() in range(1, 7)
    assert made.ledger.inbox() == made.inbox.generation()
    assert made.local_totals().live_records == 6, "the new request was not skipped"


def test_what_is_assembled_of_another_inbox_releases_nothing(made: Pipeline, path: Path) -> None:
    made.post(*(batch([a_prompt(n, prompt=f"p{n}")]) for n in range(5)))
    made.work(T0_MS)
    made.inbox.close()
    for file in path.parent.glob("inbox.db*"):
        file.unlink()
    made.post(batch([a_prompt(9, prompt="p9")]))

    with closing(LedgerReader(made.config.ledger_path, decode_span)) as view:
        assert view.watermark(made.inbox.generation()) == 0
        assert view.totals().watermark == 5


@pytest.mark.parametrize("lost", ["inbox.db", "ledger.db"])
def test_accepted_is_held_and_outcomes_after_either_file_was_lost(
    made: Pipeline, tmp_path: Path, lost: str
) -> None:
    made.post(batch([a_prompt(0), a_request(300)]))
    made.finish(T0_MS)
    made.post(batch([a_prompt(9, prompt="p9")]))
    made.work(T0_MS)
    made.inbox.release(dict.fromkeys(Signal, 1))
    made.close()
    for file in tmp_path.glob(f"{lost}*"):
        file.unlink()

    made.restart()
    made.post(batch([a_prompt(20, prompt="p20")]))
    before = _balance(made)
    made.work(T0_MS)
    after = _balance(made)
    made.finish(T0_MS)

    assert before == after == _balance(made) == 0


def test_a_damaged_ledger_is_replaced_with_all_that_can_be_read(
    made: Pipeline, tmp_path: Path
) -> None:
    made.post(batch([a_prompt(0), a_request(300)]))
    made.finish(T0_MS)
    sent = [span.span for span in made.spans()]
    outcomes = made.outcomes()
    made.ledger.close()
    first_page(made.config.ledger_path)

    with pytest.raises(DamagedStoreError):
        made.ledger.watermark()
    replaced = made.ledger.recover()
    made.assembler.forget()

    assert replaced
    assert replaced.cut == ()
    assert [span.span for span in made.spans()] == sent
    assert made.outcomes() == outcomes
    assert made.ledger.watermark() == 1
    made.post(batch([a_prompt(9, prompt="p9")]))
    made.work(T0_MS)
    assert made.ledger.watermark() == 2
    assert len(damaged_files(tmp_path)) == 1


def test_positions_of_a_lost_ledger_are_not_given_to_other_spans(made: Pipeline) -> None:
    made.post(batch([a_prompt(0), a_request(300)]))
    made.finish(T0_MS)
    in_flight = [pending.position for pending in made.ledger.claim(PLENTY, 10)]
    made.ledger.close()
    made.config.ledger_path.write_bytes(b"gone" * 10_000)
    with pytest.raises(StoreError):
        made.ledger.watermark()
    assert made.ledger.recover()
    made.assembler.forget()
    made.post(batch([a_prompt(9, prompt="p9"), a_request(400, "r2", prompt="p9")]))
    made.finish(T0_MS)
    waiting = len(made.spans())

    made.ledger.delivered(in_flight, at_ms=T0_MS)

    assert waiting > 0
    assert len(made.spans()) == waiting, "what was not sent is not taken for delivered"
    assert made.local_totals().delivered == 0


@pytest.mark.parametrize("lost", ["facts", "deliveries"])
def test_what_langfuse_has_is_known_though_one_place_of_it_is_lost(
    made: Pipeline, lost: str
) -> None:
    made.post(*(batch([a_prompt(n, prompt=f"p{n}")]) for n in range(4)))
    made.finish(T0_MS)
    pending = [span.position for span in made.ledger.claim(PLENTY, 1000)]
    made.ledger.delivered(pending[:2], at_ms=T0_MS)
    made.ledger.close()
    with closing(sqlite3.connect(made.config.ledger_path)) as shell:
        query = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
        (page,) = shell.execute(query, (lost,)).fetchone()
    overwrite((page - 1) * LEDGER_PAGE_BYTES, b"\xff" * PAGE_BYTES)(made.config.ledger_path)

    with pytest.raises(DamagedStoreError):
        made.ledger.delivered(pending[2:3], at_ms=T0_MS)
    replaced = made.ledger.recover()

    assert replaced
    assert replaced.cut == (lost,)
    assert [span.position for span in made.ledger.claim(PLENTY, 1000)] == pending[2:]


def test_of_a_block_with_wrong_bytes_the_rest_of_the_ledger_is_saved(made: Pipeline) -> None:
    for number in range(3):
        made.post(batch([a_prompt(number, prompt=f"p{number}")]))
        made.finish(T0_MS)
    whole = [span.span for span in made.ledger.claim(PLENTY, 1000)]
    made.ledger.close()
    with closing(sqlite3.connect(made.config.ledger_path)) as shell:
        shell.execute(
            "UPDATE blocks SET spans = x'00' WHERE position = (SELECT min(position) FROM blocks)"
        )
        shell.commit()

    with pytest.raises(DamagedStoreError):
        made.ledger.claim(PLENTY, 1000)
    assert made.ledger.recover()

    left = [span.span for span in made.ledger.claim(PLENTY, 1000)]
    assert left == whole[-len(left) :]
    assert 0 < len(left) < len(whole)
    assert made.local_totals().pending == len(left)


def test_an_index_that_contradicts_its_table_costs_no_row(made: Pipeline) -> None:
    made.post(*(batch([a_prompt(n, prompt=f"p{n}")]) for n in range(100)))
    made.finish(T0_MS)
    spans = len(made.spans())
    made.ledger.close()
    with closing(sqlite3.connect(made.config.ledger_path)) as shell:
        query = "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_observations_1'"
        (page,) = shell.execute(query).fetchone()
    overwrite((page - 1) * LEDGER_PAGE_BYTES, b"\xff" * PAGE_BYTES)(made.config.ledger_path)

    with pytest.raises(DamagedStoreError):
        made.ledger.commit(a_step(finished=[a_finished(1)]))
    replaced = made.ledger.recover()

    assert replaced
    assert replaced.cut == ()
    assert len(made.spans()) == spans


def test_damage_that_only_health_meets_is_told_to_the_ledgers_writer(made: Pipeline) -> None:
    made.post(batch([a_prompt(0)]))
    made.finish(T0_MS)
    made.ledger.close()
    with closing(Ledger(made.config.ledger_path)) as idle:
        idle.watermark()
        idle.checkpoint()
        idle.close()
        first_page(made.config.ledger_path)
        with pytest.raises(DamagedStoreError):
            made.local_totals()
        assert idle.recover()


def _balance(made: Pipeline) -> int:
    """Accepted less (waiting + live + ended), as health sees them."""
    totals = made.local_totals()
    kept = made.inbox.totals()
    accepted = totals.accepted(made.inbox.generation(), kept)
    watermark = made.ledger.watermark() if made.ledger.inbox() == made.inbox.generation() else 0
    waiting = made.reader.read(watermark, None, PLENTY, PLENTY)
    records = sum(entry.request.records for entry in waiting)
    return accepted - records - totals.live_records - sum(totals.outcomes.values())


def _recover(inbox: Inbox, reader: InboxReader) -> Path:
    """As the receiver does: whoever meets the damage first, it is repaired."""
    try:
        inbox.append([])
        reader.read(0, None, PLENTY, PLENTY)
    except (IntakeUnavailableError, StoreError):
        pass
    replaced = inbox.recover()
    assert replaced
    return replaced.aside
