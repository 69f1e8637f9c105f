"""Replacing a settings file as a whole, and taking that back.

The backup is a copy beside the file, with the digest of what was written in its name: it belongs
to that text alone, so that a file somebody has edited since is never overwritten by ``undo``.
"""

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from bridge.client.variables import SetupError

BACKUP: Final = ".before-langfuse-bridge-"
DIGEST_CHARS: Final = 12
OWN_MODE: Final = 0o600
"""Of a file that was not there: a token may stand in it."""
SHARED_MODE: Final = 0o644
"""Of a managed file that was not there: everybody's Claude Code reads it."""
PERMISSIONS: Final = 0o7777


def read_text(path: Path) -> str | None:
    """The file's text; None where there is none.

    Raises:
        SetupError: It is there and cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SetupError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SetupError(f"cannot read {path}: it is not text") from error


def write(path: Path, text: str, before: str | None, *, mode: int = OWN_MODE) -> Path:
    """Replace the file and keep what was there; gives the backup, empty where there was nothing.

    Args:
        path: A link's target is replaced, not the link.
        text: What is to be in it.
        before: What ``read_text`` gave.
        mode: Permissions of a file that is new; else it keeps its own.

    Raises:
        SetupError: It changed since ``before`` was read, or cannot be written.
    """
    path = path.resolve()
    backup = path.with_name(f"{path.name}{BACKUP}{_digest(text)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode & PERMISSIONS if before is not None else mode
        if read_text(path) != before:
            raise SetupError(f"{path} changed just now; nothing was written, try again")
        _replace(backup, before or "", mode)
        _replace(path, text, mode)
    except OSError as error:
        raise SetupError(f"cannot write {path}: {error.strerror}") from error
    return backup


def undo(path: Path) -> str:
    """Put back what ``write`` replaced; gives a sentence about it.

    Raises:
        SetupError: The file is not as it was written, or there is no backup.
    """
    path = path.resolve()
    text = read_text(path)
    backup = path.with_name(f"{path.name}{BACKUP}{_digest(text or '')}")
    before = read_text(backup)
    if text is None or before is None:
        raise SetupError(_no_way_back(path))
    try:
        if before:
            _replace(path, before, path.stat().st_mode & PERMISSIONS)
        else:
            path.unlink()
        backup.unlink()
    except OSError as error:
        raise SetupError(f"cannot write {path}: {error.strerror}") from error
    return f"{path} is as it was before" if before else f"{path} is removed: it was new"


def _no_way_back(path: Path) -> str:
    known = sorted(path.parent.glob(f"{path.name}{BACKUP}*"), key=lambda each: each.stat().st_mtime)
    if not known:
        return f"there is nothing to undo: no backup lies beside {path}"
    return (
        f"{path} was changed since it was written, and is left alone; "
        f"take what you need from the backup {known[-1]}"
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARS]


def _replace(path: Path, text: str, mode: int) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fchmod(file.fileno(), mode)
            _keep_owner(file.fileno(), path)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _keep_owner(descriptor: int, path: Path) -> None:
    """Root may write another's settings: the file stays its owner's."""
    if os.geteuid() == 0:
        owner = (path if path.exists() else path.parent).stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
