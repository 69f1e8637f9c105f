"""The ledger: live turns, finished observations, record outcomes, the watermark.

Written by the worker alone. ``commit`` is the assemble step's one transaction: what a batch of
requests led to and how far the inbox has been read become true together, so a crash leaves the
state before or after it and nothing between.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from bridge.clock import SteadyTime
from bridge.errors import DamagedStoreError, StoreError
from bridge.model.counted import Series
from bridge.model.delivery import LangfuseState, PendingSpan
from bridge.model.outcomes import Outcome
from bridge.model.requests import Progress
from bridge.model.scores import PendingScore
from bridge.store import counts, damage, outbox, retention, scores
from bridge.store.applying import Known, apply
from bridge.store.facts import add_totals, fact, set_fact
from bridge.store.ledger_salvage import REMAKE
from bridge.store.schema import (
    INBOX,
    PAGE_BYTES,
    PROGRESS,
    SCHEMA_VERSION,
    TABLES,
    WATERMARK,
    make_tables,
)
from bridge.store.sqlite import BUSY_TIMEOUT_S, connect, identity, shrink, store_error
from bridge.store.step import Look, Step

SCORES_DELIVERED: Final = "scores_delivered"
SCORES_REJECTED: Final = "scores_rejected"
"""Values of scores that Langfuse took, and those that it refused."""

COST_GAPS: Final = "cost_gaps"
UNPRICED: Final = "unpriced_requests"
REDACTED: Final = "redacted"
"""Counted with each session summary: whether events and metrics tell different costs, and how many
requests came without a cost."""

TAKEN_BEFORE: Final = "taken_before"
"""How many more records the ledger has than its inbox has handed out: those of inboxes before."""

STEADY: Final = "steady_ms"
STEADY_EVERY_MS: Final = 60_000
"""How often it is written down: not with every look at an empty outbox."""
LANGFUSE: Final = "langfuse"

SHRINK_PAGES: Final = 128
"""Pages given back to the disk in one transaction; for each a page from the end is moved."""

CHECKPOINT_TIMEOUT_MS: Final = 100
"""How long emptying the WAL waits for readers; assembling waits for it."""

AUTOCHECKPOINT_PAGES: Final = 2_000
"""16 MiB: what one step after the other writes goes from the WAL into the file once for many."""

CACHE_KIB: Final = 8_192
"""What SQLite holds of the file in memory: with its default of 2 MiB each step would read the pages
again that the one before has used, and write some of its own twice."""

JOURNAL_LIMIT_BYTES: Final = 16 * 1024 * 1024
"""What stays of the WAL file after a burst."""


class Ledger:
    """The writer. Its methods block; one thread owns it.

    Raises:
        StoreError: From every method, when the file cannot be used. Nothing was changed then, and
            the next call opens the file anew.

    Args:
        path: Of the file; its folder must exist.
        steady: Makes the times of rows from those of the clock; without it they are the clock's.
    """

    def __init__(self, path: Path, steady: SteadyTime | None = None) -> None:
        self._path = path
        self._steady = steady
        self._connection: sqlite3.Connection | None = None
        self._opened_file: tuple[int, int] | None = None
        self._damaged = False
        self._known: Known | None = None

    def turn(self, key: str) -> bytes | None:
        """The saved state of a turn."""
        return self._state(_TURN, key)

    def conversation(self, key: str) -> bytes | None:
        """The saved state of a conversation."""
        return self._state(_CONVERSATION, key)

    def looks(self, after: Look, limit: int) -> list[Look]:
        """The first looks of the queue behind one, in order."""
        with self._reported() as connection:
            return connection.execute(_LOOKS, (*after, limit)).fetchall()

    def watermark(self) -> int:
        """Position of the last request that was assembled; 0 before the first."""
        with self._reported() as connection:
            return int(fact(connection, WATERMARK) or 0)

    def progress(self) -> Progress:
        """How much of the request behind the watermark was assembled."""
        with self._reported() as connection:
            items, _, records = (fact(connection, PROGRESS) or "0 0").partition(" ")
            return Progress(int(items), int(records))

    def inbox(self) -> str | None:
        """The inbox whose positions the watermark means; None before the first."""
        with self._reported() as connection:
            return fact(connection, INBOX)

    def take_up(self, inbox: str, handed_out: int) -> int:
        """Go on with ``inbox``; up to where it was assembled, 0 for another than before.

        Args:
            inbox: Its generation.
            handed_out: Records that it once had and has no more.
        """
        if self.inbox() != inbox:
            with self._transaction() as connection:
                before = _taken_in(connection) - handed_out
                set_fact(connection, INBOX, inbox)
                set_fact(connection, WATERMARK, "0")
                set_fact(connection, PROGRESS, "0 0")
                set_fact(connection, TAKEN_BEFORE, str(before))
        return self.watermark()

    def recover(self) -> damage.Replaced | None:
        """Replace the file if it was found damaged, by us or by its reader; None if it was not.

        All of it that can be read is taken over.

        Raises:
            StoreError: It could not be done now; call it again.
        """
        with suppress(DamagedStoreError), self._reported():
            damage.check(self._path)
        if not self._damaged:
            return None
        self.close()
        replaced = damage.replace_damaged(self._path, REMAKE)
        self._damaged = False
        return replaced

    def commit(self, step: Step) -> None:
        """Make a step true, all of it or nothing, with one fsync."""
        with self._transaction() as connection:
            self._apply(connection, step)

    def rehearse(self, step: Step) -> None:
        """Do all that ``commit`` does, and undo it: for those who want to know whether it fails."""
        with self._reported() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                self._apply(connection, step)
            finally:
                self._known = None
                connection.execute("ROLLBACK")

    def claim(self, max_bytes: int, max_spans: int) -> list[PendingSpan]:
        """The oldest pending spans up to the bounds, at least one if there is any."""
        with self._reported() as connection:
            return outbox.claim(connection, max_bytes, max_spans)

    def delivered(self, positions: Sequence[int], at_ms: int) -> None:
        """Mark spans as taken by Langfuse: the oldest that were claimed, in their order."""
        with self._transaction() as connection:
            outbox.delivered(connection, positions, at_ms, self._aged(connection, at_ms))

    def rejected(self, position: int, reason: str, at_ms: int) -> None:
        """Set one span aside that Langfuse will never take."""
        with self._transaction() as connection:
            outbox.rejected(connection, position, reason, self._aged(connection, at_ms))

    def claim_scores(self, now_ms: int, limit: int) -> list[PendingScore]:
        """Scores to tell Langfuse now."""
        with self._transaction() as connection:
            return scores.claim(connection, self._aged(connection, now_ms), limit)

    def scores_delivered(self, sent: Sequence[PendingScore], at_ms: int) -> None:
        """Mark scores as taken by Langfuse."""
        with self._transaction() as connection:
            scores.told(connection, sent, self._aged(connection, at_ms))
            add_totals(connection, {SCORES_DELIVERED: len(sent)})

    def score_rejected(self, pending: PendingScore, reason: str, at_ms: int) -> None:
        """Give up one value of a score."""
        with self._transaction() as connection:
            scores.refused(connection, pending, reason, self._aged(connection, at_ms))
            add_totals(connection, {SCORES_REJECTED: 1})

    def count(self, changes: Mapping[Series, int]) -> None:
        """Add to numbers that are shown to Prometheus only."""
        with self._transaction() as connection:
            counts.add(connection, [changes], self._of(connection).series)

    def note(self, state: LangfuseState) -> None:
        """Remember what is known of Langfuse, for ``/healthz``."""
        with self._transaction() as connection:
            set_fact(connection, LANGFUSE, state.value)

    def aged_ms(self, now_ms: int) -> int:
        """The time by which the ages of rows are measured; it goes on whatever the clock does."""
        with self._transaction() as connection:
            return self._aged(connection, now_ms)

    def prune(self, before_ms: int, *, pending_too: bool) -> int:
        """Delete a bounded number of rows last touched before then; returns how many.

        Args:
            before_ms: By ``aged_ms``.
            pending_too: Whether undelivered observations expire: only where nothing delivers.
        """
        with self._transaction() as connection:
            expired = retention.expire(connection, before_ms) if pending_too else 0
            self._known = None  # numbers of traces may go
            return expired + retention.prune(connection, before_ms)

    def make_room(self) -> int:
        """Delete the oldest of what is done with, whatever its age; returns the number of rows.

        What Langfuse has not taken stays.
        """
        with self._reported() as connection:
            oldest_ms = retention.oldest_delivered_ms(connection)
        return 0 if oldest_ms is None else self.prune(oldest_ms + 1, pending_too=False)

    def shrink(self) -> int:
        """Give some emptied pages back to the disk; how many more there are."""
        with self._reported() as connection:
            return shrink(connection, SHRINK_PAGES)

    def checkpoint(self) -> None:
        """Move all commits from the WAL into the file, which is when it shrinks."""
        with self._reported() as connection:
            connection.execute(f"PRAGMA busy_timeout = {CHECKPOINT_TIMEOUT_MS}")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            connection.execute(f"PRAGMA busy_timeout = {round(BUSY_TIMEOUT_S * 1000)}")

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._known = None

    def _apply(self, connection: sqlite3.Connection, step: Step) -> None:
        aged_ms = self._aged(connection, step.at_ms)
        apply(connection, step, aged_ms, self._of(connection))

    def _of(self, connection: sqlite3.Connection) -> Known:
        """What is known of the connection's rows."""
        if self._known is None:
            self._known = Known(connection)
        return self._known

    def _aged(self, connection: sqlite3.Connection, now_ms: int) -> int:
        if self._steady is None:
            return now_ms
        kept = fact(connection, STEADY)
        aged_ms = self._steady.at(now_ms, None if kept is None else int(kept))
        if kept is None or aged_ms - int(kept) > STEADY_EVERY_MS:
            set_fact(connection, STEADY, str(aged_ms))
        return aged_ms

    def _state(self, query: str, key: str) -> bytes | None:
        """Asked for many times in a step: that the file is still there is seen by its commit."""
        try:
            row = (self._connection or self._opened()).execute(query, (key,)).fetchone()
        except (sqlite3.Error, StoreError) as error:
            failure = self._failed(error)
            raise failure from (None if failure is error else error)
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
            failure = self._failed(error)
            if failure is error:
                raise
            raise failure from error

    def _failed(self, error: BaseException) -> BaseException:
        """Give the file up; what the failure is to others."""
        self.close()
        failure = store_error(self._path, error) if isinstance(error, sqlite3.Error) else error
        self._damaged |= isinstance(failure, DamagedStoreError)
        return failure

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and self._opened_file != identity(self._path):
            self.close()  # somebody took the file away; what we wrote would go with it
        if self._connection is None:
            damage.check(self._path)
            connection = connect(self._path, page_bytes=PAGE_BYTES)
            self._connection = connection
            self._opened_file = identity(self._path)
            connection.execute(f"PRAGMA wal_autocheckpoint = {AUTOCHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_LIMIT_BYTES}")
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            version: int = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in {0, SCHEMA_VERSION}:
                raise StoreError(f"{self._path} was written by {_other(version)}")
            if version == 0:
                connection.execute("BEGIN IMMEDIATE")
                make_tables(connection)
                connection.execute("COMMIT")
            damage.check_tables(connection, self._path, TABLES)
        return self._connection


def _other(version: int) -> str:
    """Which bridge has another format, and what to do."""
    if version > SCHEMA_VERSION:
        return "a newer version of the bridge; run that one"
    return (
        "a bridge of before the first release: let that one deliver what it holds,"
        " then move the file away"
    )


def _taken_in(connection: sqlite3.Connection) -> int:
    """Records that have ended or are held here."""
    names = ", ".join(f"'{outcome.value}'" for outcome in Outcome)
    (records,) = connection.execute(
        f"SELECT ifnull((SELECT sum(value) FROM totals WHERE name IN ({names})), 0)"  # noqa: S608 - our names
        " + (SELECT ifnull(sum(held), 0) FROM turns WHERE live)"
        " + (SELECT ifnull(sum(held), 0) FROM conversations WHERE live)"
    ).fetchone()
    return int(records)


_TURN: Final = "SELECT state FROM turns WHERE key = ?"
_CONVERSATION: Final = "SELECT state FROM conversations WHERE key = ?"
_LOOKS: Final = (
    "SELECT at_ms, kind, key FROM looks WHERE (at_ms, kind, key) > (?, ?, ?)"
    " ORDER BY at_ms, kind, key LIMIT ?"
)
