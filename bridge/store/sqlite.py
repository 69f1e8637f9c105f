"""Opening SQLite files the one way the bridge does it."""

import sqlite3
from pathlib import Path

from bridge.errors import StoreError

BUSY_TIMEOUT_S = 5.0
"""Readers of the other process hold no locks in WAL mode; only a checkpoint or a person with a
shell can make us wait."""


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open ``path`` with the pragmas every store file shares, in autocommit mode.

    Transactions are written out (``BEGIN IMMEDIATE`` … ``COMMIT``) where they matter.

    Raises:
        StoreError: The file cannot be opened; the text says which and why.
    """
    try:
        connection = sqlite3.connect(
            f"file:{path}?mode={'ro' if read_only else 'rwc'}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error as error:
        raise StoreError(f"cannot open {path}: {error}") from error
    return connection
