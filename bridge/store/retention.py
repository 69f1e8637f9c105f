"""What of the ledger is deleted when, in small steps.

Works on the ledger's connection, inside its transactions. Every statement finds its rows by an
index, oldest first, so that a step takes the same time in a ledger of any size.
"""

import sqlite3
from typing import Final

PRUNE_ROWS: Final = 200
"""Rows of each table deleted in one transaction, so that nobody waits for long."""


def prune(connection: sqlite3.Connection, before_ms: int) -> int:
    """Delete what is done with and was last touched before then; the number of rows."""
    return sum(connection.execute(each, (before_ms, PRUNE_ROWS)).rowcount for each in _PRUNE)


def expire(connection: sqlite3.Connection, before_ms: int) -> int:
    """Delete what was never delivered, where nothing delivers; the number of observations."""
    expired = connection.execute(_EXPIRE, (before_ms, PRUNE_ROWS)).rowcount
    connection.execute(_EXPIRE_SCORES, (before_ms, PRUNE_ROWS))
    return expired


def oldest_delivered_ms(connection: sqlite3.Connection) -> int | None:
    """Up to when a step's worth of delivered observations was last touched; None without any."""
    rows = connection.execute(_OLDEST_DELIVERED, (PRUNE_ROWS,)).fetchall()
    return rows[-1][0] if rows else None


_OLDEST_DELIVERED: Final = (
    "SELECT changed_at_ms FROM observations WHERE state = 'delivered'"
    " ORDER BY changed_at_ms LIMIT ?"
)
_EXPIRE: Final = (
    "DELETE FROM observations WHERE position IN (SELECT position FROM observations"
    " WHERE state = 'pending' AND changed_at_ms < ? ORDER BY changed_at_ms LIMIT ?)"
)
_EXPIRE_SCORES: Final = (
    "DELETE FROM scores WHERE id IN (SELECT id FROM scores"
    " WHERE dirty = 1 AND changed_at_ms < ? ORDER BY changed_at_ms LIMIT ?)"
)
_PRUNE: Final = (
    """DELETE FROM observations WHERE position IN (SELECT position FROM observations
        WHERE state = 'delivered' AND changed_at_ms < ? ORDER BY changed_at_ms LIMIT ?)""",
    """DELETE FROM observations WHERE position IN (SELECT position FROM observations
        WHERE state = 'rejected' AND changed_at_ms < ? ORDER BY changed_at_ms LIMIT ?)""",
    """DELETE FROM turns WHERE key IN (SELECT key FROM turns
        WHERE saved_at_ms < ? AND NOT live ORDER BY saved_at_ms LIMIT ?)""",
    """DELETE FROM sessions WHERE session_id IN (SELECT session_id FROM sessions
        WHERE saved_at_ms < ? ORDER BY saved_at_ms LIMIT ?)""",
    """DELETE FROM scores WHERE id IN (SELECT id FROM scores
        WHERE dirty = 0 AND changed_at_ms < ? ORDER BY changed_at_ms LIMIT ?)""",
    """DELETE FROM conversations WHERE key IN (SELECT key FROM conversations
        WHERE saved_at_ms < ? AND NOT live ORDER BY saved_at_ms LIMIT ?)""",
)
