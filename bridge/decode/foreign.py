"""Spans of other programs' scopes (an Agent SDK application's own), kept whole.

OTLP/JSON is read by protobuf's own JSON parser here, with ids turned from hex into its base64, so
that nothing of a span is lost that we know nothing of.
"""

import base64
from collections.abc import Iterator, Mapping, MutableSequence
from typing import Any, TypeAlias

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bridge.decode.attributes import identifier
from bridge.decode.envelope import inflated
from bridge.decode.privacy import Privacy
from bridge.decode.values import (
    SPAN_ID_BYTES,
    TRACE_ID_BYTES,
    M,
    document,
    json_dict,
    json_list,
    proto_attributes,
    proto_message,
)
from bridge.errors import UndecodableError
from bridge.model.foreign import ForeignSpan
from bridge.model.requests import Encoding, ExportRequest

NS_PER_MS = 1_000_000
_IDS = ("traceId", "spanId", "parentSpanId")


def foreign_spans(
    request: ExportRequest, privacy: Privacy | None = None
) -> Iterator[ForeignSpan | UndecodableError | None]:
    """Every span of a traces request, in order; None for one that has no ids.

    In the place of a span that cannot be read whole stands the error that says so. ``privacy``
    takes out what may not leave; without it spans stay as they came.

    Raises:
        UndecodableError: The body is not an ExportTraceServiceRequest.
    """
    read = _json_spans if request.encoding is Encoding.JSON else _proto_spans
    guard = privacy or Privacy()
    for found in read(request):
        if isinstance(found, tuple):
            yield _foreign(*found, request.fixed, guard)
        else:
            yield found


def _foreign(
    resource: Resource,
    scope: InstrumentationScope,
    span: Span,
    fixed: Mapping[str, str],
    privacy: Privacy,
) -> ForeignSpan | UndecodableError | None:
    if not span.trace_id or not span.span_id:
        return None
    if len(span.trace_id) != TRACE_ID_BYTES or len(span.span_id) != SPAN_ID_BYTES:
        return UndecodableError("an id of another program's span has the wrong length")
    resource, scope = _copied(resource), _copied(scope)  # other spans share them
    _fix(resource.attributes, fixed, add=True)
    _fix(span.attributes, fixed, add=False)
    found = privacy.guard_messages(span, resource, scope)
    told = proto_attributes(resource.attributes)
    return ForeignSpan(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        session_id=_session(span),
        name=span.name,
        start_ms=span.start_time_unix_nano // NS_PER_MS,
        end_ms=span.end_time_unix_nano // NS_PER_MS,
        is_root=not span.parent_span_id,
        span=span.SerializeToString(deterministic=True),
        resource=resource.SerializeToString(deterministic=True),
        scope=scope.SerializeToString(deterministic=True),
        attributes={key: value for key in told if (value := identifier(told[key]))},
        redacted=found.total(),
        fixed=dict(fixed),
    )


def _fix(pairs: MutableSequence[KeyValue], fixed: Mapping[str, str], *, add: bool) -> None:
    """Take the client's own values of fixed attributes away, and add the fixed ones if asked."""
    for index in reversed(range(len(pairs))):
        if pairs[index].key in fixed:
            del pairs[index]
    if add:
        pairs.extend(
            KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in fixed.items()
        )


def _copied(message: M) -> M:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _session(span: Span) -> str | None:
    told = proto_attributes(span.attributes)
    return identifier(told.get("session.id")) or identifier(told.get("gen_ai.conversation.id"))


Found: TypeAlias = tuple[Resource, InstrumentationScope, Span]


def _proto_spans(request: ExportRequest) -> Iterator[Found]:
    for of_resource in proto_message(ExportTraceServiceRequest, inflated(request)).resource_spans:
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield of_resource.resource, of_scope.scope, span


def _json_spans(request: ExportRequest) -> Iterator[Found | UndecodableError]:
    export = document(inflated(request))
    for of_resource in json_list(export, "resourceSpans", "resource_spans"):
        for of_scope in json_list(of_resource, "scopeSpans", "scope_spans"):
            for told in json_list(of_scope, "spans"):
                yield _json_span(of_resource, of_scope, told)


def _json_span(of_resource: Any, of_scope: Any, told: Any) -> Found | UndecodableError:  # noqa: ANN401 - JSON
    try:
        return (
            _parsed(json_dict(of_resource, "resource"), Resource()),
            _parsed(json_dict(of_scope, "scope"), InstrumentationScope()),
            _parsed(_with_base64_ids(told), Span()),
        )
    # RecursionError: protobuf's JSON parser follows nesting on the interpreter's stack.
    except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError):
        return UndecodableError("another program's span cannot be read whole")


def _parsed(told: dict[str, Any], message: M) -> M:
    return json_format.ParseDict(told, message, ignore_unknown_fields=True)


def _with_base64_ids(span: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    if not isinstance(span, dict):
        raise TypeError("not an object")
    links = [_base64_ids(link) for link in json_list(span, "links") if isinstance(link, dict)]
    return _base64_ids(span) | ({"links": links} if links else {})


def _base64_ids(holder: dict[str, Any]) -> dict[str, Any]:
    told = {name: holder[name] for name in _IDS if isinstance(holder.get(name), str)}
    turned = {k: base64.b64encode(bytes.fromhex(v)).decode() for k, v in told.items()}
    return holder | turned
