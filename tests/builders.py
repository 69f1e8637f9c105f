"""Log records, events and parts for tests that spell out only what they are about.

A record is built in OTLP/JSON as the client writes it; ``tests.pipeline`` batches, encodes and
posts it. Times are milliseconds after ``T0_MS``.
"""

import json
from collections.abc import Iterable
from typing import Any

from bridge.decode.content import ContentPolicy
from bridge.decode.records import Decoded, Decoder
from bridge.model.events import (
    AnyEvent,
    ModelAnswer,
    ModelFailure,
    ModelRequest,
    Origin,
    Record,
    ToolDecision,
    ToolResult,
    UserPrompt,
)
from bridge.model.parts import AnyPart, Settled, TurnFacts
from bridge.model.requests import Encoding
from tests.pipeline import Json, Logged, batch

T0_MS = 1_795_000_000_000
SCOPE = "com.anthropic.claude_code.events"
SESSION = "5e551011-0000-4000-8000-000000000001"
RESOURCE = {
    "service.name": "claude-code",
    "service.version": "2.1.330",
    "member": "alex",
    "department": "engineering",
}


def a_record(
    name: str,
    at_ms: int,
    attributes: Json | None = None,
    *,
    session: str | None = SESSION,
    prompt: str | None = "p1",
    sequence: int | None = None,
    resource: Json | None = None,
    scope: str = SCOPE,
    span: tuple[str, str] | None = None,
) -> Logged:
    """A log record of the client, made and arrived at ``at_ms``.

    ``attributes`` come besides those of every record, and a value of None leaves one out; ``span``
    is trace id and span id in hex. A ``sequence`` of None stands for the clients that have none.
    """
    envelope = {
        "user.id": "f" * 64,
        "session.id": session,
        "event.name": name,
        "event.sequence": sequence,
        "prompt.id": prompt,
    }
    time_ns = str((T0_MS + at_ms) * 1_000_000)
    record: Json = {
        "timeUnixNano": time_ns,
        "observedTimeUnixNano": time_ns,
        "body": {"stringValue": f"claude_code.{name}"},
        "attributes": _pairs(envelope | (attributes or {})),
    }
    if span:
        record |= {"traceId": span[0], "spanId": span[1]}
    return Logged(
        resource={"attributes": _pairs(RESOURCE if resource is None else resource)},
        scope={"name": scope, "version": "2.1.330"},
        record=record,
        at_ms=T0_MS + at_ms,
    )


def a_prompt(at_ms: int, text: str = "Do it", more: Json | None = None, **around: Any) -> Logged:
    """A ``user_prompt`` record."""
    attributes = {"prompt": text, "prompt_length": str(len(text))}
    return a_record("user_prompt", at_ms, attributes | (more or {}), **around)


def a_request(
    at_ms: int, request_id: str | None = "req_1", more: Json | None = None, **around: Any
) -> Logged:
    """An ``api_request`` record of the main thread that took 100 ms."""
    attributes = {
        "model": "claude-opus-5-5",
        "input_tokens": 11,
        "output_tokens": 7,
        "cache_read_tokens": 0,
        "cache_creation_tokens": 0,
        "cost_usd": 0.001,
        "cost_usd_micros": 1000,
        "duration_ms": 100,
        "request_id": request_id,
        "query_source": "sdk",
    }
    return a_record("api_request", at_ms, attributes | (more or {}), **around)


def an_answer(
    at_ms: int,
    request_id: str | None = "req_1",
    text: str = "Done",
    more: Json | None = None,
    **around: Any,
) -> Logged:
    """An ``assistant_response`` record of the main thread."""
    attributes = {
        "request_id": request_id,
        "response": text,
        "response_length": len(text),
        "model": "claude-opus-5-5",
        "query_source": "sdk",
    }
    return a_record("assistant_response", at_ms, attributes | (more or {}), **around)


def a_decision(
    at_ms: int,
    tool: str = "Bash",
    call_id: str | None = "toolu_1",
    more: Json | None = None,
    **around: Any,
) -> Logged:
    """A ``tool_decision`` record that lets a tool run."""
    attributes = {
        "decision": "accept",
        "source": "config",
        "tool_name": tool,
        "tool_use_id": call_id,
    }
    return a_record("tool_decision", at_ms, attributes | (more or {}), **around)


def a_result(
    at_ms: int,
    tool: str = "Bash",
    call_id: str | None = "toolu_1",
    more: Json | None = None,
    **around: Any,
) -> Logged:
    """A ``tool_result`` record of a tool that ran well for 50 ms."""
    attributes = {
        "tool_name": tool,
        "tool_use_id": call_id,
        "success": "true",
        "duration_ms": "50",
    }
    return a_record("tool_result", at_ms, attributes | (more or {}), **around)


def decoded(
    *records: Logged,
    policy: ContentPolicy = ContentPolicy.FULL,
    tags: Iterable[str] = ("member", "department"),
    encoding: Encoding = Encoding.JSON,
) -> list[Decoded]:
    """What the decoder makes of records that come in one request."""
    decoder = Decoder(policy=policy, tag_attributes=frozenset(tags))
    return list(decoder.decode(batch(records, encoding=encoding)))


def an_event(record: Logged, policy: ContentPolicy = ContentPolicy.FULL) -> AnyEvent:
    """The event in a record that can be read."""
    (item,) = decoded(record, policy=policy)
    assert isinstance(item, Record), item
    return item.event


def settled(part: AnyPart, **facts: Any) -> Settled:
    """A part of a turn of our default session."""
    return Settled(turn=turn_facts(**facts), part=part, observed=1, folded=0)


def turn_facts(attributes: dict[str, str] | None = None, **facts: Any) -> TurnFacts:
    """The facts of a turn; ``attributes`` are its origin's."""
    origin = Origin(
        product="claude-code",
        service_name="claude-code",
        service_version="2.1.330",
        attributes={"member": "alex"} if attributes is None else attributes,
    )
    told: dict[str, Any] = {
        "key": f"{SESSION}\0p1",
        "session_id": SESSION,
        "prompt_id": "p1",
        "origin": origin,
        "command": None,
        "synthetic": False,
        "otel_trace_id": None,
    }
    return TurnFacts(**(told | facts))


def event_fields(at_ms: int = 1000, **fields: Any) -> dict[str, Any]:
    """What all events share."""
    told: dict[str, Any] = {
        "key": at_ms.to_bytes(8, "big"),
        "session_id": SESSION,
        "conversation": SESSION,
        "prompt_id": "p1",
        "time_ms": T0_MS + at_ms,
    }
    return told | fields


def prompt_event(at_ms: int = 0, text: str | None = "Do it", **fields: Any) -> UserPrompt:
    """A prompt."""
    told: dict[str, Any] = {"length": None if text is None else len(text)}
    return UserPrompt(text=text, **event_fields(at_ms, **(told | fields)))


def request_event(at_ms: int = 1000, **fields: Any) -> ModelRequest:
    """A request that took 100 ms."""
    told: dict[str, Any] = {
        "request_id": "req_1",
        "model": "claude-opus-5-5",
        "usage": {"input": 11, "output": 7},
        "cost_picousd": 3_086_000_000,
        "duration_ms": 100,
    }
    return ModelRequest(**event_fields(at_ms, **(told | fields)))


def failure_event(at_ms: int = 1000, **fields: Any) -> ModelFailure:
    """A request that failed after 10 ms."""
    told: dict[str, Any] = {
        "request_id": "req_1",
        "model": "claude-opus-5-5",
        "error": "invalid x-api-key",
        "status_code": 401,
        "duration_ms": 10,
    }
    return ModelFailure(**event_fields(at_ms, **(told | fields)))


def answer_event(at_ms: int = 1001, text: str | None = "Done", **fields: Any) -> ModelAnswer:
    """An answer."""
    told: dict[str, Any] = {
        "request_id": "req_1",
        "model": "claude-opus-5-5",
        "length": None if text is None else len(text),
    }
    return ModelAnswer(text=text, **event_fields(at_ms, **(told | fields)))


def decision_event(at_ms: int = 1000, **fields: Any) -> ToolDecision:
    """A decision that lets Bash run."""
    told: dict[str, Any] = {
        "call_id": "toolu_1",
        "name": "Bash",
        "title": "Bash",
        "accepted": True,
        "source": "config",
    }
    return ToolDecision(**event_fields(at_ms, **(told | fields)))


def result_event(at_ms: int = 1000, **fields: Any) -> ToolResult:
    """The result of Bash that ran well for 50 ms."""
    told: dict[str, Any] = {
        "call_id": "toolu_1",
        "name": "Bash",
        "title": "Bash",
        "success": True,
        "duration_ms": 50,
    }
    return ToolResult(**event_fields(at_ms, **(told | fields)))


def _pairs(attributes: Json) -> list[Json]:
    return [
        {"key": key, "value": _value(value)}
        for key, value in attributes.items()
        if value is not None
    ]


def _value(value: Any) -> Json:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": value}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    if isinstance(value, dict):
        return {"stringValue": json.dumps(value)}
    return {"stringValue": value}
