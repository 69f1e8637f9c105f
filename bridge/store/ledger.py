"""The ledger: live turns, finished observations, record outcomes, the watermark.

Written by the worker alone. ``commit`` is the assemble step's one transaction: what a batch of
requests led to and how far the inbox has been read become true together, so a crash leaves the
state before or after it and nothing between.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bridge.errors import StoreError
from bridge.model.delivery import LangfuseState, PendingSpan
from bridge.model.outcomes import Outcome
from bridge.model.requests import Progress
from bridge.model.scores import PendingScore
from bridge.store import scores
from bridge.store import step as rows
from bridge.store.schema import LEDGER, SCHEMA_VERSION
from bridge.store.sqlite import connect
from bridge.store.step import Look, Step

ASSEMBLED: Final = "assembled"
DELIVERED: Final = "delivered"
DEAD_LETTERED: Final = "dead_lettered"
EXPIRED: Final = "expired"
"""Counters of observations: made; answered 200 by Langfuse; refused by it for good; deleted
undelivered by retention, which happens only while no Langfuse is configured."""

SCORES_DELIVERED: Final = "scores_delivered"
SCORES_REJECTED: Final = "scores_rejected"
"""Values of scores that Langfuse took, and those that it refused."""

COST_GAPS: Final = "cost_gaps"
UNPRICED: Final = "unpriced_requests"
REDACTED: Final = "redacted"
"""Counted with each session summary: whether events and metrics tell different costs, and how many
requests came without a cost."""

WATERMARK: Final = "watermark"
PROGRESS: Final = "progress"
LAST_DELIVERY: Final = "last_delivery_ms"
LANGFUSE: Final = "langfuse"

PRUNE_ROWS: Final = 500
"""Rows deleted in one transaction, so that retention never holds up a step for long."""


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

    def looks(self, after: Look, limit: int) -> list[Look]:
        """The first looks of the queue behind one, in order."""
        with self._reported() as connection:
            return connection.execute(_LOOKS, (*after, limit)).fetchall()

    def watermark(self) -> int:
        """Position of the last request that was assembled; 0 before the first."""
        with self._reported() as connection:
            return int(_fact(connection, WATERMARK) or 0)

    def progress(self) -> Progress:
        """How much of the request behind the watermark was assembled."""
        with self._reported() as connection:
            items, _, records = (_fact(connection, PROGRESS) or "0 0").partition(" ")
            return Progress(int(items), int(records))

    def commit(self, step: Step) -> None:
        """Make a step true, all of it or nothing, with one fsync."""
        with self._transaction() as connection:
            totals = _insert_finished(connection, step) + _outcome_totals(step)
            connection.executemany(rows.SAVE_TURN, rows.turn_rows(step))
            connection.executemany(rows.SAVE_CONVERSATION, rows.conversation_rows(step))
            connection.executemany(rows.TAKE_LOOK_OUT, step.looks_done)
            connection.executemany(rows.PLAN_LOOK, step.looks_planned)
            connection.executemany(rows.QUARANTINE, rows.quarantine_rows(step))
            connection.executemany(rows.SAVE_SESSION, rows.session_rows(step))
            scores.save(connection, step.scores, step.at_ms)
            _add_totals(connection, totals)
            _add_totals(connection, step.tallies)
            _set_fact(connection, WATERMARK, str(step.watermark))
            _set_fact(connection, PROGRESS, f"{step.progress.items} {step.progress.records}")

    def claim(self, max_bytes: int, max_spans: int) -> list[PendingSpan]:
        """The oldest pending spans up to the bounds, at least one if there is any."""
        claimed: list[PendingSpan] = []
        size_bytes = 0
        with self._reported() as connection:
            for row in connection.execute(_CLAIM, (max_spans,)):
                position, span, name, version, envelope = row
                size_bytes += len(span)
                if claimed and size_bytes > max_bytes:
                    break
                claimed.append(
                    PendingSpan(
                        position=position,
                        span=span,
                        service_name=name,
                        service_version=version,
                        envelope=envelope,
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

    def claim_scores(self, now_ms: int, limit: int) -> list[PendingScore]:
        """Scores to tell Langfuse now."""
        with self._transaction() as connection:
            return scores.claim(connection, now_ms, limit)

    def scores_delivered(self, sent: Sequence[PendingScore], at_ms: int) -> None:
        """Mark scores as taken by Langfuse."""
        with self._transaction() as connection:
            scores.told(connection, sent, at_ms)
            _add_totals(connection, {SCORES_DELIVERED: len(sent)})

    def score_rejected(self, pending: PendingScore, reason: str, at_ms: int) -> None:
        """Give up one value of a score."""
        with self._transaction() as connection:
            scores.refused(connection, pending, reason, at_ms)
            _add_totals(connection, {SCORES_REJECTED: 1})

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
                connection.execute(_EXPIRE_SCORES, (before_ms, PRUNE_ROWS))
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


def _insert_finished(connection: sqlite3.Connection, step: Step) -> Counter[str]:
    """Insert the observations; what their records have ended as.

    Records of an observation that was there already are repetitions.
    """
    totals: Counter[str] = Counter()
    for finished in step.finished:
        row = rows.observation_row(finished, step.at_ms)
        if connection.execute(rows.INSERT, row).rowcount:
            totals[ASSEMBLED] += 1
            totals[Outcome.OBSERVED] += finished.observed
            totals[Outcome.FOLDED] += finished.folded
        else:
            totals[Outcome.DUPLICATE] += finished.observed + finished.folded
    for forwarded in step.forwarded:
        row = rows.forwarded_row(forwarded, step.at_ms)
        new = connection.execute(rows.INSERT_FORWARDED, row).rowcount
        totals[Outcome.FORWARDED if new else Outcome.DUPLICATE] += 1
        totals[ASSEMBLED] += new
    return totals


def _outcome_totals(step: Step) -> Counter[str]:
    totals = Counter({outcome.value: count for outcome, count in step.outcomes.items()})
    totals[Outcome.QUARANTINED] += sum(item.records for item in step.quarantined)
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
_LOOKS: Final = (
    "SELECT at_ms, kind, key FROM looks WHERE (at_ms, kind, key) > (?, ?, ?)"
    " ORDER BY at_ms, kind, key LIMIT ?"
)
_CLAIM: Final = (
    "SELECT position, span, service_name, service_version, envelope FROM observations"
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
_EXPIRE_SCORES: Final = (
    "DELETE FROM scores WHERE id IN (SELECT id FROM scores WHERE changed_at_ms < ? LIMIT ?)"
)
_PRUNE: Final = (
    """DELETE FROM observations WHERE position IN (SELECT position FROM observations
        WHERE changed_at_ms < ? AND state <> 'pending' LIMIT ?)""",
    """DELETE FROM turns WHERE key IN (SELECT key FROM turns
        WHERE saved_at_ms < ? AND NOT live LIMIT ?)""",
    """DELETE FROM sessions WHERE session_id IN (SELECT session_id FROM sessions
        WHERE saved_at_ms < ? LIMIT ?)""",
    """DELETE FROM scores WHERE id IN (SELECT id FROM scores
        WHERE changed_at_ms < ? AND NOT dirty LIMIT ?)""",
    """DELETE FROM conversations WHERE key IN (SELECT key FROM conversations
        WHERE saved_at_ms < ? AND NOT live LIMIT ?)""",
)
