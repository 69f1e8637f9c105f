"""A store file that is damaged: set aside, never deleted, and replaced by one that is not.

Responsible for: renaming the file with its companions, reading back whatever SQLite still reads of
it into a new file, and that a crash anywhere in between is taken up again.
Left to others: noticing damage (``sqlite.is_damage``), what a new file has to have (``Remake``).

::

    inbox.db           → inbox.db.damaged-20261122T101500Z     likewise -wal and -shm
    inbox.db.salvage   → inbox.db

The empty ``.salvage`` is made first, and becomes the file when it has all that can be read: where
it is found without the file itself, the work was cut short and begins again.
Of each table the rows before the first unreadable place and behind the last one are saved. Where
the beginning of the file is lost, that of a new file stands in for it: the same tables made in the
same order begin on the same pages.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from bridge.errors import DamagedStoreError, StoreError
from bridge.store.sqlite import COMPANIONS, PAGE_BYTES, identity, make_private, reported

DAMAGED: Final = ".damaged-"
SALVAGE: Final = ".salvage"
GRAFTED: Final = ".grafted"
SUSPECT: Final = ".suspect"
"""An empty file beside one that its reader, who must not touch it, found damaged."""

VERSION_VALID_FOR: Final = slice(92, 96)
"""Where the header says which state its own page count belongs to; see SQLite's file format."""


class Remake(NamedTuple):
    """How a file is made anew.

    Attributes:
        make: Makes empty tables, in a transaction.
        keep: Tables whose rows are taken over.
        complete: Sets right what depends on the rows; told which tables were not read whole.
        page_bytes: Size of its pages. Only a file with the same can be given a new beginning.
    """

    make: Callable[[sqlite3.Connection], None]
    keep: tuple[str, ...]
    complete: Callable[[sqlite3.Connection, frozenset[str]], None]
    page_bytes: int = PAGE_BYTES


class Replaced(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a damaged file.

    Attributes:
        aside: Where it is now.
        rows: How many were taken over.
        cut: Tables that could not be read to their end.
    """

    aside: Path
    rows: int
    cut: tuple[str, ...]

    def __str__(self) -> str:
        lost = f"not all could be read of: {', '.join(self.cut)}" if self.cut else "none is lost"
        return (
            f"{self.rows} rows were taken over into a new file, {lost}. The damaged file is kept "
            f"as {self.aside}; delete it when you need nothing more of it, and check the disk"
        )


def replace_damaged(path: Path, remake: Remake) -> Replaced:
    """Set ``path`` aside and put a new file in its place. Nobody may be writing it.

    Raises:
        StoreError: There is no room, or no right, to do so; call it again.
    """
    salvage = _beside(path, SALVAGE)
    try:
        with reported(salvage):
            _remove(salvage)
            make_private(salvage)
            aside = _set_aside(path)
            replaced = _salvage(aside, salvage, remake)
            salvage.replace(path)
            _flush(path.parent)
            _beside(path, SUSPECT).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot set {path} aside: {error.strerror}") from error
    return replaced


def check(path: Path) -> None:
    """Look whether the writer of ``path`` may open it.

    Raises:
        DamagedStoreError: It has to be replaced first.
    """
    check_log(path)
    if _beside(path, SUSPECT).exists():
        raise DamagedStoreError(f"{path} was found damaged by its reader")
    if not path.exists() and _beside(path, SALVAGE).exists():
        raise DamagedStoreError(f"{path} was being replaced")


def check_log(path: Path) -> None:
    """Look whether anybody may open ``path``: beside an empty file SQLite deletes the log.

    Raises:
        DamagedStoreError: It has to be replaced first.
    """
    if _size_bytes(_beside(path, "-wal")) and not _size_bytes(path):
        raise DamagedStoreError(f"{path} is empty beside its log of commits")


def suspect(path: Path, opened: tuple[int, int] | None) -> None:
    """Tell the writer of ``path`` that it is damaged, unless it was replaced meanwhile."""
    if opened is None or opened == identity(path):
        with suppress(OSError, StoreError):  # whoever may not write there cannot tell
            make_private(_beside(path, SUSPECT))


def damaged_files(folder: Path) -> list[str]:
    """Names of the files that were set aside and are still there."""
    found = (file.name for file in folder.glob(f"*{DAMAGED}*"))
    return sorted(name for name in found if not name.endswith(COMPANIONS[1:]))


def check_tables(connection: sqlite3.Connection, path: Path, tables: tuple[str, ...]) -> None:
    """Raise DamagedStoreError if a file that says it has its tables has not."""
    found = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    if missing := set(tables) - found:
        raise DamagedStoreError(f"{path} has lost its tables {', '.join(sorted(missing))}")


def _set_aside(path: Path) -> Path:
    """Rename the file before its companions: one without its log would look older than it is."""
    aside = _name_aside(path)
    for suffix in COMPANIONS:
        with suppress(FileNotFoundError):
            _beside(path, suffix).rename(_beside(aside, suffix))
    _flush(path.parent)
    return aside


def _name_aside(path: Path) -> Path:
    """A new name, or the one under which a crash left the file without its companions."""
    found = [f for f in damaged_files(path.parent) if f.startswith(path.name + DAMAGED)]
    if path.exists() or not found:
        return _unused_name(path)
    latest, log = path.with_name(found[-1]), COMPANIONS[1]
    both = _beside(path, log).exists() and _beside(latest, log).exists()
    return _unused_name(path) if both else latest


def _unused_name(path: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    names = (_beside(path, f"{DAMAGED}{stamp}{n or ''}") for n in range(1_000))
    return next(name for name in names if not name.exists())


def _salvage(aside: Path, salvage: Path, remake: Remake) -> Replaced:
    with closing(sqlite3.connect(salvage, isolation_level=None)) as new:
        new.execute(f"PRAGMA page_size = {remake.page_bytes}")
        new.execute("PRAGMA auto_vacuum = INCREMENTAL")
        new.execute("PRAGMA journal_mode = OFF")  # nobody needs it before it is complete
        new.execute("PRAGMA synchronous = OFF")
        new.execute("BEGIN")
        remake.make(new)
        new.execute("COMMIT")
        new.execute("BEGIN")
        cut = _copy_all(aside, salvage, new, remake.keep)
        remake.complete(new, cut)
        new.execute("COMMIT")
        count = "SELECT " + " + ".join(f"(SELECT count(*) FROM {t})" for t in remake.keep)  # noqa: S608 - our tables
        (rows,) = new.execute(count).fetchone()
    _flush(salvage)
    return Replaced(aside=aside, rows=rows, cut=tuple(sorted(cut)))


def _copy_all(
    aside: Path, salvage: Path, new: sqlite3.Connection, tables: tuple[str, ...]
) -> frozenset[str]:
    """Copy what can be read; the tables of which some cannot."""
    if not aside.exists():  # it had only its log left
        return frozenset(tables)
    with _Source(aside, salvage) as old:
        return frozenset(table for table in tables if not _copy(old, new, table))


class _Source:
    """A damaged file, opened as far as it can be: as it is, or with a new beginning."""

    def __init__(self, aside: Path, fresh: Path) -> None:
        self._aside = aside
        self._fresh = fresh
        self._grafted = fresh.with_name(fresh.name + GRAFTED)
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> sqlite3.Connection:
        if not _has_tables(self._aside):
            self._graft()
            self._connection = _open(self._grafted)
        else:
            self._connection = _open(self._aside)
        return self._connection

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()
        _remove(self._grafted)

    def _graft(self) -> None:
        """A copy whose first page is a new file's; its log of commits goes with it."""
        _remove(self._grafted)
        for suffix in COMPANIONS[:2]:
            make_private(_beside(self._grafted, suffix))
            with suppress(FileNotFoundError):
                shutil.copyfile(_beside(self._aside, suffix), _beside(self._grafted, suffix))
        with self._fresh.open("rb") as fresh, self._grafted.open("r+b") as grafted:
            beginning = bytearray(fresh.read(_page_bytes(self._fresh)))
            beginning[VERSION_VALID_FOR] = bytes(4)  # the page count is the file's size, then
            grafted.write(beginning)


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)


def _has_tables(path: Path) -> bool:
    try:
        check_log(path)
        with closing(_open(path)) as connection:
            return connection.execute("SELECT 1 FROM sqlite_schema").fetchone() is not None
    except (sqlite3.Error, DamagedStoreError):
        return False


def _page_bytes(path: Path) -> int:
    with closing(_open(path)) as connection:
        (size_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        return int(size_bytes)


def _copy(old: sqlite3.Connection, new: sqlite3.Connection, table: str) -> bool:
    """Take rows over from the front, and from the back where that stops; whether all could be."""
    columns = new.execute(f"PRAGMA table_info({table})").fetchall()
    names = ", ".join(column[1] for column in columns)
    key = next(column[1] for column in columns if column[5])
    insert = f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({', '.join('?' for _ in columns)})"  # noqa: S608 - our tables
    for direction in ("ASC", "DESC"):
        query = f"SELECT {names} FROM {table} NOT INDEXED ORDER BY {key} {direction}"  # noqa: S608 - our tables
        rows = _Readable(old, query)
        new.executemany(insert, rows)
        if not rows.stopped:
            return True
    return False


class _Readable:
    """Rows up to the first that cannot be read; ``stopped`` says whether there was one."""

    def __init__(self, source: sqlite3.Connection, query: str) -> None:
        self._source = source
        self._query = query
        self.stopped = False

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        try:
            yield from self._source.execute(self._query)
        except sqlite3.Error:
            self.stopped = True


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _remove(path: Path) -> None:
    for suffix in (*COMPANIONS, "-journal"):
        _beside(path, suffix).unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Have ``path``, a file or a folder, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
