"""The ledger's table ``counts``: numbers told apart by labels, bounded in how many there are.

Works on the ledger's connection, inside its transactions.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

import orjson

from bridge.model.counted import Series, max_series

MAX_CHANGE: Final = 2**63 - 1
"""SQLite's largest whole number; sums that pass it go on as floating point."""

KEPT_ROWS: Final = 8_192
"""Series whose row is remembered; beyond it all are forgotten, and found again one by one."""

Row = tuple[str, str]
"""(name, labels): a key of the table."""


class KnownSeries(dict[Series, Row]):
    """Series → the row that counts it: its own, or the one for all that there is no room for.

    Also which rows the table has: to go on with one of them asks nothing of the file. A series
    keeps its row, since rows are only ever added. A copy of what the transactions of one connection
    have written, to be thrown away with it.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._labels: defaultdict[str, set[str]] = defaultdict(set)
        for name, labels in connection.execute("SELECT name, labels FROM counts"):
            self._labels[name].add(labels)

    def __missing__(self, series: Series) -> Row:
        if len(self) >= KEPT_ROWS:
            self.clear()
        row = self[series] = self._row_of(series)
        return row

    def _row_of(self, series: Series) -> Row:
        known, labels = self._labels[series.name], _labels(series)
        if labels not in known:
            if len(known) >= max_series(series.name):
                return series.name, _labels(series.beyond())
            known.add(labels)
        return series.name, labels


def add(connection: sqlite3.Connection, counts: Mapping[Series, int], known: KnownSeries) -> None:
    """Add to each series; one that is new to a name that has enough goes to its ``beyond``.

    They are counters: what a client tells below zero adds nothing.
    """
    sums: dict[Row, int] = {}
    so_far = sums.get
    for series, told in counts.items():
        if told > 0:
            row = known[series]
            change = told if told < MAX_CHANGE else MAX_CHANGE  # noqa: FURB136 - min is a call
            sums[row] = so_far(row, 0) + change
    connection.executemany(_ADD, _changes(sums))


def _changes(sums: Mapping[Row, int]) -> Iterator[tuple[str, str, int]]:
    """What is too large for one change takes several."""
    for (name, labels), change in sums.items():
        left = change
        while left > MAX_CHANGE:
            yield name, labels, MAX_CHANGE
            left -= MAX_CHANGE
        yield name, labels, left


def read(connection: sqlite3.Connection) -> list[tuple[str, dict[str, str], int]]:
    """(name, labels, value) of every series."""
    rows = connection.execute("SELECT name, labels, value FROM counts")
    return [(name, orjson.loads(labels), value) for name, labels, value in rows]


def _labels(series: Series) -> str:
    labels = dict(series.labels + series.told)
    return orjson.dumps(labels, option=orjson.OPT_SORT_KEYS).decode()


_ADD: Final = (
    "INSERT INTO counts VALUES (?, ?, ?)"
    " ON CONFLICT (name, labels) DO UPDATE SET value = value + excluded.value"
)
