"""The bound on the disk: full is said, history makes room, and what is undelivered stays."""

from collections.abc import Sequence
from contextlib import closing
from hashlib import sha512
from pathlib import Path

import pytest

from bridge.errors import IntakeUnavailableError
from bridge.model.requests import ExportRequest
from bridge.store.inbox import Inbox
from bridge.store.ledger import Ledger
from bridge.store.retention import PRUNE_ROWS
from bridge.store.room import TROUBLE_S, BoundedInbox, is_short, used_bytes
from tests.requests import an_export
from tests.unit.store.samples import a_finished, a_step


def test_above_the_bound_requests_are_refused_until_there_is_room(tmp_path: Path) -> None:
    with closing(Inbox(tmp_path / "inbox.db")) as inbox:
        bounded = BoundedInbox(inbox, tmp_path, max_bytes=1_000_000)
        bounded.append([an_export(body=b"x" * 1_200_000)])
        with pytest.raises(IntakeUnavailableError, match="BRIDGE_MAX_DISK_MB"):
            bounded.append([an_export()])
        bounded.max_bytes *= 10
        bounded.append([an_export()])


def test_a_commit_that_fails_is_trouble_until_one_succeeds_or_nobody_tries_any_more(
    tmp_path: Path,
) -> None:
    now = [0.0]
    disk = Disk()
    bounded = BoundedInbox(disk, tmp_path, max_bytes=1_000_000, now_s=lambda: now[0])
    assert bounded.trouble is None
    disk.full = True
    for _ in range(2):
        with pytest.raises(IntakeUnavailableError):
            bounded.append([an_export()])
    assert bounded.trouble == "inbox: database or disk is full"
    now[0] = TROUBLE_S
    assert bounded.trouble is None
    with pytest.raises(IntakeUnavailableError):
        bounded.append([an_export()])
    disk.full = False
    bounded.append([an_export()])
    assert bounded.trouble is None


class Disk:
    """An inbox whose disk can be full."""

    full = False

    def append(self, requests: Sequence[ExportRequest]) -> None:
        """Take nothing while it is."""
        if self.full:
            raise IntakeUnavailableError("inbox: database or disk is full")
        assert requests


def test_the_size_is_that_of_both_files_with_their_logs_and_nothing_else(tmp_path: Path) -> None:
    sizes = {"inbox.db": 1, "inbox.db-wal": 2, "ledger.db": 4, "ledger.db-shm": 8}
    for name, size_bytes in (sizes | {"inbox.db.damaged-1": 100}).items():
        (tmp_path / name).write_bytes(b"x" * size_bytes)
    assert used_bytes(tmp_path) == 15


def test_room_is_made_before_anybody_is_refused() -> None:
    assert [is_short(used, 1000) for used in (900, 901)] == [False, True]


def test_room_is_made_of_what_was_delivered_first_and_the_file_shrinks(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        ledger.commit(
            a_step(finished=[a_finished(n, name=noise(n)) for n in range(1, 2 * PRUNE_ROWS + 1)])
        )
        ledger.delivered(range(1, PRUNE_ROWS + 1), at_ms=10)
        ledger.delivered(range(PRUNE_ROWS + 1, 2 * PRUNE_ROWS), at_ms=20)
        ledger.checkpoint()
        before_bytes = used_bytes(tmp_path)

        assert [ledger.make_room() for _ in range(3)] == [PRUNE_ROWS, PRUNE_ROWS - 1, 0]
        while ledger.shrink():
            pass
        ledger.checkpoint()

        assert used_bytes(tmp_path) < before_bytes / 2
        assert len(ledger.claim(10**9, 10)) == 1, "undelivered observations stay"


def noise(seed: int) -> str:
    """A text that cannot be made smaller."""
    return "".join(sha512(b"%d %d" % (seed, n)).hexdigest() for n in range(20))


def test_a_released_inbox_gives_its_room_back(tmp_path: Path) -> None:
    path = tmp_path / "inbox.db"
    with closing(Inbox(path)) as inbox:
        inbox.append([an_export(body=b"marker" * 1_000_000)])
        inbox.release(dict.fromkeys(inbox.totals().kept_records, 1))
        inbox.shrink()
        for _ in range(2):
            inbox.checkpoint()

        files = list(tmp_path.iterdir())
        assert sum(file.stat().st_size for file in files) < 2_000_000
        assert [file.name for file in files if b"marker" in file.read_bytes()] == []
