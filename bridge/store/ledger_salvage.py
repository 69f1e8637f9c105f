"""How a damaged ledger is made anew from what can be read of it."""

import sqlite3
import time
from typing import Final

from bridge.errors import DamagedStoreError
from bridge.store import blocks
from bridge.store.damage import Remake
from bridge.store.facts import set_fact
from bridge.store.observations import LAST_POSITION
from bridge.store.outbox import DELIVERED_TO, PENDING, delivered_to
from bridge.store.schema import INBOX, PAGE_BYTES, PROGRESS, TABLES, WATERMARK, make_tables

LOOK_AT_ALL: Final = (
    """INSERT OR IGNORE INTO looks SELECT 0, kinds.kind, conversations.key
        FROM conversations, (SELECT 0 AS kind UNION SELECT 2) AS kinds WHERE live""",
    "INSERT OR IGNORE INTO looks SELECT 0, 1, key FROM turns WHERE live",
)


def _complete_salvaged(connection: sqlite3.Connection, cut: frozenset[str]) -> None:
    """Traps of a ledger that lacks something.

    A delivery in flight will tell of positions of the old file: none of them may be given to
    another observation. What Langfuse has is known twice, so the larger position counts. And what
    is missing may still be in the inbox, so that is read from its beginning, and whatever is live
    is looked at for each reason there is.
    """
    _drop_unreadable(connection)
    (last,) = connection.execute(_LAST_POSITION).fetchone()
    set_fact(connection, LAST_POSITION, str(max(last, time.time_ns() // 1_000_000)))
    (told_to,) = connection.execute(_TOLD_TO).fetchone()
    set_fact(connection, DELIVERED_TO, str(max(told_to, delivered_to(connection))))
    connection.execute(_PENDING_AS_COUNTED, (PENDING, delivered_to(connection)))
    if cut:
        connection.execute(
            "DELETE FROM facts WHERE name IN (?, ?, ?)", (INBOX, WATERMARK, PROGRESS)
        )
        for statement in LOOK_AT_ALL:
            connection.execute(statement)


def _drop_unreadable(connection: sqlite3.Connection) -> None:
    """Observations without the bytes of their spans are none; their records may come again."""
    for (position,) in connection.execute("SELECT position FROM blocks").fetchall():
        try:
            blocks.Spans(connection).at(position)
        except DamagedStoreError:
            connection.execute("DELETE FROM blocks WHERE position = ?", (position,))
    connection.execute(_DROP_WITHOUT_SPAN)


_DROP_WITHOUT_SPAN: Final = """
    DELETE FROM observations WHERE reason IS NULL AND position < ifnull((SELECT first FROM blocks
        WHERE blocks.position >= observations.position ORDER BY blocks.position LIMIT 1), 1e19)"""
_LAST_POSITION: Final = "SELECT ifnull(max(position), 0) FROM observations"
_TOLD_TO: Final = "SELECT ifnull(max(position), 0) FROM deliveries"
_PENDING_AS_COUNTED: Final = """
    INSERT OR REPLACE INTO totals SELECT ?, count(*) FROM observations
    WHERE position > ? AND reason IS NULL"""

REMAKE: Final = Remake(make_tables, TABLES, _complete_salvaged, PAGE_BYTES)
