"""The ledger's tables. The inbox keeps its own, it shares nothing with these."""

import sqlite3
from typing import Final

SCHEMA_VERSION: Final = 2

PAGE_BYTES: Final = 8192
"""Twice SQLite's own: a step writes half as many pages, each with two calls to the system and once
more when the log goes into the file. Larger ones cost a step that takes in one request more."""

INBOX: Final = "inbox"
WATERMARK: Final = "watermark"
PROGRESS: Final = "progress"
"""Facts: up to where the inbox of which name was assembled."""

TABLES: Final = (
    "turns",
    "conversations",
    "looks",
    "traces",
    "observations",
    "blocks",
    "deliveries",
    "scores",
    "sessions",
    "quarantine",
    "totals",
    "series",
    "sums",
    "facts",
)

LEDGER: Final = (
    """CREATE TABLE IF NOT EXISTS turns (
        number INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        trace_id TEXT NOT NULL,
        session_id TEXT,
        live INTEGER NOT NULL,
        held INTEGER NOT NULL,
        started_ms INTEGER NOT NULL,
        saved_at_ms INTEGER NOT NULL,
        is_summary INTEGER NOT NULL,
        state BLOB NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS live_turns ON turns (held, live) WHERE live",
    "CREATE INDEX IF NOT EXISTS turns_by_age ON turns (saved_at_ms) WHERE NOT live",
    """CREATE TABLE IF NOT EXISTS conversations (
        number INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        live INTEGER NOT NULL,
        held INTEGER NOT NULL,
        saved_at_ms INTEGER NOT NULL,
        state BLOB NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS live_conversations ON conversations (key, held, live) WHERE live",
    "CREATE INDEX IF NOT EXISTS conversations_by_age ON conversations (saved_at_ms) WHERE NOT live",
    """CREATE TABLE IF NOT EXISTS looks (
        at_ms INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        key TEXT NOT NULL,
        PRIMARY KEY (at_ms, kind, key)
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS traces (
        number INTEGER PRIMARY KEY,
        trace_id TEXT NOT NULL UNIQUE
    )""",
    """CREATE TABLE IF NOT EXISTS observations (
        position INTEGER PRIMARY KEY,
        trace INTEGER NOT NULL,
        span_id BLOB NOT NULL,
        session_id TEXT,
        user_id TEXT,
        kind TEXT NOT NULL,
        is_root INTEGER NOT NULL,
        is_error INTEGER NOT NULL,
        model TEXT,
        start_ms INTEGER NOT NULL,
        end_ms INTEGER NOT NULL,
        cost_picousd INTEGER,
        usage TEXT,
        service_name TEXT NOT NULL,
        service_version TEXT,
        changed_at_ms INTEGER NOT NULL,
        reason TEXT,
        envelope BLOB,
        span BLOB,
        UNIQUE (trace, span_id)
    )""",
    """CREATE INDEX IF NOT EXISTS rejected ON observations (changed_at_ms)
        WHERE reason IS NOT NULL""",
    """CREATE TABLE IF NOT EXISTS blocks (
        position INTEGER PRIMARY KEY,
        first INTEGER NOT NULL,
        spans BLOB NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS deliveries (
        position INTEGER PRIMARY KEY,
        at_ms INTEGER NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS deliveries_by_age ON deliveries (at_ms)",
    """CREATE TABLE IF NOT EXISTS scores (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        score BLOB NOT NULL,
        value REAL NOT NULL,
        claimed BLOB,
        revision INTEGER NOT NULL,
        dirty INTEGER NOT NULL,
        urgent INTEGER NOT NULL,
        sent_at_ms INTEGER,
        reason TEXT,
        changed_at_ms INTEGER NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS dirty_scores ON scores (number) WHERE dirty AND claimed IS NULL",
    "CREATE INDEX IF NOT EXISTS claimed_scores ON scores (id) WHERE dirty AND claimed IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS scores_by_age ON scores (dirty, changed_at_ms)",
    """CREATE TABLE IF NOT EXISTS sessions (
        session_id TEXT PRIMARY KEY,
        numbers BLOB NOT NULL,
        saved_at_ms INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS sessions_by_age ON sessions (saved_at_ms)",
    """CREATE TABLE IF NOT EXISTS quarantine (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        position INTEGER NOT NULL,
        record_index INTEGER,
        signal TEXT,
        records INTEGER NOT NULL,
        reason TEXT NOT NULL,
        body BLOB NOT NULL,
        at_ms INTEGER NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS totals (
        name TEXT PRIMARY KEY, value INTEGER NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS series (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        labels TEXT NOT NULL, -- a JSON object, its keys sorted
        UNIQUE (name, labels)
    )""",
    "CREATE TABLE IF NOT EXISTS sums (number INTEGER PRIMARY KEY, value INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
)
"""
* ``turns.state`` and ``conversations.state`` are the correlator's; what is not ``live`` is kept to
  recognise what comes late or again, until retention deletes it. Indexes of what is live have the
  column too: without it SQLite looks each row up, with its state, to see what is known already.
* ``looks`` is the correlator's queue: at what it looks again, when, what for.
* ``traces`` number the traces in the order in which they came up, for ``observations.trace``.
* ``observations.position`` is the order of delivery: Langfuse has what is not behind the fact
  ``outbox.DELIVERED_TO``, but for what it refused, which has a ``reason``. (trace, span_id) is the
  duplicate filter. The plain columns are for sums; the rest is in the span, which is in ``blocks``
  under the position, and of what was refused in the row: that may stay longer than its block.
* ``deliveries`` tell when Langfuse took the observations up to a position, for their ages.
* What has an id of random bytes has a number besides, in the order in which it came: rows of what
  goes on lie side by side, so that a step writes few pages however large the ledger is. Of what
  is random only the index is, and that is written when something is new. Every index costs each
  of millions of rows, so there is none for what only people ask.
* ``scores.value`` is the latest, ``claimed`` the one on its way to Langfuse at this ``revision``,
  so that a repetition is the same; ``dirty`` until they agree; ``urgent`` ones do not wait.
* ``sessions.numbers`` are a session's totals, for people at a terminal.
* ``quarantine.body`` is as ``step.Quarantined`` says; ``totals`` has the sum of their bytes.
* ``totals`` count record outcomes and observations; ``facts`` hold the watermark and what is known
  of Langfuse. ``series`` with their ``sums`` are what Prometheus is shown besides, by labels.
"""


def make_tables(connection: sqlite3.Connection) -> None:
    """Make an empty ledger, inside the caller's transaction."""
    for statement in LEDGER:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
