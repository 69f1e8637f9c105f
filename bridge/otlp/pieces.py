"""A large body as small ones: bodies of the same encoding that together hold the same records.

Each piece repeats what stands around its records (resource, scope, a metric's name), so it is an
export request in its own right, and whoever can read a small request can read a large one.
"""

from collections.abc import Iterator
from typing import Final

from bridge.model.requests import Encoding, Signal
from bridge.otlp import documents, wire

PIECE_BYTES: Final = 1024 * 1024
"""How much of records a piece holds, at least one record: about what one assemble step takes in."""

MAX_STRING_BYTES: Final = 1024 * 1024
"""Longer strings are cut in a piece. Langfuse Cloud takes 5 MB for a whole export; a body that has
one such string would otherwise be held several times over, in each of the forms it takes."""


def pieces(
    signal: Signal, encoding: Encoding, body: bytes, *, piece_bytes: int = PIECE_BYTES
) -> Iterator[bytes]:
    """Small bodies that hold the records of ``body``, in order; a small body is its own piece.

    Raises:
        UndecodableError: Its framing is not that of an export request. What stands inside the
            pieces is not looked at.
    """
    if len(body) <= piece_bytes:
        return iter((body,))
    if encoding is Encoding.PROTOBUF:
        return wire.pieces(signal, body, piece_bytes, MAX_STRING_BYTES)
    return documents.pieces(signal, body, piece_bytes, MAX_STRING_BYTES)
