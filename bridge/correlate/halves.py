"""What an event is to the part it belongs to: the part's key, and what the event tells of it.

Both are known by the kind of event, so they are looked up by it: asking one class after another
costs more than all the rest of folding. A part keeps what its events told together (``OpenPart``),
so that a look at it asks none of them again.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from bridge.model.event import Purpose
from bridge.model.events import (
    AgentCompleted,
    ModelAnswer,
    ModelFailure,
    ModelRequest,
    PointEvent,
    RawBody,
    ToolDecision,
    ToolResult,
    UserPrompt,
)
from bridge.model.spans import ModelSpan, OtherSpan, ToolRun, ToolSpan, ToolWait, TurnSpan

RECORD: Final = 1
"""Not only the spans of a request or tool tell of it."""
COMPLETE: Final = 2
"""There is the record that makes it an observation of its own."""
REQUEST: Final = 4
"""There is the record of a model request, whether it succeeded or not."""
DECIDED: Final = 8
"""It was decided whether a tool may run."""
ENDED: Final = 16
"""The tool has come back, or may not run."""
MOMENT: Final = 32
"""It is a point event."""
SPAN: Final = 64
"""The span of all of it is there."""
TRACED: Final = 128
"""An event names a trace."""
AWAITS_RECORD: Final = 256
"""A span tells of a request whose record, which alone knows the cost, is worth waiting for."""
SPAWNS: Final = 512
"""The tool call starts a sub-agent."""

Half = tuple[str, int]
"""The key of the part an event belongs to, alike for all its halves, and what it tells of it."""


def _request(event: ModelRequest) -> Half:
    return f"g:{event.request_id or event.key.hex()}", RECORD | COMPLETE | REQUEST


def _failure(event: ModelFailure) -> Half:
    return f"g:{event.request_id or event.key.hex()}", RECORD | COMPLETE | REQUEST


def _answer(event: ModelAnswer) -> Half:
    return (f"g:{event.request_id}" if event.request_id else f"a:{event.key.hex()}"), RECORD


def _body(event: RawBody) -> Half:
    if event.request_id is None:
        return f"b:{event.body_id or event.key.hex()}", RECORD
    return f"g:{event.request_id}", RECORD


def _decision(event: ToolDecision) -> Half:
    key = f"t:{event.call_id}" if event.call_id else f"d:{event.key.hex()}"
    if not event.accepted:
        return key, RECORD | DECIDED | ENDED | COMPLETE
    if event.spawns is not None and event.call_id is not None:
        return key, RECORD | DECIDED | SPAWNS
    return key, RECORD | DECIDED


def _result(event: ToolResult) -> Half:
    key = f"t:{event.call_id or event.key.hex()}"
    if event.spawns is not None and event.call_id is not None:
        return key, RECORD | ENDED | COMPLETE | SPAWNS
    return key, RECORD | ENDED | COMPLETE


def _completion(event: AgentCompleted) -> Half:
    return f"c:{event.agent_id or event.key.hex()}", RECORD | COMPLETE


def _moment(event: PointEvent | UserPrompt) -> Half:
    return f"p:{event.key.hex()}", RECORD | MOMENT


def _model_span(event: ModelSpan) -> Half:
    told = SPAN
    if event.success and event.purpose is not Purpose.AUXILIARY:
        told = SPAN | AWAITS_RECORD
    return (
        f"m:{event.otel_span_id}" if event.request_id is None else f"g:{event.request_id}"
    ), told


def _tool_span(event: ToolSpan) -> Half:
    """By the id shared with records; without one by the span that holds the others."""
    key = f"u:{event.otel_span_id}" if event.call_id is None else f"t:{event.call_id}"
    return key, SPAN | ENDED


def _tool_run(event: ToolRun) -> Half:
    return (f"u:{event.otel_parent_id}" if event.call_id is None else f"t:{event.call_id}"), ENDED


def _tool_wait(event: ToolWait) -> Half:
    return f"w:{event.otel_parent_id}", 0


def _other_span(event: OtherSpan | TurnSpan) -> Half:
    return f"s:{event.otel_span_id}", RECORD


HALVES: Mapping[type, Callable[[Any], Half]] = {
    UserPrompt: _moment,
    ModelRequest: _request,
    ModelFailure: _failure,
    ModelAnswer: _answer,
    RawBody: _body,
    ToolDecision: _decision,
    ToolResult: _result,
    AgentCompleted: _completion,
    PointEvent: _moment,
    TurnSpan: _other_span,
    ModelSpan: _model_span,
    ToolSpan: _tool_span,
    ToolWait: _tool_wait,
    ToolRun: _tool_run,
    OtherSpan: _other_span,
}
"""Kind of event → what gives its half; all but ``TRACED``, which is alike for all of them."""
