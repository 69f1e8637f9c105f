"""What a turn learns from each kind of event, besides what the event is to its part.

Minima, maxima and sums: any order gives the same.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from bridge.correlate.halves import HALVES
from bridge.correlate.state import LiveTurn, Order
from bridge.model.event import Purpose
from bridge.model.events import (
    AgentCompleted,
    AnyEvent,
    ModelAnswer,
    ModelFailure,
    ModelRequest,
    PointEvent,
    RawBody,
    ToolDecision,
    ToolResult,
    UserPrompt,
)
from bridge.model.spans import (
    ModelSpan,
    OtherSpan,
    SpanEvent,
    ToolRun,
    ToolSpan,
    ToolWait,
    TurnSpan,
)

_MAIN, _AGENT, _AUXILIARY, _ = Purpose
"""By names of ours: to ask the class for a member costs ten times as much, for each request."""


def start_ms(event: AnyEvent) -> int:
    """When the thing an event tells of began; events are emitted at its end."""
    if isinstance(event, SpanEvent):
        return event.began_ms
    return event.time_ms - getattr(event, "duration_ms", 0)


def note_log(turn: LiveTurn, event: AnyEvent) -> None:
    """Remember that log records tell of the turn, and which trace they name."""
    turn.has_logs = True
    turn.otel_trace_id = turn.otel_trace_id or event.otel_trace_id


def note_span(turn: LiveTurn, event: AnyEvent) -> None:
    """Remember which spans are a tool's: what runs in them hangs below it.

    Old clients make some requests a trace of their own, which is not the turn's.
    """
    if not isinstance(event, SpanEvent):
        return
    if isinstance(event, TurnSpan) or event.otel_parent_id is not None:
        turn.otel_trace_id = turn.otel_trace_id or event.otel_trace_id
    if event.otel_span_id and isinstance(event, (ToolSpan, ToolRun, ToolWait)):
        turn.span_parts[event.otel_span_id] = HALVES[type(event)](event)[0]


def note_late(turn: LiveTurn, event: AnyEvent) -> None:
    """Too late for the root: in time for the prompt's cost, and for telling agents apart."""
    if isinstance(event, ModelRequest):
        turn.totals.add_request(event)
    if isinstance(event, (ModelRequest, ModelFailure, ModelAnswer)) and event.agent_id is None:
        _note_unidentified(turn, event)


def _note_request(turn: LiveTurn, event: ModelRequest, order: Order) -> None:
    turn.totals.add_request(event)
    _note_work(turn, event.time_ms - event.duration_ms, event.time_ms)
    if event.agent_id is None and event.purpose is not _AUXILIARY:
        if event.purpose is _AGENT:
            _note_unidentified(turn, event)
        else:
            _note_main(turn, order, True, request_id=event.request_id)


def _note_failure(turn: LiveTurn, event: ModelFailure, order: Order) -> None:
    turn.totals.add_failure(event)
    _note_work(turn, event.time_ms - event.duration_ms, event.time_ms)
    if event.agent_id is None and event.purpose is not _AUXILIARY:
        if event.purpose is _AGENT:
            _note_unidentified(turn, event)
        else:
            _note_main(turn, order, True, event)


def _note_answer(turn: LiveTurn, event: ModelAnswer, order: Order) -> None:
    _note_work(turn, event.time_ms, event.time_ms)
    if event.agent_id is not None:
        return
    if event.purpose is _AGENT:
        _note_unidentified(turn, event)
    elif event.purpose is not _AUXILIARY and (turn.answer is None or turn.answer.order < order):
        turn.answer = event


def _note_decision(turn: LiveTurn, event: ToolDecision, order: Order) -> None:
    _note_work(turn, event.time_ms, event.time_ms)
    if not event.accepted:
        turn.totals.add_decision(event)
    if event.agent_id is None:
        _note_main(turn, order, event.by_person and not event.accepted)


def _note_result(turn: LiveTurn, event: ToolResult, order: Order) -> None:
    turn.totals.add_result(event)
    _note_work(turn, event.time_ms - event.duration_ms, event.time_ms)
    if event.agent_id is None:
        _note_main(turn, order, False)  # the model still reads it


def _note_completion(turn: LiveTurn, event: AgentCompleted, order: Order) -> None:
    _note_work(turn, event.time_ms - event.duration_ms, event.time_ms)
    if event.agent_id is None:
        _note_main(turn, order, True)


def _note_point(turn: LiveTurn, event: PointEvent, _order: Order) -> None:
    if event.extends_turn:
        _note_work(turn, event.time_ms, event.time_ms)


def _note_part_of_span(turn: LiveTurn, event: SpanEvent, _order: Order) -> None:
    _note_work(turn, event.began_ms, event.time_ms)


def _note_model_span(turn: LiveTurn, event: ModelSpan, order: Order) -> None:
    _note_work(turn, event.began_ms, event.time_ms)
    if (
        event.goes_on
        and event.request_id is not None
        and event.agent_id is None
        and event.purpose not in {_AGENT, _AUXILIARY}
        and (turn.going_on is None or turn.going_on[0] < order)
    ):
        turn.going_on = (order, event.request_id)


def _note_nothing(_turn: LiveTurn, _event: AnyEvent, _order: Order) -> None:
    """It merely happens: the turn's work is not longer for it."""


NOTES: Mapping[type, Callable[[LiveTurn, Any, Order], None]] = {
    UserPrompt: _note_nothing,
    ModelRequest: _note_request,
    ModelFailure: _note_failure,
    ModelAnswer: _note_answer,
    RawBody: _note_nothing,
    ToolDecision: _note_decision,
    ToolResult: _note_result,
    AgentCompleted: _note_completion,
    PointEvent: _note_point,
    TurnSpan: _note_part_of_span,
    ModelSpan: _note_model_span,
    ToolSpan: _note_part_of_span,
    ToolWait: _note_part_of_span,
    ToolRun: _note_part_of_span,
    OtherSpan: _note_nothing,
}
"""What an open turn learns from an event of a kind, given where it stands."""

SUMMED: Final = frozenset({ModelRequest, ModelFailure, ToolDecision, ToolResult})
"""Kinds of events with numbers that are added to the turn's, and must not be twice."""


def _note_work(turn: LiveTurn, began_ms: int, ended_ms: int) -> None:
    """The turn's work lasts from its first beginning to its last end."""
    if turn.first_ms is None or began_ms < turn.first_ms:
        turn.first_ms = began_ms
    if turn.last_ms is None or ended_ms > turn.last_ms:
        turn.last_ms = ended_ms


def _note_main(
    turn: LiveTurn,
    order: Order,
    finishes: bool,
    failure: ModelFailure | None = None,
    request_id: str | None = None,
) -> None:
    """The main thread's latest work tells whether the turn may end with it, or fail."""
    if turn.last_main is None or turn.last_main < order:
        turn.last_main = order
        if turn.last_main_finishes is not finishes:  # to set a field costs more than to ask for it
            turn.last_main_finishes = finishes
        if turn.failure is not failure:
            turn.failure = failure
        if turn.last_request is not request_id:
            turn.last_request = request_id


def _note_unidentified(turn: LiveTurn, event: ModelRequest | ModelFailure | ModelAnswer) -> None:
    """Remember what tells a sub-agent's tools from the main thread's, where no id does."""
    if event.purpose is not _AGENT:
        return
    if event.otel_span_id:
        turn.agent_spans.add(event.otel_span_id)
    elif isinstance(event, ModelRequest):
        turn.unidentified_ms.append(start_ms(event))
