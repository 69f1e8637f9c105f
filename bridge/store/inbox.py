"""The inbox: export requests as they came, from the client's 200 until they are assembled.

Responsible for: keeping what was appended, in order, and counting it exactly.
Left to others: what is in a body (``decode``), when it is done with (whoever knows the
assembler's watermark), how many appends share one commit (``receive.intake``).

::

    requests   one row per export request; position = rowid, so appending writes at the end only
    parts      what a large body has behind its first ``PART_BYTES``
    totals     accepted          records ever appended
               kept_requests     rows in ``requests``
               kept_<signal>     records in those rows

``totals`` changes in the transaction that changes ``requests``, so it is exact after any crash.
There is no index by signal: it would cost every append, while both of its users get by without.
The reader remembers a stretch it found empty, and ``release`` remembers how far it has walked,
so rows of another signal that stay behind are walked over once, not at every call.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from bridge.errors import IntakeUnavailableError, StoreError
from bridge.model.requests import ExportRequest, Signal
from bridge.store.inbox_reader import InboxReader
from bridge.store.inbox_schema import (
    ACCEPTED,
    KEPT_RECORDS,
    KEPT_REQUESTS,
    PART_BYTES,
    SCHEMA,
    SCHEMA_VERSION,
    InboxTotals,
    reported,
    schema_version,
)
from bridge.store.sqlite import connect

RETRY_AFTER_S: Final = 2
"""Claude Code obeys Retry-After to the second and gives a batch up after ten: 2 s leaves it four
more tries, where 5 s would leave one."""

AUTOCHECKPOINT_PAGES: Final = 4_000
"""A checkpoint inside a commit makes every request of that commit wait (20-60 ms seen), so
``checkpoint`` does it from another connection; this is the backstop at 16 MiB."""

LOCK_TIMEOUT_MS: Final = 1_000
"""Only a person with a shell can hold the write lock against us. Clients are waiting meanwhile,
and those who are told to come again do, while those who wait too long give up."""

JOURNAL_LIMIT_BYTES: Final = 64 * 1024 * 1024
"""What stays of the WAL file after a burst."""

RELEASE_STEP_ROWS: Final = 500
RELEASE_STEP_BYTES: Final = 16 * 1024 * 1024
"""SQLite walks every page of a large body to free it, so rows alone do not bound a step."""

RELEASE_PAUSE_S: Final = 0.002
"""A lock goes to whoever asks first, which would be the thread that has just let go of it."""

APPEND: Final = (
    "INSERT INTO requests (received_at_ms, signal, encoding, gzipped, records, sender, fixed, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
APPEND_PART: Final = "INSERT INTO parts VALUES (?, ?, ?)"
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
        self._walked = dict.fromkeys(Signal, 0)
        self._reader = InboxReader(path)

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
            with self._lock, self._transaction() as connection:
                connection.executemany(APPEND, map(_values, requests))
                connection.executemany(APPEND_PART, _parts(connection, requests))
                _add_to_totals(connection, requests)
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

    def totals(self) -> InboxTotals:
        """Read the totals, on a connection of their own: appends do not wait for it.

        Raises:
            StoreError: The file cannot be read.
        """
        return self._reader.totals()

    def checkpoint(self) -> None:
        """Move what is committed from the WAL into the file, without holding up appends.

        Raises:
            StoreError: The file cannot be used.
        """
        if self._path.exists():
            with reported(self._path), closing(connect(self._path)) as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def close(self) -> None:
        """Close the file. Whatever was committed stays."""
        self._reader.close()
        with self._lock:
            self._drop()

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
            _change_totals(
                connection, {KEPT_REQUESTS: -len(counts), KEPT_RECORDS[signal]: -sum(counts)}
            )

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Like ``_reported`` below, and the connection is opened anew next time."""
        try:
            with reported(self._path):
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
        if self._connection is None:
            self._connection = connect(self._path)
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {AUTOCHECKPOINT_PAGES}")
            self._connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_LIMIT_BYTES}")
            self._connection.execute(f"PRAGMA busy_timeout = {LOCK_TIMEOUT_MS}")
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
        for statement in SCHEMA:
            connection.execute(statement)
        names = [(name,) for name in (ACCEPTED, KEPT_REQUESTS, *KEPT_RECORDS.values())]
        connection.executemany("INSERT OR IGNORE INTO totals VALUES (?, 0)", names)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")


def _values(request: ExportRequest) -> tuple[int, str, str, bool, int, str, str, bytes]:
    return (
        request.received_at_ms,
        request.signal,
        request.encoding,
        request.gzipped,
        request.records,
        request.sender,
        json.dumps(request.fixed),
        request.body[:PART_BYTES],
    )


def _parts(
    connection: sqlite3.Connection, requests: Sequence[ExportRequest]
) -> Iterator[tuple[int, int, memoryview]]:
    """Rows of ``parts`` for the requests that have just been inserted, one behind the other."""
    (last,) = connection.execute("SELECT last_insert_rowid()").fetchone()
    for position, request in enumerate(requests, last - len(requests) + 1):
        body = memoryview(request.body)
        for number, at in enumerate(range(PART_BYTES, len(body), PART_BYTES)):
            yield position, number, body[at : at + PART_BYTES]


def _add_to_totals(connection: sqlite3.Connection, requests: Sequence[ExportRequest]) -> None:
    changes = {ACCEPTED: 0, KEPT_REQUESTS: len(requests)}
    for request in requests:
        changes[ACCEPTED] += request.records
        name = KEPT_RECORDS[request.signal]
        changes[name] = changes.get(name, 0) + request.records
    _change_totals(connection, changes)


def _change_totals(connection: sqlite3.Connection, changes: Mapping[str, int]) -> None:
    connection.executemany(
        "UPDATE totals SET value = value + ? WHERE name = ?",
        [(change, name) for name, change in changes.items()],
    )


def _bounded(walked: Sequence[Walked]) -> Sequence[Walked]:
    """As many of ``walked`` as one step may delete by bytes, at least one."""
    freed_bytes = 0
    for index, (_, matches, _, size_bytes) in enumerate(walked):
        freed_bytes += size_bytes if matches else 0
        if freed_bytes > RELEASE_STEP_BYTES and index > 0:
            return walked[:index]
    return walked
