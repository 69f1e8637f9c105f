"""The tokens file: read by the receiver whenever it changed, written by ``langfuse-bridge token``.

Responsible for: that a reader finds the file before a change or after it, that two writers do not
undo one another, and noticing a change. Left to others: what a line says (``config.tokens``).
"""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bridge.errors import StoreError
from bridge.model.tokens import Token, TokenError, tokens_of_file

HEAD = """\
# Who may send to langfuse-bridge: NAME sha256:DIGEST KEY=VALUE,KEY=VALUE
# `langfuse-bridge token new NAME` adds a line, `token revoke NAME` removes one.
"""

Stamp = tuple[int, int, int, int]


class TokenFile:
    """The file as its reader sees it. One thread at a time uses it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: Stamp | None = None

    def changed(self) -> tuple[Token, ...] | None:
        """The tokens, when the file is another than at the last call that gave some; else None.

        A file that was never there is no change.

        Raises:
            StoreError: It is gone, or cannot be read; the next call tries again.
        """
        stamp = self._look()
        if stamp == self._stamp:
            return None
        tokens = read(self._path)
        self._stamp = stamp  # from before reading: what was written meanwhile is a change again
        return tokens

    def _look(self) -> Stamp | None:
        try:
            found = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(f"cannot read {self._path}: {error.strerror}") from error
        return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size


def read(path: Path) -> tuple[Token, ...]:
    """The tokens of a file.

    Raises:
        StoreError: It cannot be read, or a line of it is wrong; the text repeats nothing of it.
    """
    try:
        return tokens_of_file(path.read_text("utf-8"))
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StoreError(f"cannot read {path}: it is not text") from error
    except TokenError as error:
        raise StoreError(f"{path}: {error}") from error


def rewrite(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    """Replace the file by ``change`` of its lines, as a whole and on disk; makes it if need be.

    Whatever ``change`` raises leaves the file as it was.

    Raises:
        StoreError: It cannot be read or written.
    """
    path = path.resolve()  # the file that a link leads to is replaced, not the link
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(path):
            known = path.read_text("utf-8") if path.exists() else HEAD
            _replace(path, "".join(f"{line}\n" for line in change(known.splitlines())))
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StoreError(f"cannot read {path}: it is not text") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the file against other writers: by one beside it, since it is replaced itself.

    Not by its folder, which a running bridge may hold.
    """
    lock = path.with_name(f".{path.name}.lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        _sync(path.parent)
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            _give_to_reader(file.fileno(), path)
            os.fsync(file.fileno())
        os.replace(name, path)  # noqa: PTH105 - what mkstemp gives is a string
    except BaseException:
        with suppress(OSError):
            os.unlink(name)  # noqa: PTH108 - likewise
        raise


def _give_to_reader(descriptor: int, path: Path) -> None:
    """Root makes tokens for a bridge that is another user: the file is its owner's, not root's."""
    owner = (path if path.exists() else path.parent).stat()
    if os.geteuid() == 0:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
