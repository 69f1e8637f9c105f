"""What a coding agent did, in no vendor's words. Made by ``decode``, folded by ``correlate``.

A ``Record`` is one decoded log record: the event, who it is from, and when it reached us. Events
are frozen and small, and hold nothing that the content policy did not let through.
"""

from enum import StrEnum

import msgspec

from bridge.model.observations import Level, MetadataValue


class Purpose(StrEnum):
    """What a model request was for. Only MAIN can be the answer to the prompt."""

    MAIN = "main"
    AGENT = "agent"
    AUXILIARY = "auxiliary"
    UNKNOWN = "unknown"
    """Clients that do not say; they do not export answers either."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Who a record is from: the client program and its identifying attributes.

    Attributes:
        product: The coding agent, which is the trace's name and its last tag (``claude-code``).
        attributes: Record attributes over resource attributes, only those that identify:
            user, organisation, the configured tags, environment, terminal, repository.
    """

    product: str
    service_name: str
    service_version: str | None
    attributes: dict[str, str]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", omit_defaults=True):
    """What all events share.

    Attributes:
        key: Eight bytes that are the same whenever and however the same record arrives.
        session_id: The coding agent's session; None when the client keeps it to itself.
        conversation: What orders the events: the session, else the installation.
        prompt_id: The prompt that caused it; None for clients or events that do not say.
        time_ms: When it was emitted, that is when the thing it tells of ended.
        sequence: Position within one client process; starts again at 0 when a session is resumed.
        agent_id: The sub-agent it happened in; None for the main thread or when not told.
        parent_agent_id: The sub-agent that started that one.
        agent_type: The sub-agent's type.
        otel_trace_id: The client's own span context, when its tracing is on.
        attributes: What is shown as metadata, as the client named it.
    """

    key: bytes
    session_id: str | None
    conversation: str
    prompt_id: str | None
    time_ms: int
    sequence: int | None = None
    agent_id: str | None = None
    parent_agent_id: str | None = None
    agent_type: str | None = None
    otel_trace_id: str | None = None
    otel_span_id: str | None = None
    attributes: dict[str, MetadataValue] = {}

    @property
    def order(self) -> tuple[int, int, bytes]:
        """Sorts events as they happened: by time, inside a millisecond by sequence."""
        return (self.time_ms, -1 if self.sequence is None else self.sequence, self.key)


class UserPrompt(Event, frozen=True, kw_only=True, tag="user_prompt"):
    """A person (or, when ``synthetic``, the client itself) asked for something.

    Attributes:
        text: None when the client or the content policy keeps it back.
        command: Name of a slash command, without the slash.
    """

    text: str | None
    length: int | None
    command: str | None = None
    built_in: bool = False
    synthetic: bool = False


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
    parameters: dict[str, str] = {}


class ModelFailure(Event, frozen=True, kw_only=True, tag="model_failure"):
    """A model request that failed for good; ``duration_ms`` is its last attempt."""

    request_id: str | None
    model: str
    error: str | None
    status_code: int | None
    duration_ms: int
    purpose: Purpose = Purpose.UNKNOWN
    parameters: dict[str, str] = {}


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
)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One decoded log record: the event, who it is from, when it reached us (our clock)."""

    event: AnyEvent
    origin: Origin
    arrived_ms: int
