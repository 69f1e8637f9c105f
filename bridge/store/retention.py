"""What of the ledger is deleted when, in small steps.

Works on the ledger's connection, inside its transactions. Every statement finds its rows by an
index, oldest first, so that a step takes the same time in a ledger of any size.
"""

import sqlite3
from typing import Final

from bridge.store.facts import add_totals
from bridge.store.outbox import EXPIRED, PENDING, delivered_to

MAX_POSITION: Final = 2**63 - 1
PRUNE_ROWS: Final = 200
"""Rows of each table deleted in one transaction, so that nobody waits for long."""


def prune(connection: sqlite3.Connection, before_ms: int) -> int:
    """Delete what is done with and was last touched before then; the number of rows."""
    deleted = _delete_delivered(connection, before_ms)
    deleted += sum(connection.execute(each, (before_ms, PRUNE_ROWS)).rowcount for each in _PRUNE)
    connection.execute(_PRUNE_TRACES, (PRUNE_ROWS,))
    connection.execute(_PRUNE_DELIVERIES, (PRUNE_ROWS,))
    connection.execute(_PRUNE_BLOCKS, (PRUNE_ROWS,))
    return deleted


def expire(connection: sqlite3.Connection, before_ms: int) -> int:
    """Delete what was never delivered, where nothing delivers; the number of observations."""
    (first,) = connection.execute(_OLDEST_PENDING, (delivered_to(connection),)).fetchone()
    expired = connection.execute(_EXPIRE, (first, PRUNE_ROWS, before_ms)).rowcount
    add_totals(connection, {EXPIRED: expired, PENDING: -expired})
    connection.execute(_EXPIRE_SCORES, (before_ms, PRUNE_ROWS))
    return expired


def oldest_delivered_ms(connection: sqlite3.Connection) -> int | None:
    """When Langfuse took the oldest observation that is still here; None without any."""
    row = connection.execute(_OLDEST_DELIVERED).fetchone()
    return row[0] if row else None


def _delete_delivered(connection: sqlite3.Connection, before_ms: int) -> int:
    """Delete observations that were delivered before then, oldest first."""
    row = connection.execute(_DELIVERED_BEFORE, (before_ms,)).fetchone()
    return connection.execute(_PRUNE_DELIVERED, (*row, PRUNE_ROWS)).rowcount if row else 0


_OLDEST: Final = (
    "SELECT position FROM observations WHERE position > 0 AND reason IS NULL"
    " ORDER BY position LIMIT 1"
)
_OLDEST_DELIVERED: Final = (
    f"SELECT at_ms FROM deliveries WHERE position >= ({_OLDEST}) ORDER BY position LIMIT 1"  # noqa: S608 - a constant
)
_DELIVERED_BEFORE: Final = (
    "SELECT position FROM deliveries WHERE at_ms < ? ORDER BY at_ms DESC LIMIT 1"
)
_PRUNE_DELIVERED: Final = (
    "DELETE FROM observations WHERE position IN (SELECT position FROM observations"
    " WHERE position <= ? AND reason IS NULL ORDER BY position LIMIT ?)"
)
_PRUNE_DELIVERIES: Final = f"""
    DELETE FROM deliveries WHERE position IN (SELECT position FROM deliveries
        WHERE position < ({_OLDEST}) ORDER BY position LIMIT ?)"""  # noqa: S608 - likewise
"""One stays for the oldest observation: it tells its age."""
_PRUNE_BLOCKS: Final = f"""
    DELETE FROM blocks WHERE position IN (SELECT position FROM blocks
        WHERE position < ifnull(({_OLDEST}), {MAX_POSITION}) ORDER BY position LIMIT ?)"""  # noqa: S608 - likewise
_PRUNE_TRACES: Final = f"""
    DELETE FROM traces WHERE number IN (SELECT number FROM traces
        WHERE number < (SELECT trace FROM observations WHERE position = ({_OLDEST}))
            AND NOT EXISTS (SELECT 1 FROM observations WHERE trace = number)
        ORDER BY number LIMIT ?)"""  # noqa: S608 - likewise
"""Those before that of the oldest observation: few of them have observations still."""
_OLDEST_PENDING: Final = (
    "SELECT min(position) FROM observations WHERE position > ? AND reason IS NULL"
)
_EXPIRE: Final = """
    DELETE FROM observations
    WHERE position >= ?1 AND position < ?1 + ?2 AND reason IS NULL AND changed_at_ms < ?3"""
"""Positions and ages grow together: only the first can be old enough."""
_EXPIRE_SCORES: Final = (
    "DELETE FROM scores WHERE number IN (SELECT number FROM scores"
    " WHERE dirty = 1 AND changed_at_ms < ? ORDER BY changed_at_ms LIMIT ?)"
)
_PRUNE: Final = (
    """DELETE FROM observations WHERE position IN (SELECT position FROM observations
        WHERE reason IS NOT NULL AND changed_at_ms < ? ORDER BY changed_at_ms LIMIT ?)""",
    """DELETE FROM turns WHERE number IN (SELECT number FROM turns
        WHERE saved_at_ms < ? AND NOT live ORDER BY saved_at_ms LIMIT ?)""",
    """DELETE FROM sessions WHERE session_id IN (SELECT session_id FROM sessions
        WHERE saved_at_ms < ? ORDER BY saved_at_ms LIMIT ?)""",
    """DELETE FROM scores WHERE number IN (SELECT number FROM scores
        WHERE dirty = 0 AND changed_at_ms < ? ORDER BY changed_at_ms LIMIT ?)""",
    """DELETE FROM conversations WHERE number IN (SELECT number FROM conversations
        WHERE saved_at_ms < ? AND NOT live ORDER BY saved_at_ms LIMIT ?)""",
)
