"""The ledger's scores: which value Langfuse has, which it should have, and when it may be told.

Works on the ledger's connection, inside its transactions.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from bridge.model.scores import PendingScore, Score

UPDATE_EVERY_MS: Final = 300_000
"""A server reads all earlier files of a score to apply an update, so a score that changes with
every record is told at most every five minutes, and at once when its session falls silent."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Score).decode


def save(connection: sqlite3.Connection, scores: Sequence[tuple[Score, bool]], at_ms: int) -> None:
    """Remember what Langfuse should have. (score, urgent): urgent ones are told at once."""
    rows = [(s.id, _encode(s), s.value, urgent, at_ms) for s, urgent in scores]
    connection.executemany(_SAVE, rows)


def claim(connection: sqlite3.Connection, now_ms: int, limit: int) -> list[PendingScore]:
    """The scores to tell now. What was claimed before and not told is claimed again as it was."""
    due = connection.execute(_DUE, (now_ms - UPDATE_EVERY_MS, limit)).fetchall()
    connection.executemany(_CLAIM, due)
    return list(_claimed(connection, limit))


def told(connection: sqlite3.Connection, sent: Sequence[PendingScore], at_ms: int) -> None:
    """Langfuse has these. A value that has changed meanwhile waits for its turn again."""
    rows = [(pending.score.value, at_ms, pending.score.id) for pending in sent]
    connection.executemany(_TOLD, rows)


def refused(connection: sqlite3.Connection, pending: PendingScore, reason: str, at_ms: int) -> None:
    """Langfuse will not take this value; the next one is tried in its turn."""
    connection.execute(_REFUSED, (pending.score.value, at_ms, reason, pending.score.id))


def _claimed(connection: sqlite3.Connection, limit: int) -> Iterator[PendingScore]:
    for score, revision in connection.execute(_CLAIMED, (limit,)):
        yield PendingScore(score=_decode(score), revision=revision)


_SAVE: Final = """
    INSERT INTO scores (id, score, value, revision, dirty, urgent, changed_at_ms)
    VALUES (?, ?, ?, 0, 1, ?, ?)
    ON CONFLICT (id) DO UPDATE SET
        dirty = dirty OR value <> excluded.value,
        urgent = urgent OR (excluded.urgent AND (dirty OR value <> excluded.value)),
        score = excluded.score, value = excluded.value, changed_at_ms = excluded.changed_at_ms"""
_DUE: Final = """
    SELECT number FROM scores
    WHERE dirty AND claimed IS NULL AND (urgent OR sent_at_ms IS NULL OR sent_at_ms <= ?)
    ORDER BY number LIMIT ?"""
_CLAIM: Final = "UPDATE scores SET claimed = score, urgent = 0 WHERE number = ?"
"""What becomes urgent while this value is on its way is a later value."""
_CLAIMED: Final = """
    SELECT claimed, revision FROM scores WHERE dirty AND claimed IS NOT NULL ORDER BY id LIMIT ?"""
_TOLD: Final = """
    UPDATE scores SET revision = revision + 1, claimed = NULL, dirty = value <> ?1,
        urgent = urgent AND value <> ?1, sent_at_ms = ?2, reason = NULL
    WHERE id = ?3"""
_REFUSED: Final = """
    UPDATE scores SET revision = revision + 1, claimed = NULL, dirty = value <> ?1, urgent = 0,
        sent_at_ms = ?2, reason = ?3
    WHERE id = ?4"""
