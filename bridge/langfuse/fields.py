"""What each kind of observation holds: texts, level, usage, metadata.

``mapping`` decides which observation a part becomes and where it stands; this is what is in it.
"""

from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

from bridge.model.events import (
    ModelAnswer,
    ModelFailure,
    ModelRequest,
    PointEvent,
    ToolDecision,
    UserPrompt,
)
from bridge.model.observations import Level, MetadataValue
from bridge.model.parts import ClosedBy, Generation, Root, SubAgent, ToolCall, TurnFacts
from bridge.model.spans import ModelSpan, TurnSpan
from bridge.model.totals import Totals

NO_USAGE = {"input": 0, "output": 0}
"""Where no usage is told: without any, Langfuse would tokenise the text and price it."""


_DEFAULT, _WARNING, _ERROR = Level.DEFAULT, Level.WARNING, Level.ERROR


def generation_output(part: Generation) -> str | None:
    """The answer to a request, or its raw body where there is none."""
    if part.answer and (answer := answer_text(part.answer)):
        return answer
    for body in part.bodies:
        if body.is_response:
            return body.text
    return None


def first_token_ms(part: Generation, request: ModelRequest) -> int | None:
    """When the first token of an answer came."""
    ttft_ms = request.ttft_ms
    if ttft_ms is None and part.span:
        ttft_ms = part.span.ttft_ms
    return None if ttft_ms is None else request.time_ms - request.duration_ms + ttft_ms


def failure_text(failure: ModelFailure) -> str:
    """``invalid x-api-key (HTTP 401)``, as far as told."""
    status = f"HTTP {failure.status_code}" if failure.status_code else None
    if failure.error:
        return f"{failure.error} ({status})" if status else failure.error
    return status or "request failed"


def generation_metadata(part: Generation) -> dict[str, MetadataValue]:
    """What the records and the span of a request tell besides."""
    request, span = part.request, part.span
    metadata = request.attributes
    if part.answer or part.bodies:
        metadata = _with_answer(part, metadata)
    raw_model = span.model if span else request.model
    if "[" in raw_model:
        metadata = metadata | {"model": raw_model}
    if span:
        metadata = metadata | _span_metadata(span, metadata)
    if request.otel_trace_id or span:
        metadata = metadata | _span_ids(request.otel_trace_id, span.otel_span_id if span else None)
    return metadata


def _with_answer(part: Generation, metadata: dict[str, MetadataValue]) -> dict[str, MetadataValue]:
    """What the answer and the raw bodies tell besides the request."""
    if part.answer:
        metadata = part.answer.attributes | metadata
    for body in part.bodies:
        metadata = metadata | body.attributes | metadata  # what was told before, and told first
    return metadata


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


# Each half of a tool call is asked in a line of its own: Python remembers for each place in the
# code where a class has an attribute, and forgets it when another class comes there.


def tool_name(part: ToolCall) -> str:
    """What a person calls the tool, by the first half in which that is not its name."""
    result, decision, span = part.result, part.decision, part.span
    if result is not None and result.title != result.name:
        return result.title
    if decision is not None and decision.title != decision.name:
        return decision.title
    if span is not None and span.title != span.name:
        return span.title
    if result is not None:
        return result.name
    if decision is not None:
        return decision.name
    raise ValueError(f"tool call {part.key} has neither decision nor result")


def tool_arguments(part: ToolCall) -> str | None:
    """The arguments of a tool call, from the first half that tells them."""
    result, decision, span = part.result, part.decision, part.span
    if result is not None and result.arguments:
        return result.arguments
    if decision is not None and decision.arguments:
        return decision.arguments
    return span.arguments or None if span is not None else None


def tool_end(part: ToolCall) -> tuple[str | None, Level, str | None]:
    """Output, level and message of a tool call."""
    result = part.result
    if result is None:
        message = _without_result(part.decision)
        return message, _WARNING, message
    if result.success:
        span = part.span
        return None if span is None else span.output, _DEFAULT, None
    message = result.error or result.error_type or "failed"
    return message, _ERROR, message


def _without_result(decision: ToolDecision | None) -> str:
    if decision is None or decision.accepted:
        return "no result was reported"
    return f"rejected by {decision.source or 'unknown'}"


def tool_metadata(part: ToolCall) -> dict[str, MetadataValue]:
    """What decision, result and spans of a tool call tell besides."""
    result, decision = part.result, part.decision
    metadata: dict[str, MetadataValue] = {}
    if decision is not None:
        metadata.update(decision.attributes)
        metadata["decision"] = "accept" if decision.accepted else "reject"
        if decision.source:
            metadata["decision_source"] = decision.source
    if result is not None:
        metadata.update(result.attributes)
        if result.result_bytes is not None:
            metadata["result_bytes"] = result.result_bytes
    if decision is not None:
        _add_call(metadata, decision.call_id, decision.spawns, decision.otel_trace_id)
    if result is not None:
        _add_call(metadata, result.call_id, result.spawns, result.otel_trace_id)
    if part.span or part.wait or part.run:
        return metadata | _told_by_spans(part, metadata)
    return metadata


def _add_call(
    metadata: dict[str, MetadataValue],
    call_id: str | None,
    spawns: str | None,
    otel_trace_id: str | None,
) -> None:
    if call_id:
        metadata["tool_use_id"] = call_id
    if spawns:
        metadata["agent_type"] = spawns
    if otel_trace_id:
        metadata["otel_trace_id"] = otel_trace_id


def _told_by_spans(part: ToolCall, known: dict[str, MetadataValue]) -> dict[str, MetadataValue]:
    """What only the spans of a tool call tell, and how long it waited for a person."""
    told: dict[str, MetadataValue] = {}
    for span in (part.run, part.wait, part.span):
        if span is not None:
            told |= span.attributes
    if part.wait:
        decided = {"decision": part.wait.decision, "decision_source": part.wait.source}
        told |= {key: value for key, value in decided.items() if value}
        told["waited_ms"] = part.wait.time_ms - part.wait.began_ms
    return {key: value for key, value in told.items() if key not in known}


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
    metadata: dict[str, MetadataValue] = {
        name: count for name, count in zip(_COUNTS, _counts(totals), strict=True) if count
    }
    if totals.requests:
        usage = totals.usage
        metadata["cost_usd"] = totals.cost_picousd / 1e12
        for key in sorted(usage):
            metadata[_tokens_key(key)] = usage[key]
        metadata["models"] = list(totals.models)
    return metadata


_COUNTS: Final = (
    "requests",
    "failed_requests",
    "tools",
    "tool_errors",
    "rejected_tools",
    "agents",
    "unpriced_requests",
)
_counts = attrgetter(
    "requests", "failures", "tools", "tool_errors", "rejections", "agents", "unpriced"
)


@lru_cache(maxsize=256)
def _tokens_key(kind: str) -> str:
    """The same object each time: what it is looked up in need not hash it again."""
    return f"tokens.{kind}"


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


def tool_times(part: ToolCall) -> tuple[int, int]:
    """Start and end of what ran; the waiting before it is told apart."""
    if part.run is not None:
        return part.run.began_ms, part.run.time_ms
    result = part.result
    if result is not None:
        return result.time_ms - result.duration_ms, result.time_ms
    emitted_ms = part.decision.time_ms if part.decision else 0
    return emitted_ms, emitted_ms


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
        return failure_text(part.failure), _ERROR
    if part.answer:
        return answer_text(part.answer), _DEFAULT
    if part.interrupted:
        return "[interrupted]", _WARNING
    if part.prompt and part.prompt.command:
        return f"[no answer: /{part.prompt.command}]", _DEFAULT
    return "[answer not exported]", _DEFAULT


def root_status(part: Root, level: Level) -> str | None:
    """Why a root's level is not the default."""
    if part.failure:
        return failure_text(part.failure)
    return "interrupted" if level is _WARNING else None


def root_metadata(part: Root, turn: TurnFacts) -> dict[str, MetadataValue]:
    """What is told of the prompt, why the turn was closed, and its sums."""
    metadata = dict(part.prompt.attributes) if part.prompt else {}
    if part.span:
        metadata = part.span.attributes | metadata
    if part.prompt and part.prompt.length is not None:
        metadata["prompt_length"] = part.prompt.length
    if turn.synthetic:
        metadata["synthetic"] = True
    if part.span and part.span.remote_parent and part.span.otel_parent_id:
        metadata["otel_parent_span_id"] = part.span.otel_parent_id
    metadata["closed_by"] = _CLOSED_BY[part.closed_by]
    metadata.update(_totals_metadata(part.totals))
    return metadata


_CLOSED_BY: Final = {reason: reason.value for reason in ClosedBy}


def iso(unix_ms: int) -> str:
    """Unix milliseconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds")
