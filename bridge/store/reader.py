"""Reading the ledger beside its writer: for ``/healthz`` and for people at a terminal.

Never locks the writer out, and reads a ledger that is not there yet as an empty one.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec
import orjson

from bridge.errors import StoreError
from bridge.model.delivery import LangfuseState
from bridge.model.observations import Observation
from bridge.model.outcomes import Outcome
from bridge.model.views import SessionSummary, TraceView
from bridge.store.ledger import DEAD_LETTERED, DELIVERED, LANGFUSE, LAST_DELIVERY, WATERMARK
from bridge.store.schema import LEDGER
from bridge.store.sqlite import connect

NO_SESSION: Final = "-"
"""Stands for the session of clients that keep their session ids to themselves."""

DecodeSpan = Callable[[bytes, str, str | None], Observation]
"""(span bytes, service name, service version) → the observation; given by ``langfuse.wire``."""


class LedgerTotals(msgspec.Struct, frozen=True, kw_only=True):
    """The ledger in numbers.

    Attributes:
        outcomes: Records by how they ended.
        live_records: Records that are held in live turns or wait for their turn.
        pending: Observations that wait for delivery.
        delivered: Observations that Langfuse has.
        dead_lettered: Observations that Langfuse refused.
        watermark: Position of the last request assembled.
        last_delivery_ms: None before the first.
        langfuse: None until the worker has said something.
    """

    outcomes: dict[str, int]
    live_records: int
    pending: int
    delivered: int
    dead_lettered: int
    watermark: int
    last_delivery_ms: int | None
    langfuse: LangfuseState | None


class LedgerReader:
    """Read-only; any process or thread.

    Raises:
        StoreError: From every method, when the file is there and cannot be read.
    """

    def __init__(self, path: Path, decode_span: DecodeSpan) -> None:
        self._path = path
        self._decode_span = decode_span
        self._connection: sqlite3.Connection | None = None

    def totals(self) -> LedgerTotals:
        """The numbers behind ``/healthz``."""
        with self._reading() as connection:
            totals = dict(connection.execute("SELECT name, value FROM totals"))
            facts = dict(connection.execute("SELECT name, value FROM facts"))
            (live,) = connection.execute(_LIVE_RECORDS).fetchone()
            (pending,) = connection.execute(_PENDING).fetchone()
        last = facts.get(LAST_DELIVERY)
        known = facts.get(LANGFUSE)
        return LedgerTotals(
            outcomes={o.value: totals.get(o.value, 0) for o in Outcome},
            live_records=live,
            pending=pending,
            delivered=totals.get(DELIVERED, 0),
            dead_lettered=totals.get(DEAD_LETTERED, 0),
            watermark=int(facts.get(WATERMARK, 0)),
            last_delivery_ms=int(last) if last else None,
            langfuse=LangfuseState(known) if known else None,
        )

    def sessions(self, limit: int) -> list[SessionSummary]:
        """The sessions that were active last, latest first."""
        with self._reading() as connection:
            rows = connection.execute(_SESSIONS, (limit,)).fetchall()
            return [_summary(connection, row) for row in rows]

    def find(self, text: str) -> list[TraceView]:
        """All traces of the sessions, or else the traces, whose id begins with ``text``."""
        pattern = f"{_escaped(text)}%"
        with self._reading() as connection:
            found = connection.execute(_TURNS_OF_SESSION, (pattern,)).fetchall()
            found = found or connection.execute(_TURNS_BY_TRACE, (pattern,)).fetchall()
            return [self._trace(connection, *row) for row in found]

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _trace(
        self, connection: sqlite3.Connection, trace_id: str, session_id: str | None, live: int
    ) -> TraceView:
        rows = connection.execute(_OBSERVATIONS, (trace_id,))
        observations = tuple(self._decode_span(*row) for row in rows)
        return TraceView(
            trace_id=trace_id, session_id=session_id, live=bool(live), observations=observations
        )

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._opened()
        except sqlite3.Error as error:
            self.close()
            raise StoreError(f"cannot read {self._path}: {error}") from error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        if not self._path.exists():
            return _empty()
        connection = connect(self._path, read_only=True)
        if connection.execute("PRAGMA user_version").fetchone() == (0,):
            connection.close()  # the writer has not come to its tables yet
            return _empty()
        self._connection = connection
        return connection


def _empty() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    for statement in LEDGER:
        connection.execute(statement)
    return connection


def _summary(connection: sqlite3.Connection, row: Sequence[object]) -> SessionSummary:
    session_id = str(row[0])
    details = connection.execute(_DETAILS, (session_id,)).fetchall()
    (prompts, live) = connection.execute(_TURN_COUNTS, (session_id,)).fetchone()
    tokens: dict[str, int] = {}
    for _, _, _, usage, _, _ in details:
        for key, count in (orjson.loads(usage) if usage else {}).items():
            tokens[key] = tokens.get(key, 0) + count
    kinds = {kind: len(list(rows)) for kind, rows in groupby(sorted(d[0] for d in details))}
    return SessionSummary(
        session_id=session_id,
        user_id=next((user for *_, user in details if user), None),
        models=tuple(sorted({model for _, model, *_ in details if model})),
        started_ms=int(str(row[1])),
        ended_ms=int(str(row[2])),
        prompts=prompts,
        live=live or 0,
        generations=kinds.get("generation", 0),
        tools=kinds.get("tool", 0),
        errors=sum(1 for d in details if d[4]),
        cost_picousd=sum(d[2] or 0 for d in details),
        tokens=tokens,
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


_LIVE_RECORDS: Final = (
    "SELECT (SELECT ifnull(sum(held), 0) FROM turns WHERE live)"
    " + (SELECT ifnull(sum(held), 0) FROM conversations WHERE live)"
)
_PENDING: Final = "SELECT count(*) FROM observations WHERE state = 'pending'"
_SESSIONS: Final = (
    f"SELECT ifnull(session_id, '{NO_SESSION}') AS session, min(start_ms), max(end_ms)"  # noqa: S608 - a constant
    " FROM observations GROUP BY session ORDER BY max(end_ms) DESC LIMIT ?"
)
_DETAILS: Final = (
    "SELECT kind, model, cost_picousd, usage, is_error AND NOT is_root, user_id"  # noqa: S608 - a constant
    f" FROM observations WHERE ifnull(session_id, '{NO_SESSION}') = ? ORDER BY position"
)
_TURN_COUNTS: Final = (
    "SELECT count(*), sum(live) FROM turns"  # noqa: S608 - a constant
    f" WHERE ifnull(session_id, '{NO_SESSION}') = ?"
)
_TURNS_OF_SESSION: Final = (
    "SELECT trace_id, session_id, live FROM turns"
    " WHERE session_id LIKE ? ESCAPE '\\' ORDER BY started_ms, trace_id"
)
_TURNS_BY_TRACE: Final = (
    "SELECT trace_id, session_id, live FROM turns"
    " WHERE trace_id LIKE ? ESCAPE '\\' ORDER BY started_ms, trace_id"
)
_OBSERVATIONS: Final = (
    "SELECT span, service_name, service_version FROM observations"
    " WHERE trace_id = ? ORDER BY start_ms, position"
)
