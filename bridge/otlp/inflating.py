"""A body without its gzip layer, never holding more than allowed of what it inflates to.

It is inflated in steps into one buffer, and cut off where it passes the limit: a bomb costs no more
than the largest body that is accepted.
"""

import zlib
from io import BytesIO
from typing import Final

from bridge.errors import UndecodableError

WINDOW_BITS: Final = 16 + zlib.MAX_WBITS
STEP_BYTES: Final = 1024 * 1024

MAX_MEMBERS: Final = 64
"""gzip may be several members one behind another. Exporters write one; millions of empty ones
would cost a copy of the rest of the body each."""


class TooLargeError(UndecodableError):
    """It inflates to more than allowed."""


def inflate(body: bytes, max_bytes: int) -> bytes:
    """Undo gzip.

    Raises:
        TooLargeError: It is larger than ``max_bytes``.
        UndecodableError: It is not gzip, or cut short.
    """
    # A BytesIO grows in place and gives its buffer away as it is; a list to be joined, or a
    # bytearray to be turned into bytes, would be there twice.
    plain = BytesIO()
    rest: bytes = body
    for _ in range(MAX_MEMBERS):
        rest = _inflate_member(rest, plain, max_bytes)
        if not rest:
            return plain.getvalue()
    raise UndecodableError("it has too many members")


def _inflate_member(body: bytes, plain: BytesIO, max_bytes: int) -> bytes:
    """Inflate the first member of ``body`` into ``plain``; returns what follows it."""
    inflater = zlib.decompressobj(WINDOW_BITS)
    view = memoryview(body)
    at = 0
    try:
        while not inflater.eof:
            step = inflater.unconsumed_tail or view[at : (at := at + STEP_BYTES)]
            inflated = inflater.decompress(step, STEP_BYTES)
            if not step and not inflated:
                raise UndecodableError("it ends early")
            if plain.tell() + len(inflated) > max_bytes:
                raise TooLargeError(f"it inflates to more than {max_bytes} bytes")
            plain.write(inflated)
    except zlib.error as error:
        raise UndecodableError("it is not gzip") from error
    return inflater.unused_data + bytes(view[at:])
