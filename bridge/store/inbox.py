"""The inbox: export requests as they came, from the client's 200 until they are assembled.

Responsible for: keeping what was appended, in order, and counting it exactly.
Left to others: what is in a body (``decode``), when it is done with (whoever knows the
assembler's watermark), how many appends share one commit (``receive.intake``).

::

    requests   one row per export request; position = rowid, so appending writes at the end only;
               its body compressed (``packing``)
    parts      what a large body has behind its first ``PART_BYTES``
    totals     accepted          records ever appended
               kept_requests     rows in ``requests``
               kept_<signal>     records in those rows

``totals`` changes in the transaction that changes ``requests``, so it is exact after any crash.
There is no index by signal: it would cost every append, while both of its users get by without.
The reader remembers a stretch it found empty, and ``release`` remembers how far it has walked,
so rows of another signal that stay behind are walked over once, not at every call.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from bridge.errors import DamagedStoreError, IntakeUnavailableError, StoreError
from bridge.model.requests import ExportRequest, Signal
from bridge.store import damage
from bridge.store.inbox_append import append, change_totals, totals_of
from bridge.store.inbox_reader import InboxReader
from bridge.store.inbox_schema import (
    KEPT_RECORDS,
    KEPT_REQUESTS,
    SCHEMA_VERSION,
    TABLES,
    InboxTotals,
    count_anew,
    make_tables,
    schema_version,
)
from bridge.store.packing import packed
from bridge.store.sqlite import connect, identity, reported, shrink, unused_pages

RETRY_AFTER_S: Final = 2
"""Claude Code obeys Retry-After to the second and gives a batch up after ten: 2 s leaves it four
more tries, where 5 s would leave one."""

PAGE_BYTES: Final = 8192
"""A page is written with a call to the system of its own, twice or more on its way through the log
into the file, and once more when it is emptied. Larger ones than these cost a small group more."""

AUTOCHECKPOINT_PAGES: Final = 2_000
"""A checkpoint inside a commit makes every request of that commit wait (20-60 ms seen), so
``checkpoint`` does it from another connection; this is the backstop at 16 MiB."""

LOCK_TIMEOUT_MS: Final = 1_000
"""Only a person with a shell can hold the write lock against us. Clients are waiting meanwhile,
and those who are told to come again do, while those who wait too long give up."""

TRUNCATE_TIMEOUT_MS: Final = 100
"""How long emptying the WAL waits for readers; meanwhile appends wait too."""

JOURNAL_LIMIT_BYTES: Final = 64 * 1024 * 1024
"""What stays of the WAL file after a burst."""

RELEASE_STEP_ROWS: Final = 500
RELEASE_STEP_BYTES: Final = 16 * 1024 * 1024
"""SQLite walks every page of a large body to free it, so rows alone do not bound a step."""

UNUSED_BYTES: Final = 1024 * 1024
SHRINK_STEP_PAGES: Final = 512
"""1 MiB of emptied pages is kept for what comes next, or what ``shrink`` is told; what is more goes
back to the disk in steps of 4 MiB."""

RELEASE_PAUSE_S: Final = 0.002
"""A lock goes to whoever asks first, which would be the thread that has just let go of it."""

WALK: Final = (
    "SELECT position, signal = ?, records, length(body) + (SELECT"
    " ifnull(sum(length(parts.body)), 0) FROM parts WHERE parts.position = requests.position)"
    " FROM requests"
    " WHERE position > ? AND position <= ? ORDER BY position LIMIT ?"
)
RELEASE_PARTS: Final = (
    "DELETE FROM parts WHERE position > ?1 AND position <= ?2 AND position IN"
    " (SELECT position FROM requests WHERE position > ?1 AND position <= ?2 AND signal = ?3)"
)
RELEASE: Final = "DELETE FROM requests WHERE position > ? AND position <= ? AND signal = ?"

DISCARD_UNUSABLE: Final = """
    DELETE FROM requests WHERE signal NOT IN ('logs', 'metrics', 'traces')
        OR encoding NOT IN ('application/x-protobuf', 'application/json')
        OR typeof(received_at_ms) <> 'integer' OR typeof(records) <> 'integer' OR records < 1
        OR typeof(body) <> 'blob'"""
"""Rows read back from a damaged file that no request ever was."""
DISCARD_PARTS: Final = "DELETE FROM parts WHERE position NOT IN (SELECT position FROM requests)"

Walked = tuple[int, bool, int, int]


class Inbox:
    """The writer; one process owns it. Its methods block, and may be called from any thread.

    The file is opened when it is first needed and again after a failure, so an inbox outlives
    whatever is wrong with its disk. Its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._opened_file: tuple[int, int] | None = None
        self._walked = dict.fromkeys(Signal, 0)
        self._reader = InboxReader(path)
        self._damage: DamagedStoreError | None = None
        self._appended = False

    def open(self) -> None:
        """Open the file now, for those who want to know at start whether it can be used.

        Raises:
            StoreError: It cannot; the text says why.
        """
        with self._lock, self._reported():
            self._opened()

    def append(self, requests: Sequence[ExportRequest]) -> None:
        """Commit ``requests`` in their order: all or none, with one fsync.

        A commit that fails at the very end may still be found on disk after a crash: the client
        sends again, and the duplicate filter behind the inbox drops the second copy.

        Raises:
            IntakeUnavailableError: Nothing was committed; the next call tries afresh.
        """
        try:
            if self._damage:  # nobody is kept waiting while the file is being replaced
                raise DamagedStoreError(str(self._damage))
            group = [*map(packed, requests)]
            with self._lock, self._reported(), self._transaction() as connection:
                append(connection, group)
                change_totals(connection, totals_of(requests))
            self._appended = True
        except (sqlite3.Error, StoreError) as error:
            raise IntakeUnavailableError(f"inbox: {error}", RETRY_AFTER_S) from error

    def release(self, signal_watermarks: Mapping[Signal, int]) -> int:
        """Delete each signal's requests up to and including its watermark; returns their number.

        Goes in bounded steps, between which appends get their turn.

        Raises:
            StoreError: The file cannot be used; what was deleted so far stays deleted.
        """
        return sum(
            released
            for signal, watermark in signal_watermarks.items()
            for released in self._release_steps(signal, watermark)
        )

    def generation(self) -> str | None:
        """Which inbox this is; None before it was made.

        Raises:
            StoreError: The file cannot be read.
        """
        self._reader.totals()
        return self._reader.generation

    def totals(self) -> InboxTotals:
        """Read the totals, on a connection of their own: appends do not wait for it.

        Raises:
            StoreError: The file cannot be read.
        """
        return self._reader.totals()

    def checkpoint(self) -> None:
        """Move what is committed from the WAL into the file, without holding up appends.

        Where nothing was appended since the last time, the WAL is emptied too: it still holds
        the bytes of requests that were released.

        Raises:
            StoreError: The file cannot be used.
        """
        idle, self._appended = not self._appended, False
        log = self._path.with_name(self._path.name + "-wal")
        if self._path.exists() and log.exists() and log.stat().st_size:
            with self._noticed(), closing(connect(self._path)) as connection:
                connection.execute(f"PRAGMA busy_timeout = {TRUNCATE_TIMEOUT_MS}")
                mode = "TRUNCATE" if idle else "PASSIVE"
                connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()

    def shrink(self, kept_bytes: int = UNUSED_BYTES) -> None:
        """Give emptied pages back to the disk, but for some; in steps, as ``release`` does.

        To give a page back and to take it again costs more than to fill it.

        Raises:
            StoreError: The file cannot be used.
        """
        while self._shrink_step(kept_bytes // PAGE_BYTES):
            time.sleep(RELEASE_PAUSE_S)

    def recover(self) -> damage.Replaced | None:
        """Replace the file if it was found damaged, by us or by its reader; None if it was not.

        Appends are refused meanwhile. The new file is another inbox, with positions of its own.

        Raises:
            StoreError: It could not be done now; call it again.
        """
        if self._damage is None:
            with self._lock, suppress(DamagedStoreError), self._reported():
                damage.check(self._path)
                self._opened()
        if self._damage is None:
            return None
        with self._lock:
            self._drop()
        self._reader.close()
        replaced = damage.replace_damaged(self._path, REMAKE)
        self._damage = None
        return replaced

    def close(self) -> None:
        """Close the file. Whatever was committed stays."""
        self._reader.close()
        with self._lock:
            self._drop()

    def _shrink_step(self, kept: int) -> bool:
        """Whether there is more to give back."""
        with self._lock, self._reported():
            connection = self._opened()
            unused = unused_pages(connection)
            if unused <= kept:
                return False
            left = shrink(connection, min(SHRINK_STEP_PAGES, unused - kept))
            return kept < left < unused

    def _release_steps(self, signal: Signal, watermark: int) -> Iterator[int]:
        while (released := self._release_step(signal, watermark)) is not None:
            yield released
            time.sleep(RELEASE_PAUSE_S)

    def _release_step(self, signal: Signal, watermark: int) -> int | None:
        """Walk one step on; returns the requests deleted, None when there is nothing to walk."""
        with self._lock, self._reported():
            span = (self._walked[signal], watermark, RELEASE_STEP_ROWS)
            walked = _bounded(self._opened().execute(WALK, (signal, *span)).fetchall())
            if not walked:
                return None
            end = walked[-1][0]
            counts = [records for _, matches, records, _ in walked if matches]
            if counts:
                self._delete(signal, end, counts)
            self._walked[signal] = end
            return len(counts)

    def _delete(self, signal: Signal, end: int, counts: Sequence[int]) -> None:
        with self._transaction() as connection:
            for statement in (RELEASE_PARTS, RELEASE):
                connection.execute(statement, (self._walked[signal], end, signal))
            change_totals(
                connection, {KEPT_REQUESTS: -len(counts), KEPT_RECORDS[signal]: -sum(counts)}
            )

    @contextmanager
    def _noticed(self) -> Iterator[None]:
        """Failures leave as StoreError, and damage is remembered for ``recover``."""
        try:
            with reported(self._path):
                yield
        except DamagedStoreError as error:
            self._damage = error
            raise

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Failures leave as StoreError, and the connection is opened anew next time."""
        try:
            with self._noticed():
                yield
        except StoreError:
            self._drop()
            raise

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what the block does, or nothing: closing the connection rolls back."""
        try:
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            self._drop()
            raise

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and self._opened_file != identity(self._path):
            self._drop()  # somebody took the file away; what we wrote would go with it
        if self._connection is None:
            damage.check(self._path)
            self._connection = connect(self._path, page_bytes=PAGE_BYTES)
            self._opened_file = identity(self._path)
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {AUTOCHECKPOINT_PAGES}")
            self._connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_LIMIT_BYTES}")
            self._connection.execute(f"PRAGMA busy_timeout = {LOCK_TIMEOUT_MS}")
            # A released body is overwritten: FAST would leave it in the pages it had to itself.
            self._connection.execute("PRAGMA secure_delete = ON")
            _create_schema(self._connection, self._path)
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._walked = dict.fromkeys(Signal, 0)


def _create_schema(connection: sqlite3.Connection, path: Path) -> None:
    version = schema_version(connection)
    if version > SCHEMA_VERSION:
        raise StoreError(f"{path} was written by a newer version of the bridge; run that one")
    if version < SCHEMA_VERSION:
        connection.execute("BEGIN IMMEDIATE")
        make_tables(connection)
        connection.execute("COMMIT")
    damage.check_tables(connection, path, TABLES)


def _count_salvaged(connection: sqlite3.Connection, _: frozenset[str]) -> None:
    connection.execute(DISCARD_UNUSABLE)
    connection.execute(DISCARD_PARTS)
    count_anew(connection)


def _bounded(walked: Sequence[Walked]) -> Sequence[Walked]:
    """As many of ``walked`` as one step may delete by bytes, at least one."""
    freed_bytes = 0
    for index, (_, matches, _, size_bytes) in enumerate(walked):
        freed_bytes += size_bytes if matches else 0
        if freed_bytes > RELEASE_STEP_BYTES and index > 0:
            return walked[:index]
    return walked


REMAKE: Final = damage.Remake(make_tables, ("requests", "parts"), _count_salvaged, PAGE_BYTES)
