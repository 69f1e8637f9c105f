"""The server's certificate: read, checked, and read again when its files change.

Responsible for: that what cannot be used is said in words at start, and that a renewed certificate
is taken up, or the old one kept when the new one is no good.
Left to others: listening with it (``http``, ``grpc``).
"""

import logging
import ssl
from asyncio import sslproto
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from bridge.errors import BridgeError
from bridge.receive.journal import note

BUFFER_BYTES: Final = 16 * 1024
"""One TLS record. asyncio keeps a buffer for each connection, idle or not, of 256 KiB, and has no
parameter for it: a thousand connections were 290 MB."""


class TlsFiles(NamedTuple):
    """PEM files. With ``client_ca`` only clients with a certificate of it are let in."""

    cert: Path
    key: Path
    client_ca: Path | None = None


class Identity(NamedTuple):
    """What was read: for HTTP a context, for gRPC the files' bytes."""

    context: ssl.SSLContext
    cert: bytes
    key: bytes
    client_ca: bytes | None


class Certificates:
    """The identity in force.

    Attributes:
        current: Replaced as a whole, so that it can be read on any thread.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._seen = _stamps(files)
        self.current = read(files)

    def renew(self) -> bool:
        """Read the files again if they have changed; whether there is a new identity."""
        stamps = _stamps(self._files)
        if stamps == self._seen:
            return False
        self._seen = stamps
        try:
            self.current = read(self._files)
        except BridgeError as error:
            note(logging.ERROR, "tls.certificate_kept", reason=str(error))
            return False
        note(logging.INFO, "tls.certificate_renewed")
        return True


def read(files: TlsFiles) -> Identity:
    """Read and check all files.

    Raises:
        BridgeError: One is missing, unreadable or not what it should be.
    """
    cert = _bytes(files.cert, "BRIDGE_TLS_CERT")
    key = _bytes(files.key, "BRIDGE_TLS_KEY")
    client_ca = _bytes(files.client_ca, "BRIDGE_TLS_CLIENT_CA") if files.client_ca else None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_pair(context, files)
    if files.client_ca:
        _load_client_ca(context, files.client_ca)
    return Identity(context, cert, key, client_ca)


def keep_buffers_small() -> None:
    """Have asyncio take ``BUFFER_BYTES`` for connections with TLS from now on, in this process."""
    sslproto.SSLProtocol.max_size = BUFFER_BYTES


def _load_pair(context: ssl.SSLContext, files: TlsFiles) -> None:
    try:
        # Without a password of ours OpenSSL would ask for one on the terminal.
        context.load_cert_chain(files.cert, files.key, password="")
    except ssl.SSLError as error:
        raise BridgeError(_pair_trouble(files, error)) from error


def _pair_trouble(files: TlsFiles, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return (
            f"the key {files.key} does not belong to the certificate {files.cert}. "
            "Set BRIDGE_TLS_CERT and BRIDGE_TLS_KEY to files that were made together."
        )
    return (
        f"cannot use the certificate {files.cert} with the key {files.key}. Both should be PEM, "
        "the server's own certificate first in its file, the key without a password."
    )


def _load_client_ca(context: ssl.SSLContext, client_ca: Path) -> None:
    try:
        context.load_verify_locations(client_ca)
    except ssl.SSLError as error:
        raise BridgeError(
            f"there is no certificate in {client_ca}. Set BRIDGE_TLS_CLIENT_CA to a PEM file of "
            "the authorities whose clients are let in."
        ) from error
    context.verify_mode = ssl.CERT_REQUIRED


def _bytes(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BridgeError(
            f"cannot read {path}: {error.strerror}. Set {setting} to a file that the bridge's "
            "user may read."
        ) from error


def _stamps(files: TlsFiles) -> tuple[tuple[int, int, int] | None, ...]:
    return tuple(map(_stamp, _paths(files)))


def _paths(files: TlsFiles) -> Iterator[Path]:
    return (path for path in files if path is not None)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Changes with the file: also where it was moved into place with an old time."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino, stat.st_size
