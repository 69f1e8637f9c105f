"""Spans of other programs, which are passed on as they came."""

import msgspec


class ForeignSpan(msgspec.Struct, frozen=True, kw_only=True):
    """One span of another program's scope. Made by ``decode``, passed on by ``langfuse.forward``.

    Attributes:
        span: The OTLP ``Span`` message.
        resource: The OTLP ``Resource`` message it came with; ``scope`` likewise.
        attributes: The resource's attributes as text, of which tags are made.
        fixed: Those of them that the sender's token gives it, whatever the span says.
        redacted: How many secrets were masked in all of it.
    """

    trace_id: str
    span_id: str
    session_id: str | None
    name: str
    start_ms: int
    end_ms: int
    is_root: bool
    span: bytes
    resource: bytes
    scope: bytes
    attributes: dict[str, str]
    fixed: dict[str, str] = {}
    redacted: int = 0


class Forwarded(msgspec.Struct, frozen=True, kw_only=True):
    """A foreign span as it is sent.

    Attributes:
        envelope: A ``ResourceSpans`` message with resource and scope and without spans.
    """

    foreign: ForeignSpan
    span: bytes
    envelope: bytes
