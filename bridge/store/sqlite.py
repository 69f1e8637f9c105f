"""Opening SQLite files the one way the bridge does it, and naming how they fail."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from bridge.errors import DamagedStoreError, StoreError
from bridge.store.binding import bind_quickly

BUSY_TIMEOUT_S = 5.0
"""Readers of the other process hold no locks in WAL mode; only a checkpoint or a person with a
shell can make us wait."""

COMPANIONS: Final = ("", "-wal", "-shm")
"""What SQLite puts behind a file's name: it, its log of commits, and the index of that log."""

PRIVATE: Final = 0o600
OTHERS: Final = 0o077

DAMAGE_CODES: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


PAGE_BYTES: Final = 4096
"""SQLite's own."""


def connect(
    path: Path, *, read_only: bool = False, page_bytes: int = PAGE_BYTES
) -> sqlite3.Connection:
    """Open ``path`` with the pragmas every store file shares, in autocommit mode.

    A file that is made has pages of ``page_bytes``; one that is there keeps its own.

    A file that is made is for its owner only, whatever the umask; one that others may read and
    that is ours is made so.
    Transactions are written out (``BEGIN IMMEDIATE`` … ``COMMIT``) where they matter.

    Raises:
        DamagedStoreError: It is no SQLite file, or its beginning is damaged.
        StoreError: The file cannot be opened; the text says which and why.
    """
    bind_quickly()
    with reported(path):
        if not read_only:
            make_private(path)
        connection = sqlite3.connect(
            f"file:{path}?mode={'ro' if read_only else 'rwc'}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            if not read_only:
                _set_up(connection, page_bytes)
        except sqlite3.Error:
            connection.close()
            raise
    return connection


def _set_up(connection: sqlite3.Connection, page_bytes: int) -> None:
    if connection.execute("PRAGMA page_count").fetchone() == (0,):
        # Count before the first table only; later they would need the write lock, for nothing.
        connection.execute(f"PRAGMA page_size = {page_bytes}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def make_private(path: Path) -> None:
    """Make the file if it is not there, readable by nobody else. SQLite's own take its mode.

    Raises:
        StoreError: It cannot be made.
    """
    try:
        # Never opened when it is there: closing it would end SQLite's locks on it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE))
    except FileExistsError:
        _tighten(path)
    except OSError as error:
        raise StoreError(f"cannot open {path}: {error.strerror}") from error


def _tighten(path: Path) -> None:
    for suffix in COMPANIONS:
        file = path.with_name(path.name + suffix)
        with suppress(OSError):  # it is not there, or not ours: nothing we could change
            if file.stat().st_mode & OTHERS:
                file.chmod(PRIVATE)


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """SQLite's failures leave the store as StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise store_error(path, error) from error


def store_error(path: Path, error: sqlite3.Error) -> StoreError:
    """What SQLite's failure on ``path`` is to the rest of the bridge."""
    text = f"cannot use {path}: {error}"
    return DamagedStoreError(text) if is_damage(error) else StoreError(text)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file's bytes are wrong, which no waiting will mend."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in DAMAGE_CODES


def identity(path: Path) -> tuple[int, int] | None:
    """Which file is at ``path`` now; another one after it was replaced, None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def shrink(connection: sqlite3.Connection, pages: int) -> int:
    """Give up to ``pages`` unused pages back to the disk; how many are left unused."""
    # The statement yields once for each page, and execute() would stop at the first.
    connection.executescript(f"PRAGMA incremental_vacuum({pages})")
    return unused_pages(connection)


def unused_pages(connection: sqlite3.Connection) -> int:
    """Pages of the file that hold nothing."""
    (unused,) = connection.execute("PRAGMA freelist_count").fetchone()
    return int(unused)
