"""Certificates for tests, of authorities that nobody else trusts."""

import ssl
from pathlib import Path
from typing import NamedTuple

import trustme


class Files(NamedTuple):
    """PEM files of one certificate and of the authority that issued it."""

    cert: Path
    key: Path
    ca: Path


def issue(folder: Path, authority: trustme.CA, name: str = "127.0.0.1") -> Files:
    """Write a certificate for ``name``; what is in the folder from before is replaced."""
    folder.mkdir(exist_ok=True)
    files = Files(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
    leaf = authority.issue_cert(name)
    files.cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    files.key.write_bytes(leaf.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(files.ca))
    return files


def client_context(ca: Path, own: Files | None = None) -> ssl.SSLContext:
    """What a client trusts and, if it has one, the certificate it shows."""
    context = ssl.create_default_context(cafile=str(ca))
    if own is not None:
        context.load_cert_chain(own.cert, own.key)
    return context
