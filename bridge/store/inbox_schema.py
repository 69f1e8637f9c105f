"""The inbox file's tables, its totals, and which inbox it is."""

import secrets
import sqlite3
from collections.abc import Mapping
from typing import Final

import msgspec

from bridge.model.requests import Signal

SCHEMA_VERSION: Final = 1

SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS requests (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        received_at_ms INTEGER NOT NULL,
        signal TEXT NOT NULL,
        encoding TEXT NOT NULL,
        gzipped INTEGER NOT NULL, -- 0: no; 1: it came so; 2: it was made so here
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
    "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
)

PART_BYTES: Final = 1024 * 1024
"""SQLite copies what it is given, twice for a moment. So a row of ``requests`` has that much of a
body, and what is behind it stands in ``parts``, in the order of ``number``."""
TABLES: Final = ("requests", "parts", "totals", "facts")

GENERATION: Final = "generation"
"""A random name, in ``facts``: positions of one inbox mean nothing in the next."""

ACCEPTED: Final = "accepted"
KEPT_REQUESTS: Final = "kept_requests"
KEPT_RECORDS: Final = {signal: f"kept_{signal}" for signal in Signal}
TOTALS: Final = (ACCEPTED, KEPT_REQUESTS, *KEPT_RECORDS.values())


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


def schema_version(connection: sqlite3.Connection) -> int:
    """0 before the writer has made its tables."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def make_tables(connection: sqlite3.Connection) -> None:
    """Make an empty inbox, unlike every other one, inside the caller's transaction."""
    for statement in SCHEMA:
        connection.execute(statement)
    names = [(name,) for name in TOTALS]
    connection.executemany("INSERT OR IGNORE INTO totals VALUES (?, 0)", names)
    name = (GENERATION, secrets.token_hex(8))
    connection.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", name)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def count_anew(connection: sqlite3.Connection) -> None:
    """Set the totals to what is in ``requests``: all of it was accepted, and nothing else."""
    rows = connection.execute("SELECT signal, count(*), sum(records) FROM requests GROUP BY signal")
    counts = {signal: (requests, records) for signal, requests, records in rows}
    values = {KEPT_RECORDS[Signal(signal)]: records for signal, (_, records) in counts.items()}
    values[KEPT_REQUESTS] = sum(requests for requests, _ in counts.values())
    values[ACCEPTED] = sum(records for _, records in counts.values())
    changes = [(value, name) for name, value in values.items()]
    connection.executemany("UPDATE totals SET value = ? WHERE name = ?", changes)


def generation_of(connection: sqlite3.Connection) -> str | None:
    """Which inbox this is."""
    query = "SELECT value FROM facts WHERE name = ?"
    row = connection.execute(query, (GENERATION,)).fetchone()
    return str(row[0]) if row else None


def totals_of(values: Mapping[str, int]) -> InboxTotals:
    """The table ``totals`` by its names; what is not there yet counts zero."""
    return InboxTotals(
        accepted=values.get(ACCEPTED, 0),
        kept_requests=values.get(KEPT_REQUESTS, 0),
        kept_records={signal: values.get(name, 0) for signal, name in KEPT_RECORDS.items()},
    )
