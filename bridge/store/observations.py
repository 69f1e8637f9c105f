"""The ledger's table ``observations``: its rows, and how they are put in.

Works on the ledger's connection, inside its transactions. What becomes of them is ``outbox``'s.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

import orjson

from bridge.model.foreign import Forwarded
from bridge.model.observations import Level, ObservationKind
from bridge.store import blocks
from bridge.store.facts import fact, set_fact
from bridge.store.step import Finished

LAST_POSITION: Final = "last_position"
"""Fact: the highest that an observation ever had, so that none is given to another."""

KEPT_TRACES: Final = 8_192
"""Traces whose number is remembered; beyond it all are forgotten, and found again one by one."""

Row = tuple[object, ...]
"""What ``_INSERT`` or ``_INSERT_FORWARDED`` takes."""


class KnownTraces(dict[str, int]):
    """Trace id → its number; one that is new gets one.

    Only for the connection that wrote or read them, until it deletes any or rolls back.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __missing__(self, trace_id: str) -> int:
        if len(self) >= KEPT_TRACES:
            self.clear()
        number = self[trace_id] = self._found(trace_id) or self._made(trace_id)
        return number

    def _found(self, trace_id: str) -> int | None:
        row = self._connection.execute(_TRACE, (trace_id,)).fetchone()
        return row[0] if row else None

    def _made(self, trace_id: str) -> int:
        return self._connection.execute(_NEW_TRACE, (trace_id,)).lastrowid or 0


def insert(
    connection: sqlite3.Connection,
    finished: Sequence[Finished],
    at_ms: int,
    traces: KnownTraces,
) -> Sequence[Finished]:
    """Put observations behind all others; gives those that are new, nearly always all of them."""
    last = last_position(connection)
    rows = [
        _row(position, traces[each.observation.trace_id], each, at_ms)
        for position, each in enumerate(finished, last + 1)
    ]
    new = _insert(connection, _INSERT, rows, [each.span for each in finished], last)
    return [each for each, is_new in zip(finished, new, strict=True) if is_new]


def insert_forwarded(
    connection: sqlite3.Connection,
    forwarded: Sequence[Forwarded],
    at_ms: int,
    traces: KnownTraces,
) -> int:
    """The same with spans of other programs; gives how many are new."""
    last = last_position(connection)
    rows = [
        _forwarded_row(position, traces[each.foreign.trace_id], each, at_ms)
        for position, each in enumerate(forwarded, last + 1)
    ]
    spans = [each.span for each in forwarded]
    return sum(_insert(connection, _INSERT_FORWARDED, rows, spans, last))


def last_position(connection: sqlite3.Connection) -> int:
    """The highest position that was ever given; 0 before the first."""
    return int(fact(connection, LAST_POSITION) or 0)


def _insert(
    connection: sqlite3.Connection,
    statement: str,
    rows: Sequence[Row],
    spans: Sequence[bytes],
    last: int,
) -> list[bool]:
    """Put rows in, and their spans under the same positions; which of them are new."""
    if not rows:
        return []
    blocks.write(connection, last + 1, spans)
    set_fact(connection, LAST_POSITION, str(last + len(rows)))
    if connection.executemany(statement, rows).rowcount == len(rows):
        return [True] * len(rows)
    added = {position for (position,) in connection.execute(_ADDED, (last,))}
    return [row[0] in added for row in rows]


_KINDS: Final = {kind: kind.value for kind in ObservationKind}
_ERROR: Final = Level.ERROR
"""Looking them up in their classes costs more than all else of a row."""


def _row(position: int, trace: int, finished: Finished, at_ms: int) -> Row:
    made = finished.observation
    facts = made.trace
    return (
        position,
        trace,
        bytearray.fromhex(made.id),
        facts.session_id,
        facts.user_id,
        _KINDS[made.kind],
        1 if made.parent_id is None else 0,
        1 if made.level is _ERROR else 0,
        made.model,
        made.start_ms,
        made.end_ms,
        made.cost_picousd,
        orjson.dumps(made.usage).decode() if made.usage else None,
        facts.service_name,
        facts.service_version,
        at_ms,
    )


def _forwarded_row(position: int, trace: int, forwarded: Forwarded, at_ms: int) -> Row:
    """Another program's span, which is passed on in the envelope that it came in."""
    foreign = forwarded.foreign
    return (
        position,
        trace,
        bytearray.fromhex(foreign.span_id),
        foreign.session_id,
        "foreign",
        int(foreign.is_root),
        0,
        foreign.start_ms,
        foreign.end_ms,
        foreign.attributes.get("service.name", ""),
        at_ms,
        forwarded.envelope,
    )


_INSERT: Final = (
    "INSERT INTO observations (position, trace, span_id, session_id, user_id, kind, is_root,"
    " is_error, model, start_ms, end_ms, cost_picousd, usage, service_name, service_version,"
    " changed_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (trace, span_id) DO NOTHING"
)
_INSERT_FORWARDED: Final = (
    "INSERT INTO observations (position, trace, span_id, session_id, kind, is_root, is_error,"
    " start_ms, end_ms, service_name, changed_at_ms, envelope)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (trace, span_id) DO NOTHING"
)
_ADDED: Final = "SELECT position FROM observations WHERE position > ?"
_NEW_TRACE: Final = "INSERT INTO traces (trace_id) VALUES (?)"
_TRACE: Final = "SELECT number FROM traces WHERE trace_id = ?"
