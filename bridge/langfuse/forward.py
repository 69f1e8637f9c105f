"""Spans of other programs on their way through: untouched but for tags and session.

Where the sender's token fixes attributes, the span's own words about them are replaced too: a
forwarded span may name tags, user, release and metadata of its trace as Langfuse reads them.
"""

from collections.abc import Iterator

from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from bridge.langfuse.trace import TraceSettings, tags_of, user_of
from bridge.model.foreign import ForeignSpan, Forwarded

TAGS = "langfuse.trace.tags"
SESSION = "langfuse.session.id"
USER = "langfuse.user.id"
RELEASE = "langfuse.release"
METADATA = "langfuse.trace.metadata"
OTHER_NAMES = {
    TAGS: ("tags", "langfuse.tags"),
    USER: ("user.id", "langfuse.trace.user_id"),
    RELEASE: ("langfuse.trace.release",),
}
"""Other attributes that Langfuse may read the same from."""


def forwarded(foreign: ForeignSpan, settings: TraceSettings) -> Forwarded:
    """The span with the tags of its resource and its session, where it has none of its own."""
    span = Span.FromString(foreign.span)
    _drop(span, set(_claims(foreign, settings)))
    present = {pair.key for pair in span.attributes}
    added = {
        TAGS: _tags(foreign, settings),
        SESSION: _text(foreign.session_id),
        USER: _text(user_of(foreign.fixed)),
        RELEASE: _text(foreign.fixed.get(settings.group_by or "")),
    }
    span.attributes.extend(
        KeyValue(key=key, value=value)
        for key, value in added.items()
        if value and key not in present
    )
    envelope = ResourceSpans(
        resource=Resource.FromString(foreign.resource),
        scope_spans=[ScopeSpans(scope=InstrumentationScope.FromString(foreign.scope))],
    )
    return Forwarded(
        foreign=foreign,
        span=span.SerializeToString(deterministic=True),
        envelope=envelope.SerializeToString(deterministic=True),
    )


def _claims(foreign: ForeignSpan, settings: TraceSettings) -> Iterator[str]:
    """Attributes by which the span could say otherwise than what is fixed."""
    fixed = foreign.fixed
    if any(name in fixed for name, _ in settings.tags):
        yield from (TAGS, *OTHER_NAMES[TAGS])
    if user_of(fixed):
        yield from (USER, *OTHER_NAMES[USER])
    if settings.group_by in fixed:
        yield from (RELEASE, *OTHER_NAMES[RELEASE])
    if fixed:
        yield METADATA  # all of it as one JSON text
    yield from (f"{METADATA}.{name}" for name in fixed)


def _drop(span: Span, names: set[str]) -> None:
    for index in reversed(range(len(span.attributes))):
        if span.attributes[index].key in names:
            del span.attributes[index]


def _tags(foreign: ForeignSpan, settings: TraceSettings) -> AnyValue | None:
    tags = [AnyValue(string_value=tag) for tag in tags_of(foreign.attributes, settings)]
    return AnyValue(array_value=ArrayValue(values=tags)) if tags else None


def _text(value: str | None) -> AnyValue | None:
    return AnyValue(string_value=value) if value else None
