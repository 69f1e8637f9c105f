"""The ledger: live turns, finished observations, record outcomes, the watermark.

Written by the worker alone. ``commit`` is the assemble step's one transaction: what a batch of
requests led to and how far the inbox has been read become true together, so a crash leaves the
state before or after it and nothing between.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import msgspec
import orjson

from bridge.errors import StoreError
from bridge.model.delivery import LangfuseState, PendingSpan
from bridge.model.observations import Level, Observation
from bridge.model.outcomes import Outcome
from bridge.store.schema import LEDGER, SCHEMA_VERSION
from bridge.store.sqlite import connect

ASSEMBLED: Final = "assembled"
DELIVERED: Final = "delivered"
DEAD_LETTERED: Final = "dead_lettered"
EXPIRED: Final = "expired"
"""Counters of observations: made; answered 200 by Langfuse; refused by it for good; deleted
undelivered by retention, which happens only while no Langfuse is configured."""

WATERMARK: Final = "watermark"
LAST_DELIVERY: Final = "last_delivery_ms"
LANGFUSE: Final = "langfuse"

PRUNE_ROWS: Final = 500
"""Rows deleted in one transaction, so that retention never holds up a step for long."""


class TurnState(Protocol):
    """A turn to save, as the correlator gives it."""

    @property
    def key(self) -> str: ...  # noqa: D102 - described by the class
    @property
    def session_id(self) -> str | None: ...  # noqa: D102
    @property
    def live(self) -> bool: ...  # noqa: D102
    @property
    def held(self) -> int: ...  # noqa: D102
    @property
    def started_ms(self) -> int: ...  # noqa: D102
    @property
    def state(self) -> bytes: ...  # noqa: D102


class ConversationState(Protocol):
    """A conversation to save, as the correlator gives it."""

    @property
    def key(self) -> str: ...  # noqa: D102
    @property
    def live(self) -> bool: ...  # noqa: D102
    @property
    def held(self) -> int: ...  # noqa: D102
    @property
    def state(self) -> bytes: ...  # noqa: D102


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """An observation with its span bytes, and the records that ended in it."""

    observation: Observation
    span: bytes
    records: int


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that could not be decoded.

    Attributes:
        position: Of the request in the inbox.
        record_index: Which record of it; None for the whole request.
    """

    position: int
    record_index: int | None
    records: int
    reason: str
    body: bytes


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """All that one assemble step leads to.

    Attributes:
        watermark: Position of the last request assembled.
        turns: (turn, trace id) of every turn that changed.
    """

    watermark: int
    turns: Sequence[tuple[TurnState, str]]
    conversations: Sequence[ConversationState]
    finished: Sequence[Finished]
    quarantined: Sequence[Quarantined]
    outcomes: Mapping[Outcome, int]
    at_ms: int


class Ledger:
    """The writer. Its methods block; one thread owns it.

    Raises:
        StoreError: From every method, when the file cannot be used. Nothing was changed then, and
            the next call opens the file anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def turn(self, key: str) -> bytes | None:
        """The saved state of a turn."""
        return self._state("turns", key)

    def conversation(self, key: str) -> bytes | None:
        """The saved state of a conversation."""
        return self._state("conversations", key)

    def live_conversations(self) -> list[str]:
        """Keys of the conversations to take up again at a start."""
        with self._reported() as connection:
            return [key for (key,) in connection.execute(_LIVE_CONVERSATIONS)]

    def watermark(self) -> int:
        """Position of the last request that was assembled; 0 before the first."""
        with self._reported() as connection:
            return int(_fact(connection, WATERMARK) or 0)

    def commit(self, step: Step) -> None:
        """Make a step true, all of it or nothing, with one fsync."""
        with self._transaction() as connection:
            repeated = _insert_finished(connection, step)
            connection.executemany(_SAVE_TURN, _turn_rows(step))
            connection.executemany(_SAVE_CONVERSATION, _conversation_rows(step))
            connection.executemany(_QUARANTINE, _quarantine_rows(step))
            _add_totals(connection, _outcome_totals(step, repeated))
            _set_fact(connection, WATERMARK, str(step.watermark))

    def claim(self, max_bytes: int, max_spans: int) -> list[PendingSpan]:
        """The oldest pending spans up to the bounds, at least one if there is any."""
        claimed: list[PendingSpan] = []
        size_bytes = 0
        with self._reported() as connection:
            for row in connection.execute(_CLAIM, (max_spans,)):
                position, span, name, version = row
                size_bytes += len(span)
                if claimed and size_bytes > max_bytes:
                    break
                claimed.append(
                    PendingSpan(
                        position=position, span=span, service_name=name, service_version=version
                    )
                )
        return claimed

    def delivered(self, positions: Sequence[int], at_ms: int) -> None:
        """Mark spans as taken by Langfuse."""
        with self._transaction() as connection:
            connection.executemany(_DELIVERED, [(at_ms, position) for position in positions])
            _add_totals(connection, {DELIVERED: len(positions)})
            _set_fact(connection, LAST_DELIVERY, str(at_ms))

    def rejected(self, position: int, reason: str, at_ms: int) -> None:
        """Set one span aside that Langfuse will never take."""
        with self._transaction() as connection:
            connection.execute(_REJECTED, (reason, at_ms, position))
            _add_totals(connection, {DEAD_LETTERED: 1})

    def note(self, state: LangfuseState) -> None:
        """Remember what is known of Langfuse, for ``/healthz``."""
        with self._transaction() as connection:
            _set_fact(connection, LANGFUSE, state.value)

    def prune(self, before_ms: int, *, pending_too: bool) -> int:
        """Delete a bounded number of rows last touched before then; returns how many.

        Args:
            before_ms: Our clock.
            pending_too: Whether undelivered observations expire: only where nothing delivers.
        """
        with self._transaction() as connection:
            expired = 0
            if pending_too:
                expired = connection.execute(_EXPIRE, (before_ms, PRUNE_ROWS)).rowcount
                _add_totals(connection, {EXPIRED: expired})
            counts = [
                connection.execute(statement, (before_ms, PRUNE_ROWS)).rowcount
                for statement in _PRUNE
            ]
            return expired + sum(counts)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _state(self, table: str, key: str) -> bytes | None:
        with self._reported() as connection:
            row = connection.execute(_STATE[table], (key,)).fetchone()
            return row[0] if row else None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._reported() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def _reported(self) -> Iterator[sqlite3.Connection]:
        """SQLite's failures leave as StoreError; closing the connection rolls back."""
        try:
            yield self._opened()
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.Error):
                raise StoreError(f"cannot use {self._path}: {error}") from error
            raise

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = connect(self._path)
            self._connection = connection
            version: int = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise StoreError(
                    f"{self._path} was written by a newer version of the bridge; run that one"
                )
            if version < SCHEMA_VERSION:
                _create_schema(connection)
        return self._connection


def _create_schema(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in LEDGER:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _insert_finished(connection: sqlite3.Connection, step: Step) -> int:
    """Insert the observations; returns how many records ended in ones that were there already."""
    repeated = 0
    for finished in step.finished:
        inserted = connection.execute(_INSERT, _observation_row(finished, step.at_ms)).rowcount
        repeated += 0 if inserted else finished.records
        _add_totals(connection, {ASSEMBLED: inserted})
    return repeated


def _observation_row(finished: Finished, at_ms: int) -> tuple[object, ...]:
    made = finished.observation
    return (
        bytes.fromhex(made.id),
        made.trace_id,
        made.trace.session_id,
        made.trace.user_id,
        made.kind.value,
        made.parent_id is None,
        made.level is Level.ERROR,
        made.model,
        made.start_ms,
        made.end_ms,
        made.cost_picousd,
        orjson.dumps(made.usage).decode() if made.usage else None,
        made.trace.service_name,
        made.trace.service_version,
        finished.span,
        at_ms,
    )


def _turn_rows(step: Step) -> Iterator[tuple[object, ...]]:
    for turn, trace_id in step.turns:
        yield (
            turn.key,
            trace_id,
            turn.session_id,
            turn.live,
            turn.held,
            turn.started_ms,
            step.at_ms,
            turn.state,
        )


def _conversation_rows(step: Step) -> Iterator[tuple[object, ...]]:
    for conversation in step.conversations:
        yield (
            conversation.key,
            conversation.live,
            conversation.held,
            step.at_ms,
            conversation.state,
        )


def _quarantine_rows(step: Step) -> Iterator[tuple[object, ...]]:
    for item in step.quarantined:
        yield (
            item.position,
            item.record_index,
            item.records,
            item.reason,
            item.body,
            step.at_ms,
        )


def _outcome_totals(step: Step, repeated: int) -> dict[str, int]:
    """Record outcomes; records of an observation that was there already are duplicates."""
    totals = {outcome.value: count for outcome, count in step.outcomes.items()}
    if repeated:
        totals[Outcome.DUPLICATE] = totals.get(Outcome.DUPLICATE, 0) + repeated
        totals[Outcome.OBSERVED] = totals.get(Outcome.OBSERVED, 0) - repeated
    quarantined = sum(item.records for item in step.quarantined)
    totals[Outcome.QUARANTINED] = totals.get(Outcome.QUARANTINED, 0) + quarantined
    return totals


def _add_totals(connection: sqlite3.Connection, changes: Mapping[str, int]) -> None:
    connection.executemany(
        _ADD_TOTAL, [(name, change, change) for name, change in changes.items() if change]
    )


def _set_fact(connection: sqlite3.Connection, name: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))


def _fact(connection: sqlite3.Connection, name: str) -> str | None:
    row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None


_STATE: Final = {
    "turns": "SELECT state FROM turns WHERE key = ?",
    "conversations": "SELECT state FROM conversations WHERE key = ?",
}
_LIVE_CONVERSATIONS: Final = "SELECT key FROM conversations WHERE live ORDER BY key"
_SAVE_TURN: Final = "INSERT OR REPLACE INTO turns VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_SAVE_CONVERSATION: Final = "INSERT OR REPLACE INTO conversations VALUES (?, ?, ?, ?, ?)"
_QUARANTINE: Final = (
    "INSERT INTO quarantine (position, record_index, records, reason, body, at_ms)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
_INSERT: Final = (
    "INSERT INTO observations (span_id, trace_id, session_id, user_id, kind, is_root, is_error,"
    " model, start_ms, end_ms, cost_picousd, usage, service_name, service_version, span, state,"
    " changed_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?)"
    " ON CONFLICT (span_id) DO NOTHING"
)
_CLAIM: Final = (
    "SELECT position, span, service_name, service_version FROM observations"
    " WHERE state = 'pending' ORDER BY position LIMIT ?"
)
_DELIVERED: Final = (
    "UPDATE observations SET state = 'delivered', changed_at_ms = ? WHERE position = ?"
)
_REJECTED: Final = (
    "UPDATE observations SET state = 'rejected', reason = ?, changed_at_ms = ? WHERE position = ?"
)
_ADD_TOTAL: Final = (
    "INSERT INTO totals VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + ?"
)
_EXPIRE: Final = (
    "DELETE FROM observations WHERE position IN (SELECT position FROM observations"
    " WHERE changed_at_ms < ? AND state = 'pending' LIMIT ?)"
)
_PRUNE: Final = (
    """DELETE FROM observations WHERE position IN (SELECT position FROM observations
        WHERE changed_at_ms < ? AND state <> 'pending' LIMIT ?)""",
    """DELETE FROM turns WHERE key IN (SELECT key FROM turns
        WHERE saved_at_ms < ? AND NOT live LIMIT ?)""",
    """DELETE FROM conversations WHERE key IN (SELECT key FROM conversations
        WHERE saved_at_ms < ? AND NOT live LIMIT ?)""",
)
