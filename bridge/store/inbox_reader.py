"""Reading the inbox beside its writer: for the assembler and for ``/healthz``."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Final

from bridge.errors import DamagedStoreError, StoreError
from bridge.model.requests import Encoding, ExportRequest, InboxEntry, Signal
from bridge.store import damage
from bridge.store.inbox_schema import (
    PART_BYTES,
    InboxTotals,
    generation_of,
    schema_version,
    totals_of,
)
from bridge.store.packing import OURS, unpacked, unpacked_bytes
from bridge.store.sqlite import connect, identity, reported

KEPT_FIXED: Final = 256
"""Tokens whose attributes are remembered."""

READ: Final = (
    "SELECT position, received_at_ms, signal, encoding, gzipped, records, sender, fixed, body"
    " FROM requests"
    " WHERE position > :after AND position <= :last AND (:signal IS NULL OR signal = :signal)"
    " ORDER BY position LIMIT :limit"
)

OLDEST: Final = "SELECT received_at_ms FROM requests WHERE position > ? ORDER BY position LIMIT 1"

READ_PARTS: Final = "SELECT body FROM parts WHERE position = ? ORDER BY number"
PARTS_BYTES: Final = "SELECT ifnull(sum(length(body)), 0) FROM parts WHERE position = ?"

Row = tuple[int, int, str, str, int, int, str, str, bytes]


class InboxReader:
    """Reads the inbox beside its writer, from any process or thread, and never locks it.

    A file that is not there yet reads as an empty inbox. One that its writer has replaced is
    opened anew.

    Attributes:
        generation: Which inbox was read last; None for one that is not there. The positions of
            one mean nothing in another.
    """

    def __init__(self, path: Path) -> None:
        self.generation: str | None = None
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._opened_file: tuple[int, int] | None = None
        self._empty: dict[Signal | None, tuple[int, int]] = {}

    def read(
        self, after: int, signal: Signal | None, max_bytes: int, max_entries: int
    ) -> list[InboxEntry]:
        """Entries behind position ``after`` in order of commit; all signals when it is None.

        Stops before ``max_bytes`` of bodies or ``max_entries`` are passed, but gives one entry
        if there is any, however large.

        Raises:
            StoreError: The file cannot be read; the next call opens it anew.
        """
        with self._reading() as connection:
            if connection is None:
                return []
            last = _last_position(connection)
            rows = _rows(connection, self._skip(after, signal), last, signal, max_entries)
            with closing(rows):
                entries, exhausted = _take(connection, rows, max_bytes)
            if exhausted and len(entries) < max_entries:
                self._empty[signal] = (entries[-1].position if entries else after, last)
            return entries

    def totals(self) -> InboxTotals:
        """What the writer has counted; zeros when there is no inbox yet.

        Raises:
            StoreError: The file cannot be read; the next call opens it anew.
        """
        with self._reading() as connection:
            rows = (
                () if connection is None else connection.execute("SELECT name, value FROM totals")
            )
            return totals_of(dict(rows))

    def oldest_ms(self, after: int) -> int | None:
        """When the first request behind position ``after`` was received; None: there is none.

        Raises:
            StoreError: The file cannot be read; the next call opens it anew.
        """
        with self._reading() as connection:
            row = connection and connection.execute(OLDEST, (after,)).fetchone()
            return row[0] if row else None

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        with self._lock:
            self._drop()

    def _skip(self, after: int, signal: Signal | None) -> int:
        """Where to start: positions only grow, so what was found empty once stays empty."""
        start, end = self._empty.get(signal, (0, 0))
        return max(after, end) if start <= after else after

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        with self._lock:
            try:
                with reported(self._path):
                    yield self._opened()
            except StoreError as error:
                if isinstance(error, DamagedStoreError):
                    damage.suspect(self._path, self._opened_file)
                self._drop()
                raise

    def _opened(self) -> sqlite3.Connection | None:
        found = identity(self._path)
        if self._connection is not None and self._opened_file != found:
            self._drop()
        if self._connection is None and found is not None:
            self._opened_file = found
            damage.check_log(self._path)
            connection = connect(self._path, read_only=True)
            self._connection = connection
            if schema_version(connection) == 0:  # the writer has not come to its tables yet
                self._drop()
                return None
            self.generation = generation_of(connection)
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._opened_file = None
        self.generation = None
        self._empty.clear()


def _last_position(connection: sqlite3.Connection) -> int:
    """Everything up to here is committed: there is one writer, and positions are in its order."""
    position: int = connection.execute("SELECT ifnull(max(position), 0) FROM requests").fetchone()[
        0
    ]
    return position


def _rows(
    connection: sqlite3.Connection, after: int, last: int, signal: Signal | None, limit: int
) -> sqlite3.Cursor:
    return connection.execute(
        READ, {"after": after, "last": last, "signal": signal, "limit": limit}
    )


def _take(
    connection: sqlite3.Connection, rows: Iterator[Row], max_bytes: int
) -> tuple[list[InboxEntry], bool]:
    """Entries up to ``max_bytes``, and whether the rows came to their end."""
    entries: list[InboxEntry] = []
    taken_bytes = 0
    for row in rows:
        taken_bytes += _size(connection, row)
        if entries and taken_bytes > max_bytes:
            return entries, False
        entries.append(_entry(connection, row))
    return entries, True


def _size(connection: sqlite3.Connection, row: Row) -> int:
    """Of the whole body as it came, without reading its parts where they may be many."""
    position, packing, first = row[0], row[4], row[-1]
    if packing == OURS:
        return unpacked_bytes(_whole(connection, position, first))
    if len(first) < PART_BYTES:
        return len(first)
    parts_bytes: int = connection.execute(PARTS_BYTES, (position,)).fetchone()[0]
    return len(first) + parts_bytes


def _whole(connection: sqlite3.Connection, position: int, first: bytes) -> bytes:
    """A body of which ``first`` is the beginning."""
    if len(first) < PART_BYTES:
        return first
    body = BytesIO()  # which gives its buffer away: nothing is there twice
    body.write(first)
    for (part,) in connection.execute(READ_PARTS, (position,)):
        body.write(part)
    return body.getvalue()


_SIGNALS: Final = {signal.value: signal for signal in Signal}
_ENCODINGS: Final = {encoding.value: encoding for encoding in Encoding}
"""Asking their classes takes twenty times as long."""


@lru_cache(maxsize=KEPT_FIXED)
def _fixed(told: str) -> dict[str, str]:
    """What a token fixes, the same for all its requests; nobody changes it."""
    found: dict[str, str] = json.loads(told)
    return found


def _entry(connection: sqlite3.Connection, row: Row) -> InboxEntry:
    position, received_at_ms, signal, encoding, packing, records, sender, fixed, first = row
    gzipped, body = unpacked(packing, _whole(connection, position, first))
    request = ExportRequest(
        signal=_SIGNALS[signal],
        encoding=_ENCODINGS[encoding],
        body=body,
        gzipped=gzipped,
        records=records,
        received_at_ms=received_at_ms,
        sender=sender,
        fixed=_fixed(fixed),
    )
    return InboxEntry(position=position, request=request)
