"""Parts that wait for nothing more leave the turn.

``cut`` is called with the time and gives what is due: generations and tools after ``settle_ms``,
sub-agents when they have ended, point events when it is known where the turn's edges are, the root
when ``closing`` says so, and after ``idle_ms`` whatever is left.
"""

from collections.abc import Iterator
from typing import TypeVar

from bridge.correlate import agents, closing
from bridge.correlate.closing import Patience, has_passed
from bridge.correlate.turns import (
    AgentState,
    LiveTurn,
    OpenPart,
    digest,
    has_open_tool,
    part_key,
)
from bridge.model.events import (
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
from bridge.model.parts import (
    AnyPart,
    ClosedBy,
    Generation,
    Moment,
    Root,
    Settled,
    SubAgent,
    ToolCall,
    TurnFacts,
)

E = TypeVar("E", bound=AnyEvent)

_ANSWER_GAP_MS = 2_000
"""An answer follows its request at once; only clients that give no request id need this."""


class Cut:
    """One look at one turn at one moment: takes out of it what is due.

    Attributes:
        late: Records that came for an agent that had already left.
    """

    def __init__(
        self,
        turn: LiveTurn,
        patience: Patience,
        *,
        prompted_again: bool,
        undecided: bool,
        now_ms: int,
    ) -> None:
        self._turn = turn
        self._patience = patience
        self._now_ms = now_ms
        self.late = 0
        self._idle = self._passed(patience.idle_ms, turn.touched_ms)
        self._reason = (
            None
            if turn.closed_by or undecided
            else closing.closed_by(turn, patience, prompted_again=prompted_again, now_ms=now_ms)
        )

    def run(self) -> list[Settled]:
        """Everything due, in the order in which it happened; the turn's root last."""
        settled = [*self._work(), *self._agents()]
        root = self._root() if self._reason else None
        settled += self._moments()
        return [*settled, *([root] if root else [])]

    def _work(self) -> Iterator[Settled]:
        """Generations, tools and completions of agents."""
        for key in self._in_order("gtdc"):
            part = self._turn.parts.get(key)
            if part is None or not self._is_due(key, part):
                continue
            if key.startswith("c:"):
                self._complete_agent(key, part)
            elif key.startswith("g:"):
                yield from self._generation(key, part)
            else:
                yield self._tool(key, part)

    def _is_due(self, key: str, part: OpenPart) -> bool:
        if self._idle:
            return True
        return _is_complete(key, part) and self._passed(self._patience.settle_ms, part.touched_ms)

    def _generation(self, key: str, part: OpenPart) -> Iterator[Settled]:
        request = _first(part.events, ModelRequest) or _first(part.events, ModelFailure)
        if request is None:
            yield from self._moments_of([key])
            return
        events = [*part.events, *self._halves_without_id(request, part)]
        answer = max(
            (e for e in events if isinstance(e, ModelAnswer)), key=lambda e: e.order, default=None
        )
        bodies = tuple(e for e in sorted(events, key=_order) if isinstance(e, RawBody))
        owner = self._place(request, part.touched_ms)
        if answer and owner:
            agents.place(self._turn, owner, answer, part.touched_ms)
        yield self._leave(
            key,
            Generation(key=key, owner=owner, request=request, answer=answer, bodies=bodies),
            records=len(events),
        )

    def _halves_without_id(
        self, request: ModelRequest | ModelFailure, part: OpenPart
    ) -> list[AnyEvent]:
        """The request body (known by the response body), and an answer without request id."""
        body_ids = {e.body_id for e in part.events if isinstance(e, RawBody) and e.body_id}
        keys = [f"b:{body_id}" for body_id in sorted(body_ids)]
        if request.request_id is None:
            keys += self._answer_by_order(request)
        found = [self._turn.parts.pop(key, None) for key in keys]
        return [event for half in found if half for event in half.events]

    def _answer_by_order(self, request: ModelRequest | ModelFailure) -> list[str]:
        following = [
            (event.order, key)
            for key, part in self._turn.parts.items()
            if key.startswith("a:")
            for event in part.events
            if isinstance(event, ModelAnswer)
            and event.agent_id == request.agent_id
            and event.model in {None, request.model}
            and request.order < event.order
            and event.time_ms <= request.time_ms + _ANSWER_GAP_MS
        ]
        return [min(following)[1]] if following else []

    def _tool(self, key: str, part: OpenPart) -> Settled:
        result = _first(part.events, ToolResult)
        decision = _first(part.events, ToolDecision)
        records = len(part.events)
        if result and not decision and result.call_id is None:
            decision = self._decision_by_order(result)
            records += decision is not None
        owner = self._place(result or decision, part.touched_ms)
        call = ToolCall(key=key, owner=owner, decision=decision, result=result)
        return self._leave(key, call, records=records)

    def _decision_by_order(self, result: ToolResult) -> ToolDecision | None:
        """The earliest waiting decision for a tool of that name, for clients without call ids."""
        waiting = [
            (event.order, key, event)
            for key, part in self._turn.parts.items()
            if key.startswith("d:")
            for event in part.events
            if isinstance(event, ToolDecision)
            and event.accepted
            and event.name == result.name
            and event.order < result.order
        ]
        if not waiting:
            return None
        _, key, decision = min(waiting)
        del self._turn.parts[key]
        return decision

    def _complete_agent(self, key: str, part: OpenPart) -> None:
        """A completion is kept with its agent, which leaves on its own terms."""
        del self._turn.parts[key]
        for event in sorted(part.events, key=_order):
            owner = event.agent_id or agents.completed_owner(self._turn, event)
            agent = self._turn.agents.get(owner)
            if agent and (agent.sent or agent.completed):
                self.late += 1
            else:
                agents.place(self._turn, owner, event, part.touched_ms)

    def _agents(self) -> Iterator[Settled]:
        ready = [
            (agent.first_ms, key, agent)
            for key, agent in self._turn.agents.items()
            if not agent.sent and self._is_agent_due(key, agent)
        ]
        for _, key, agent in sorted(ready, key=lambda item: item[:2]):
            yield self._agent(key, agent)

    def _is_agent_due(self, key: str, agent: AgentState) -> bool:
        if self._idle:
            return True
        calls = [self._turn.calls[call] for call in agent.calls if call in self._turn.calls]
        touched_ms = max([agent.touched_ms, *(call.touched_ms for call in calls)])
        ended = agent.completed is not None or agents.calls_ended(self._turn, agent)
        if ended:
            return self._passed(self._patience.settle_ms, touched_ms)
        return (
            key.startswith("type:")
            and self._turn.closed_by is not None
            and self._passed(self._patience.quiet_ms, touched_ms)
        )

    def _agent(self, key: str, agent: AgentState) -> Settled:
        call_key = agents.match_call(self._turn, key, agent)
        call = self._turn.calls.get(call_key) if call_key else None
        agent.sent = True
        start_ms, end_ms = agent.first_ms, agent.last_ms
        if agent.completed:
            start_ms = min(start_ms, agent.completed.time_ms - agent.completed.duration_ms)
        part = SubAgent(
            key=key,
            owner=agent.owner,
            call_key=call_key,
            calls=agent.calls,
            type=agent.type or (call.type if call else None),
            start_ms=start_ms,
            end_ms=end_ms,
            completed=agent.completed,
            task=call.task if call else None,
            answer=agent.answer,
            totals=agent.totals,
        )
        return self._settled(part, records=1 if agent.completed else 0)

    def _root(self) -> Settled:
        """Close the turn: its edges are fixed from here on."""
        turn = self._turn
        turn.closed_by = self._reason or ClosedBy.IDLE
        turn.start_ms = turn.prompt.time_ms if turn.prompt else turn.order[0]
        turn.end_ms = max(turn.start_ms, turn.last_ms or 0)
        turn.totals.agents = len(turn.agents)
        root = Root(
            prompt=turn.prompt,
            start_ms=turn.start_ms,
            end_ms=turn.end_ms,
            answer=turn.answer,
            failure=turn.failure,
            interrupted=_is_interrupted(turn),
            totals=turn.totals,
            closed_by=turn.closed_by,
        )
        return self._settled(root, records=1 if turn.prompt else 0)

    def _moments(self) -> Iterator[Settled]:
        """Point events whose place is known: all once the turn is closed, else those inside it."""
        keys = [key for key in self._in_order("p") if self._has_place(self._turn.parts[key])]
        if self._turn.closed_by:
            keys += self._in_order("ab")
        yield from self._moments_of(keys)

    def _has_place(self, part: OpenPart) -> bool:
        turn = self._turn
        if not self._passed(self._patience.settle_ms, part.touched_ms) and not self._idle:
            return False
        inside = turn.prompt is not None and part.events[0].time_ms <= (turn.last_ms or 0)
        return turn.closed_by is not None or inside

    def _moments_of(self, keys: list[str]) -> Iterator[Settled]:
        for key in keys:
            part = self._turn.parts[key]
            for event in sorted(part.events, key=_order):
                if isinstance(event, PointEvent | ModelAnswer | RawBody | UserPrompt):
                    yield self._leave(key, self._moment(event), records=1)

    def _moment(self, event: PointEvent | ModelAnswer | RawBody | UserPrompt) -> Moment:
        """Place a point event: inside the turn's edges, and a millisecond after the one before.

        Langfuse orders siblings of one millisecond at random.
        """
        turn = self._turn
        low_ms = (turn.prompt.time_ms if turn.prompt else turn.start_ms) + 1
        high_ms = max(low_ms, turn.end_ms if turn.closed_by else turn.last_ms or 0)
        inside_ms = min(max(event.time_ms, low_ms), high_ms)
        shown_ms = min(max(inside_ms, turn.point_ms + 1), high_ms)
        turn.point_ms = max(turn.point_ms, shown_ms)
        owner = event.agent_id or None
        return Moment(
            key=part_key(event),
            owner=owner,
            event=event,
            shown_ms=shown_ms,
            moved=inside_ms != event.time_ms,
        )

    def _place(self, event: AnyEvent | None, touched_ms: int) -> str | None:
        if event is None:
            return None
        owner = agents.owner_of(self._turn, event)
        if owner:
            agents.place(self._turn, owner, event, touched_ms)
        return owner

    def _leave(self, key: str, part: AnyPart, *, records: int) -> Settled:
        self._turn.parts.pop(key, None)
        self._turn.sent.add(digest(key))
        return self._settled(part, records=records)

    def _settled(self, part: AnyPart, *, records: int) -> Settled:
        observed = min(records, 1)
        return Settled(
            turn=frozen_facts(self._turn), part=part, observed=observed, folded=records - observed
        )

    def _in_order(self, kinds: str) -> list[str]:
        parts = self._turn.parts
        keys = (key for key in parts if key[0] in kinds)
        return sorted(keys, key=lambda key: min(event.order for event in parts[key].events))

    def _passed(self, wait_ms: int, since_ms: int) -> bool:
        return has_passed(wait_ms, since_ms=since_ms, now_ms=self._now_ms)


def next_look_ms(turn: LiveTurn, patience: Patience, *, prompted_again: bool, after_ms: int) -> int:
    """The earliest time after ``after_ms`` at which ``Cut`` can find something due.

    What was settled by then and is still there waits for more than time: an agent for its end, an
    event for the turn's edge. A new record, or the turn's end, gives it its chance.
    """
    settling_parts = [
        part.touched_ms
        for key, part in turn.parts.items()
        if _is_complete(key, part) or key.startswith("p:")
    ]
    settling_agents = [agent.touched_ms for agent in turn.agents.values() if not agent.sent]
    times = [touched + patience.settle_ms for touched in settling_parts + settling_agents]
    times += [touched + patience.quiet_ms for touched in settling_agents]
    times.append(turn.touched_ms + patience.idle_ms)
    if turn.closed_by is None:
        ends = closing.deadlines(turn, patience, prompted_again=prompted_again)
        times += [due_ms for _, due_ms in ends]
    return min((at for at in times if at > after_ms), default=after_ms + patience.settle_ms + 1)


def frozen_facts(turn: LiveTurn) -> TurnFacts:
    """What all parts of the turn share, the same from the first that leaves to the last."""
    if turn.facts is None:
        prompt = turn.prompt
        turn.facts = TurnFacts(
            key=turn.key,
            session_id=turn.session_id,
            prompt_id=turn.prompt_id,
            origin=turn.origin,
            command=prompt.command if prompt else None,
            synthetic=bool(prompt and prompt.synthetic),
            otel_trace_id=prompt.otel_trace_id if prompt else None,
        )
    return turn.facts


def _is_complete(key: str, part: OpenPart) -> bool:
    """Whether a part has what makes it an observation of its own."""
    if key.startswith("g:"):
        return any(isinstance(event, ModelRequest | ModelFailure) for event in part.events)
    if key[0] in "td":
        return any(
            isinstance(event, ToolResult)
            or (isinstance(event, ToolDecision) and not event.accepted)
            for event in part.events
        )
    return key.startswith("c:")


def _is_interrupted(turn: LiveTurn) -> bool:
    """A person's prompt that nothing followed; built-in commands need no answer."""
    did_nothing = turn.last_ms is None and not turn.agents and not has_open_tool(turn)
    return did_nothing and not (turn.prompt and turn.prompt.built_in)


def _first(events: list[AnyEvent], kind: type[E]) -> E | None:
    return min((e for e in events if isinstance(e, kind)), key=_order, default=None)


def _order(event: AnyEvent) -> tuple[int, int, bytes]:
    return event.order
