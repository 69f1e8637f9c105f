"""The key of the users' pseudonyms, where no setting gives one: made once, kept beside the ledger.

Who copies the folder copies the key; several bridges need the same one, as the setting
``user_key``.
"""

import os
import secrets
from pathlib import Path

from bridge.errors import StoreError

KEY_BYTES = 32


def kept_user_key(path: Path) -> bytes:
    """The key in this file, which is made with mode 0600 if it is not there.

    Raises:
        StoreError: It can be neither read nor made, or holds no key.
    """
    try:
        if not path.exists():
            _make(path)
        key = bytes.fromhex(path.read_text("ascii"))
    except (OSError, ValueError) as error:
        raise StoreError(_advice(path, type(error).__name__)) from error
    if len(key) != KEY_BYTES:
        raise StoreError(_advice(path, "it is not whole"))
    return key


def _make(path: Path) -> None:
    """Under another name first, so that half a key is never taken for one."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, secrets.token_hex(KEY_BYTES).encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    draft.replace(path)


def _advice(path: Path, reason: str) -> str:
    return (
        f"the key of the users' pseudonyms in {path} cannot be used ({reason}); put it back from a "
        "backup, set BRIDGE_USER_KEY, or delete the file for new pseudonyms"
    )
