"""Appending to the inbox, and its totals: a group of requests in as few statements as possible.

Every statement lets go of Python's lock and then waits for it behind the loop that answers, which
costs more than a row does. Everything here happens inside the caller's transaction.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Final

from bridge.model.requests import ExportRequest
from bridge.store.inbox_schema import ACCEPTED, KEPT_RECORDS, KEPT_REQUESTS, PART_BYTES, TOTALS
from bridge.store.packing import Packed

APPEND: Final = (
    "INSERT INTO requests (received_at_ms, signal, encoding, gzipped, records, sender, fixed, body)"
    " VALUES "
)
ROW: Final = "(?, ?, ?, ?, ?, ?, ?, ?)"
LARGEST_RUN: Final = 16
RUN_BYTES: Final = 256 * 1024
"""How many rows one statement appends, or half of them and so on, and of how many bytes where it is
several: SQLite has a copy of each meanwhile, and of the last run of each length for good."""
APPEND_PART: Final = "INSERT INTO parts VALUES (?, ?, ?)"
WHEN: Final = [f"WHEN '{name}' THEN :{name}" for name in TOTALS]
COUNT: Final = f"UPDATE totals SET value = value + CASE name {' '.join(WHEN)} ELSE 0 END"  # noqa: S608 - our names
UNCHANGED: Final = dict.fromkeys(TOTALS, 0)


def append(connection: sqlite3.Connection, group: Sequence[Packed]) -> None:
    """Append requests in their order."""
    sizes_bytes = [len(body) for _, _, body in group]
    last = at = 0
    for rows in _runs(sizes_bytes):
        values = [*chain.from_iterable(map(_values, group[at : at + rows]))]
        last = connection.execute(_statement(rows), values).lastrowid or 0
        at += rows
    if max(sizes_bytes, default=0) > PART_BYTES:
        connection.executemany(APPEND_PART, _parts(last - len(group) + 1, group))


def change_totals(connection: sqlite3.Connection, changes: Mapping[str, int]) -> None:
    """Add to the totals."""
    connection.execute(COUNT, {**UNCHANGED, **changes})


def totals_of(requests: Sequence[ExportRequest]) -> Mapping[str, int]:
    """What appending them adds to the totals."""
    changes = {
        name: sum([request.records for request in requests if request.signal is signal])
        for signal, name in KEPT_RECORDS.items()
    }
    return {KEPT_REQUESTS: len(requests), ACCEPTED: sum(changes.values()), **changes}


def _runs(sizes_bytes: Sequence[int]) -> Iterator[int]:
    """How many rows each statement appends, of bodies that have these sizes."""
    at = 0
    while left := len(sizes_bytes) - at:
        rows = LARGEST_RUN
        while rows > 1 and (rows > left or sum(sizes_bytes[at : at + rows]) > RUN_BYTES):
            rows //= 2
        yield rows
        at += rows


@cache
def _statement(rows: int) -> str:
    """Appends so many rows. Few texts, each of which SQLite compiles once."""
    return APPEND + ", ".join([ROW] * rows)


def _values(packed: Packed) -> tuple[int, str, str, int, int, str, str, bytes]:
    request, packing, body = packed
    # Of the very types that SQLite knows: for a subclass the module looks for an adapter first.
    return (
        request.received_at_ms,
        str(request.signal),
        str(request.encoding),
        packing,
        request.records,
        request.sender,
        json.dumps(request.fixed) if request.fixed else "{}",
        body[:PART_BYTES],
    )


def _parts(first: int, group: Sequence[Packed]) -> Iterator[tuple[int, int, memoryview]]:
    """Rows of ``parts`` for requests that were inserted one behind the other."""
    for position, packed in enumerate(group, first):
        body = memoryview(packed.body)
        for number, at in enumerate(range(PART_BYTES, len(body), PART_BYTES)):
            yield position, number, body[at : at + PART_BYTES]
