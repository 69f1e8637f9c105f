"""What was set aside: records that could not be taken in, and spans that Langfuse refused.

Written by the worker as part of a step, and by people at a terminal beside it: each of their
changes is one short transaction that waits its turn. Leaves to others what is in the bytes.

::

    quarantine    records by id, with their bytes     → retried (inbox again) | dropped
    observations  with a reason: spans, "s" + position → retried (pending again) | dropped
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bridge.errors import StoreError
from bridge.model.outcomes import Outcome
from bridge.model.views import Ending, SetAside
from bridge.store import observations, outbox
from bridge.store import step as rows
from bridge.store.facts import add_totals
from bridge.store.sqlite import connect
from bridge.store.step import Finished, Step

MAX_BYTES: Final = 256 * 1024 * 1024
"""Of all that is in quarantine. Beyond it the oldest give way: whoever floods the bridge with what
it cannot read shall not fill its disk."""

ROW_BYTES: Final = 200
"""What a row takes besides its bytes."""

HELD_BYTES: Final = "quarantine_bytes"
EXPIRED: Final = "quarantine_expired"
"""Totals: bytes held now; records that gave way."""

SPAN_PREFIX: Final = "s"
ASSEMBLED: Final = "assembled"


def keep(connection: sqlite3.Connection, step: Step) -> None:
    """Put a step's records into quarantine, inside its transaction."""
    if not step.quarantined:
        return
    connection.executemany(rows.QUARANTINE, rows.quarantine_rows(step))
    added = sum(len(item.body) + ROW_BYTES for item in step.quarantined)
    add_totals(connection, {HELD_BYTES: added})
    _trim(connection)


def _trim(connection: sqlite3.Connection) -> None:
    """Delete the oldest until the rest fits."""
    over_bytes = _total(connection, HELD_BYTES) - MAX_BYTES
    gone: list[int] = []
    expired = 0
    for row_id, size_bytes, records in connection.execute(_OLDEST):
        if over_bytes <= 0:
            break
        gone.append(row_id)
        over_bytes -= size_bytes + ROW_BYTES
        expired += records
    for row_id in gone:
        _remove(connection, row_id)
    add_totals(connection, {EXPIRED: expired})


class Quarantine:
    """What was set aside, for people at a terminal; beside a running bridge or without one.

    Raises:
        StoreError: From every method, when the file cannot be used; nothing was changed then.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def listed(self) -> list[SetAside]:
        """Everything, oldest first, without its bytes."""
        with self._connected() as connection:
            found = [_record(row) for row in connection.execute(_RECORDS)]
            spans = [_span(row) for row in connection.execute(_SPANS)]
        return sorted([*found, *spans], key=lambda each: each.at_ms)

    def expired(self) -> int:
        """Records that gave way, ever."""
        with self._connected() as connection:
            return _total(connection, EXPIRED)

    def content(self, item: SetAside) -> bytes | None:
        """Its bytes; None when it is gone by now."""
        statement = outbox.REFUSED_SPAN if item.ending is Ending.DEAD_LETTERED else _BYTES
        with self._connected() as connection:
            row = connection.execute(statement, (_number(item),)).fetchone()
        return row[0] if row else None

    def remove(self, item: SetAside) -> bool:
        """Delete it; False if it was gone already."""
        with self._transaction() as connection:
            if item.ending is Ending.DEAD_LETTERED:
                return bool(connection.execute(_DROP_SPAN, (_number(item),)).rowcount)
            return _remove(connection, _number(item))

    def deliver_again(self, item: SetAside, at_ms: int) -> bool:
        """Let a refused span wait for Langfuse again; False if it does not any more."""
        with self._transaction() as connection:
            return outbox.deliver_again(connection, _number(item), at_ms)

    def settle(self, item: SetAside, finished: Finished, at_ms: int) -> bool:
        """Take out a part whose observation could be made after all; its records end anew."""
        with self._transaction() as connection:
            if not _remove(connection, _number(item)):
                return False
            traces = observations.KnownTraces(connection)
            is_new = observations.insert(connection, [finished], at_ms, traces)
            add_totals(connection, {Outcome.QUARANTINED: -item.records})
            if is_new:
                add_totals(connection, {ASSEMBLED: 1, outbox.PENDING: 1})
                add_totals(connection, {Outcome.OBSERVED: finished.observed})
                add_totals(connection, {Outcome.FOLDED: finished.folded})
            else:
                add_totals(connection, {Outcome.DUPLICATE: item.records})
            return True

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """A connection for one question or change; closing it rolls back what is open."""
        try:
            connection = connect(self._path)
            try:
                yield connection
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise StoreError(f"cannot use {self._path}: {error}") from error


def _number(item: SetAside) -> int:
    return int(item.id.removeprefix(SPAN_PREFIX))


def _record(row: tuple[int, int, str | None, int, str, int, int, int | None]) -> SetAside:
    row_id, at_ms, signal, records, reason, size_bytes, position, index = row
    return SetAside(
        id=str(row_id),
        ending=Ending.QUARANTINED,
        at_ms=at_ms,
        signal=signal,
        records=records,
        reason=reason,
        size_bytes=size_bytes,
        position=position,
        record_index=index,
    )


def _span(row: tuple[int, int, str | None, int]) -> SetAside:
    position, at_ms, reason, size_bytes = row
    return SetAside(
        id=f"{SPAN_PREFIX}{position}",
        ending=Ending.DEAD_LETTERED,
        at_ms=at_ms,
        signal=None,
        records=0,
        reason=reason or "",
        size_bytes=size_bytes,
        position=position,
        record_index=None,
    )


def _remove(connection: sqlite3.Connection, row_id: int) -> bool:
    deleted: Iterable[tuple[int]] = connection.execute(_DROP, (row_id,)).fetchall()
    for (size_bytes,) in deleted:
        add_totals(connection, {HELD_BYTES: -(size_bytes + ROW_BYTES)})
        return True
    return False


def _total(connection: sqlite3.Connection, name: str) -> int:
    row = connection.execute("SELECT value FROM totals WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else 0


_OLDEST: Final = "SELECT id, length(body), records FROM quarantine ORDER BY id"
_RECORDS: Final = (
    "SELECT id, at_ms, signal, records, reason, length(body), position, record_index"
    " FROM quarantine ORDER BY id"
)
_SPANS: Final = (
    "SELECT position, changed_at_ms, reason, length(span) FROM observations"
    " WHERE reason IS NOT NULL ORDER BY position"
)
_BYTES: Final = "SELECT body FROM quarantine WHERE id = ?"
_DROP: Final = "DELETE FROM quarantine WHERE id = ? RETURNING length(body)"
_DROP_SPAN: Final = "DELETE FROM observations WHERE position = ? AND reason IS NOT NULL"
