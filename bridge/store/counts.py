"""The ledger's table ``counts``: numbers told apart by labels, bounded in how many there are.

Works on the ledger's connection, inside its transactions.
"""

import sqlite3
from collections.abc import Mapping
from typing import Final

import orjson

from bridge.model.counted import Series, max_series

MAX_CHANGE: Final = 2**63 - 1
"""SQLite's largest whole number; sums that pass it go on as floating point."""


def add(connection: sqlite3.Connection, counts: Mapping[Series, int]) -> None:
    """Add to each series; one that is new to a name that has enough goes to its ``beyond``.

    They are counters: what a client tells below zero adds nothing.
    """
    for series, told in counts.items():
        change = min(told, MAX_CHANGE)
        if change > 0 and not _added(connection, series, change):
            kept = series if _has_room(connection, series.name) else series.beyond()
            connection.execute(_INSERT, (series.name, _labels(kept), change))


def read(connection: sqlite3.Connection) -> list[tuple[str, dict[str, str], int]]:
    """(name, labels, value) of every series."""
    rows = connection.execute("SELECT name, labels, value FROM counts")
    return [(name, orjson.loads(labels), value) for name, labels, value in rows]


def _added(connection: sqlite3.Connection, series: Series, change: int) -> bool:
    row = (change, series.name, _labels(series))
    return connection.execute(_ADD, row).rowcount > 0


def _has_room(connection: sqlite3.Connection, name: str) -> bool:
    (known,) = connection.execute(_HOW_MANY, (name,)).fetchone()
    return bool(known < max_series(name))


def _labels(series: Series) -> str:
    labels = dict(series.labels + series.told)
    return orjson.dumps(labels, option=orjson.OPT_SORT_KEYS).decode()


_ADD: Final = "UPDATE counts SET value = value + ? WHERE name = ? AND labels = ?"
_HOW_MANY: Final = "SELECT count(*) FROM counts WHERE name = ?"
_INSERT: Final = (
    "INSERT INTO counts VALUES (?, ?, ?)"
    " ON CONFLICT (name, labels) DO UPDATE SET value = value + excluded.value"
)
