"""How a damaged ledger is made anew from what can be read of it."""

import sqlite3
import time
from typing import Final

from bridge.store.damage import Remake
from bridge.store.schema import INBOX, PROGRESS, TABLES, WATERMARK, make_tables

LOOK_AT_ALL: Final = (
    """INSERT OR IGNORE INTO looks SELECT 0, kinds.kind, conversations.key
        FROM conversations, (SELECT 0 AS kind UNION SELECT 2) AS kinds WHERE live""",
    "INSERT OR IGNORE INTO looks SELECT 0, 1, key FROM turns WHERE live",
)


def _complete_salvaged(connection: sqlite3.Connection, cut: frozenset[str]) -> None:
    """Traps of a ledger that lacks something.

    A delivery in flight will mark positions of the old file: none of them may be given to another
    observation. And what is missing may still be in the inbox, so that is read from its beginning,
    and whatever is live is looked at for each reason there is.
    """
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'observations'")
    connection.execute(
        "INSERT INTO sqlite_sequence SELECT 'observations', max(ifnull(max(position), 0), ?)"
        " FROM observations",
        (time.time_ns() // 1_000_000,),
    )
    if cut:
        connection.execute(
            "DELETE FROM facts WHERE name IN (?, ?, ?)", (INBOX, WATERMARK, PROGRESS)
        )
        for statement in LOOK_AT_ALL:
            connection.execute(statement)


REMAKE: Final = Remake(make_tables, TABLES, _complete_salvaged)
