"""The certificates of the configuration, and what they mean for our addresses.

Wrong files are told at the start and not by a child that dies. The supervisor needs this, so it
imports no more than that takes; ``doors`` has the rest.
"""

from typing import TYPE_CHECKING

from bridge.langfuse.trust import trust
from bridge.receive.tls import TlsFiles, read

if TYPE_CHECKING:
    from bridge.config import Config


def check_files(config: "Config") -> None:
    """Read certificates as the children will.

    Raises:
        BridgeError: One cannot be used.
    """
    files = tls_files(config)
    if files is not None:
        read(files)
    if config.ca_file is not None:
        trust(config.ca_file)


def tls_files(config: "Config") -> TlsFiles | None:
    """The files of the certificate to listen with; None: without TLS."""
    if config.tls_cert is None or config.tls_key is None:
        return None
    return TlsFiles(config.tls_cert, config.tls_key, config.tls_client_ca)


def url(config: "Config", port: int) -> str:
    """The address clients are told for one of our ports."""
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"{'http' if tls_files(config) is None else 'https'}://{host}:{port}"
