"""Which sub-agent a part belongs to, and which tool call started a sub-agent.

Records of 2.1.330 name the agent. From 2.1.156 on, with tracing on, an agent's records share the
span of the call that started it. Older ones (2.1.126 to 2.1.155, or without tracing up to 2.1.307)
only say that some sub-agent asked: then the spawning call is found by time, and where parallel
calls leave a choice, their work is shown under one agent that names them all, rather than guessed.
Before 2.1.126 records do not tell a sub-agent's work from the main thread's, so there it stays with
the root.
"""

from bridge.correlate.notes import start_ms
from bridge.correlate.state import AgentState, LiveTurn, SpawnCall
from bridge.model.event import Purpose
from bridge.model.events import (
    AgentCompleted,
    AnyEvent,
    ModelAnswer,
    ToolDecision,
    ToolResult,
)
from bridge.model.spans import SpanEvent, ToolSpan
from bridge.model.totals import Totals

_AGENT = Purpose.AGENT

_UNNAMED_TYPES = frozenset({"custom", "default"})
"""What the client writes in place of a type it does not tell."""


def owner_of(turn: LiveTurn, event: AnyEvent, span: SpanEvent | None = None) -> str | None:
    """The key of the sub-agent an event belongs to; None for the main thread.

    Args:
        turn: Its turn.
        event: The record, or what stands for it.
        span: Its span, when there is one.
    """
    if event.agent_id:
        return event.agent_id
    if turn.agent_spans and event.otel_span_id in turn.agent_spans:
        return f"span:{event.otel_span_id}"
    if span and (owner := owner_around(turn, span)):
        return owner
    if type(event) is ToolResult:
        return _owner_of_result(turn, event)
    return _by_time(turn, event) if getattr(event, "purpose", None) is _AGENT else None


def may_own(turn: LiveTurn, key: str, agent: AgentState, event: AnyEvent) -> bool:
    """Whether an event is the agent's, or will be once its span has told which of several."""
    owner = owner_of(turn, event, event if isinstance(event, SpanEvent) else None)
    if owner is None or owner == key:
        return owner == key
    calls = owner.removeprefix("call:").split("|") if owner.startswith("call:") else []
    return not set(calls).isdisjoint(agent.calls)


def _owner_of_result(turn: LiveTurn, result: ToolResult) -> str | None:
    """The main thread's results stand in the span of the turn, as its prompt does."""
    main = turn.prompt.otel_span_id if turn.prompt else None
    if main and result.otel_span_id and result.otel_span_id != main:
        return f"span:{result.otel_span_id}"
    if turn.calls and result.spawns is None and _inside_agent(turn, result):
        return _by_time(turn, result)
    return None


def owner_around(turn: LiveTurn, span: SpanEvent) -> str | None:
    """The sub-agent a span belongs to by the span above it: that of the call that started it."""
    above = span.otel_parent_id
    if above in turn.agent_spans:
        return f"span:{above}"
    if above and not turn.has_logs:  # up to 2.1.155 only requests name their agent
        known = [key for key, agent in turn.agents.items() if agent.around == above]
        if known:
            return known[0]
    key = _call_around(turn, above)
    return f"call:{key}" if key else None


def _call_around(turn: LiveTurn, span_id: str | None) -> str | None:
    """The spawning call that a span is of; found by time when the span does not name the call."""
    key = turn.span_parts.get(span_id or "")
    if key in turn.calls:
        return key
    part = turn.parts.get(key or "")
    for event in part.events if part else ():
        if isinstance(event, ToolSpan) and event.spawns is not None:
            if not turn.has_logs:
                return key  # no record knows the call by another key
            ends = [
                (_distance(call, event.began_ms, event.time_ms), call_key)
                for call_key, call in turn.calls.items()
                if _same_type(call.type, event.spawns)
            ]
            return min(ends)[1] if ends else None
    return None


def tool_around(turn: LiveTurn, span: SpanEvent) -> str | None:
    """The tool call that a request was made for: a classifier asks while the tool waits."""
    key = turn.span_parts.get(span.otel_parent_id or "")
    if key is None or not key.startswith("w:"):
        return None
    return turn.span_parts.get(key.removeprefix("w:"))


def place(turn: LiveTurn, owner: str, event: AnyEvent, touched_ms: int) -> None:
    """Count a settled event in with its sub-agent."""
    began = start_ms(event)
    agent = turn.agents.get(owner)
    if agent is None:
        agent = turn.agents[owner] = AgentState(
            first_ms=began, last_ms=event.time_ms, totals=Totals(), touched_ms=touched_ms
        )
        if owner.startswith("call:"):
            agent.calls = tuple(owner.removeprefix("call:").split("|"))
    agent.first_ms = min(agent.first_ms, began)
    agent.last_ms = max(agent.last_ms, event.time_ms)
    agent.touched_ms = max(agent.touched_ms, touched_ms)
    agent.owner = agent.owner or event.parent_agent_id
    agent.around = agent.around or _span_around(owner, event)
    agent.totals.add(event)
    _note_type(agent, event)
    if isinstance(event, AgentCompleted):
        agent.completed = event
    if isinstance(event, ModelAnswer) and (
        agent.answer is None or agent.answer.order < event.order
    ):
        agent.answer = event


def widen(turn: LiveTurn, owner: str, span: SpanEvent) -> None:
    """A sub-agent lasts from the true start of its first request: records tell it less exactly."""
    agent = turn.agents[owner]
    agent.first_ms = min(agent.first_ms, span.began_ms)
    agent.last_ms = max(agent.last_ms, span.time_ms)
    if getattr(span, "purpose", None) is not Purpose.AUXILIARY:
        agent.around = span.otel_parent_id or agent.around


def know_call(turn: LiveTurn, agent: AgentState) -> None:
    """Remember the call whose span the agent's work stands in, once that call is known."""
    known = turn.span_parts.get(agent.around or "")
    if not agent.calls and known in turn.calls:
        agent.calls = (known,)


def note_spawn(
    turn: LiveTurn, key: str, owner: str | None, event: AnyEvent, touched_ms: int
) -> None:
    """Remember a call that only spans tell of, if it started a sub-agent."""
    if isinstance(event, ToolResult) and event.spawns is not None:
        turn.calls[key] = SpawnCall(
            start_ms=start_ms(event),
            end_ms=event.time_ms,
            owner=owner,
            type=event.spawns or None,
            touched_ms=touched_ms,
        )


def type_of(agent: AgentState, call: SpawnCall | None) -> str | None:
    """What it says itself, unless that is no type but the place of one."""
    named = agent.type if agent.type not in _UNNAMED_TYPES else None
    return named or (call.type if call else None) or agent.type


def completed_owner(turn: LiveTurn, event: AnyEvent) -> str:
    """The key of the agent that a completion without an agent id tells of."""
    owner = owner_of(turn, event)
    if owner is not None:
        return owner
    began, ended = start_ms(event), event.time_ms
    call = _nearest(turn, began, ended, event.agent_type, None)
    return f"call:{call}" if call else _typed(event)


def match_call(turn: LiveTurn, key: str, agent: AgentState) -> str | None:
    """The call that started an agent, found by time and type; remembered once found."""
    know_call(turn, agent)
    if not agent.calls:
        began, ended = agent.first_ms, None
        if agent.completed:
            began, ended = start_ms(agent.completed), agent.completed.time_ms
            ended = None if agent.completed.is_async else ended
        known_owner = None if key.startswith(("span:", "type:")) else (agent.owner,)
        found = _nearest(turn, began, ended, agent.type, known_owner)
        if found:
            agent.calls = (found,)
            turn.calls[found].taken_by = key
    if len(agent.calls) != 1:
        return None
    call = turn.calls.get(agent.calls[0])
    if call and call.owner != key:
        agent.owner = agent.owner or call.owner
    return agent.calls[0]


def calls_ended(turn: LiveTurn, agent: AgentState) -> bool:
    """Whether every call the agent may belong to is known and has come back."""
    calls = [turn.calls.get(call) for call in agent.calls]
    return bool(calls) and all(call and call.end_ms is not None for call in calls)


def _span_around(owner: str, event: AnyEvent) -> str | None:
    """The span of the call that started the agent: its records and spans stand in it."""
    if owner.startswith("span:"):
        return owner.removeprefix("span:")
    if isinstance(event, ToolDecision):
        return None  # stands in the span of its own waiting
    return event.otel_span_id


def _note_type(agent: AgentState, event: AnyEvent) -> None:
    if event.agent_type and (agent.type is None or agent.type in _UNNAMED_TYPES):
        agent.type = event.agent_type


def _by_time(turn: LiveTurn, event: AnyEvent) -> str:
    """The agent of the one call that was running then; of all of them if there were several."""
    began = start_ms(event)
    running = sorted(
        key
        for key, call in turn.calls.items()
        if call.start_ms <= event.time_ms
        and (call.end_ms is None or call.end_ms >= began)
        and _same_type(call.type, event.agent_type)
    )
    return f"call:{'|'.join(running)}" if running else _typed(event)


def _typed(event: AnyEvent) -> str:
    return f"type:{event.agent_type or ''}"


def _inside_agent(turn: LiveTurn, result: ToolResult) -> bool:
    """Whether a tool without agent id ran for a sub-agent: after a running one began to ask."""
    began = start_ms(result)
    return any(
        call.start_ms <= began
        and (call.end_ms is None or call.end_ms >= result.time_ms)
        and any(call.start_ms <= asked <= began for asked in turn.unidentified_ms)
        for call in turn.calls.values()
    )


def _nearest(
    turn: LiveTurn,
    began_ms: int,
    ended_ms: int | None,
    agent_type: str | None,
    owner: tuple[str | None] | None,
) -> str | None:
    """The free call whose times fit best; ``owner`` None means that any may have called."""
    free = [
        (_distance(call, began_ms, ended_ms), key)
        for key, call in turn.calls.items()
        if call.taken_by is None
        and _same_type(call.type, agent_type)
        and (owner is None or call.owner == owner[0])
    ]
    return min(free)[1] if free else None


def _distance(call: SpawnCall, began_ms: int, ended_ms: int | None) -> int:
    distance = abs(began_ms - call.start_ms)
    if ended_ms is not None and call.end_ms is not None:
        distance += abs(ended_ms - call.end_ms)
    return distance


def _same_type(called: str | None, agent: str | None) -> bool:
    return not called or not agent or agent in _UNNAMED_TYPES or called == agent
