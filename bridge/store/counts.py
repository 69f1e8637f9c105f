"""The ledger's numbers told apart by labels, bounded in how many there are.

Works on the ledger's connection, inside its transactions.

::

    series   number ─ name, labels
    sums     number ─ value           written by each step: apart, so that it writes few pages
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Final

import orjson

from bridge.model.counted import Series, max_series

MAX_CHANGE: Final = 2**63 - 1
"""SQLite's largest whole number; sums that pass it go on as floating point."""

KEPT_SERIES: Final = 8_192
"""Series whose number is remembered; beyond it all are forgotten, and found again one by one."""


class KnownSeries(dict[Series, int]):
    """Series → the number of what counts it: its own, or the one for all that have no room.

    Also which the table has: to go on with one of them asks nothing of the file. A series keeps its
    number, since rows are only ever added. A copy of what the transactions of one connection have
    written, to be thrown away with it.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._numbers: dict[str, dict[str, int]] = {}
        for number, name, labels in connection.execute(_ALL):
            self._of_name(name)[labels] = number

    def __missing__(self, series: Series) -> int:
        if len(self) >= KEPT_SERIES:
            self.clear()
        number = self[series] = self._number_of(series)
        return number

    def _number_of(self, series: Series) -> int:
        numbers, labels = self._of_name(series.name), _labels(series)
        if labels not in numbers and len(numbers) >= max_series(series.name):
            labels = _labels(series.beyond())
        if labels not in numbers:
            numbers[labels] = self._connection.execute(_NEW, (series.name, labels)).lastrowid or 0
        return numbers[labels]

    def _of_name(self, name: str) -> dict[str, int]:
        return self._numbers.setdefault(name, {})


def add(
    connection: sqlite3.Connection, counts: Iterable[Mapping[Series, int]], known: KnownSeries
) -> None:
    """Add to each series; one that is new to a name that has enough goes to its ``beyond``.

    They are counters: what a client tells below zero adds nothing.
    """
    sums: dict[int, int] = {}
    so_far = sums.get
    for series, told in chain.from_iterable([each.items() for each in counts]):
        if told > 0:
            number = known[series]
            change = told if told < MAX_CHANGE else MAX_CHANGE  # noqa: FURB136 - min is a call
            sums[number] = so_far(number, 0) + change
    connection.executemany(_ADD, _changes(sums))


def _changes(sums: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """What is too large for one change takes several."""
    for number, change in sums.items():
        left = change
        while left > MAX_CHANGE:
            yield number, MAX_CHANGE
            left -= MAX_CHANGE
        yield number, left


def read(connection: sqlite3.Connection) -> list[tuple[str, dict[str, str], int]]:
    """(name, labels, value) of every series."""
    return [
        (name, orjson.loads(labels), value) for name, labels, value in connection.execute(_SUMS)
    ]


def _labels(series: Series) -> str:
    labels = dict(series.labels + series.told)
    return orjson.dumps(labels, option=orjson.OPT_SORT_KEYS).decode()


_ALL: Final = "SELECT number, name, labels FROM series"
_NEW: Final = "INSERT INTO series (name, labels) VALUES (?, ?)"
_ADD: Final = (
    "INSERT INTO sums VALUES (?, ?)"
    " ON CONFLICT (number) DO UPDATE SET value = value + excluded.value"
)
_SUMS: Final = (
    "SELECT name, labels, value FROM series JOIN sums USING (number) ORDER BY name, labels"
)
