"""The ledger's counters and single facts, by name. Leaves what they mean to ``ledger``."""

import sqlite3
from collections.abc import Mapping
from typing import Final

ADD_TOTAL: Final = (
    "INSERT INTO totals VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + ?"
)


def add_totals(connection: sqlite3.Connection, changes: Mapping[str, int]) -> None:
    """Count on; a counter that is not there yet begins at 0."""
    connection.executemany(
        ADD_TOTAL, [(name, change, change) for name, change in changes.items() if change]
    )


def set_fact(connection: sqlite3.Connection, name: str, value: str) -> None:
    """Remember a fact in place of what it was."""
    connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))


def fact(connection: sqlite3.Connection, name: str) -> str | None:
    """What is remembered under a name."""
    row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None
