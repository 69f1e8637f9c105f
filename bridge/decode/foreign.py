"""Spans of other programs' scopes (an Agent SDK application's own), kept whole.

OTLP/JSON is read by protobuf's own JSON parser here, with ids turned from hex into its base64, so
that nothing of a span is lost that we know nothing of.
"""

import base64
from collections.abc import Iterator, Mapping, MutableSequence
from typing import Any, TypeVar

import msgspec
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bridge.decode.attributes import text
from bridge.decode.envelope import inflated
from bridge.decode.privacy import Privacy
from bridge.decode.values import document, json_list, proto_attributes
from bridge.errors import UndecodableError
from bridge.model.foreign import ForeignSpan
from bridge.model.requests import Encoding, ExportRequest

M = TypeVar("M", bound=Message)

NS_PER_MS = 1_000_000
_IDS = ("traceId", "spanId", "parentSpanId")


def foreign_spans(
    request: ExportRequest, privacy: Privacy | None = None
) -> Iterator[ForeignSpan | None]:
    """Every span of a traces request, in order; None for one that has no ids.

    ``privacy`` takes out what may not leave; without it spans stay as they came.

    Raises:
        UndecodableError: The body is not an ExportTraceServiceRequest.
    """
    for resource_spans in _export(request).resource_spans:
        _fix(resource_spans.resource.attributes, request.fixed, add=True)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                if not span.trace_id or not span.span_id:
                    yield None
                    continue
                _fix(span.attributes, request.fixed, add=False)
                guarded = _guarded(
                    span, resource_spans.resource, scope_spans.scope, privacy or Privacy()
                )
                yield msgspec.structs.replace(guarded, fixed=request.fixed)


def _fix(pairs: MutableSequence[KeyValue], fixed: Mapping[str, str], *, add: bool) -> None:
    """Take the client's own values of fixed attributes away, and add the fixed ones if asked."""
    for index in reversed(range(len(pairs))):
        if pairs[index].key in fixed:
            del pairs[index]
    if add:
        pairs.extend(
            KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in fixed.items()
        )


def _guarded(
    span: Span, resource: Resource, scope: InstrumentationScope, privacy: Privacy
) -> ForeignSpan:
    resource, scope = _copied(resource), _copied(scope)  # other spans share them
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
        attributes={key: value for key in told if (value := text(told[key]))},
        redacted=found.total(),
    )


def _copied(message: M) -> M:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _session(span: Span) -> str | None:
    told = proto_attributes(span.attributes)
    return text(told.get("session.id")) or text(told.get("gen_ai.conversation.id"))


def _export(request: ExportRequest) -> ExportTraceServiceRequest:
    body = inflated(request)
    try:
        if request.encoding is Encoding.PROTOBUF:
            return ExportTraceServiceRequest.FromString(body)
        export = document(body)
        for holder in _id_holders(export):
            for name in _IDS:
                if isinstance(value := holder.get(name), str):
                    holder[name] = base64.b64encode(bytes.fromhex(value)).decode()
        return json_format.ParseDict(
            export, ExportTraceServiceRequest(), ignore_unknown_fields=True
        )
    except (DecodeError, json_format.ParseError, ValueError) as error:
        # The parsers quote what they cannot read, and reasons are logged.
        reason = f"the spans cannot be read whole ({type(error).__name__})"
        raise UndecodableError(reason) from None


def _id_holders(export: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - JSON
    for resource_spans in json_list(export, "resourceSpans", "resource_spans"):
        for scope_spans in json_list(resource_spans, "scopeSpans", "scope_spans"):
            for span in json_list(scope_spans, "spans"):
                yield span
                yield from json_list(span, "links")
