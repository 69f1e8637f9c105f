"""Claude Code's log records → our events.

Where a name or a type changed between versions, both are read. An event of a name not listed here
becomes a ``PointEvent`` with all its attributes.
"""

import hashlib
from collections.abc import Callable, Mapping
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
    picousd,
    picousd_from_micros,
    shown_without,
    text,
    union,
)
from bridge.decode.claude_code.names import (
    ANSWER_FIELDS,
    ENVELOPE,
    FAILURE_FIELDS,
    KEY_ATTRIBUTES,
    PLACEHOLDERS,
    POINT_LEVELS,
    POINT_TEXT,
    PREFIX,
    PROMPT_FIELDS,
    REQUEST_FIELDS,
    SPAWNING_TOOLS,
    SYNTHETIC_PROMPT,
    TOOL_FIELDS,
    USAGE_KEYS,
)
from bridge.decode.moments import MAX_DURATION_MS
from bridge.decode.otlp import RawLog
from bridge.model.events import (
    AgentCompleted,
    AnyEvent,
    ModelAnswer,
    ModelFailure,
    ModelRequest,
    PointEvent,
    Purpose,
    RawBody,
    ToolDecision,
    ToolResult,
    UserPrompt,
)
from bridge.model.observations import Level


def event_name(raw: RawLog) -> str:
    """The event's name without prefix; ``unnamed`` when the record has none."""
    name = text(raw.attributes.get("event.name")) or raw.body or raw.event_name
    return identifier(name.removeprefix(PREFIX)) or "unnamed"


def decode(raw: RawLog, name: str, *, key: bytes, time_ms: int, hidden: frozenset[str]) -> AnyEvent:
    """One log record → one event.

    Args:
        raw: A record that ``recognises`` accepts.
        name: Its ``event_name``.
        key: Its ``record_key``.
        time_ms: When it happened, Unix milliseconds.
        hidden: Attributes not to show as metadata, because the trace tells them.
    """
    build = _BUILDERS.get(name, _point)
    header = _header(raw, key, time_ms)
    return build(_Log(name, raw.attributes, header, union(hidden, ENVELOPE)))


def is_numbered(raw: RawLog) -> bool:
    """Whether a record has a sequence number, and so is like no other of its request."""
    return raw.attributes.get("event.sequence") is not None


def record_key(raw: RawLog, name: str, repeat: int) -> bytes:
    """Eight bytes that are the same for the same record in any request and encoding.

    With a sequence number the record is known by session, time, name and number. Clients before
    2.1.20 have none, so there the attributes count too, and twins inside one request are told
    apart by ``repeat``.
    """
    attributes = raw.attributes
    parts: list[Any] = [*map(text, map(attributes.get, KEY_ATTRIBUTES)), raw.time_unix_ns, name]
    if attributes.get("event.sequence") is None:
        parts += [sorted((key, str(value)) for key, value in attributes.items()), repeat]
    return hashlib.blake2b(orjson.dumps(parts), digest_size=8).digest()


class _Log(NamedTuple):
    """A record on its way to becoming an event: what all builders are given."""

    name: str
    attributes: Attributes
    header: dict[str, Any]
    hidden: frozenset[str]


def session_and_conversation(
    attributes: Attributes, resource: Mapping[str, Value]
) -> tuple[str | None, str]:
    """The session, and what stands for it when the client keeps ``session.id`` to itself.

    Then records are put together by user and resource: one installation with one set of
    OTEL_RESOURCE_ATTRIBUTES.
    """
    session_id = identifier(attributes.get("session.id"))
    if session_id:
        return session_id, session_id
    user = identifier(attributes.get("user.id")) or identifier(resource.get("user.id"))
    told = orjson.dumps(sorted((key, str(value)) for key, value in resource.items()))
    return None, f"user:{user or ''}:{hashlib.blake2b(told, digest_size=8).hexdigest()}"


def _header(raw: RawLog, key: bytes, time_ms: int) -> dict[str, Any]:
    attributes = raw.attributes
    session_id, conversation = session_and_conversation(attributes, raw.resource)
    get = attributes.get
    return {
        "key": key,
        "session_id": session_id,
        "conversation": conversation,
        "prompt_id": identifier(get("prompt.id")),
        "time_ms": time_ms,
        "sequence": count(get("event.sequence")),
        "agent_id": identifier(get("agent_id")),
        "parent_agent_id": identifier(get("parent_agent_id")),
        "agent_type": identifier(get("agent.name")) or agent_type(attributes),
        "otel_trace_id": raw.trace_id,
        "otel_span_id": raw.span_id,
    }


def agent_type(attributes: Attributes) -> str | None:
    """``agent:builtin:general-purpose`` → ``general-purpose``; None outside sub-agents."""
    source = identifier(attributes.get("query_source")) or ""
    return source.rsplit(":", 1)[-1] if source.startswith("agent:") else None


def purpose(attributes: Attributes) -> Purpose:
    """What the ``query_source`` says a request is for."""
    source = text(attributes.get("query_source"))
    if source is None:
        return Purpose.UNKNOWN
    if source == "sdk" or source.startswith("repl_main_thread"):
        return Purpose.MAIN
    return Purpose.AGENT if source.startswith("agent:") else Purpose.AUXILIARY


def _user_prompt(log: _Log) -> AnyEvent:
    prompt = content(log.attributes.get("prompt")) or content(log.attributes.get("prompt_text"))
    return UserPrompt(
        **log.header,
        text=prompt,
        length=count(log.attributes.get("prompt_length")),
        command=text(log.attributes.get("command_name")),
        built_in=log.attributes.get("command_source") == "builtin",
        synthetic=bool(prompt and prompt.startswith(SYNTHETIC_PROMPT)),
        attributes=shown_without(log.attributes, log.hidden, PROMPT_FIELDS),
    )


def _api_request(log: _Log) -> AnyEvent:
    usage = {ours: count(log.attributes.get(theirs)) for theirs, ours in USAGE_KEYS.items()}
    micros = picousd_from_micros(log.attributes.get("cost_usd_micros"))
    return ModelRequest(
        **log.header,
        **_request(log),
        usage={key: tokens for key, tokens in usage.items() if tokens is not None},
        cost_picousd=picousd(first(log.attributes, "cost_usd", "cost"))
        if micros is None
        else micros,
        ttft_ms=_ttft_ms(log),
        attributes=shown_without(log.attributes, log.hidden, REQUEST_FIELDS),
    )


def _request(log: _Log) -> dict[str, Any]:
    attributes = log.attributes
    parameters = {key: text(attributes.get(key)) for key in ("speed", "effort")}
    return {
        "request_id": identifier(attributes.get("request_id")),
        "model": identifier(attributes.get("model")) or "unknown",
        "duration_ms": _duration_ms(log),
        "purpose": purpose(attributes),
        "parameters": {key: value for key, value in parameters.items() if value},
    }


def _ttft_ms(log: _Log) -> int | None:
    told = count(log.attributes.get("ttft_ms"))
    return None if told is None else min(told, _duration_ms(log))


def _duration_ms(log: _Log) -> int:
    """Never longer than a week."""
    told = count(first(log.attributes, "duration_ms", "duration", "api.response_time")) or 0
    return min(told, MAX_DURATION_MS)


def _api_error(log: _Log) -> AnyEvent:
    return ModelFailure(
        **log.header,
        **_request(log),
        error=content(log.attributes.get("error")),
        status_code=count(log.attributes.get("status_code")),
        attributes=shown_without(log.attributes, log.hidden, FAILURE_FIELDS),
    )


def _assistant_response(log: _Log) -> AnyEvent:
    return ModelAnswer(
        **log.header,
        request_id=identifier(log.attributes.get("request_id")),
        model=identifier(log.attributes.get("model")),
        text=content(log.attributes.get("response")),
        length=count(log.attributes.get("response_length")),
        purpose=purpose(log.attributes),
        attributes=shown_without(log.attributes, log.hidden, ANSWER_FIELDS),
    )


def _raw_body(log: _Log) -> AnyEvent:
    return RawBody(
        **log.header,
        is_response=log.name == "api_response_body",
        request_id=identifier(log.attributes.get("request_id")),
        body_id=identifier(log.attributes.get("request_body_id")),
        text=content(log.attributes.get("body")),
        attributes=shown_without(log.attributes, log.hidden, frozenset({"body"})),
    )


def _tool_decision(log: _Log) -> AnyEvent:
    return ToolDecision(
        **log.header,
        **_tool(log.attributes),
        accepted=log.attributes.get("decision") != "reject",
        source=text(log.attributes.get("source")),
        by_person=(text(log.attributes.get("source")) or "").startswith("user_"),
        attributes=shown_without(log.attributes, log.hidden, TOOL_FIELDS),
    )


def _tool_result(log: _Log) -> AnyEvent:
    return ToolResult(
        **log.header,
        **_tool(log.attributes),
        success=boolean(log.attributes.get("success")) is not False,
        duration_ms=_duration_ms(log),
        error=content(log.attributes.get("error")),
        error_type=text(log.attributes.get("error_type")),
        result_bytes=count(log.attributes.get("tool_result_size_bytes")),
        attributes=shown_without(log.attributes, log.hidden, TOOL_FIELDS),
    )


def _tool(attributes: Attributes) -> dict[str, Any]:
    """What a decision and a result tell alike; failures up to 2.1.110 have ``use_id``."""
    name = identifier(first(attributes, "tool_name", "tool")) or "unknown"
    parameters = json_object(attributes.get("tool_parameters"))
    arguments = json_object(attributes.get("tool_input"))
    spawns = name in SPAWNING_TOOLS
    return {
        "call_id": identifier(first(attributes, "tool_use_id", "use_id")),
        "name": name,
        "title": title(name, parameters),
        "arguments": _arguments(attributes, arguments, parameters),
        "spawns": text((parameters | arguments).get("subagent_type")) or "" if spawns else None,
        "task": content(arguments.get("prompt")) if spawns else None,
    }


def title(name: str, parameters: Mapping[str, Any]) -> str:
    """``server/tool`` for MCP tools, whose literal name is the placeholder ``mcp_tool``."""
    if not parameters and not name.startswith("mcp"):
        return name
    server, tool = (identifier(parameters.get(f"mcp_{each}_name")) for each in ("server", "tool"))
    if server and tool:
        return f"{server}/{tool}"
    parts = name.split("__", 2)
    return f"{parts[1]}/{parts[2]}" if len(parts) == 3 and parts[0] == "mcp" else name  # noqa: PLR2004 - mcp, server, tool


def _arguments(
    attributes: Attributes, arguments: dict[str, Any], parameters: Mapping[str, Any]
) -> str | None:
    """The call's arguments as JSON text.

    ``tool_input`` cuts values over 512 characters to 128; a command is whole in
    ``tool_parameters``, so it is put back.
    """
    command = parameters.get("full_command")
    if isinstance(command, str) and isinstance(arguments.get("command"), str):
        return orjson.dumps(arguments | {"command": command}).decode()
    return content(attributes.get("tool_input")) or content(attributes.get("tool_parameters"))


def _subagent_completed(log: _Log) -> AnyEvent:
    told = identifier(log.attributes.get("agent_type"))
    log.header["agent_type"] = told or log.header["agent_type"]
    return AgentCompleted(
        **log.header,
        duration_ms=_duration_ms(log),
        is_async=boolean(log.attributes.get("is_async")) is True,
        attributes=shown_without(
            log.attributes, log.hidden, frozenset({"duration_ms", "agent_type"})
        ),
    )


def _point(log: _Log) -> AnyEvent:
    body = POINT_TEXT.get(log.name)
    return PointEvent(
        **log.header,
        name=log.name,
        level=_point_level(log.name, log.attributes),
        text=content(log.attributes.get(body)) if body else None,
        message=content(log.attributes.get("error")),
        extends_turn=log.name == "compaction",
        attributes=shown_without(log.attributes, log.hidden, frozenset({"error", body or "error"})),
    )


def _point_level(name: str, attributes: Attributes) -> Level:
    if name == "mcp_server_connection" and attributes.get("status") == "failed":
        return Level.WARNING
    if name in {"compaction", "auth"} and boolean(attributes.get("success")) is False:
        return Level.ERROR
    return POINT_LEVELS.get(name, Level.DEFAULT)


def content(value: object) -> str | None:
    """A text, unless the client put a placeholder in its place."""
    found = text(value)
    return None if found in PLACEHOLDERS else found


_BUILDERS: dict[str, Callable[[_Log], AnyEvent]] = {
    "user_prompt": _user_prompt,
    "api_request": _api_request,
    "api_error": _api_error,
    "assistant_response": _assistant_response,
    "api_request_body": _raw_body,
    "api_response_body": _raw_body,
    "tool_decision": _tool_decision,
    "tool_result": _tool_result,
    "subagent_completed": _subagent_completed,
}
