r"""An OTLP/JSON export request as small ones.

msgspec gives members and items as views into the body, so nothing is built but one piece at a time.
What has the wrong shape stays as it is: whoever reads the piece reads it as absent.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from bridge.errors import UndecodableError
from bridge.model.requests import Signal
from bridge.otlp.wire import cut_mark

Members = dict[str, msgspec.Raw]
Path = tuple[tuple[str, ...], ...]

_KINDS: Final = ("sum", "gauge", "histogram", "exponentialHistogram", "summary")
"""Of a metric; their values are objects, where the other steps of a path lead to arrays."""

PATHS: Final[Mapping[Signal, Path]] = {
    Signal.LOGS: (
        ("resourceLogs", "resource_logs"),
        ("scopeLogs", "scope_logs"),
        ("logRecords", "log_records"),
    ),
    Signal.TRACES: (
        ("resourceSpans", "resource_spans"),
        ("scopeSpans", "scope_spans"),
        ("spans",),
    ),
    Signal.METRICS: (
        ("resourceMetrics", "resource_metrics"),
        ("scopeMetrics", "scope_metrics"),
        ("metrics",),
        _KINDS,
        ("dataPoints",),
    ),
}
"""Names on the way from the request to its records, either spelling."""

ESCAPE: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
MAX_DEPTH: Final = 100

_members = msgspec.json.Decoder(Members).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode


class _Bounds(NamedTuple):
    piece_bytes: int
    string_bytes: int


def pieces(signal: Signal, body: bytes, piece_bytes: int, string_bytes: int) -> Iterator[bytes]:
    """Export requests of about ``piece_bytes`` that together hold the records of ``body``.

    Strings longer than ``string_bytes`` are cut in pieces that would be too large because of them.

    Raises:
        UndecodableError: It is not JSON.
    """
    bounds = _Bounds(piece_bytes, string_bytes)
    try:
        whole = _object(_strict(body))
        yield from (_encode(piece) for piece in _split(whole, PATHS[signal], bounds))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UndecodableError("the body is not JSON") from error


def without_halves(body: bytes) -> bytes:
    """The body with ``?`` for each half of a surrogate pair that stands alone.

    JavaScript writes one where it cut a string, and no strict parser takes it.
    """
    return ESCAPE.sub(lambda match: b"?" if match["half"] else match[0], body)


def _strict(body: bytes) -> msgspec.Raw:
    try:
        _members(body)
    except msgspec.ValidationError:
        pass
    except msgspec.DecodeError:
        return msgspec.Raw(without_halves(body))
    return msgspec.Raw(body)


def _object(raw: msgspec.Raw) -> Members:
    try:
        return _members(raw)
    except msgspec.ValidationError:
        return {}


def _array(raw: msgspec.Raw) -> list[msgspec.Raw] | None:
    try:
        return _items(raw)
    except msgspec.ValidationError:
        return None


def _split(members: Members, path: Path, bounds: _Bounds) -> Iterator[Members]:
    """Objects alike, each with some of what ``path`` leads to."""
    names, rest = path[0], path[1:]
    inside = [name for name in names if name in members]
    head = {
        name: _shortened(raw, bounds.string_bytes)
        for name, raw in members.items()
        if name not in inside
    }
    if names is _KINDS:
        for name in inside:
            for part in _split(_object(members[name]), rest, bounds):
                yield head | {name: _raw(part)}
        return
    for name in inside:
        items = _array(members[name])
        if items is not None:
            for run in _runs(items, rest, bounds, _size(head)):
                yield head | {name: _array_of(run)}
            return
    yield head


def _runs(
    items: Sequence[msgspec.Raw], path: Path, bounds: _Bounds, head_bytes: int
) -> Iterator[list[msgspec.Raw]]:
    """Neighbours that are small together; an item too large is taken apart in turn."""
    most_bytes = max(bounds.piece_bytes, head_bytes)
    run: list[msgspec.Raw] = []
    run_bytes = 0
    for item in items:
        size_bytes = len(memoryview(item))
        if run and run_bytes + size_bytes > most_bytes:
            yield run
            run, run_bytes = [], 0
        if size_bytes <= bounds.piece_bytes:
            run.append(item)
            run_bytes += size_bytes
        elif path:
            yield from ([_raw(part)] for part in _split(_object(item), path, bounds))
        else:
            yield [_shortened(item, bounds.string_bytes)]
    if run or not items:
        yield run


def _shortened(raw: msgspec.Raw, most_bytes: int, depth: int = 0) -> msgspec.Raw:
    """The value with what is too long in it cut."""
    view = memoryview(raw)
    if len(view) <= most_bytes:
        return raw
    if depth > MAX_DEPTH:
        raise UndecodableError("nested too deeply")
    match bytes(view[:1]):
        case b'"':
            return msgspec.Raw(_encode(_cut_text(view, most_bytes)))
        case b"{":
            inner = {
                name: _shortened(each, most_bytes, depth + 1)
                for name, each in _members(raw).items()
            }
            return _raw(inner)
        case b"[":
            return _array_of([_shortened(each, most_bytes, depth + 1) for each in _items(raw)])
    return msgspec.Raw(b"null")  # a number of a million digits


def _cut_text(string: memoryview, most_bytes: int) -> str:
    """The beginning of a JSON string; where the cut went through a character, less of it."""
    for cut in range(most_bytes, most_bytes - 12, -1):
        try:
            return _text(bytes(string[:cut]) + b'"') + cut_mark(len(string) - 2)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    raise UndecodableError("a string is not JSON")


def _size(members: Members) -> int:
    return sum(len(memoryview(raw)) for raw in members.values())


def _raw(members: Members) -> msgspec.Raw:
    return msgspec.Raw(_encode(members))


def _array_of(items: Sequence[msgspec.Raw]) -> msgspec.Raw:
    return msgspec.Raw(_encode(items))
