"""Which of a part's events is what, and what belongs to it though it does not name it."""

from typing import Any

from bridge.correlate.state import LiveTurn
from bridge.model.event import order_of
from bridge.model.events import (
    AnyEvent,
    ModelAnswer,
    ModelFailure,
    ModelRequest,
    RawBody,
    ToolDecision,
    ToolResult,
)

_ANSWER_GAP_MS = 2_000
"""An answer follows its request at once; only clients that give no request id need this."""

Halves = dict[type, Any]
"""Kind of event → event."""


def earliest(events: list[AnyEvent]) -> Halves:
    """The earliest event of each kind; nearly always there is one of each."""
    halves: Halves = {type(event): event for event in events}
    if len(halves) < len(events):
        halves = {type(event): event for event in sorted(events, key=order_of, reverse=True)}
    return halves


def latest_answer(events: list[AnyEvent]) -> ModelAnswer | None:
    """The last of several answers to a request."""
    answers = (event for event in events if isinstance(event, ModelAnswer))
    return max(answers, key=order_of, default=None)


def bodies(events: list[AnyEvent]) -> tuple[RawBody, ...]:
    """The raw bodies of a request and its response, in order."""
    return tuple(event for event in sorted(events, key=order_of) if isinstance(event, RawBody))


def answer_by_order(turn: LiveTurn, request: ModelRequest | ModelFailure) -> str | None:
    """The part of the first answer right behind a request, for clients without request ids."""
    following = [
        (event.order, key)
        for key, part in turn.parts.items()
        if key.startswith("a:")
        for event in part.events
        if isinstance(event, ModelAnswer)
        and event.agent_id == request.agent_id
        and event.model in {None, request.model}
        and request.order < event.order
        and event.time_ms <= request.time_ms + _ANSWER_GAP_MS
    ]
    return min(following)[1] if following else None


def decision_by_order(turn: LiveTurn, result: ToolResult) -> str | None:
    """The earliest waiting decision for a tool of that name, for clients without call ids."""
    waiting = [
        (event.order, key)
        for key, part in turn.parts.items()
        if key.startswith("d:")
        for event in part.events
        if isinstance(event, ToolDecision)
        and event.accepted
        and event.name == result.name
        and event.order < result.order
    ]
    return min(waiting)[1] if waiting else None
