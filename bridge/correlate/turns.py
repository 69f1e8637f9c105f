"""The live turn: one prompt and all it caused, folded event by event.

Leaves to ``settling`` what is done with it, to ``sessions`` which records are its.
"""

import hashlib
from typing import assert_never

from bridge.correlate.state import LiveTurn, OpenPart, SpawnCall
from bridge.model.events import (
    AgentCompleted,
    AnyEvent,
    ModelAnswer,
    ModelFailure,
    ModelRequest,
    PointEvent,
    Purpose,
    RawBody,
    Record,
    ToolDecision,
    ToolResult,
    UserPrompt,
)
from bridge.model.outcomes import Outcome
from bridge.model.spans import (
    ModelSpan,
    OtherSpan,
    SpanEvent,
    ToolRun,
    ToolSpan,
    ToolWait,
    TurnSpan,
)
from bridge.model.totals import Totals


def new_turn(key: str, record: Record) -> LiveTurn:
    """An empty turn that the record will be the first of."""
    event = record.event
    return LiveTurn(
        key=key,
        conversation=event.conversation,
        session_id=event.session_id,
        prompt_id=event.prompt_id,
        origin=record.origin,
        origin_order=event.order,
        totals=Totals(),
    )


def part_key(event: AnyEvent) -> str:
    """The key of the part an event belongs to, alike for all its halves."""
    match event:
        case ToolResult():
            key = f"t:{event.call_id or event.key.hex()}"
        case ToolDecision():
            key = f"t:{event.call_id}" if event.call_id else f"d:{event.key.hex()}"
        case ModelRequest() | ModelFailure():
            key = f"g:{event.request_id or event.key.hex()}"
        case ModelAnswer():
            key = f"g:{event.request_id}" if event.request_id else f"a:{event.key.hex()}"
        case RawBody(request_id=None):
            key = f"b:{event.body_id or event.key.hex()}"
        case RawBody():
            key = f"g:{event.request_id}"
        case AgentCompleted():
            key = f"c:{event.agent_id or event.key.hex()}"
        case PointEvent() | UserPrompt():
            key = f"p:{event.key.hex()}"
        case SpanEvent():
            key = _span_part_key(event)
        case _:
            assert_never(event)
    return key


def _span_part_key(event: SpanEvent) -> str:
    """By the id shared with records; without one by the span that holds the others."""
    match event:
        case ModelSpan(request_id=str(request_id)):
            return f"g:{request_id}"
        case ModelSpan():
            return f"m:{event.otel_span_id}"
        case ToolSpan(call_id=str(call_id)) | ToolRun(call_id=str(call_id)):
            return f"t:{call_id}"
        case ToolSpan():
            return f"u:{event.otel_span_id}"
        case ToolRun():
            return f"u:{event.otel_parent_id}"
        case _:
            kind = "w" if isinstance(event, ToolWait) else "s"
            return f"{kind}:{event.otel_parent_id if kind == 'w' else event.otel_span_id}"


def digest(key: str) -> bytes:
    """Eight bytes that stand for a part key in ``LiveTurn.sent``."""
    return hashlib.blake2b(key.encode(), digest_size=8).digest()


def fold(turn: LiveTurn, record: Record) -> Outcome | None:
    """Fold one record into the turn.

    Returns:
        How it ended, if it ended at once; None while it is held.
    """
    event = record.event
    if event.key in turn.seen:
        return Outcome.DUPLICATE
    turn.seen.add(event.key)
    turn.touched_ms = max(turn.touched_ms, record.arrived_ms)
    _note_origin(turn, record)
    _note_unidentified(turn, event)
    _note_span(turn, event)
    if turn.closed_by is None:
        _note(turn, event)
        if isinstance(event, UserPrompt):
            _note_prompt(turn, event, record.arrived_ms)
            return None
        if isinstance(event, TurnSpan) and turn.span is None:
            turn.span = event
            return None
    elif isinstance(event, ModelRequest):
        turn.totals.add(event)  # too late for the root, in time for the prompt's cost
    if isinstance(event, TurnSpan):
        return Outcome.LATE
    key = _free_key(turn, event)
    if turn.sent and digest(key) in turn.sent:
        return Outcome.LATE
    _note_call(turn, key, event, record.arrived_ms)
    _add(turn, key, event, record.arrived_ms)
    return None


def _free_key(turn: LiveTurn, event: AnyEvent) -> str:
    """The key of the event's part; its own when another request has taken that of its id.

    A gateway may give the same request id twice, and both cost money. What left on a span's word
    alone is the same request, though, and counted then.
    """
    key = part_key(event)
    if not isinstance(event, ModelRequest):
        return key
    part = turn.parts.get(key)
    taken = part is not None and any(isinstance(other, ModelRequest) for other in part.events)
    if not taken and not turn.sent:
        return key
    sent = digest(key)
    if sent in turn.sent_by_span:
        return key
    return f"g:{event.key.hex()}" if taken or sent in turn.sent else key


def start_ms(event: AnyEvent) -> int:
    """When the thing an event tells of began; events are emitted at its end."""
    if isinstance(event, SpanEvent):
        return event.began_ms
    return event.time_ms - getattr(event, "duration_ms", 0)


def is_agent_work(event: AnyEvent) -> bool:
    """Whether the event says by itself that a sub-agent did it."""
    return event.agent_id is not None or getattr(event, "purpose", None) is Purpose.AGENT


def has_open_tool(turn: LiveTurn) -> bool:
    """Whether a tool was let run and has not come back."""
    return any(
        key[0] in "td" and not any(map(_ends_tool, part.events)) for key, part in turn.parts.items()
    )


def _ends_tool(event: AnyEvent) -> bool:
    return isinstance(event, (ToolResult, ToolSpan, ToolRun)) or (
        isinstance(event, ToolDecision) and not event.accepted
    )


def _add(turn: LiveTurn, key: str, event: AnyEvent, arrived_ms: int) -> None:
    part = turn.parts.get(key)
    if part is None:
        turn.parts[key] = OpenPart(events=[event], touched_ms=arrived_ms)
        return
    part.events.append(event)
    part.touched_ms = max(part.touched_ms, arrived_ms)


def _note_origin(turn: LiveTurn, record: Record) -> None:
    """The prompt's record tells whose turn it is; without a prompt the earliest does."""
    event = record.event
    if isinstance(event, UserPrompt) or (turn.prompt is None and event.order < turn.origin_order):
        turn.origin, turn.origin_order = record.origin, event.order


def _note_prompt(turn: LiveTurn, event: UserPrompt, arrived_ms: int) -> None:
    """The earliest prompt of a turn is its prompt; a further one is something that happened."""
    earlier, turn.prompt = turn.prompt, event
    if earlier is not None:
        turn.prompt, later = sorted((earlier, event), key=lambda prompt: prompt.order)
        _add(turn, part_key(later), later, arrived_ms)


def _note(turn: LiveTurn, event: AnyEvent) -> None:
    """Fold what the root will tell. Minima, maxima and sums: any order gives the same."""
    turn.totals.add(event)
    if isinstance(event, (UserPrompt, RawBody)):
        return
    if isinstance(event, PointEvent) and not event.extends_turn:
        return
    if isinstance(event, OtherSpan):
        return
    began = start_ms(event)
    turn.first_ms = began if turn.first_ms is None else min(turn.first_ms, began)
    turn.last_ms = max(turn.last_ms or event.time_ms, event.time_ms)
    if _is_main_work(event):
        _note_main(turn, event)


def _is_main_work(event: AnyEvent) -> bool:
    """Whether a turn may end, or fail, with this: not with a title, a summary or a sub-agent."""
    auxiliary = getattr(event, "purpose", None) is Purpose.AUXILIARY
    return not (auxiliary or is_agent_work(event) or isinstance(event, (SpanEvent, PointEvent)))


def _names_trace(event: AnyEvent) -> bool:
    """Whether its trace is the turn's: old clients make some requests a trace of their own."""
    return (
        not isinstance(event, SpanEvent)
        or isinstance(event, TurnSpan)
        or event.otel_parent_id is not None
    )


def _note_span(turn: LiveTurn, event: AnyEvent) -> None:
    """Remember which spans are a tool's: what runs in them hangs below it."""
    if _names_trace(event):
        turn.otel_trace_id = turn.otel_trace_id or event.otel_trace_id
    if not isinstance(event, SpanEvent):
        turn.has_logs = True
    elif event.otel_span_id and isinstance(event, (ToolSpan, ToolRun, ToolWait)):
        turn.span_parts[event.otel_span_id] = part_key(event)


def _note_unidentified(turn: LiveTurn, event: AnyEvent) -> None:
    """Remember what tells a sub-agent's tools from the main thread's, where no id does."""
    if isinstance(event, SpanEvent) or event.agent_id is not None:
        return
    if getattr(event, "purpose", None) is not Purpose.AGENT:
        return
    if event.otel_span_id:
        turn.agent_spans.add(event.otel_span_id)
    elif isinstance(event, ModelRequest):
        turn.unidentified_ms.append(start_ms(event))


def _note_main(turn: LiveTurn, event: AnyEvent) -> None:
    if isinstance(event, ModelAnswer):
        if event.purpose is Purpose.MAIN and (
            turn.answer is None or turn.answer.order < event.order
        ):
            turn.answer = event
        return
    if turn.last_main is None or turn.last_main < event.order:
        turn.last_main = event.order
        turn.last_main_finishes = _may_finish(event)
        turn.failure = event if isinstance(event, ModelFailure) else None


def _may_finish(event: AnyEvent) -> bool:
    """Whether a turn can end with this: anything but a tool, whose result the model still reads."""
    if isinstance(event, ToolDecision):
        return event.by_person and not event.accepted
    return not isinstance(event, ToolResult)


def _note_call(turn: LiveTurn, key: str, event: AnyEvent, arrived_ms: int) -> None:
    """Remember the tool calls that start sub-agents, to match agents with them."""
    if not isinstance(event, (ToolDecision, ToolResult)) or event.spawns is None:
        return
    if event.call_id is None or (isinstance(event, ToolDecision) and not event.accepted):
        return
    began = start_ms(event)
    call = turn.calls.setdefault(key, SpawnCall(start_ms=began))
    call.start_ms = min(call.start_ms, began)
    call.type = call.type or event.spawns or None
    call.task = call.task or event.task
    call.owner = call.owner or event.agent_id
    call.touched_ms = max(call.touched_ms, arrived_ms)
    if isinstance(event, ToolResult):
        call.end_ms = event.time_ms
        if event.agent_id is None and event.otel_span_id in turn.agent_spans:
            call.owner = f"span:{event.otel_span_id}"
