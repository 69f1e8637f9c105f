"""The inbox on real files: order, totals, release, and getting well again."""

import random
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bridge.errors import IntakeUnavailableError, StoreError
from bridge.model.requests import Encoding, ExportRequest, InboxEntry, Signal
from bridge.store.inbox import RELEASE_STEP_ROWS, Inbox
from bridge.store.inbox_reader import InboxReader
from bridge.store.inbox_schema import PART_BYTES, InboxTotals
from tests.requests import an_export

PLENTY = 1 << 30


def totals(
    accepted: int, requests: int, logs: int = 0, metrics: int = 0, traces: int = 0
) -> InboxTotals:
    kept = {Signal.LOGS: logs, Signal.METRICS: metrics, Signal.TRACES: traces}
    return InboxTotals(accepted=accepted, kept_requests=requests, kept_records=kept)


def everything(reader: InboxReader, after: int = 0, signal: Signal | None = None) -> list[bytes]:
    return [entry.request.body for entry in reader.read(after, signal, PLENTY, PLENTY)]


def junk(size_bytes: int) -> bytes:
    """What cannot be compressed."""
    return random.Random(7).randbytes(size_bytes)  # noqa: S311 - the same in every run


@contextmanager
def full_disk(limit_bytes: int) -> Iterator[None]:
    """No file of this process can grow beyond ``limit_bytes`` meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_request_is_read_back_as_it_was_appended(inbox: Inbox, reader: InboxReader) -> None:
    request = ExportRequest(
        signal=Signal.TRACES,
        encoding=Encoding.JSON,
        body=b"\x1f\x8b\x00\xff",
        gzipped=True,
        records=7,
        received_at_ms=1_700_000_000_123,
        sender="ada",
        fixed={"department": "R&D, größer"},
    )
    inbox.append([request])
    assert reader.read(0, None, PLENTY, PLENTY) == [InboxEntry(position=1, request=request)]


def test_inbox_that_is_not_there_yet_reads_as_empty(path: Path, reader: InboxReader) -> None:
    assert reader.read(0, Signal.LOGS, PLENTY, PLENTY) == []
    assert reader.totals() == totals(0, 0)
    path.touch()
    assert reader.read(0, Signal.LOGS, PLENTY, PLENTY) == []
    with closing(Inbox(path)) as inbox:
        inbox.append([an_export()])
        assert everything(reader) == [b"body"]


def test_closed_inbox_can_still_be_read(path: Path, reader: InboxReader) -> None:
    with closing(Inbox(path)) as inbox:
        inbox.append([an_export()])
    assert everything(reader) == [b"body"]


def test_signals_are_read_apart_and_together(inbox: Inbox, reader: InboxReader) -> None:
    inbox.append([an_export(body=b"1"), an_export(Signal.METRICS, b"2"), an_export(body=b"3")])
    assert everything(reader, 0, Signal.LOGS) == [b"1", b"3"]
    assert everything(reader, 0, Signal.METRICS) == [b"2"]
    assert everything(reader, 0, None) == [b"1", b"2", b"3"]
    assert everything(reader, 1, None) == [b"2", b"3"]


def test_stretch_found_empty_is_remembered_and_hides_nothing(
    inbox: Inbox, reader: InboxReader
) -> None:
    inbox.append([an_export(body=b"1"), *[an_export(Signal.METRICS)] * 3])
    assert everything(reader, 1, Signal.LOGS) == []
    inbox.append([an_export(body=b"5")])
    assert everything(reader, 1, Signal.LOGS) == [b"5"]
    assert everything(reader, 0, Signal.LOGS) == [b"1", b"5"]
    assert everything(reader, 5, Signal.LOGS) == []
    inbox.append([an_export(body=b"6")])
    assert everything(reader, 5, Signal.LOGS) == [b"6"]


def test_read_is_bounded_by_bytes_and_entries_but_gives_one(
    inbox: Inbox, reader: InboxReader
) -> None:
    inbox.append([an_export(body=b"large" * 100), an_export(body=b"2"), an_export(body=b"3")])
    assert [entry.position for entry in reader.read(0, Signal.LOGS, 1, 10)] == [1]
    assert [entry.position for entry in reader.read(0, Signal.LOGS, 501, 10)] == [1, 2]
    assert [entry.position for entry in reader.read(0, Signal.LOGS, PLENTY, 2)] == [1, 2]
    assert [entry.position for entry in reader.read(1, Signal.LOGS, 2, 10)] == [2, 3]


@pytest.mark.parametrize("size_bytes", [PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES])
def test_large_body_is_kept_in_parts_and_read_back_whole(
    path: Path, inbox: Inbox, reader: InboxReader, size_bytes: int
) -> None:
    for large in (junk(size_bytes), bytes(size_bytes)):
        after = inbox.totals().accepted
        inbox.append([an_export(body=b"before"), an_export(body=large), an_export()])
        assert everything(reader, after) == [b"before", large, b"body"]
        found = reader.read(after, None, size_bytes, 9)
        assert [len(e.request.body) for e in found] == [6], "by bytes"
    assert _largest_blob(path) <= PART_BYTES


def test_release_of_a_large_body_leaves_none_of_its_parts(
    path: Path, inbox: Inbox, reader: InboxReader
) -> None:
    large = junk(3 * PART_BYTES)
    inbox.append([an_export(body=large), an_export(Signal.TRACES, large), an_export(body=large)])
    inbox.release({Signal.LOGS: 2, Signal.TRACES: 1})
    assert [e.position for e in reader.read(0, None, PLENTY, 9)] == [2, 3]
    inbox.release(dict.fromkeys(Signal, 3))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM parts").fetchone() == (0,)
    assert inbox.totals() == totals(3, 0)


def test_a_compressed_body_is_overwritten_when_it_is_released(path: Path, inbox: Inbox) -> None:
    """What is told of a body is looked for as it stands in the file."""
    inbox.append([an_export(body=text(size_bytes)) for size_bytes in (5_000, 500_000)])
    blobs = [body for (body,) in _rows(path, "SELECT body FROM requests")]
    inbox.checkpoint()
    assert [_parts_left(path, blob) for blob in blobs] == [True, True]
    assert [len(blob) < size for blob, size in zip(blobs, (5_000, 500_000), strict=True)]

    inbox.release(dict.fromkeys(Signal, 2))
    for _ in range(2):
        inbox.checkpoint()

    assert [_parts_left(path, blob) for blob in blobs] == [False, False]


def text(size_bytes: int) -> bytes:
    """What can be compressed, to something long all the same."""
    return junk(size_bytes).hex().encode()[:size_bytes]


def _parts_left(path: Path, blob: bytes) -> bool:
    """Whether any stretch of a blob is in the file or its log."""
    files = [file.read_bytes() for file in path.parent.glob(f"{path.name}*")]
    parts = [blob[at : at + 32] for at in range(0, len(blob) - 32, 1024)]
    return any(part in file for part in parts for file in files)


def _rows(path: Path, query: str) -> list[tuple[bytes]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def _largest_blob(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(
            "SELECT max(length(body)) FROM (SELECT body FROM requests UNION ALL"
            " SELECT body FROM parts)"
        )
        largest: int = found.fetchone()[0]
        return largest


def test_totals_follow_append_and_release(inbox: Inbox, reader: InboxReader) -> None:
    inbox.append([an_export(records=3), an_export(Signal.METRICS, records=5)])
    inbox.append([an_export(records=2)])
    assert inbox.totals() == reader.totals() == totals(10, 3, logs=5, metrics=5)
    assert inbox.release({Signal.LOGS: 1}) == 1
    assert inbox.totals() == totals(10, 2, logs=2, metrics=5)


def test_totals_and_rows_survive_reopening(path: Path, inbox: Inbox, reader: InboxReader) -> None:
    inbox.append([an_export(body=b"1", records=4)])
    inbox.close()
    with closing(Inbox(path)) as reopened:
        reopened.append([an_export(body=b"2", records=1)])
        assert reopened.totals() == totals(5, 2, logs=5)
    assert everything(reader) == [b"1", b"2"]


def test_position_is_never_used_again(inbox: Inbox, reader: InboxReader) -> None:
    inbox.append([an_export(), an_export()])
    inbox.release({Signal.LOGS: 2})
    inbox.append([an_export(body=b"3")])
    assert reader.read(0, None, PLENTY, PLENTY)[0].position == 3


def test_release_keeps_other_signals_and_what_is_above(inbox: Inbox, reader: InboxReader) -> None:
    inbox.append([an_export(body=b"1"), an_export(Signal.TRACES, b"2"), an_export(body=b"3")])
    assert inbox.release({Signal.LOGS: 2, Signal.METRICS: 3}) == 1
    assert everything(reader) == [b"2", b"3"]
    assert inbox.release({Signal.LOGS: 99, Signal.TRACES: 2}) == 2
    inbox.append([an_export(body=b"4")])
    assert inbox.release({Signal.LOGS: 99}) == 1
    assert inbox.totals() == totals(4, 0)


def test_release_goes_on_through_many_steps(inbox: Inbox, reader: InboxReader) -> None:
    count = 2 * RELEASE_STEP_ROWS + 10
    inbox.append([an_export(Signal.METRICS if i % 3 else Signal.LOGS) for i in range(count)])
    released = inbox.release({Signal.LOGS: count - 4})
    assert released == len([i for i in range(count - 4) if i % 3 == 0])
    assert len(everything(reader)) == count - released
    assert inbox.release({Signal.LOGS: count - 4}) == 0


def test_release_of_an_empty_inbox_is_nothing(inbox: Inbox) -> None:
    assert inbox.release({Signal.LOGS: 5}) == 0


def test_checkpoint_moves_what_is_committed_into_the_file(path: Path, inbox: Inbox) -> None:
    inbox.checkpoint()
    assert not path.exists()
    inbox.append([an_export(body=junk(200_000))])
    before_bytes = path.stat().st_size
    inbox.checkpoint()
    assert path.stat().st_size > before_bytes + 200_000


def test_folder_that_is_missing_makes_intake_unavailable_until_it_is_there(
    tmp_path: Path,
) -> None:
    with closing(Inbox(tmp_path / "later" / "inbox.db")) as inbox:
        with pytest.raises(StoreError):
            inbox.open()
        with pytest.raises(IntakeUnavailableError):
            inbox.append([an_export()])
        (tmp_path / "later").mkdir()
        inbox.append([an_export()])
        assert inbox.totals() == totals(1, 1, logs=1)


def test_damaged_file_makes_intake_unavailable_until_it_is_replaced(
    path: Path, inbox: Inbox, reader: InboxReader
) -> None:
    path.write_bytes(b"not a database, whatever its name says" * 100)
    with pytest.raises(IntakeUnavailableError):
        inbox.append([an_export()])
    with pytest.raises(StoreError):
        reader.totals()
    with pytest.raises(StoreError):
        inbox.release({Signal.LOGS: 1})
    assert inbox.recover()
    inbox.append([an_export()])
    assert everything(reader) == [b"body"]


def test_full_disk_refuses_all_of_a_group_until_there_is_room(
    inbox: Inbox, reader: InboxReader
) -> None:
    inbox.append([an_export(body=b"before")])
    with full_disk(limit_bytes=64 * 1024), pytest.raises(IntakeUnavailableError):
        inbox.append([an_export(body=b"small"), an_export(body=junk(1_000_000))])
    assert everything(reader) == [b"before"]
    inbox.append([an_export(body=b"after")])
    assert everything(reader) == [b"before", b"after"]
    assert inbox.totals() == totals(2, 2, logs=2)


def test_locked_file_makes_intake_unavailable_until_it_is_free(path: Path, inbox: Inbox) -> None:
    inbox.append([an_export()])
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(IntakeUnavailableError, match="locked"):
            inbox.append([an_export()])
        shell.execute("ROLLBACK")
    inbox.append([an_export()])
    assert inbox.totals() == totals(2, 2, logs=2)


def test_file_of_a_newer_version_is_left_alone(path: Path, inbox: Inbox) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer version"):
        inbox.open()
    with pytest.raises(IntakeUnavailableError):
        inbox.append([an_export()])
