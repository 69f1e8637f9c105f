"""Encoded spans → an export: what stands around them.

The scope's name starts with ``langfuse-sdk`` because for any other name Langfuse copies all
attributes into the metadata that people read.
"""

import functools
from collections.abc import Sequence
from itertools import chain, groupby
from operator import attrgetter
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
    spans = [each.span for each in batch]
    before = [_BEFORE_SPAN[size] for size in map(len, spans)]
    framed = list(chain.from_iterable(zip(before, spans, strict=True)))
    sizes = list(map(len, framed))
    pieces: list[bytes] = []
    start = 0
    for sender, run in groupby(map(_SENDER, batch)):
        end = start + 2 * len(list(run))
        pieces += _before_spans(_envelope(*sender), sum(sizes[start:end]))
        pieces += framed[start:end]
        start = end
    return b"".join(pieces)


_SENDER: Final = attrgetter("envelope", "service_name", "service_version")


def _before_spans(envelope: _Envelope, spans_bytes: int) -> tuple[bytes, ...]:
    """All of a ``ResourceSpans`` that stands before its spans."""
    resource, scope = envelope
    scope_spans = b"\x12" + varint(len(scope) + spans_bytes) + scope
    return b"\x0a", varint(len(resource) + len(scope_spans) + spans_bytes), resource, scope_spans


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


@functools.lru_cache(maxsize=KEPT_ENVELOPES)
def _foreign_envelope(envelope: bytes) -> _Envelope:
    message = ResourceSpans.FromString(envelope)
    return _Envelope(
        resource=sized(b"\x0a", message.resource.SerializeToString(deterministic=True)),
        scope=sized(b"\x0a", message.scope_spans[0].scope.SerializeToString(deterministic=True)),
    )


@functools.lru_cache(maxsize=KEPT_ENVELOPES)
def _client_envelope(service_name: str, service_version: str | None) -> _Envelope:
    told = (("service.name", service_name or None), ("service.version", service_version or None))
    scope = present(b"\x0a", SCOPE_NAME.encode()) + present(b"\x12", __version__.encode())
    return _Envelope(
        resource=sized(b"\x0a", AttributeWriter(b"\x0a").write(told)), scope=sized(b"\x0a", scope)
    )
