"""The live turn: one prompt and all it caused, folded event by event.

Leaves to ``settling`` what is done with it, to ``sessions`` which records are its.
"""

import hashlib
from typing import assert_never

import msgspec

from bridge.model.events import (
    AgentCompleted,
    AnyEvent,
    ModelAnswer,
    ModelFailure,
    ModelRequest,
    Origin,
    PointEvent,
    Purpose,
    RawBody,
    Record,
    ToolDecision,
    ToolResult,
    UserPrompt,
)
from bridge.model.outcomes import Outcome
from bridge.model.parts import ClosedBy, Totals, TurnFacts

Order = tuple[int, int, bytes]


class OpenPart(msgspec.Struct, kw_only=True):
    """Events that will be one observation, until they leave together.

    Attributes:
        touched_ms: When the latest of them arrived (our clock).
    """

    events: list[AnyEvent]
    touched_ms: int


class SpawnCall(msgspec.Struct, kw_only=True):
    """A tool call that starts a sub-agent.

    Attributes:
        end_ms: None while it runs; a background agent's call ends at once.
        taken_by: The agent it was matched with.
    """

    start_ms: int
    end_ms: int | None = None
    owner: str | None = None
    type: str | None = None
    task: str | None = None
    taken_by: str | None = None
    touched_ms: int = 0


class AgentState(msgspec.Struct, kw_only=True):
    """A sub-agent as far as its settled parts tell.

    Attributes:
        calls: The spawning calls it may belong to; one, unless parallel agents cannot be told
            apart; empty until matched.
        sent: It has left; what still comes for it hangs below it by id.
    """

    owner: str | None = None
    type: str | None = None
    first_ms: int
    last_ms: int
    completed: AgentCompleted | None = None
    answer: ModelAnswer | None = None
    totals: Totals
    touched_ms: int
    calls: tuple[str, ...] = ()
    sent: bool = False


class LiveTurn(msgspec.Struct, kw_only=True):
    """The one mutable record of a turn; private to ``correlate``, saved in the ledger.

    Attributes:
        facts: None until the first part leaves; then frozen, so that all parts agree.
        seen: Keys of all records folded in; tells repetitions.
        sent: Digests of the keys of parts that have left; tells late halves.
        first_ms: Start of the earliest work; the turn's start when it has no prompt.
        last_ms: End of the latest work; the turn's end. What merely happens does not move it.
        last_main: Order and kind of the main thread's latest work.
        unidentified_ms: Start times of sub-agent requests that do not say which agent.
        point_ms: Where the latest point event was put.
        closed_by: Why the root was made; None while it has not been.
    """

    key: str
    conversation: str
    session_id: str | None
    prompt_id: str | None
    origin: Origin
    origin_order: Order
    facts: TurnFacts | None = None
    prompt: UserPrompt | None = None
    parts: dict[str, OpenPart] = {}
    calls: dict[str, SpawnCall] = {}
    agents: dict[str, AgentState] = {}
    agent_spans: set[str] = set()
    unidentified_ms: list[int] = []
    seen: set[bytes] = set()
    sent: set[bytes] = set()
    first_ms: int | None = None
    last_ms: int | None = None
    last_main: Order | None = None
    last_main_finishes: bool = False
    answer: ModelAnswer | None = None
    failure: ModelFailure | None = None
    totals: Totals
    touched_ms: int = 0
    point_ms: int = 0
    closed_by: ClosedBy | None = None
    start_ms: int = 0
    end_ms: int = 0

    @property
    def order(self) -> Order:
        """Where the turn stands among the prompts of its conversation."""
        return self.prompt.order if self.prompt else (self.first_ms or 0, -1, b"")

    @property
    def held(self) -> int:
        """Records folded in whose observation has not left."""
        waiting = sum(len(part.events) for part in self.parts.values())
        agents = sum(a.completed is not None and not a.sent for a in self.agents.values())
        return waiting + agents + (self.prompt is not None and self.closed_by is None)

    def is_finished(self) -> bool:
        """Nothing more is going to leave unless something late arrives."""
        return (
            self.closed_by is not None
            and not self.parts
            and all(agent.sent for agent in self.agents.values())
        )


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
    own = event.key.hex()
    match event:
        case ModelRequest() | ModelFailure():
            key = f"g:{event.request_id or own}"
        case ModelAnswer():
            key = f"g:{event.request_id}" if event.request_id else f"a:{own}"
        case RawBody():
            key = f"g:{event.request_id}" if event.request_id else f"b:{event.body_id or own}"
        case ToolResult():
            key = f"t:{event.call_id or own}"
        case ToolDecision():
            key = f"t:{event.call_id}" if event.call_id else f"d:{own}"
        case AgentCompleted():
            key = f"c:{event.agent_id or own}"
        case PointEvent() | UserPrompt():
            key = f"p:{own}"
        case _:
            assert_never(event)
    return key


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
    if turn.closed_by is None:
        _note(turn, event)
        if isinstance(event, UserPrompt):
            _note_prompt(turn, event, record.arrived_ms)
            return None
    key = part_key(event)
    if digest(key) in turn.sent:
        return Outcome.LATE
    _note_call(turn, key, event, record.arrived_ms)
    _add(turn, key, event, record.arrived_ms)
    return None


def start_ms(event: AnyEvent) -> int:
    """When the thing an event tells of began; events are emitted at its end."""
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
    return isinstance(event, ToolResult) or (isinstance(event, ToolDecision) and not event.accepted)


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
    if isinstance(event, UserPrompt | RawBody):
        return
    if isinstance(event, PointEvent) and not event.extends_turn:
        return
    began = start_ms(event)
    turn.first_ms = began if turn.first_ms is None else min(turn.first_ms, began)
    turn.last_ms = max(turn.last_ms or event.time_ms, event.time_ms)
    if not is_agent_work(event):
        _note_main(turn, event)


def _note_unidentified(turn: LiveTurn, event: AnyEvent) -> None:
    """Remember what tells a sub-agent's tools from the main thread's, where no id does."""
    if event.agent_id is not None or getattr(event, "purpose", None) is not Purpose.AGENT:
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
    if not isinstance(event, ToolDecision | ToolResult) or event.spawns is None:
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
