"""Protobuf's wire format for the few messages that the bridge reads and writes by the thousand.

The official classes are what these bytes are tested against, in both directions
(``tests/property/test_protowire.py``), and what everything rare is read and written with. They are
not used where every record passes: an attribute read through them costs ten Python calls, a span
written through them five times what joining its bytes does. OTLP needs only two of protobuf's six
shapes there, both simple: varints, and fields that begin with their length.

Written bytes are those that the classes give with ``deterministic=True``: fields in the order of
their numbers, nothing for defaults. Strings that are no Unicode raise UnicodeEncodeError.
"""

import struct
from collections.abc import Iterable
from typing import Final

Scalar = str | int | float | bool
Attribute = Scalar | list[Scalar]

_BYTE: Final = tuple(bytes((number,)) for number in range(256))
_SHORT: Final = 126
"""Strings below it have one-byte lengths all the way up to their attribute's value."""
_SHORT_STRING: Final = tuple(bytes((size + 2, 0x0A, size)) for size in range(_SHORT))
"""What stands before a short string in a KeyValue: the AnyValue's length, ``string_value``, its
length."""
_TRUE, _FALSE = b"\x02\x10\x01", b"\x02\x10\x00"
_DOUBLE: Final = struct.Struct("<d").pack
_FIXED64: Final = struct.Struct("<Q").pack
_INT64_MASK: Final = (1 << 64) - 1
_MAX_KEYS: Final = 4_096


def varint(number: int) -> bytes:
    """A number from 0 to 2^64 - 1, seven bits to a byte, the lowest first."""
    if number < 0x80:  # noqa: PLR2004 - one byte holds seven bits
        return _BYTE[number]
    found = bytearray()
    while number >= 0x80:  # noqa: PLR2004
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def sized(tag: bytes, body: bytes) -> bytes:
    """A field of bytes, string or message; ``tag`` is (number << 3 | 2) as a varint."""
    return tag + varint(len(body)) + body


def present(tag: bytes, body: bytes) -> bytes:
    """The same, left out when empty, as proto3 leaves out defaults."""
    return tag + varint(len(body)) + body if body else b""


def fixed64(tag: bytes, number: int) -> bytes:
    """A fixed64 field, left out when 0; ``tag`` is (number << 3 | 1)."""
    return tag + _FIXED64(number) if number else b""


class AttributeWriter:
    """Writes ``repeated KeyValue`` fields; knows the keys it has seen, as there are few."""

    def __init__(self, tag: bytes) -> None:
        self._tag = tag
        self._keys: dict[str, bytes] = {}

    def write(self, pairs: Iterable[tuple[str, Attribute | None]]) -> bytes:
        """The fields for ``pairs`` in their order, without those that are None."""
        fields: list[bytes] = []
        keys, tag = self._keys, self._tag
        for key, value in pairs:
            if value is None:
                continue
            head = keys.get(key) or self._head(key)
            body = _value(value)
            size = len(head) + len(body)
            fields += (tag, _BYTE[size] if size < 0x80 else varint(size), head, body)  # noqa: PLR2004
        return b"".join(fields)

    def _head(self, key: str) -> bytes:
        """The key, and the tag of the value behind it."""
        head = present(b"\x0a", key.encode()) + b"\x12"
        if len(self._keys) < _MAX_KEYS:
            self._keys[key] = head
        return head


def _value(value: Attribute) -> bytes:
    """An AnyValue, behind its length."""
    if isinstance(value, str):
        text = value.encode()
        size = len(text)
        return _SHORT_STRING[size] + text if size < _SHORT else _behind_size(sized(b"\x0a", text))
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    if isinstance(value, int):
        return _behind_size(b"\x18" + varint(value & _INT64_MASK))
    if isinstance(value, float):
        return b"\x09\x21" + _DOUBLE(value)
    items = b"".join(b"\x0a" + _value(item) for item in value)
    return _behind_size(sized(b"\x2a", items))


def _behind_size(body: bytes) -> bytes:
    return varint(len(body)) + body
