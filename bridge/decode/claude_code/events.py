"""Claude Code's log records → our events: how each is made of what its ``Kind`` names.

Here attributes get their meaning. To read one more, name it in the event's entry of ``_KINDS``, and
its builder finds it at the same place of ``log``: see ``Kind`` for which of them it belongs to.

Where a name or a type changed between versions, both are read. An event of a name not listed here
becomes a ``PointEvent`` with all its attributes.

A call with more than fifteen keywords makes a dictionary of them first, which costs as much as four
such calls. So fields that few records have are put into ``rare`` and added afterwards.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from bridge.decode.attributes import boolean, identifier, picousd, picousd_from_micros, text
from bridge.decode.claude_code.calls import arguments_and_title, committed, content, spawned
from bridge.decode.claude_code.names import (
    ANSWER_FIELDS,
    ASKING_COMMANDS,
    FAILURE_FIELDS,
    POINT_LEVELS,
    POINT_TEXT,
    PROMPT_FIELDS,
    REQUEST_FIELDS,
    SPAWNING_TOOLS,
    SYNTHETIC_PROMPT,
    TOOL_FIELDS,
    USAGE_KEYS,
)
from bridge.decode.claude_code.shapes import Kind, Log
from bridge.decode.moments import MAX_DURATION_MS
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

AGENT_SOURCE = "agent:"

_MAIN, _AGENT, _AUXILIARY, _UNKNOWN = (
    Purpose.MAIN, Purpose.AGENT, Purpose.AUXILIARY, Purpose.UNKNOWN,
)  # fmt: skip
"""Looking them up by their class is slow."""


def kind_of(name: str) -> Kind:
    """What events of this name are made of."""
    return _KINDS.get(name) or _point_kind(name)


def agent_type(source: str) -> str | None:
    """``agent:builtin:general-purpose`` → ``general-purpose``; None outside sub-agents."""
    return source.rsplit(":", 1)[-1] if source.startswith(AGENT_SOURCE) else None


def purpose(source: str) -> Purpose:
    """What the ``query_source`` says a request is for; "" where it is not told."""
    if source == "sdk" or source.startswith("repl_main_thread"):
        return _MAIN
    if not source:
        return _UNKNOWN
    return _AGENT if source.startswith(AGENT_SOURCE) else _AUXILIARY


def _user_prompt(log: Log) -> AnyEvent:
    prompt, prompt_text, command, source = log.values
    told, name = content(prompt) or content(prompt_text), text(command)
    return UserPrompt(
        key=log.key,
        session_id=log.session_id,
        conversation=log.conversation,
        prompt_id=log.prompt_id,
        time_ms=log.time_ms,
        sequence=log.sequence,
        attributes=log.attributes,
        text=told,
        length=log.counts[0],
        command=name,
        built_in=source == "builtin",
        synthetic=bool(told and told.startswith(SYNTHETIC_PROMPT)),
        asks=name in ASKING_COMMANDS,
    )


def _api_request(log: Log) -> AnyEvent:
    _, request_id, _, _, model = log.ids
    *tokens, micros, told_ms, ttft_ms = log.counts
    (cost,) = log.values
    purposed, parameters = log.told
    duration_ms = _duration_ms(told_ms)
    return ModelRequest(
        key=log.key,
        session_id=log.session_id,
        conversation=log.conversation,
        prompt_id=log.prompt_id,
        time_ms=log.time_ms,
        sequence=log.sequence,
        attributes=log.attributes,
        request_id=request_id or None,
        model=model or "unknown",
        usage=_usage(tokens),
        cost_picousd=picousd(cost) if micros is None else picousd_from_micros(micros),
        duration_ms=duration_ms,
        ttft_ms=None if ttft_ms is None else min(ttft_ms, duration_ms),
        purpose=purposed,
        parameters=parameters.copy(),
    )


def _usage(tokens: list[int | None]) -> dict[str, int]:
    input_, output, cached, created = tokens
    told: dict[str, Any] = {
        "input": input_,
        "output": output,
        "input_cached_tokens": cached,
        "input_cache_creation": created,
    }
    if None in tokens:
        return {key: number for key, number in told.items() if number is not None}
    return told


def _request_words(source: object, speed: object, effort: object) -> tuple[Purpose, dict[str, str]]:
    """What a request is for, and its parameters."""
    told = {"speed": text(speed), "effort": text(effort)}
    parameters = {name: value for name, value in told.items() if value}
    return purpose(identifier(source) or ""), parameters


def _duration_ms(told: int | None) -> int:
    """Never longer than a week."""
    if told and told > MAX_DURATION_MS:
        return MAX_DURATION_MS
    return told or 0


def _api_error(log: Log) -> AnyEvent:
    _, request_id, _, _, model = log.ids
    duration_ms, status_code = log.counts
    purposed, parameters = log.told
    return ModelFailure(
        key=log.key,
        session_id=log.session_id,
        conversation=log.conversation,
        prompt_id=log.prompt_id,
        time_ms=log.time_ms,
        sequence=log.sequence,
        attributes=log.attributes,
        request_id=request_id or None,
        model=model or "unknown",
        error=content(log.values[0]),
        status_code=status_code,
        duration_ms=_duration_ms(duration_ms),
        purpose=purposed,
        parameters=parameters.copy(),
    )


def _assistant_response(log: Log) -> AnyEvent:
    _, request_id, _, source, model = log.ids
    return ModelAnswer(
        key=log.key,
        session_id=log.session_id,
        conversation=log.conversation,
        prompt_id=log.prompt_id,
        time_ms=log.time_ms,
        sequence=log.sequence,
        attributes=log.attributes,
        request_id=request_id or None,
        model=model or None,
        text=content(log.values[0]),
        length=log.counts[0],
        purpose=purpose(source),
    )


def _raw_body(log: Log) -> AnyEvent:
    _, request_id, _, _, body_id = log.ids
    return RawBody(
        key=log.key,
        session_id=log.session_id,
        conversation=log.conversation,
        prompt_id=log.prompt_id,
        time_ms=log.time_ms,
        sequence=log.sequence,
        attributes=log.attributes,
        is_response=log.name == "api_response_body",
        request_id=request_id or None,
        body_id=body_id or None,
        text=content(log.values[0]),
    )


class _Decision(NamedTuple):
    """What the words of a decision tell."""

    name: str
    title: str
    accepted: bool
    source: str | None
    by_person: bool
    arguments: str | None
    spawned: dict[str, str | None]


def _decision_words(
    tool: object, decision: object, source: object, parameters: object, given: object
) -> _Decision:
    name, decided_by = identifier(tool) or "unknown", text(source)
    arguments, title = arguments_and_title(name, parameters, given)
    by_person = decided_by is not None and decided_by.startswith("user_")
    rare = spawned(name, parameters, given)
    return _Decision(name, title, decision != "reject", decided_by, by_person, arguments, rare)


def _tool_decision(log: Log) -> AnyEvent:
    name, title, accepted, source, by_person, arguments, rare = log.told
    if rare:
        log.rare |= rare
    return ToolDecision(
        key=log.key,
        session_id=log.session_id,
        conversation=log.conversation,
        prompt_id=log.prompt_id,
        time_ms=log.time_ms,
        sequence=log.sequence,
        attributes=log.attributes,
        call_id=log.ids[-1] or None,
        name=name,
        title=title,
        accepted=accepted,
        source=source,
        by_person=by_person,
        arguments=arguments,
    )


def _result_words(tool: object, success: object) -> tuple[str, bool]:
    """The tool's name, and whether it ended well."""
    return identifier(tool) or "unknown", boolean(success) is not False


def _tool_result(log: Log) -> AnyEvent:
    name, success = log.told
    duration_ms, result_bytes = log.counts
    error, error_type, parameters, given = log.values
    arguments, title = arguments_and_title(name, parameters, given)
    if parameters is not None:
        log.attributes.update(committed(parameters))
    if name in SPAWNING_TOOLS:
        log.rare |= spawned(name, parameters, given)
    if error is not None:
        log.rare["error"] = content(error)
    if error_type is not None:
        log.rare["error_type"] = text(error_type)
    return ToolResult(
        key=log.key,
        session_id=log.session_id,
        conversation=log.conversation,
        prompt_id=log.prompt_id,
        time_ms=log.time_ms,
        sequence=log.sequence,
        attributes=log.attributes,
        call_id=log.ids[-1] or None,
        name=name,
        title=title,
        success=success,
        duration_ms=_duration_ms(duration_ms),
        arguments=arguments,
        result_bytes=result_bytes,
    )


def _subagent_completed(log: Log) -> AnyEvent:
    *_, told_type = log.ids
    if told_type:
        log.rare["agent_type"] = told_type
    return AgentCompleted(
        key=log.key,
        session_id=log.session_id,
        conversation=log.conversation,
        prompt_id=log.prompt_id,
        time_ms=log.time_ms,
        sequence=log.sequence,
        attributes=log.attributes,
        duration_ms=_duration_ms(log.counts[0]),
        is_async=boolean(log.values[0]) is True,
    )


def _point(log: Log) -> AnyEvent:
    error, success, status, *told = log.values
    return PointEvent(
        key=log.key,
        session_id=log.session_id,
        conversation=log.conversation,
        prompt_id=log.prompt_id,
        time_ms=log.time_ms,
        sequence=log.sequence,
        attributes=log.attributes,
        name=log.name,
        level=_point_level(log.name, success, status),
        text=content(told[0]) if told else None,
        message=content(error),
        extends_turn=log.name == "compaction",
    )


def _point_level(name: str, success: object, status: object) -> Level:
    if name == "mcp_server_connection" and status == "failed":
        return Level.WARNING
    if name in {"compaction", "auth"} and boolean(success) is False:
        return Level.ERROR
    return POINT_LEVELS.get(name, Level.DEFAULT)


def _point_kind(name: str) -> Kind:
    about = (POINT_TEXT[name],) if name in POINT_TEXT else ()
    own = frozenset({"error", *about})
    return Kind(_point, values=("error", "success", "status", *about), own=own)


_KINDS: Mapping[str, Kind] = {
    "user_prompt": Kind(
        _user_prompt,
        counts=("prompt_length",),
        values=("prompt", "prompt_text", "command_name", "command_source"),
        own=PROMPT_FIELDS,
    ),
    "api_request": Kind(
        _api_request,
        ids=("model",),
        counts=(*USAGE_KEYS, "cost_usd_micros", "duration_ms", "ttft_ms"),
        values=("cost_usd",),
        own=REQUEST_FIELDS,
        words=("query_source", "speed", "effort"),
        read=_request_words,
    ),
    "api_error": Kind(
        _api_error,
        ids=("model",),
        counts=("duration_ms", "status_code"),
        values=("error",),
        own=FAILURE_FIELDS,
        words=("query_source", "speed", "effort"),
        read=_request_words,
    ),
    "assistant_response": Kind(
        _assistant_response,
        ids=("model",),
        counts=("response_length",),
        values=("response",),
        own=ANSWER_FIELDS,
    ),
    "tool_decision": Kind(
        _tool_decision,
        ids=("tool_use_id",),
        own=TOOL_FIELDS,
        words=("tool_name", "decision", "source", "tool_parameters", "tool_input"),
        read=_decision_words,
    ),
    "tool_result": Kind(
        _tool_result,
        ids=("tool_use_id",),
        counts=("duration_ms", "tool_result_size_bytes"),
        values=("error", "error_type", "tool_parameters", "tool_input"),
        own=TOOL_FIELDS,
        words=("tool_name", "success"),
        read=_result_words,
    ),
    "subagent_completed": Kind(
        _subagent_completed,
        ids=("agent_type",),
        counts=("duration_ms",),
        values=("is_async",),
        own=frozenset({"duration_ms", "agent_type"}),
    ),
} | dict.fromkeys(
    ("api_request_body", "api_response_body"),
    Kind(
        _raw_body,
        ids=("request_body_id",),
        values=("body",),
        own=frozenset({"body"}),
    ),
)
"""All events that are more than a point."""
