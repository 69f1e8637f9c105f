"""Spans of other programs on their way through: untouched but for tags and session."""

from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from bridge.langfuse.trace import TraceSettings, tags_of
from bridge.model.foreign import ForeignSpan, Forwarded

TAGS = "langfuse.trace.tags"
SESSION = "langfuse.session.id"


def forwarded(foreign: ForeignSpan, settings: TraceSettings) -> Forwarded:
    """The span with the tags of its resource and its session, where it has none of its own."""
    span = Span.FromString(foreign.span)
    present = {pair.key for pair in span.attributes}
    tags = [AnyValue(string_value=tag) for tag in tags_of(foreign.attributes, settings)]
    if tags and TAGS not in present:
        value = AnyValue(array_value=ArrayValue(values=tags))
        span.attributes.append(KeyValue(key=TAGS, value=value))
    if foreign.session_id and SESSION not in present:
        value = AnyValue(string_value=foreign.session_id)
        span.attributes.append(KeyValue(key=SESSION, value=value))
    envelope = ResourceSpans(
        resource=Resource.FromString(foreign.resource),
        scope_spans=[ScopeSpans(scope=InstrumentationScope.FromString(foreign.scope))],
    )
    return Forwarded(
        foreign=foreign,
        span=span.SerializeToString(deterministic=True),
        envelope=envelope.SerializeToString(deterministic=True),
    )
