"""What each kind of observation holds: texts, level, usage, metadata.

``mapping`` decides which observation a part becomes and where it stands; this is what is in it.
"""

from datetime import UTC, datetime
from typing import Any

from bridge.model.events import (
    ModelAnswer,
    ModelFailure,
    ModelRequest,
    PointEvent,
    ToolDecision,
    ToolResult,
    UserPrompt,
)
from bridge.model.observations import Level, MetadataValue
from bridge.model.parts import Generation, Root, SubAgent, ToolCall, TurnFacts
from bridge.model.spans import ModelSpan, TurnSpan
from bridge.model.totals import Totals

_NO_USAGE = {"input": 0, "output": 0}
"""Where no usage is told: without any, Langfuse would tokenise the text and price it."""


def success_fields(part: Generation) -> dict[str, Any]:
    """Output, usage, cost and first token of a request that succeeded."""
    request = part.request
    if not isinstance(request, ModelRequest):
        return {}
    start_ms = request.time_ms - request.duration_ms
    ttft_ms = request.ttft_ms
    if ttft_ms is None and part.span:
        ttft_ms = part.span.ttft_ms
    answer = part.answer and answer_text(part.answer)
    raw = next((body.text for body in part.bodies if body.is_response), None)
    return {
        "output": answer or raw,
        "usage": request.usage or _NO_USAGE,
        "cost_picousd": request.cost_picousd,
        "completion_start_ms": None if ttft_ms is None else start_ms + ttft_ms,
    }


def failure_fields(request: ModelFailure) -> dict[str, Any]:
    """A failed request has its message as output too: lists show no status message."""
    message = failure_text(request)
    return {
        "level": Level.ERROR,
        "status_message": message,
        "output": message,
        "usage": _NO_USAGE,
        "cost_picousd": 0,
    }


def failure_text(failure: ModelFailure) -> str:
    """``invalid x-api-key (HTTP 401)``, as far as told."""
    status = f"HTTP {failure.status_code}" if failure.status_code else None
    if failure.error:
        return f"{failure.error} ({status})" if status else failure.error
    return status or "request failed"


def generation_metadata(part: Generation) -> dict[str, MetadataValue]:
    """What the records and the span of a request tell besides."""
    request = part.request
    metadata = dict(request.attributes)
    if part.answer:
        metadata = dict(part.answer.attributes) | metadata
    for body in part.bodies:
        metadata |= {k: v for k, v in body.attributes.items() if k not in metadata}
    raw_model = part.span.model if part.span else request.model
    if "[" in raw_model:
        metadata["model"] = raw_model
    if part.span:
        metadata |= _span_metadata(part.span, metadata)
    own_span_id = part.span.otel_span_id if part.span else None
    return metadata | _span_ids(request.otel_trace_id, own_span_id)


def _span_metadata(span: ModelSpan, known: dict[str, MetadataValue]) -> dict[str, MetadataValue]:
    """What only the span tells of a request."""
    metadata = {key: value for key, value in span.attributes.items() if key not in known}
    if span.stop_reason:
        metadata["stop_reason"] = span.stop_reason
    metadata["attempts"] = span.attempts
    return metadata


def _span_ids(trace_id: str | None, span_id: str | None) -> dict[str, MetadataValue]:
    found = {"otel_trace_id": trace_id, "otel_span_id": span_id}
    return {key: value for key, value in found.items() if value}


def tool_end(part: ToolCall) -> dict[str, Any]:
    """Level, message and output of a tool call."""
    result, decision = part.result, part.decision
    if result is None:
        rejected = decision is not None and not decision.accepted
        source = (decision and decision.source) or "unknown"
        message = f"rejected by {source}" if rejected else "no result was reported"
        return {"level": Level.WARNING, "status_message": message, "output": message}
    if result.success:
        return {"output": part.span.output} if part.span else {}
    message = result.error or result.error_type or "failed"
    return {"level": Level.ERROR, "status_message": message, "output": message}


def tool_metadata(part: ToolCall) -> dict[str, MetadataValue]:
    """What decision, result and spans of a tool call tell besides."""
    result, decision = part.result, part.decision
    metadata = _decision_metadata(decision) if decision else {}
    if result:
        metadata |= result.attributes
        if result.result_bytes is not None:
            metadata["result_bytes"] = result.result_bytes
    for source in (decision, result):
        metadata |= _call_metadata(source) if source else {}
    if part.span:
        metadata |= {k: v for k, v in part.span.attributes.items() if k not in metadata}
    if part.wait:
        metadata["waited_ms"] = part.wait.time_ms - part.wait.began_ms
    return metadata


def _decision_metadata(decision: ToolDecision) -> dict[str, MetadataValue]:
    told = {"decision": "accept" if decision.accepted else "reject"}
    if decision.source:
        told["decision_source"] = decision.source
    return decision.attributes | told


def _call_metadata(source: ToolDecision | ToolResult) -> dict[str, MetadataValue]:
    told = {"tool_use_id": source.call_id, "agent_type": source.spawns or None}
    named: dict[str, MetadataValue] = {key: value for key, value in told.items() if value}
    return named | _span_ids(source.otel_trace_id, None)


def agent_metadata(part: SubAgent) -> dict[str, MetadataValue]:
    """Who a sub-agent is, and its sums."""
    metadata = dict(part.completed.attributes) if part.completed else {}
    if ":" not in part.key:
        metadata["agent_id"] = part.key
    if len(part.calls) > 1:
        metadata["parallel_calls"] = [call.removeprefix("t:") for call in part.calls]
    return metadata | _totals_metadata(part.totals)


def _totals_metadata(totals: Totals) -> dict[str, MetadataValue]:
    """Sums for people; never cost or usage of the observation, which would count them twice."""
    counts = {
        "requests": totals.requests,
        "failed_requests": totals.failures,
        "tools": totals.tools,
        "tool_errors": totals.tool_errors,
        "rejected_tools": totals.rejections,
        "agents": totals.agents,
        "unpriced_requests": totals.unpriced,
    }
    metadata: dict[str, MetadataValue] = {key: value for key, value in counts.items() if value}
    if totals.requests:
        metadata["cost_usd"] = totals.cost_picousd / 1e12
        metadata |= {f"tokens.{key}": tokens for key, tokens in sorted(totals.usage.items())}
        metadata["models"] = list(totals.models)
    return metadata


def moment_fields(event: object) -> dict[str, Any]:
    """Name, level and texts of a point event, and of halves whose other half never came."""
    match event:
        case PointEvent():
            return {
                "name": event.name,
                "level": event.level,
                "input": event.text,
                "status_message": event.message,
                "output": event.message,
            }
        case ModelAnswer():
            return {"name": "assistant_response", "output": answer_text(event)}
        case UserPrompt():
            return {"name": "user_prompt", "input": prompt_text(event)}
        case _:
            return {
                "name": "api_response_body" if getattr(event, "is_response", False)
                else "api_request_body",
                "level": Level.DEBUG,
                "input": getattr(event, "text", None),
            }  # fmt: skip


def generation_times(part: Generation) -> tuple[int, int]:
    """Start and end: a span has both, with all attempts; a record only its last attempt's."""
    if part.span:
        return part.span.began_ms, part.span.time_ms
    return part.request.time_ms - part.request.duration_ms, part.request.time_ms


def tool_times(part: ToolCall, emitted_ms: int) -> tuple[int, int]:
    """Start and end of what ran; the waiting before it is told apart."""
    if part.run:
        return part.run.began_ms, part.run.time_ms
    return emitted_ms - (part.result.duration_ms if part.result else 0), emitted_ms


def root_input(part: Root, turn: TurnFacts) -> str:
    """The prompt, from the record or from the turn's span."""
    if part.prompt is None and part.span:
        return _noted_text(part.span)
    return prompt_text(part.prompt) if part.prompt or turn.prompt_id else "[no prompt]"


def prompt_text(prompt: UserPrompt | None) -> str:
    """The prompt, or in its place a short note of what is known."""
    return "[prompt not exported]" if prompt is None else _noted_text(prompt)


def _noted_text(prompt: UserPrompt | TurnSpan) -> str:
    if prompt.text is not None:
        return prompt.text
    return (
        "[prompt not exported]"
        if prompt.length is None
        else f"[prompt: {prompt.length} characters]"
    )


def answer_text(answer: ModelAnswer) -> str:
    """The answer, or in its place a short note of what is known."""
    if answer.text is not None:
        return answer.text
    return (
        "[answer not exported]"
        if answer.length is None
        else f"[answer: {answer.length} characters]"
    )


def root_end(part: Root) -> tuple[str, Level]:
    """Output and level of a root."""
    if part.failure:
        return failure_text(part.failure), Level.ERROR
    if part.answer:
        return answer_text(part.answer), Level.DEFAULT
    if part.interrupted:
        return "[interrupted]", Level.WARNING
    if part.prompt and part.prompt.command:
        return f"[no answer: /{part.prompt.command}]", Level.DEFAULT
    return "[answer not exported]", Level.DEFAULT


def root_status(part: Root, level: Level) -> str | None:
    """Why a root's level is not the default."""
    if part.failure:
        return failure_text(part.failure)
    return "interrupted" if level is Level.WARNING else None


def root_metadata(part: Root, turn: TurnFacts) -> dict[str, MetadataValue]:
    """What is told of the prompt, why the turn was closed, and its sums."""
    metadata = dict(part.prompt.attributes) if part.prompt else {}
    if part.prompt and part.prompt.length is not None:
        metadata["prompt_length"] = part.prompt.length
    if turn.synthetic:
        metadata["synthetic"] = True
    if part.span and part.span.remote_parent and part.span.otel_parent_id:
        metadata["otel_parent_span_id"] = part.span.otel_parent_id
    metadata["closed_by"] = part.closed_by.value
    return metadata | _totals_metadata(part.totals)


def iso(unix_ms: int) -> str:
    """Unix milliseconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds")
