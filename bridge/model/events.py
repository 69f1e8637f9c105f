"""What a coding agent did, in no vendor's words. Made by ``decode``, folded by ``correlate``.

A ``Record`` is one decoded log record or span: the event, who it is from, and when it reached us.
Events are frozen and small, and hold nothing that the content policy did not let through.
"""

import msgspec

from bridge.model.event import Event, Origin, Purpose
from bridge.model.observations import Level
from bridge.model.spans import (
    ModelSpan,
    OtherSpan,
    ToolRun,
    ToolSpan,
    ToolWait,
    TurnSpan,
)


class UserPrompt(Event, frozen=True, kw_only=True, tag="user_prompt"):
    """A person (or, when ``synthetic``, the client itself) asked for something.

    Attributes:
        text: None when the client or the content policy keeps it back.
        command: Name of a slash command, without the slash.
        asks: Whether it is a built-in command that has the model work all the same.
    """

    text: str | None
    length: int | None
    command: str | None = None
    built_in: bool = False
    synthetic: bool = False
    asks: bool = False


class ModelRequest(Event, frozen=True, kw_only=True, tag="model_request"):
    """A model request that succeeded.

    Attributes:
        usage: Langfuse usage key → tokens; the keys are disjoint.
        cost_picousd: None when the client did not say.
    """

    request_id: str | None
    model: str
    usage: dict[str, int]
    cost_picousd: int | None
    duration_ms: int
    ttft_ms: int | None = None
    purpose: Purpose = Purpose.UNKNOWN
    parameters: dict[str, str] = msgspec.field(default_factory=dict)


class ModelFailure(Event, frozen=True, kw_only=True, tag="model_failure"):
    """A model request that failed for good; ``duration_ms`` is its last attempt."""

    request_id: str | None
    model: str
    error: str | None
    status_code: int | None
    duration_ms: int
    purpose: Purpose = Purpose.UNKNOWN
    parameters: dict[str, str] = msgspec.field(default_factory=dict)


class ModelAnswer(Event, frozen=True, kw_only=True, tag="model_answer"):
    """The text of a model's answer; a request that only calls tools has none."""

    request_id: str | None
    model: str | None
    text: str | None
    length: int | None
    purpose: Purpose = Purpose.UNKNOWN


class RawBody(Event, frozen=True, kw_only=True, tag="raw_body"):
    """The raw body of a model request or of its response, in the client's raw-body mode.

    Attributes:
        body_id: Joins the two bodies; only a response also has ``request_id``.
    """

    is_response: bool
    request_id: str | None
    body_id: str | None
    text: str | None


class ToolDecision(Event, frozen=True, kw_only=True, tag="tool_decision"):
    """Whether a tool may run.

    Attributes:
        call_id: The model's id of the tool call; None for clients that do not say.
        name: As the client writes it; ``title`` is what a person calls it.
        source: Who decided: ``config``, ``user_reject``, ``hook`` …
        by_person: Whether a person decided; a person's rejection usually ends the turn.
        arguments: JSON text of the call's arguments as far as told.
        spawns: Type of the sub-agent that this call starts; "" when it starts one of unknown type.
        task: What that sub-agent is told to do.
    """

    call_id: str | None
    name: str
    title: str
    accepted: bool
    source: str | None
    by_person: bool = False
    arguments: str | None = None
    spawns: str | None = None
    task: str | None = None


class ToolResult(Event, frozen=True, kw_only=True, tag="tool_result"):
    """A tool has run; fields shared with ``ToolDecision`` mean the same."""

    call_id: str | None
    name: str
    title: str
    success: bool
    duration_ms: int
    arguments: str | None = None
    error: str | None = None
    error_type: str | None = None
    result_bytes: int | None = None
    spawns: str | None = None
    task: str | None = None


class AgentCompleted(Event, frozen=True, kw_only=True, tag="agent_completed"):
    """A sub-agent came to its end."""

    duration_ms: int
    is_async: bool = False


class PointEvent(Event, frozen=True, kw_only=True, tag="point"):
    """Anything else that happened, known or not, at one moment.

    Attributes:
        text: What the event is about, when it is a text (a system prompt).
        message: What went wrong.
        extends_turn: Whether the turn was still at work then; false for what also happens between
            prompts (a mode change, a plugin, a sweep).
    """

    name: str
    level: Level = Level.DEFAULT
    text: str | None = None
    message: str | None = None
    extends_turn: bool = False


AnyEvent = (
    UserPrompt
    | ModelRequest
    | ModelFailure
    | ModelAnswer
    | RawBody
    | ToolDecision
    | ToolResult
    | AgentCompleted
    | PointEvent
    | TurnSpan
    | ModelSpan
    | ToolSpan
    | ToolWait
    | ToolRun
    | OtherSpan
)


class Record(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One decoded log record or span: the event, who it is from, when it reached us (our clock).

    Attributes:
        redacted: How many secrets were masked in it.
    """

    event: AnyEvent
    origin: Origin
    arrived_ms: int
    redacted: int = 0


def plain_model(model: str) -> str:
    """A model's name without what some clients add in brackets: ``claude-sonnet-4-5[1m]``."""
    return model.split("[", 1)[0] if "[" in model else model


__all__ = [
    "AgentCompleted",
    "AnyEvent",
    "Event",
    "ModelAnswer",
    "ModelFailure",
    "ModelRequest",
    "Origin",
    "PointEvent",
    "Purpose",
    "RawBody",
    "Record",
    "ToolDecision",
    "ToolResult",
    "UserPrompt",
    "plain_model",
]
