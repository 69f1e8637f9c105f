"""Spans meet log records: whose halves they are, and what they stand for alone.

Spans and records of one request share ``request_id``, those of one tool call ``tool_use_id``.
Clients that do not tell them (requests before 2.1.110, tools before 2.1.170) are joined by what
cannot be alike by chance: the request's token counts or the tool's name, and the moment of its end.
"""

from collections.abc import Iterator
from typing import Any

from bridge.correlate.state import LiveTurn, OpenPart
from bridge.model.events import (
    AnyEvent,
    ModelFailure,
    ModelRequest,
    ToolDecision,
    ToolResult,
    UserPrompt,
    plain_model,
)
from bridge.model.spans import ModelSpan, ToolRun, ToolSpan, ToolWait, TurnSpan

MAX_APART_MS = 1_000
"""Between the end of a span and the emission of its record: up to 5 ms for requests, and up to
some 100 ms for tools of old clients on a busy machine. The nearest is taken."""


def model_span_key(turn: LiveTurn, request: ModelRequest | ModelFailure) -> str | None:
    """The part that holds the span of a request without common id."""
    usage = request.usage if isinstance(request, ModelRequest) else {}
    found = [
        (abs(span.time_ms - request.time_ms), key)
        for key, span in _waiting(turn, "m:")
        if isinstance(span, ModelSpan)
        and span.usage == usage
        and plain_model(span.model) == plain_model(request.model)
    ]
    return _nearest(found)


def tool_span_key(turn: LiveTurn, told: ToolDecision | ToolResult) -> str | None:
    """The part that holds the spans of a tool call without common id; of its title if any is."""
    found = [
        (span.title != told.title, abs(span.time_ms - told.time_ms), key)
        for key, span in _waiting(turn, "u:")
        if isinstance(span, ToolSpan) and told.name in {span.name, span.recorded_as}
    ]
    alike = any(not is_other for is_other, _, _ in found)
    return _nearest([(apart_ms, key) for is_other, apart_ms, key in found if is_other != alike])


def tells_alone(turn: LiveTurn, part: OpenPart) -> bool:
    """Whether the span of a tool without common id stands for it where no record has taken it.

    Besides where there are no records, of a call that was denied by rule: up to 2.1.269 the
    wait in its span says so and no record does.
    """
    if not turn.has_logs:
        return True
    waits = [turn.parts.get(f"w:{event.otel_span_id}") for event in part.events]
    told = [event for wait in waits if wait for event in wait.events]
    return not turn.totals.rejections and any(
        isinstance(event, ToolWait) and event.decision == "reject" for event in told
    )


def as_request(span: ModelSpan) -> ModelRequest | ModelFailure:
    """The request that only a span tells of. Its cost is not known."""
    common: dict[str, Any] = {
        "key": span.key,
        "session_id": span.session_id,
        "conversation": span.conversation,
        "prompt_id": None,
        "time_ms": span.time_ms,
        "agent_id": span.agent_id,
        "parent_agent_id": span.parent_agent_id,
        "agent_type": span.agent_type,
        "otel_trace_id": span.otel_trace_id,
        "otel_span_id": span.otel_span_id,
        "attributes": span.attributes,
        "request_id": span.request_id,
        "model": span.model,
        "duration_ms": max(0, span.time_ms - span.began_ms),
        "purpose": span.purpose,
        "parameters": span.parameters,
    }
    if span.success:
        told_ms = span.ttft_ms
        ttft_ms = None if told_ms is None else min(span.retried_ms + told_ms, common["duration_ms"])
        return ModelRequest(**common, usage=span.usage, cost_picousd=None, ttft_ms=ttft_ms)
    return ModelFailure(**common, error=span.error, status_code=span.status_code)


def as_tool(
    span: ToolSpan | None, run: ToolRun | None, wait: ToolWait | None
) -> ToolDecision | ToolResult | None:
    """The tool call that only spans tell of: run, or rejected."""
    told = span or run
    if told is None:
        return None
    common: dict[str, Any] = {
        "key": told.key,
        "session_id": told.session_id,
        "conversation": told.conversation,
        "prompt_id": None,
        "time_ms": told.time_ms,
        "agent_id": told.agent_id,
        "parent_agent_id": told.parent_agent_id,
        "otel_trace_id": told.otel_trace_id,
        "attributes": span.attributes if span else {},
        "call_id": told.call_id,
        "name": span.name if span else "unknown",
        "title": span.title if span else "unknown",
        "arguments": span.arguments if span else None,
        "spawns": span.spawns if span else None,
    }
    if run is None and wait is not None and wait.decision == "reject":
        return ToolDecision(**common, accepted=False, source=wait.source)
    began_ms = run.began_ms if run else told.began_ms
    return ToolResult(
        **common,
        success=run.success if run else True,
        duration_ms=max(0, told.time_ms - began_ms),
        error=run.error if run else None,
    )


def _waiting(turn: LiveTurn, prefix: str) -> Iterator[tuple[str, AnyEvent]]:
    for key, part in turn.parts.items():
        if key.startswith(prefix):
            yield from ((key, event) for event in part.events)


def _nearest(found: list[tuple[int, str]]) -> str | None:
    near = [item for item in found if item[0] <= MAX_APART_MS]
    return min(near)[1] if near else None


def as_prompt(span: TurnSpan) -> UserPrompt:
    """The prompt that only the turn's span tells of."""
    return UserPrompt(
        key=span.key,
        session_id=span.session_id,
        conversation=span.conversation,
        prompt_id=None,
        time_ms=span.began_ms,
        text=span.text,
        length=span.length,
    )
