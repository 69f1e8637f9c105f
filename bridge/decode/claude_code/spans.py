"""Claude Code's spans (its beta tracing) → our span events.

A span of a name not listed here becomes an ``OtherSpan`` with all its attributes. Spans carry no
``prompt.id``; which turn one belongs to is for ``correlate`` to find out, by the ids it shares.

With ``OTEL_METRICS_INCLUDE_SESSION_ID=false`` a span still has its session, as
``gen_ai.conversation.id``. It is not used: the log records of the same work have none, and the two
must meet in one conversation.
"""

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from bridge.decode.attributes import (
    Attributes,
    Value,
    boolean,
    count,
    first,
    identifier,
    json_object,
    shown_without,
    text,
)
from bridge.decode.claude_code.calls import content, tool_title
from bridge.decode.claude_code.events import agent_type, purpose
from bridge.decode.claude_code.names import (
    ENVELOPE,
    MCP_TOOL,
    PREFIX,
    SPAWNING_TOOLS,
    USAGE_KEYS,
)
from bridge.decode.claude_code.senders import session_and_conversation
from bridge.decode.moments import NS_PER_MS, moment_ms
from bridge.decode.otlp_spans import PARENT_IS_REMOTE, STATUS_ERROR, RawSpan
from bridge.model.spans import ModelSpan, OtherSpan, ToolRun, ToolSpan, ToolWait, TurnSpan

AnySpanEvent = TurnSpan | ModelSpan | ToolSpan | ToolWait | ToolRun | OtherSpan

ATTEMPT = "gen_ai.request.attempt"
OUTPUT = "tool.output"
"""The span events that mean something to us."""

STANDARD = ENVELOPE | {
    "span.type", "duration_ms", "gen_ai.system", "gen_ai.provider.name", "gen_ai.operation.name",
    "gen_ai.conversation.id",
}  # fmt: skip
"""Attributes that say again what a span's kind, times and ids say."""

TURN_FIELDS = frozenset(
    {"user_prompt", "user_prompt_length", "new_context", "interaction.duration_ms"}
)

REQUEST_FIELDS = frozenset(
    {
        "model", "gen_ai.request.model", "gen_ai.response.id", "query_source_safe", "success",
        "attempt", "status_code", "error", "ttft_ms", "speed", "effort", "stop_reason",
        "gen_ai.response.finish_reasons", "response.model_output", *USAGE_KEYS,
    }
)  # fmt: skip
"""``response.model_output`` (detailed mode) repeats the ``assistant_response`` event."""

TOOL_ARGUMENTS = {
    "file_path": "file_path",
    "full_command": "command",
    "skill_name": "skill",
    "subagent_type": "subagent_type",
}
"""What a tool span tells of a call's arguments → the tools' own names for it."""

TOOL_FIELDS = frozenset(
    {
        "tool_name", "tool_name_safe", "gen_ai.tool.name", "tool_use_id", "gen_ai.tool.call.id",
        "file_path", "full_command", "subagent_type", "tool_input", "new_context",
    }
)  # fmt: skip

OUTPUT_FIELDS = ("output", "content", "diff")
"""Attributes of ``tool.output`` that may be what the tool returned, the best first."""

OUTPUT_INPUTS = frozenset({"file_path", "bash_command"})
"""Attributes of ``tool.output`` that the span has too."""

RUN_FIELDS = frozenset({"tool_use_id", "gen_ai.tool.call.id", "success", "error"})
GOES_ON = frozenset({"tool_use", "pause_turn"})
"""Reasons to stop after which the same turn has another request."""

UNKNOWN = "unknown"
"""What up to 2.1.269 stands for the decision and its source when no person decided."""


def decode_span(raw: RawSpan, *, received_at_ms: int, hidden: frozenset[str]) -> AnySpanEvent:
    """One span → one event.

    Args:
        raw: A span of a scope that ``recognises`` accepts.
        received_at_ms: Stands for an end that is not told, Unix milliseconds.
        hidden: Attributes not to show as metadata, because the trace tells them.

    Raises:
        ValueError: It has no trace id or no span id, so that nothing could be joined to it.
    """
    name = identifier(raw.name.removeprefix(PREFIX)) or "unnamed"
    attributes = _with_query_source(raw.attributes)
    header = _header(raw, attributes, received_at_ms)
    build = _BUILDERS.get(name, _other)
    return build(_Span(name, raw, attributes, header, hidden | STANDARD))


def span_key(trace_id: str, span_id: str) -> bytes:
    """Eight bytes that are the same for the same span in any request and encoding."""
    return hashlib.blake2b(f"{trace_id}{span_id}".encode(), digest_size=8).digest()


class _Span(NamedTuple):
    """A span on its way to becoming an event: what all builders are given."""

    name: str
    raw: RawSpan
    attributes: Attributes
    header: dict[str, Any]
    hidden: frozenset[str]


def _with_query_source(attributes: dict[str, Value]) -> dict[str, Value]:
    """Only detailed mode tells ``query_source`` as events do; else it has dots for colons."""
    safe = text(attributes.get("query_source_safe"))
    if safe is None or attributes.get("query_source") is not None:
        return attributes
    return attributes | {"query_source": safe.replace(".", ":", 2)}


def _header(raw: RawSpan, attributes: Attributes, received_at_ms: int) -> dict[str, Any]:
    if raw.trace_id is None or raw.span_id is None:
        raise ValueError("no trace id or no span id")
    session_id, conversation = session_and_conversation(attributes, raw.resource)
    ended_ms = moment_ms(raw.end_unix_ns, received_at_ms)
    began_ms = moment_ms(raw.start_unix_ns, ended_ms)
    source = identifier(attributes.get("query_source")) or ""
    return {
        "key": span_key(raw.trace_id, raw.span_id),
        "session_id": session_id,
        "conversation": conversation,
        "prompt_id": identifier(attributes.get("prompt.id")),
        "began_ms": min(began_ms, ended_ms),
        "time_ms": ended_ms,
        "agent_id": identifier(attributes.get("agent_id")),
        "parent_agent_id": identifier(attributes.get("parent_agent_id")),
        "agent_type": identifier(attributes.get("agent.name")) or agent_type(source),
        "otel_trace_id": raw.trace_id,
        "otel_span_id": raw.span_id,
        "otel_parent_id": raw.parent_span_id,
    }


def _turn(span: _Span) -> TurnSpan:
    remote = span.raw.flags & PARENT_IS_REMOTE or span.attributes.get("parent.source") == "env"
    return TurnSpan(
        **span.header,
        text=content(span.attributes.get("user_prompt"))
        or _below_heading(span.attributes.get("new_context")),
        length=count(span.attributes.get("user_prompt_length")),
        remote_parent=bool(remote) and span.raw.parent_span_id is not None,
        attributes=shown_without(span.attributes, span.hidden | TURN_FIELDS),
    )


def _request(span: _Span) -> ModelSpan:
    attributes = span.attributes
    success = _succeeded(span)
    parameters = {key: text(attributes.get(key)) for key in ("speed", "effort")}
    stop_reason = _stop_reason(attributes)
    return ModelSpan(
        **span.header,
        request_id=identifier(attributes.get("request_id")),
        model=identifier(first(attributes, "model", "gen_ai.request.model")) or "unknown",
        usage=_usage(attributes) if success else {},
        success=success,
        error=None if success else _error(span),
        status_code=count(attributes.get("status_code")),
        ttft_ms=_ttft_ms(span),
        attempts=_attempts(span),
        retried_ms=_retried_ms(span),
        stop_reason=stop_reason,
        goes_on=stop_reason in GOES_ON,
        purpose=purpose(text(attributes.get("query_source")) or ""),
        parameters={key: value for key, value in parameters.items() if value},
        attributes=shown_without(attributes, span.hidden | REQUEST_FIELDS),
    )


def _ttft_ms(span: _Span) -> int | None:
    told = count(span.attributes.get("ttft_ms"))
    return None if told is None else min(told, span.header["time_ms"] - span.header["began_ms"])


def _usage(attributes: Attributes) -> dict[str, int]:
    usage = {ours: count(attributes.get(theirs)) for theirs, ours in USAGE_KEYS.items()}
    return {key: tokens for key, tokens in usage.items() if tokens is not None}


def _attempts(span: _Span) -> int:
    """Up to 2.1.110 only the number of the last attempt is told."""
    told = sum(event.name == ATTEMPT for event in span.raw.events)
    return max(told, count(span.attributes.get("attempt")) or 1)


def _retried_ms(span: _Span) -> int:
    began = [event.time_unix_ns // NS_PER_MS for event in span.raw.events if event.name == ATTEMPT]
    lasted_ms = span.header["time_ms"] - span.header["began_ms"]
    return max(0, min(began[-1] - began[0], lasted_ms)) if began else 0


def _stop_reason(attributes: Attributes) -> str | None:
    reasons = attributes.get("gen_ai.response.finish_reasons")
    alone = reasons[0] if isinstance(reasons, list) and reasons else None
    return text(attributes.get("stop_reason")) or text(alone)


def _tool(span: _Span) -> ToolSpan:
    name = identifier(span.attributes.get("tool_name")) or "unknown"
    told = next((event.attributes for event in span.raw.events if event.name == OUTPUT), {})
    kind = text(span.attributes.get("subagent_type")) or ""
    return ToolSpan(
        **span.header,
        call_id=_call_id(span.attributes),
        name=name,
        title=tool_title(name, {}),
        output=_output(told) or _below_heading(span.attributes.get("new_context")),
        arguments=_arguments(span.attributes),
        spawns=kind if name in SPAWNING_TOOLS else None,
        recorded_as=MCP_TOOL if name.startswith("mcp__") else None,
        attributes=shown_without(span.attributes, span.hidden | TOOL_FIELDS)
        | shown_without(told, OUTPUT_INPUTS.union(OUTPUT_FIELDS)),
    )


def _call_id(attributes: Attributes) -> str | None:
    return identifier(first(attributes, "tool_use_id", "gen_ai.tool.call.id"))


def _output(told: Attributes) -> str | None:
    return next((found for key in OUTPUT_FIELDS if (found := content(told.get(key)))), None)


def _arguments(attributes: Attributes) -> str | None:
    """The call's arguments as JSON text; all of them in detailed mode, else the telling ones."""
    whole = _below_heading(attributes.get("tool_input"))
    named = {ours: content(attributes.get(theirs)) for theirs, ours in TOOL_ARGUMENTS.items()}
    arguments = json_object(whole) | {key: value for key, value in named.items() if value}
    return orjson.dumps(arguments).decode() if arguments else whole


def _wait(span: _Span) -> ToolWait:
    decision, source = (text(span.attributes.get(key)) for key in ("decision", "source"))
    return ToolWait(
        **span.header,
        decision=None if decision == UNKNOWN else decision,
        source=None if source == UNKNOWN else source,
        attributes=shown_without(span.attributes, span.hidden | {"decision", "source"}),
    )


def _run(span: _Span) -> ToolRun:
    success = _succeeded(span)
    return ToolRun(
        **span.header,
        call_id=_call_id(span.attributes),
        success=success,
        error=None if success else _error(span),
        attributes=shown_without(span.attributes, span.hidden | RUN_FIELDS),
    )


def _other(span: _Span) -> OtherSpan:
    success = _succeeded(span)
    return OtherSpan(
        **span.header,
        name=span.name,
        failed=not success,
        message=None if success else _error(span),
        attributes=shown_without(span.attributes, span.hidden | {"success", "error"}),
    )


def _succeeded(span: _Span) -> bool:
    told = boolean(span.attributes.get("success"))
    return span.raw.status_code != STATUS_ERROR if told is None else told


def _error(span: _Span) -> str | None:
    return content(span.attributes.get("error")) or content(span.raw.status_message)


def _below_heading(value: Value) -> str | None:
    r"""A text of detailed mode without its first line: ``[TOOL INPUT: Read]\n{…}`` → ``{…}``."""
    found = content(value)
    heading, newline, rest = (found or "").partition("\n")
    is_heading = newline and heading.startswith("[") and heading.endswith("]")
    return rest or None if is_heading else found


_BUILDERS: dict[str, Callable[[_Span], AnySpanEvent]] = {
    "interaction": _turn,
    "llm_request": _request,
    "tool": _tool,
    "tool.blocked_on_user": _wait,
    "tool.execution": _run,
}
