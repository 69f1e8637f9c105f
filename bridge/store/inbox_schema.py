"""The inbox file's tables, its totals, and how its failures leave the store."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from bridge.errors import StoreError
from bridge.model.requests import Signal

SCHEMA_VERSION: Final = 1

SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS requests (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        received_at_ms INTEGER NOT NULL,
        signal TEXT NOT NULL,
        encoding TEXT NOT NULL,
        gzipped INTEGER NOT NULL,
        records INTEGER NOT NULL,
        sender TEXT NOT NULL,
        fixed TEXT NOT NULL, -- attributes as a JSON object
        body BLOB NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS parts (
        position INTEGER NOT NULL,
        number INTEGER NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (position, number)
    )""",
    """CREATE TABLE IF NOT EXISTS totals (
        name TEXT PRIMARY KEY,
        value INTEGER NOT NULL
    ) WITHOUT ROWID""",
)

PART_BYTES: Final = 1024 * 1024
"""SQLite copies what it is given, twice for a moment. So a row of ``requests`` has that much of a
body, and what is behind it stands in ``parts``, in the order of ``number``."""

ACCEPTED: Final = "accepted"
KEPT_REQUESTS: Final = "kept_requests"
KEPT_RECORDS: Final = {signal: f"kept_{signal}" for signal in Signal}


class InboxTotals(msgspec.Struct, frozen=True, kw_only=True):
    """How much was ever accepted and how much is still kept.

    Attributes:
        accepted: Records ever appended.
        kept_requests: Export requests that are not released yet.
        kept_records: The records in them, by signal.
    """

    accepted: int
    kept_requests: int
    kept_records: dict[Signal, int]


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """SQLite's failures leave the store as StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"cannot use {path}: {error}") from error


def schema_version(connection: sqlite3.Connection) -> int:
    """0 before the writer has made its tables."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def totals_of(values: Mapping[str, int]) -> InboxTotals:
    """The table ``totals`` by its names; what is not there yet counts zero."""
    return InboxTotals(
        accepted=values.get(ACCEPTED, 0),
        kept_requests=values.get(KEPT_REQUESTS, 0),
        kept_records={signal: values.get(name, 0) for signal, name in KEPT_RECORDS.items()},
    )
