"""The live turn: one prompt and all it caused, folded event by event.

Leaves to ``notes`` what an open turn learns from each kind of event, to ``settling`` what is done
with the turn, to ``sessions`` which records are its.
"""

from typing import Final

from bridge.correlate.halves import DECIDED, ENDED, HALVES, MOMENT, REQUEST, SPAWNS, TRACED
from bridge.correlate.notes import NOTES, SUMMED, note_late, note_log, note_span, start_ms
from bridge.correlate.state import LiveTurn, OpenPart, Order, SpawnCall
from bridge.model.events import AnyEvent, Record, ToolDecision, ToolResult, UserPrompt
from bridge.model.outcomes import Outcome
from bridge.model.spans import SPAN_KINDS, TurnSpan
from bridge.model.totals import Totals

_DIGEST_MODULUS: Final = 2**61 - 1
"""A prime: ids are random, so two of them share a remainder once in 2 ** 61."""


def new_turn(key: str, record: Record, order: Order) -> LiveTurn:
    """An empty turn that the record will be the first of."""
    event = record.event
    return LiveTurn(
        key=key,
        conversation=event.conversation,
        session_id=event.session_id,
        prompt_id=event.prompt_id,
        origin=record.origin,
        origin_order=order,
        totals=Totals(),
    )


def digest(key: str) -> int:
    """Eight bytes that stand for the key of a part that has left."""
    return int.from_bytes(key.encode(), "big") % _DIGEST_MODULUS


def fold(turn: LiveTurn, record: Record, order: Order) -> Outcome | None:
    """Fold one record into the turn.

    Args:
        turn: The one it belongs to.
        record: What came.
        order: Its event's order, which is worked out once for all who ask.

    Returns:
        How it ended, if it ended at once; None while it is held.
    """
    event, arrived_ms = record.event, record.arrived_ms
    key = order[2]
    if key in turn.seen:
        return Outcome.DUPLICATE
    turn.seen.add(key)
    if arrived_ms > turn.touched_ms:
        turn.touched_ms = arrived_ms
    kind = type(event)
    is_prompt = kind is UserPrompt
    if kind in SPAN_KINDS:
        note_span(turn, event)
    elif event.otel_trace_id is not None or not turn.has_logs:
        note_log(turn, event)
    if is_prompt or turn.prompt is None:
        _note_origin(turn, record, order)
    if is_prompt or kind is TurnSpan:
        outcome = _take_in(turn, event, order, arrived_ms)
    else:
        outcome = _add(turn, event, order, arrived_ms)
    if outcome is not None and kind in SUMMED:
        return outcome  # what was told already is not counted once more
    if turn.closed_by is None:
        NOTES[kind](turn, event, order)
    else:
        note_late(turn, event)
    return outcome


def has_open_tool(turn: LiveTurn) -> bool:
    """Whether a tool was let run and has not come back."""
    for part in turn.parts.values():  # noqa: SIM110 - any() makes a generator, for each look
        if part.told & (DECIDED | ENDED) == DECIDED:
            return True
    return False


def _take_in(turn: LiveTurn, event: AnyEvent, order: Order, arrived_ms: int) -> Outcome | None:
    """What tells of the whole turn, and is no part of it unless there is another already."""
    if isinstance(event, TurnSpan):
        if turn.closed_by or turn.span:
            return Outcome.LATE
        turn.span = event
    elif isinstance(event, UserPrompt) and turn.closed_by is None:
        _note_prompt(turn, event, order, arrived_ms)
    else:
        return _add(turn, event, order, arrived_ms)
    return None


def _add(turn: LiveTurn, event: AnyEvent, order: Order, arrived_ms: int) -> Outcome | None:
    """Put an event to the other halves of its part, unless that has left.

    A gateway may give the same request id twice, and both cost money, or failed: another request
    with it is a part of its own. What left on a span's word alone is the same request, though, and
    counted then.
    """
    key, told = HALVES[type(event)](event)
    if event.otel_trace_id:
        told |= TRACED
    part = turn.parts.get(key)
    if part is None:
        if (key in turn.left or (turn.sent and digest(key) in turn.sent)) and not told & MOMENT:
            if not told & REQUEST or digest(key) in turn.sent_by_span:
                return Outcome.LATE
            key = f"g:{event.key.hex()}"
    elif told & part.told & REQUEST:
        key, part = f"g:{event.key.hex()}", None
    if told & SPAWNS:
        _note_call(turn, key, event, arrived_ms)
    if part is None:
        turn.parts[key] = OpenPart([event], arrived_ms, order, told)
    else:
        _join(part, event, order, told, arrived_ms)
    return None


def _join(part: OpenPart, event: AnyEvent, order: Order, told: int, arrived_ms: int) -> None:
    part.events.append(event)
    part.told |= told
    if arrived_ms > part.touched_ms:
        part.touched_ms = arrived_ms
    if order < part.order:
        part.order = order


def _note_origin(turn: LiveTurn, record: Record, order: Order) -> None:
    """The prompt's record tells whose turn it is; without a prompt the earliest does."""
    if turn.facts is not None:
        return  # it has been told
    if type(record.event) is UserPrompt or order < turn.origin_order:
        turn.origin, turn.origin_order = record.origin, order


def _note_prompt(turn: LiveTurn, event: UserPrompt, order: Order, arrived_ms: int) -> None:
    """The earliest prompt of a turn is its prompt; a further one is something that happened."""
    earlier, earlier_order = turn.prompt, turn.prompt_order
    if earlier is None or earlier_order is None:
        turn.prompt, turn.prompt_order = event, order
    elif order < earlier_order:
        turn.prompt, turn.prompt_order = event, order
        _add(turn, earlier, earlier_order, arrived_ms)
    else:
        _add(turn, event, order, arrived_ms)


def _note_call(turn: LiveTurn, key: str, event: AnyEvent, arrived_ms: int) -> None:
    """Remember the tool calls that start sub-agents, to match agents with them."""
    if not isinstance(event, (ToolDecision, ToolResult)):
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
