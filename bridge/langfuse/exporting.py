"""Encoded spans → an export: what stands around them.

The scope's name starts with ``langfuse-sdk`` because for any other name Langfuse copies all
attributes into the metadata that people read.
"""

import functools
from collections.abc import Iterator, Sequence
from itertools import accumulate, compress, count
from operator import attrgetter, ne
from typing import Final, NamedTuple

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from bridge import __version__
from bridge.model.delivery import PendingSpan
from bridge.protowire import AttributeWriter, present, sized, varint

SCOPE_NAME = "langfuse-sdk/langfuse-bridge"
USUAL_SPAN_BYTES: Final = 4_096
KEPT_ENVELOPES: Final = 64


class _Envelope(NamedTuple):
    """Fields that stand before the spans of one resource and scope."""

    resource: bytes
    scope: bytes


def encode_export(batch: Sequence[PendingSpan]) -> bytes:
    """An ``ExportTraceServiceRequest`` of already encoded spans, in their order.

    Neighbours of one sender share its resource. Runs are short where many clients send, so all
    spans are framed at once, and each byte is copied once, by the join at the end.
    """
    spans = list(map(_SPAN, batch))
    framed = [b""] * (2 * len(spans))
    framed[::2] = map(_BEFORE_SPAN.__getitem__, map(len, spans))
    framed[1::2] = spans
    sizes_bytes = [0, *accumulate(map(len, framed))]
    pieces: list[bytes] = []
    for sender, start, end in _runs(list(map(_SENDER, batch))):
        spans_bytes = sizes_bytes[2 * end] - sizes_bytes[2 * start]
        pieces.append(_before_spans(_envelope(*sender), spans_bytes))
        pieces += framed[2 * start : 2 * end]
    return b"".join(pieces)


_Sender = tuple[bytes | None, str, str | None]
_SPAN: Final = attrgetter("span")
_SENDER: Final = attrgetter("envelope", "service_name", "service_version")


def _runs(senders: list[_Sender]) -> Iterator[tuple[_Sender, int, int]]:
    """Neighbours of one sender: who, where they start, and where they end."""
    others = compress(count(1), map(ne, senders, senders[1:]))
    starts = [0, *others] if senders else []
    ends = [*starts[1:], len(senders)]
    return zip(map(senders.__getitem__, starts), starts, ends, strict=False)


def _before_spans(envelope: _Envelope, spans_bytes: int) -> bytes:
    """All of a ``ResourceSpans`` that stands before its spans."""
    resource, scope = envelope
    scope_spans = b"\x12" + varint(len(scope) + spans_bytes) + scope
    size = varint(len(resource) + len(scope_spans) + spans_bytes)
    return b"\x0a" + size + resource + scope_spans


@functools.lru_cache(maxsize=KEPT_ENVELOPES)
def _envelope(envelope: bytes | None, service_name: str, service_version: str | None) -> _Envelope:
    """Resource and scope that a span is sent under: another program's own, or the client's."""
    if envelope is not None:
        return _foreign_envelope(envelope)
    return _client_envelope(service_name, service_version)


class _BeforeSpan(dict[int, bytes]):
    """Size of a span → its tag and size; those of usual sizes are remembered."""

    def __missing__(self, size: int) -> bytes:
        before = b"\x12" + varint(size)
        if size < USUAL_SPAN_BYTES:
            self[size] = before
        return before


_BEFORE_SPAN: Final = _BeforeSpan()


def _foreign_envelope(envelope: bytes) -> _Envelope:
    message = ResourceSpans.FromString(envelope)
    return _Envelope(
        resource=sized(b"\x0a", message.resource.SerializeToString(deterministic=True)),
        scope=sized(b"\x0a", message.scope_spans[0].scope.SerializeToString(deterministic=True)),
    )


def _client_envelope(service_name: str, service_version: str | None) -> _Envelope:
    told = (("service.name", service_name or None), ("service.version", service_version or None))
    scope = present(b"\x0a", SCOPE_NAME.encode()) + present(b"\x12", __version__.encode())
    return _Envelope(
        resource=sized(b"\x0a", AttributeWriter(b"\x0a").write(told)), scope=sized(b"\x0a", scope)
    )
