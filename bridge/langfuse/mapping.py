"""Settled parts → Langfuse observations.

The rules of Langfuse's v4 data model decide here: every trace-level attribute on every span; cost
and usage on generations only, model too (a model anywhere else is tokenised and priced); a failed
request has zero usage and zero cost; a root has both an input and an output, because the session
page lists only what has both; names are of low cardinality and never hold a prompt's text.
"""

from datetime import UTC, datetime
from typing import Any, assert_never

import msgspec

from bridge.langfuse import ids
from bridge.langfuse.trace import TraceSettings, trace_facts
from bridge.model.events import ModelAnswer, ModelFailure, ModelRequest, PointEvent, UserPrompt
from bridge.model.observations import (
    Level,
    MetadataValue,
    Observation,
    ObservationKind,
    TraceFacts,
)
from bridge.model.parts import (
    AnyPart,
    Generation,
    Moment,
    Root,
    Settled,
    SubAgent,
    ToolCall,
    Totals,
    TurnFacts,
)

_NO_USAGE = {"input": 0, "output": 0}
"""Where no usage is told: without any, Langfuse would tokenise the text and price it."""


class Mapper:
    """Maps parts with the settings that tags and grouping depend on."""

    def __init__(self, settings: TraceSettings) -> None:
        self._settings = settings

    def observation(self, settled: Settled) -> Observation:
        """The one observation that a settled part becomes."""
        turn = settled.turn
        place = _Place(ids.trace_id(turn.key), trace_facts(turn, self._settings))
        return place.observation(settled.part, turn)


class _Place:
    """Where an observation stands: its trace, and how keys become ids in it."""

    def __init__(self, trace_id: str, trace: TraceFacts) -> None:
        self._trace_id = trace_id
        self._trace = trace

    def observation(self, part: AnyPart, turn: TurnFacts) -> Observation:
        match part:
            case Generation():
                return self._generation(part)
            case ToolCall():
                return self._tool(part)
            case SubAgent():
                return self._agent(part)
            case Moment():
                return self._moment(part)
            case Root():
                return self._root(part, turn)
            case _:
                assert_never(part)

    def _generation(self, part: Generation) -> Observation:
        request = part.request
        start_ms = request.time_ms - request.duration_ms
        model = request.model.split("[", 1)[0]
        common: dict[str, Any] = {
            "kind": ObservationKind.GENERATION,
            "parent_id": self._owner(part.owner),
            "name": model,
            "model": model,
            "model_parameters": request.parameters or None,
            "start_ms": start_ms,
            "end_ms": request.time_ms,
            "input": next((b.text for b in part.bodies if not b.is_response), None),
            "metadata": _generation_metadata(part),
        }
        common |= _failure(request) if isinstance(request, ModelFailure) else _success(part)
        return self._make("generation", part.key, **common)

    def _tool(self, part: ToolCall) -> Observation:
        result, decision = part.result, part.decision
        source = result or decision
        if source is None:
            raise ValueError(f"tool call {part.key} has neither decision nor result")
        end_ms = source.time_ms
        start_ms = end_ms - result.duration_ms if result else end_ms
        titles = [half.title for half in (result, decision) if half and half.title != half.name]
        return self._make(
            "tool",
            part.key,
            kind=ObservationKind.TOOL,
            parent_id=self._owner(part.owner),
            name=titles[0] if titles else source.name,
            start_ms=start_ms,
            end_ms=end_ms,
            input=(result and result.arguments) or (decision and decision.arguments) or None,
            metadata=_tool_metadata(part),
            **_tool_end(part),
        )

    def _agent(self, part: SubAgent) -> Observation:
        parent_id = self._id("tool", part.call_key) if part.call_key else self._owner(part.owner)
        return self._make(
            "agent",
            part.key,
            kind=ObservationKind.AGENT,
            parent_id=parent_id,
            name=part.type or "agent",
            start_ms=part.start_ms,
            end_ms=part.end_ms,
            input=part.task,
            output=_answer_text(part.answer) if part.answer else None,
            metadata=_agent_metadata(part),
        )

    def _moment(self, part: Moment) -> Observation:
        event = part.event
        metadata = dict(event.attributes)
        if part.moved:
            metadata["occurred_at"] = _iso(event.time_ms)
        return self._make(
            "event",
            part.key,
            kind=ObservationKind.EVENT,
            parent_id=self._owner(part.owner),
            start_ms=part.shown_ms,
            end_ms=part.shown_ms,
            metadata=metadata,
            **_moment_fields(event),
        )

    def _root(self, part: Root, turn: TurnFacts) -> Observation:
        output, level = _root_end(part)
        return Observation(
            trace_id=self._trace_id,
            id=ids.root_id(self._trace_id),
            parent_id=None,
            trace=self._trace,
            kind=ObservationKind.AGENT,
            name=self._trace.name,
            start_ms=part.start_ms,
            end_ms=part.end_ms,
            input=_prompt_text(part.prompt) if part.prompt or turn.prompt_id else "[no prompt]",
            output=output,
            level=level,
            status_message=_root_status(part, level),
            metadata=_root_metadata(part, turn),
        )

    def _owner(self, owner: str | None) -> str:
        return self._id("agent", owner) if owner else ids.root_id(self._trace_id)

    def _id(self, kind: str, key: str) -> str:
        return ids.observation_id(self._trace_id, kind, key)

    def _make(self, id_kind: str, key: str, **fields: Any) -> Observation:  # noqa: ANN401 - differs by kind
        made = Observation(
            trace_id=self._trace_id, id=self._id(id_kind, key), trace=self._trace, **fields
        )
        return msgspec.structs.replace(made, end_ms=max(made.start_ms, made.end_ms))


def _success(part: Generation) -> dict[str, Any]:
    request = part.request
    if not isinstance(request, ModelRequest):
        return {}
    start_ms = request.time_ms - request.duration_ms
    answer = part.answer and _answer_text(part.answer)
    raw = next((body.text for body in part.bodies if body.is_response), None)
    return {
        "output": answer or raw,
        "usage": request.usage or _NO_USAGE,
        "cost_picousd": request.cost_picousd,
        "completion_start_ms": None if request.ttft_ms is None else start_ms + request.ttft_ms,
    }


def _failure(request: ModelFailure) -> dict[str, Any]:
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


def _generation_metadata(part: Generation) -> dict[str, MetadataValue]:
    request = part.request
    metadata = dict(request.attributes)
    if part.answer:
        metadata = dict(part.answer.attributes) | metadata
    for body in part.bodies:
        metadata |= {k: v for k, v in body.attributes.items() if k not in metadata}
    if "[" in request.model:
        metadata["model"] = request.model
    return metadata | _span_ids(request.otel_trace_id, request.otel_span_id)


def _span_ids(trace_id: str | None, span_id: str | None) -> dict[str, MetadataValue]:
    found = {"otel_trace_id": trace_id, "otel_span_id": span_id}
    return {key: value for key, value in found.items() if value}


def _tool_end(part: ToolCall) -> dict[str, Any]:
    result, decision = part.result, part.decision
    if result is None:
        rejected = decision is not None and not decision.accepted
        source = (decision and decision.source) or "unknown"
        message = f"rejected by {source}" if rejected else "no result was reported"
        return {"level": Level.WARNING, "status_message": message, "output": message}
    if result.success:
        return {}
    message = result.error or result.error_type or "failed"
    return {"level": Level.ERROR, "status_message": message, "output": message}


def _tool_metadata(part: ToolCall) -> dict[str, MetadataValue]:
    result, decision = part.result, part.decision
    metadata: dict[str, MetadataValue] = {}
    if decision:
        metadata |= decision.attributes
        metadata["decision"] = "accept" if decision.accepted else "reject"
        if decision.source:
            metadata["decision_source"] = decision.source
    if result:
        metadata |= result.attributes
        if result.result_bytes is not None:
            metadata["result_bytes"] = result.result_bytes
    for source in (decision, result):
        if source and source.call_id:
            metadata["tool_use_id"] = source.call_id
        if source and source.spawns:
            metadata["agent_type"] = source.spawns
        if source:
            metadata |= _span_ids(source.otel_trace_id, None)
    return metadata


def _agent_metadata(part: SubAgent) -> dict[str, MetadataValue]:
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


def _moment_fields(event: object) -> dict[str, Any]:
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
            return {"name": "assistant_response", "output": _answer_text(event)}
        case UserPrompt():
            return {"name": "user_prompt", "input": _prompt_text(event)}
        case _:
            return {
                "name": "api_response_body" if getattr(event, "is_response", False)
                else "api_request_body",
                "level": Level.DEBUG,
                "input": getattr(event, "text", None),
            }  # fmt: skip


def _prompt_text(prompt: UserPrompt | None) -> str:
    """The prompt, or in its place a short note of what is known."""
    if prompt is None:
        return "[prompt not exported]"
    if prompt.text is not None:
        return prompt.text
    return (
        "[prompt not exported]"
        if prompt.length is None
        else f"[prompt: {prompt.length} characters]"
    )


def _answer_text(answer: ModelAnswer) -> str:
    if answer.text is not None:
        return answer.text
    return (
        "[answer not exported]"
        if answer.length is None
        else f"[answer: {answer.length} characters]"
    )


def _root_end(part: Root) -> tuple[str, Level]:
    """Output and level of a root."""
    if part.failure:
        return failure_text(part.failure), Level.ERROR
    if part.answer:
        return _answer_text(part.answer), Level.DEFAULT
    if part.interrupted:
        return "[interrupted]", Level.WARNING
    if part.prompt and part.prompt.command:
        return f"[no answer: /{part.prompt.command}]", Level.DEFAULT
    return "[answer not exported]", Level.DEFAULT


def _root_status(part: Root, level: Level) -> str | None:
    if part.failure:
        return failure_text(part.failure)
    return "interrupted" if level is Level.WARNING else None


def _root_metadata(part: Root, turn: TurnFacts) -> dict[str, MetadataValue]:
    metadata = dict(part.prompt.attributes) if part.prompt else {}
    if part.prompt and part.prompt.length is not None:
        metadata["prompt_length"] = part.prompt.length
    if turn.synthetic:
        metadata["synthetic"] = True
    metadata["closed_by"] = part.closed_by.value
    return metadata | _totals_metadata(part.totals)


def _iso(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds")
