"""What a coding agent's own spans tell: the same work as its events, seen from another side.

Events like any other, so that they are folded with them: the halves of one observation may come
from both. ``time_ms`` is the span's end, ``otel_trace_id`` and ``otel_span_id`` are its own.
"""

from typing import Final

import msgspec

from bridge.model.event import Event, Purpose


class SpanEvent(Event, frozen=True, kw_only=True):
    """What all spans share.

    Attributes:
        began_ms: True start; ``time_ms`` is the true end.
        otel_parent_id: The span above it, None for a root.
    """

    began_ms: int
    otel_parent_id: str | None = None


class TurnSpan(SpanEvent, frozen=True, kw_only=True, tag="turn_span"):
    """A whole turn, from prompt to answer; it comes last, or never.

    Attributes:
        remote_parent: Whether the span above it is another program's (TRACEPARENT).
    """

    text: str | None
    length: int | None
    remote_parent: bool = False


class ModelSpan(SpanEvent, frozen=True, kw_only=True, tag="model_span"):
    """A model request with all its attempts; classifier requests are told only by this.

    Attributes:
        usage: As in ``ModelRequest``; empty for a failed request.
        ttft_ms: From the start of the last attempt to its first token.
        attempts: How often it was tried.
        stop_reason: Why the model stopped.
        goes_on: Whether it stopped for a tool, whose result it is asked with again.
        retried_ms: From the start of the first attempt to that of the last; 0 if there was one.
    """

    request_id: str | None
    model: str
    usage: dict[str, int]
    success: bool
    error: str | None = None
    status_code: int | None = None
    ttft_ms: int | None = None
    attempts: int = 1
    stop_reason: str | None = None
    purpose: Purpose = Purpose.UNKNOWN
    parameters: dict[str, str] = msgspec.field(default_factory=dict)
    retried_ms: int = 0
    goes_on: bool = False


class ToolSpan(SpanEvent, frozen=True, kw_only=True, tag="tool_span"):
    """A tool call from the model's asking to its result, waiting for a person included.

    Attributes:
        output: What it returned, when the client tells contents.
        arguments: JSON text of what is told of its arguments.
        spawns: As in ``ToolDecision``.
        recorded_as: What log records name it, where that is not the same.
    """

    call_id: str | None
    name: str
    title: str
    output: str | None = None
    arguments: str | None = None
    spawns: str | None = None
    recorded_as: str | None = None


class ToolWait(SpanEvent, frozen=True, kw_only=True, tag="tool_wait"):
    """The part of a tool call that waited for a decision; its parent is the ``ToolSpan``."""

    decision: str | None = None
    source: str | None = None


class ToolRun(SpanEvent, frozen=True, kw_only=True, tag="tool_run"):
    """The part of a tool call that ran; a sub-agent's spans and records hang below it."""

    call_id: str | None
    success: bool
    error: str | None = None


class OtherSpan(SpanEvent, frozen=True, kw_only=True, tag="other_span"):
    """Any other span of the coding agent: hooks, and what a newer client may add."""

    name: str
    failed: bool = False
    message: str | None = None


SPAN_KINDS: Final[frozenset[type]] = frozenset(
    {TurnSpan, ModelSpan, ToolSpan, ToolWait, ToolRun, OtherSpan}
)
"""Tells spans from records: a look-up where ``isinstance`` asks their metaclass, for each event."""
