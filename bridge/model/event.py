"""What all events of a coding agent share, whether its logs or its spans tell of them."""

from enum import StrEnum

import msgspec

from bridge.model.observations import MetadataValue


class Purpose(StrEnum):
    """What a model request was for."""

    MAIN = "main"
    AGENT = "agent"
    AUXILIARY = "auxiliary"
    UNKNOWN = "unknown"
    """Clients that do not say; then it is taken for MAIN."""


class Origin(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """Who a record is from: the client program and its identifying attributes.

    Attributes:
        product: The coding agent, which is the trace's name and its last tag (``claude-code``).
        attributes: Record attributes over resource attributes, only those that identify:
            user, organisation, the configured tags, environment, terminal, repository.
        installation: What stands for the client's installation where its ``user.id`` is omitted;
            never shown.
    """

    product: str
    service_name: str
    service_version: str | None
    attributes: dict[str, str]
    installation: str = ""


class Event(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="event", array_like=True, gc=False
):
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
        return order_of(self)


def order_of(event: Event) -> tuple[int, int, bytes]:
    """``Event.order`` at half the cost, for those who ask it of every record."""
    sequence = event.sequence
    return (event.time_ms, -1 if sequence is None else sequence, event.key)
