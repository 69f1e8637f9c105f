"""Structs ↔ the bytes in which they are kept.

MessagePack, which ends at 64 bits. Totals in picounits do not: 19 million tokens are past that, and
a day of work reads more from the cache. What holds such a number is kept as JSON instead; the first
byte tells which.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

Kept = TypeVar("Kept")

_JSON = (b"{", b"[")
"""No MessagePack map or array begins with them."""

_pack = msgspec.msgpack.Encoder().encode


def pack(struct: msgspec.Struct) -> bytes:
    """The bytes in which a struct is kept."""
    try:
        return _pack(struct)
    except OverflowError:
        return msgspec.json.encode(struct)


def unpacker(kind: type[Kept]) -> Callable[[bytes], Kept]:
    """What reads structs of that kind back from ``pack``'s bytes."""
    packed, written = msgspec.msgpack.Decoder(kind).decode, msgspec.json.Decoder(kind).decode

    def unpack(kept: bytes) -> Kept:
        return written(kept) if kept.startswith(_JSON) else packed(kept)

    return unpack
