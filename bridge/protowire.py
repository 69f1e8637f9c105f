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
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Scalar = str | int | float | bool
Attribute = Scalar | list[Scalar]

_BYTE: Final = tuple(bytes((number,)) for number in range(256))
_SHORT: Final = 126
"""Strings below it have one-byte lengths all the way up to their attribute's value."""
_TEXT, _INTEGER = 0x0A, 0x18
"""Tags of an AnyValue's ``string_value`` and ``int_value``."""
_MORE, _TWO_BYTES_END, _THREE_BYTES_END = 1 << 7, 1 << 14, 1 << 21
"""The bit of a varint's byte that says that another follows: where one byte, two and three end."""
_SHORT_STRING: Final = tuple(bytes((size + 2, _TEXT, size)) for size in range(_SHORT))
"""How an AnyValue begins behind its tag when it is a short string, by the string's size."""
_TRUE, _FALSE = b"\x02\x10\x01", b"\x02\x10\x00"
_DOUBLE: Final = struct.Struct("<d").pack
_UNPACK_DOUBLE: Final = struct.Struct("<d").unpack_from
_INT, _DOUBLE_TAG = 0x18, 0x21
_LEAST_NUMBER_BYTES, _DOUBLE_BYTES = 3, 10
_FIXED64: Final = struct.Struct("<Q").pack
_INT64_MASK: Final = (1 << 64) - 1
_MAX_KEYS: Final = 1_024
_MAX_WORDS: Final = 64
"""Of one key."""


def varint(number: int) -> bytes:
    """A number from 0 to 2^64 - 1, seven bits to a byte, the lowest first."""
    if number < _MORE:
        return _BYTE[number]
    if number < _TWO_BYTES_END:
        return _BYTE[number & 0x7F | _MORE] + _BYTE[number >> 7]
    if number < _THREE_BYTES_END:
        return bytes((number & 0x7F | _MORE, number >> 7 & 0x7F | _MORE, number >> 14))
    return _BYTE[number & 0x7F | _MORE] + varint(number >> 7)


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
    """Writes ``repeated KeyValue`` fields; knows the keys it has seen, as there are few.

    Args:
        tag: Of the field.
        prefix: Stands before every key; it is joined to each only once.
        remembered_chars: Strings up to that length are words that come again, not ids or texts:
            their whole fields are remembered.
    """

    def __init__(self, tag: bytes, prefix: str = "", *, remembered_chars: int = 0) -> None:
        self._tag = tag
        self._remembered_chars = remembered_chars
        self._keys = _Keys(tag, prefix)

    def write(self, pairs: Iterable[tuple[str, Attribute | None]]) -> bytes:
        """The fields for ``pairs`` in their order, without those that are None."""
        fields: list[bytes] = []
        self.add(fields, pairs)
        return b"".join(fields)

    def add(self, fields: list[bytes], pairs: Iterable[tuple[str, Attribute | None]]) -> None:
        """The same in pieces, put behind other fields that are to be joined."""
        keys, longest = self._keys, self._remembered_chars
        for key, value in pairs:
            if type(value) is str:
                if len(value) <= longest:
                    fields.append(keys[key].words[value])
                else:
                    text = value.encode()
                    fields += keys[key].texts[len(text)], text
            elif type(value) is int:
                number = _BYTE[value] if 0 <= value < _MORE else varint(value & _INT64_MASK)
                fields += keys[key].integers[len(number)], number
            elif type(value) is float:
                fields += keys[key].doubles, _DOUBLE(value)
            elif value is not None:
                fields.append(self._other(key, value))

    def text(self, key: str) -> "KeyOf":
        """What stands before the strings of a key."""
        return self._keys[key].texts

    def _other(self, key: str, value: Attribute) -> bytes:
        return sized(self._tag, self._keys[key].texts.key + b"\x12" + _value(value))


class _Keys(dict[str, "_OfKey"]):
    """Key → what is known of its fields."""

    def __init__(self, tag: bytes, prefix: str) -> None:
        self._tag = tag
        self._prefix = prefix

    def __missing__(self, key: str) -> "_OfKey":
        made = _OfKey(self._tag, present(b"\x0a", (self._prefix + key).encode()))
        if len(self) < _MAX_KEYS:
            self[key] = made
        return made


class _OfKey:
    """What is known of a key's fields, by the kind of their values."""

    __slots__ = ("doubles", "integers", "texts", "words")

    def __init__(self, tag: bytes, key: bytes) -> None:
        self.texts = KeyOf(tag, key, _TEXT)
        self.words = _Words(self.texts)
        self.integers = KeyOf(tag, key, _INTEGER)
        self.doubles = KeyOf(tag, key, _DOUBLE_TAG)[8]


class _Words(dict[str, bytes]):
    """String → its field. When they are too many the older half is forgotten."""

    def __init__(self, texts: "KeyOf") -> None:
        self._texts = texts

    def __missing__(self, value: str) -> bytes:
        if len(self) >= _MAX_WORDS:
            forget_older_half(self)
        text = value.encode()
        field = self[value] = self._texts[len(text)] + text
        return field


def forget_older_half(remembered: dict[Any, Any]) -> None:
    """Make room where something is remembered: of what is in use now, most is younger."""
    for key in list(islice(remembered, (len(remembered) + 1) // 2)):
        del remembered[key]


class KeyOf(dict[int, bytes]):
    """One key of a writer: size of a value → all of its field that stands before the value.

    Sizes that take one byte are remembered: most values are so short, and few keys have all sizes.

    Args:
        tag: Of the field.
        key: The field of the key.
        kind: The tag of an AnyValue's field: strings behind their size, integers or doubles.
    """

    def __init__(self, tag: bytes, key: bytes, kind: int) -> None:
        self.key = key
        self._tag = tag
        self._kind = kind

    def field(self, value: bytes) -> tuple[bytes, bytes]:
        """The field for a value, in two pieces to be joined with others."""
        return self[len(value)], value

    def __missing__(self, size: int) -> bytes:
        of_value = bytes((self._kind,)) + (varint(size) if self._kind == _TEXT else b"")
        of_pair = self.key + b"\x12" + varint(len(of_value) + size) + of_value
        before = self._tag + varint(len(of_pair) + size) + of_pair
        if size < _MORE:
            self[size] = before
        return before


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
    items = [b"\x0a" + _value(item) for item in value]
    return _behind_size(sized(b"\x2a", b"".join(items)))


def _behind_size(body: bytes) -> bytes:
    return varint(len(body)) + body


# Reading. The shadow schema has OTLP's field numbers, but its attributes, bodies, resources and
# scopes are fields of bytes: the parser copies them and builds no objects. Most attributes of most
# records are ones that came before (who, where, which tool), so their bytes are looked up; of the
# others the key is known from the records before, so that only their text has to be taken out.


class Key:
    """How a KeyValue of this key begins.

    ::

        0A key_size key  12 value_size  0A text_size | text

    Attributes:
        head: What stands before ``value_size``.
        strings: Size of the whole → what stands before the text if the value is a string; sizes
            of short strings that ``begin`` was asked for.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.head = sized(b"\x0a", name.encode()) + b"\x12"
        self.strings: dict[int, bytes] = {}

    def begin(self, size_bytes: int) -> bytes:
        """What stands before the text in a KeyValue of that size.

        For a size that no string can have it is longer than that, so nothing begins with it.
        """
        value_bytes = _behind_its_size(size_bytes - len(self.head))
        text_bytes = _behind_its_size(value_bytes - 1)
        if text_bytes < 0:
            return bytes(size_bytes + 1)
        begin = self.head + varint(value_bytes) + b"\x0a" + varint(text_bytes)
        if text_bytes < _SHORT:  # so there are few
            self.strings[size_bytes] = begin
        return begin


def _behind_its_size(size_bytes: int) -> int:
    """How many bytes a varint tells that stands before them and is counted with them."""
    behind = size_bytes - 1
    most, least = _MORE, 0
    while behind >= most:
        behind, most, least = behind - 1, most << 7, most
    return behind if behind >= least else -1


def number(value: bytes) -> float | None:
    """An AnyValue behind its length that is a number or boolean; None for any other."""
    if len(value) < _LEAST_NUMBER_BYTES or value[0] != len(value) - 1:
        return None
    if value[1] == _INT:
        return _int64(value[2:])
    if value[1] == _DOUBLE_TAG and len(value) == _DOUBLE_BYTES:
        return float(_UNPACK_DOUBLE(value, 2)[0])
    return {_TRUE: True, _FALSE: False}.get(value)


def _int64(encoded: bytes) -> int | None:
    """A varint that is all of ``encoded``, read as signed; None where it is written otherwise."""
    told, last = 0, len(encoded) - 1
    for at, byte in enumerate(encoded):
        if (byte >= _MORE) is (at == last):
            return None
        told |= (byte & 0x7F) << (7 * at)
    return None if told > _INT64_MASK else told - (told >> 63 << 64)


Field = tuple[int, str]
"""Number and type: ``bytes``, ``string``, ``fixed64``, or the name of a message, repeated; a type
with ``*`` behind it is repeated too."""

_LOGS: Final[Mapping[str, Mapping[str, Field]]] = {
    "LogsRequest": {"resource_logs": (1, "ResourceLogs")},
    "ResourceLogs": {"resource": (1, "bytes"), "scope_logs": (2, "ScopeLogs")},
    "ScopeLogs": {"scope": (1, "bytes"), "log_records": (2, "LogRecord")},
    "LogRecord": {
        "time_unix_nano": (1, "fixed64"),
        "body": (5, "bytes"),
        "attributes": (6, "bytes*"),
        "trace_id": (9, "bytes"),
        "span_id": (10, "bytes"),
        "observed_time_unix_nano": (11, "fixed64"),
        "event_name": (12, "string"),
    },
    "Resource": {"attributes": (1, "bytes*")},
}


def _shadows(schema: Mapping[str, Mapping[str, Field]]) -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="shadow.proto", package="shadow")
    for name, fields in schema.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            is_message = kind in schema
            plain = kind.rstrip("*")
            message.field.add(
                name=field,
                number=number,
                label=3 if is_message or plain != kind else 1,
                type=11 if is_message else _TYPES[plain],
                type_name=f".shadow.{kind}" if is_message else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"shadow.{name}"))
        for name in schema
    }


_TYPES: Final = {"fixed64": 6, "string": 9, "bytes": 12}
"""Numbers of google.protobuf.FieldDescriptorProto.Type."""

_CLASSES: Final = _shadows(_LOGS)
LogsRequest: Final = _CLASSES["LogsRequest"]
"""``ExportLogsServiceRequest`` whose resources, scopes, bodies and attributes are bytes."""
LogRecord: Final = _CLASSES["LogRecord"]
Resource: Final = _CLASSES["Resource"]
