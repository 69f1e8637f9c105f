"""The two encodings of an OTLP traces request, read alike: bytes → raw spans.

Leaves to ``claude_code`` what the spans mean. Links and trace state are not read: no coding agent
we know sets them.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bridge.decode.attributes import Value
from bridge.decode.envelope import json_scopes, proto_scopes
from bridge.decode.values import (
    SPAN_ID_BYTES,
    TRACE_ID_BYTES,
    hex_id,
    json_attributes,
    json_dict,
    json_id,
    json_integer,
    json_list,
    json_string,
    json_unix_ns,
    proto_attributes,
)
from bridge.model.requests import Encoding, ExportRequest

STATUS_ERROR = 2
PARENT_IS_REMOTE = 0x200
"""The bit of ``flags`` that says that the parent is another program's span."""


class RawSpanEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a span."""

    name: str
    time_unix_ns: int
    attributes: dict[str, Value]


class RawSpan(msgspec.Struct, frozen=True, kw_only=True):
    """One span as it stands in the request, with its resource and scope.

    Attributes:
        trace_id: Lower-case hex of its proper length, None when unset; likewise the other ids.
        start_unix_ns: 0 when unset; likewise the end; below 2^64.
        status_code: 0 unset, 1 ok, ``STATUS_ERROR``.
        status_message: "" when there is none.
        flags: 0 when unset; see ``PARENT_IS_REMOTE``.
    """

    resource: dict[str, Value]
    scope_name: str
    scope_version: str
    trace_id: str | None
    span_id: str | None
    parent_span_id: str | None
    name: str
    start_unix_ns: int
    end_unix_ns: int
    status_code: int
    status_message: str
    flags: int
    attributes: dict[str, Value]
    events: tuple[RawSpanEvent, ...]


def raw_spans(request: ExportRequest) -> Iterator[RawSpan]:
    """Every span of a traces request, in order.

    Raises:
        UndecodableError: The body is not an ExportTraceServiceRequest.
    """
    if request.encoding is Encoding.JSON:
        for place, scope_spans in json_scopes(request, "spans"):
            for span in json_list(scope_spans, "spans"):
                yield RawSpan(**place, **_json_span(span if isinstance(span, dict) else {}))
    else:
        for place, scope_spans in proto_scopes(request, ExportTraceServiceRequest, "spans"):
            for span in scope_spans.spans:
                yield RawSpan(**place, **_proto_span(span))


def _proto_span(span: Span) -> dict[str, Any]:
    return {
        "trace_id": hex_id(span.trace_id.hex(), TRACE_ID_BYTES),
        "span_id": hex_id(span.span_id.hex(), SPAN_ID_BYTES),
        "parent_span_id": hex_id(span.parent_span_id.hex(), SPAN_ID_BYTES),
        "name": span.name,
        "start_unix_ns": span.start_time_unix_nano,
        "end_unix_ns": span.end_time_unix_nano,
        "status_code": span.status.code,
        "status_message": span.status.message,
        "flags": span.flags,
        "attributes": proto_attributes(span.attributes),
        "events": tuple(map(_proto_event, span.events)),
    }


def _proto_event(event: Span.Event) -> RawSpanEvent:
    return RawSpanEvent(
        name=event.name,
        time_unix_ns=event.time_unix_nano,
        attributes=proto_attributes(event.attributes),
    )


def _json_span(span: dict[str, Any]) -> dict[str, Any]:
    status = json_dict(span, "status")
    return {
        "trace_id": json_id(span, "traceId", TRACE_ID_BYTES),
        "span_id": json_id(span, "spanId", SPAN_ID_BYTES),
        "parent_span_id": json_id(span, "parentSpanId", SPAN_ID_BYTES),
        "name": json_string(span, "name"),
        "start_unix_ns": json_unix_ns(span.get("startTimeUnixNano")),
        "end_unix_ns": json_unix_ns(span.get("endTimeUnixNano")),
        "status_code": json_integer(status.get("code")) or 0,
        "status_message": json_string(status, "message"),
        "flags": json_integer(span.get("flags")) or 0,
        "attributes": json_attributes(span),
        "events": tuple(map(_json_event, json_list(span, "events"))),
    }


def _json_event(event: Any) -> RawSpanEvent:  # noqa: ANN401 - JSON
    if not isinstance(event, dict):
        event = {}
    return RawSpanEvent(
        name=json_string(event, "name"),
        time_unix_ns=json_unix_ns(event.get("timeUnixNano")),
        attributes=json_attributes(event),
    )
