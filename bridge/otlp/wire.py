"""A protobuf export request as small ones, by walking its framing by hand.

The official classes read a message whole or not at all, and the objects of a 64 MB one are several
times its size. So what surrounds the records (request → resource → scope → record, in metrics also
metric → data → point) is walked here, on the wire, and pieces are put together that the official
classes read one at a time. What a piece says is theirs to judge.

Responsible for: wire format, where records are, and cutting strings nobody could take.
Left to others: whether a piece is valid (whoever parses it).
"""

import codecs
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bridge.errors import UndecodableError
from bridge.model.requests import Signal

Path = tuple[frozenset[int], ...]

VARINT, FIXED_64, LENGTH, GROUP, END_GROUP, FIXED_32 = range(6)
MAX_TAG_BYTES: Final = 5
MAX_VARINT_BYTES: Final = 10
MAX_DEPTH: Final = 100
"""The official parser's, too."""
CHUNK_BYTES: Final = 1024 * 1024

_RECORDS: Path = (frozenset({1}), frozenset({2}), frozenset({2}))
"""Field numbers on the way from the request to its records, alike in all signals."""
_METRIC_DATA: Final = frozenset({5, 7, 9, 10, 11})

PATHS: Final[Mapping[Signal, Path]] = {
    Signal.LOGS: _RECORDS,
    Signal.TRACES: _RECORDS,
    Signal.METRICS: (*_RECORDS, _METRIC_DATA, frozenset({1})),
}
DESCRIPTORS: Final[Mapping[Signal, Descriptor]] = {
    Signal.LOGS: ExportLogsServiceRequest.DESCRIPTOR,
    Signal.TRACES: ExportTraceServiceRequest.DESCRIPTOR,
    Signal.METRICS: ExportMetricsServiceRequest.DESCRIPTOR,
}


class Field(NamedTuple):
    """A field on the wire: ``start`` to ``end`` with its tag, ``value`` to ``end`` without."""

    number: int
    wire_type: int
    start: int
    value: int
    end: int


class _Bounds(NamedTuple):
    piece_bytes: int
    string_bytes: int


def pieces(signal: Signal, body: bytes, piece_bytes: int, string_bytes: int) -> Iterator[bytes]:
    """Export requests of about ``piece_bytes`` that together hold the records of ``body``.

    Strings longer than ``string_bytes`` are cut in pieces that would be too large because of them.

    Raises:
        UndecodableError: Its framing is broken.
    """
    bounds = _Bounds(piece_bytes, string_bytes)
    yield from _split(memoryview(body), PATHS[signal], DESCRIPTORS[signal], bounds)


def fields(message: memoryview) -> Iterator[Field]:
    """Every field of a message; a group is one field.

    Raises:
        UndecodableError: It is not in wire format.
    """
    at = 0
    while at < len(message):
        field = _field(message, at)
        yield field
        at = field.end


def _split(
    message: memoryview, path: Path, descriptor: Descriptor, bounds: _Bounds
) -> Iterator[bytes]:
    """Messages of the same kind, each with some of the children that ``path`` begins with.

    Neighbours that are small together stay together; only a child too large for a piece is taken
    apart in turn.
    """
    head = b"".join(_shortened(message, descriptor, bounds, leave_out=path[0]))
    if path[0] is _METRIC_DATA and _children(message, path[0]) != 1:
        yield bytes(message)  # whose points count depends on which kind comes last
        return
    kinds = {n: kind for n, f in descriptor.fields_by_number.items() if (kind := f.message_type)}
    most_bytes, told = max(bounds.piece_bytes, len(head)), False
    run: list[bytes] = []
    run_bytes = 0
    for field in fields(message):
        if not _is_child(field, path[0]):
            continue
        size_bytes, told = field.end - field.start, True
        if run and run_bytes + size_bytes > most_bytes:
            yield b"".join([head, *run])
            run, run_bytes = [], 0
        if size_bytes <= bounds.piece_bytes:
            run.append(bytes(message[field.start : field.end]))
            run_bytes += size_bytes
            continue
        for part in _parts(message[field.value : field.end], path[1:], kinds[field.number], bounds):
            yield b"".join([head, _framed(field.number, part)])
    if run or not told:
        yield b"".join([head, *run])


def _parts(
    child: memoryview, path: Path, descriptor: Descriptor, bounds: _Bounds
) -> Iterator[bytes]:
    if path:
        yield from _split(child, path, descriptor, bounds)
    else:
        yield b"".join(_shortened(child, descriptor, bounds))


def _is_child(field: Field, numbers: frozenset[int]) -> bool:
    return field.number in numbers and field.wire_type == LENGTH


def _children(message: memoryview, numbers: frozenset[int]) -> int:
    return sum(_is_child(field, numbers) for field in fields(message))


def _shortened(
    message: memoryview,
    descriptor: Descriptor,
    bounds: _Bounds,
    *,
    leave_out: frozenset[int] = frozenset(),
    depth: int = 0,
) -> Iterator[bytes]:
    """The fields of a message, with what is too long in them cut."""
    if depth > MAX_DEPTH:
        raise UndecodableError("nested too deeply")
    for field in fields(message):
        if _is_child(field, leave_out):
            continue
        if field.end - field.start <= bounds.string_bytes:
            yield bytes(message[field.start : field.end])
        elif field.wire_type == LENGTH and (kind := descriptor.fields_by_number.get(field.number)):
            value = message[field.value : field.end]
            yield from _cut(value, kind, bounds, depth)


def _cut(value: memoryview, kind: FieldDescriptor, bounds: _Bounds, depth: int) -> Iterator[bytes]:
    """One field that is too long; packed numbers of that length are left out, nobody reads them."""
    if kind.message_type is not None:
        inner = _shortened(value, kind.message_type, bounds, depth=depth + 1)
        yield _framed(kind.number, b"".join(inner))
    elif kind.type == FieldDescriptor.TYPE_STRING:
        yield _framed(kind.number, _cut_text(value, bounds.string_bytes))
    elif kind.type == FieldDescriptor.TYPE_BYTES:
        yield _framed(kind.number, bytes(value[: bounds.string_bytes]))


def _cut_text(value: memoryview, most_bytes: int) -> bytes:
    check_utf8(value)
    kept = bytes(value[:most_bytes]).decode(errors="ignore")
    return (kept + cut_mark(len(value))).encode()


def cut_mark(size_bytes: int) -> str:
    """What a string ends with that was cut."""
    return f"… [cut: it had {size_bytes} bytes]"


def check_utf8(text: memoryview) -> None:
    """Raise UndecodableError where ``text`` is not UTF-8, holding little of it at once."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for at in range(0, len(text), CHUNK_BYTES):
            decoder.decode(text[at : at + CHUNK_BYTES])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise UndecodableError("a string is not UTF-8") from error


def _field(message: memoryview, start: int) -> Field:
    tag, value = _varint(message, start, MAX_TAG_BYTES)
    number, wire_type = tag >> 3, tag & 7
    if not 0 < number < 1 << 29:
        raise UndecodableError("a field has no number")
    end = _end(message, number, wire_type, value)
    if wire_type == LENGTH:
        value = end[1]
    return Field(number, wire_type, start, value, end[0])


def _end(message: memoryview, number: int, wire_type: int, at: int) -> tuple[int, int]:
    """Where a field's value ends, and where it begins."""
    begin = at
    match wire_type:
        case 0:
            _, at = _varint(message, at, MAX_VARINT_BYTES)
        case 1:
            at += 8
        case 2:
            size_bytes, begin = _varint(message, at, MAX_TAG_BYTES)
            at = begin + size_bytes
        case 3:
            at = _end_of_group(message, number, at)
        case 5:
            at += 4
        case _:
            raise UndecodableError("a field has no kind")
    if at > len(message):
        raise UndecodableError("a field goes beyond its message")
    return at, begin


def _end_of_group(message: memoryview, number: int, at: int) -> int:
    """Behind the end of a group, with the groups inside it."""
    open_groups = [number]
    while open_groups:
        tag, value = _varint(message, at, MAX_TAG_BYTES)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == END_GROUP and number == open_groups.pop():
            at = value
        elif wire_type == GROUP and number > 0 and len(open_groups) < MAX_DEPTH:
            open_groups.append(number)
            at = value
        elif wire_type == END_GROUP:
            raise UndecodableError("a group does not end")
        else:
            at = _field(message, at).end
    return at


def _varint(message: memoryview, at: int, most_bytes: int) -> tuple[int, int]:
    """A number, and where it ends."""
    number = 0
    for shift in range(0, 7 * most_bytes, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - no more bytes follow
            return number, at
    raise UndecodableError("a number does not end")


def _framed(number: int, value: bytes) -> bytes:
    """A field of a message or a string."""
    return _number(number << 3 | LENGTH) + _number(len(value)) + value


def _number(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits to a byte
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
