"""What can be told without asking anybody: folder, files, TLS, tokens."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from bridge.app.senders import bind_problem
from bridge.doctor.subject import Subject
from bridge.errors import BridgeError, StoreError
from bridge.langfuse.trust import trust
from bridge.model.findings import Finding, failed, ok, warning
from bridge.receive.tls import TlsFiles
from bridge.receive.tls import read as read_tls
from bridge.store.sqlite import connect

FILES: Final = ("inbox.db", "ledger.db")
OTHERS: Final = 0o077
MB: Final = 1_000_000
SCARCE_BYTES: Final = 1_000 * MB
FULL_BYTES: Final = 100 * MB
QUICK_BYTES: Final = 250 * MB
"""Above it a file is opened and not read through: that would take longer than anybody waits."""


def store(subject: Subject) -> Iterator[Finding]:
    """The folder, who may read it, the room on its disk, and both files."""
    folder = subject.config.data_dir
    if not folder.exists():
        yield ok("store", f"{folder} is not there yet; the first start makes it")
        return
    try:
        yield _modes(folder)
        yield _room(folder)
        yield from (_file(folder / name) for name in FILES if (folder / name).exists())
    except OSError as error:
        remedy = "run this as the bridge's user, or set BRIDGE_DATA_DIR"
        yield failed("store", f"cannot look into {folder}: {error.strerror}", remedy)


def tls(subject: Subject) -> Iterator[Finding]:
    """The server's certificate, and the authorities for Langfuse."""
    config = subject.config
    try:
        if config.tls_cert and config.tls_key:
            read_tls(TlsFiles(config.tls_cert, config.tls_key, config.tls_client_ca))
            yield ok("TLS", f"certificate {config.tls_cert}")
        if config.ca_file:
            trust(config.ca_file)
            yield ok("TLS", f"authorities for Langfuse {config.ca_file}")
    except BridgeError as error:
        text, _, advice = str(error).partition(". ")
        yield failed("TLS", text, advice)


def tokens(subject: Subject) -> Iterator[Finding]:
    """Who may send, and whether anybody might."""
    known = subject.tokens
    problem = bind_problem(subject.config, has_tokens=known is not None)
    if known is not None:
        yield ok("tokens", f"{len(known)} in force")
    elif problem is None:
        yield ok("tokens", "none; only this machine, or who has a certificate, may send")
    elif subject.config.insecure_bind:
        remedy = "make tokens with `langfuse-bridge token new NAME`"
        yield warning("tokens", f"none, and whoever reaches {subject.config.host} may send", remedy)
    else:
        yield failed("tokens", *problem.removeprefix("host: ").split("; ", 1))


def _modes(folder: Path) -> Finding:
    mode = folder.stat().st_mode & 0o777
    if mode & OTHERS:
        text = f"{folder} can be entered by others (mode {mode:o}), and prompts are kept in it"
        return warning("store", text, f"chmod 700 {folder}")
    return ok("store", f"{folder} (mode {mode:o})")


def _room(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    text = f"{free // MB:,} MB free"
    remedy = "make room; when the disk is full, clients are told to come again and lose the rest"
    if free < FULL_BYTES:
        return failed("disk", text, remedy)
    return warning("disk", text, remedy) if free < SCARCE_BYTES else ok("disk", text)


def _file(path: Path) -> Finding:
    size = path.stat().st_size
    try:
        with closing(connect(path, read_only=True)) as connection:
            pragma = "quick_check(1)" if size < QUICK_BYTES else "schema_version"
            (answer,) = connection.execute(f"PRAGMA {pragma}").fetchone()
    except (StoreError, sqlite3.Error) as error:
        answer = str(error)
    if isinstance(answer, str) and answer != "ok":
        remedy = "stop the bridge, move the file away and start it again; keep it for its contents"
        return failed("store", f"{path} is damaged: {' '.join(answer.split())}", remedy)
    return ok("store", f"{path.name} {size // 1000:,} kB")
