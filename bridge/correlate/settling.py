"""When parts leave the turn.

``Cut`` is one look at a turn at one moment. Generations and tools leave ``settle_ms`` after the
last of their records, or later if a span of theirs is still promised; what only spans tell of
leaves after ``span_settle_ms``; sub-agents when they have ended; point events when the turn's edges
are known; the root when ``closing`` says so; and after ``idle_ms`` whatever is left.
"""

from collections.abc import Iterator

from bridge.correlate import agents, closing, spans
from bridge.correlate.building import Builder
from bridge.correlate.closing import Patience, has_passed
from bridge.correlate.state import AgentState, LiveTurn, OpenPart
from bridge.model.events import (
    ModelFailure,
    ModelRequest,
    ToolDecision,
    ToolResult,
)
from bridge.model.parts import Settled


class Cut:
    """One look at one turn at one moment: takes out of it what is due.

    Attributes:
        late: Records that came too late to be part of anything.
    """

    def __init__(
        self,
        turn: LiveTurn,
        patience: Patience,
        *,
        prompted_again: bool,
        undecided: bool,
        traced: bool,
        now_ms: int,
    ) -> None:
        self._turn = turn
        self._patience = patience
        self._traced = traced
        self._now_ms = now_ms
        self._build = Builder(turn)
        self._idle = self._passed(patience.idle_ms, turn.touched_ms)
        self._reason = (
            None
            if turn.closed_by or undecided
            else closing.closed_by(turn, patience, prompted_again=prompted_again, now_ms=now_ms)
        )

    @property
    def late(self) -> int:
        """Records that came too late."""
        return self._build.late

    def run(self) -> list[Settled]:
        """Everything due, in the order in which it happened; the turn's root last."""
        settled = [*self._work(), *self._agents()]
        root = self._build.root(self._reason) if self._reason else None
        settled += self._moments()
        return [*settled, *([root] if root else [])]

    def _work(self) -> Iterator[Settled]:
        """Generations, tools, completions of agents; spans without records after them."""
        for key in [*self._in_order("gtdc"), *self._in_order("mus"), *self._in_order("w")]:
            part = self._turn.parts.get(key)
            if part is not None and self._is_due(key, part):
                yield from self._leaving(key, part)

    def _leaving(self, key: str, part: OpenPart) -> Iterator[Settled]:
        match key[0]:
            case "c":
                self._build.complete_agent(key, part)
            case "g":
                yield from self._build.generation(key, part)
            case "t" | "d":
                yield from self._build.tool(key, part)
            case "s":
                yield from self._build.other(key, part)
            case "m" if not self._turn.has_logs:
                yield from self._build.generation(key, part)
            case "u" if not self._turn.has_logs:
                yield from self._build.tool(key, part)
            case _:
                self._build.drop(key, part)

    def _is_due(self, key: str, part: OpenPart) -> bool:
        if self._idle:
            return True
        if is_complete(key, part):
            return self._passed(self._patience.settle_ms, part.touched_ms) and (
                key.startswith("c:")
                or not spans.is_promised(key, part, traced=self._traced)
                or self._passed(self._patience.span_settle_ms, part.touched_ms)
            )
        if key.startswith("w:") and not (self._turn.closed_by or self._reason):
            return False  # its tool, which may run for long, tells of itself when it is back
        return (
            spans.is_span_alone(part)
            and self._passed(self._patience.span_settle_ms, part.touched_ms)
            and not spans.awaits_record(self._turn, part)
            and not (key[0] in "muw" and self._may_be_taken())
        )

    def _may_be_taken(self) -> bool:
        """Whether records may still come that spans without their id are the other half of."""
        turn = self._turn
        settling = any(is_complete(key, part) for key, part in turn.parts.items())
        return turn.has_logs and (turn.closed_by is None or settling)

    def _agents(self) -> Iterator[Settled]:
        ready = [
            (agent.first_ms, key, agent)
            for key, agent in self._turn.agents.items()
            if not agent.sent and self._is_agent_due(key, agent)
        ]
        for _, key, agent in sorted(ready, key=lambda item: item[:2]):
            yield self._build.agent(key, agent)

    def _is_agent_due(self, key: str, agent: AgentState) -> bool:
        if self._idle:
            return True
        if self._has_open_parts(key, agent):
            return False
        if not self._turn.has_logs:
            agents.know_call(self._turn, agent)  # no completion will tell of its end
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

    def _has_open_parts(self, agent_key: str, agent: AgentState) -> bool:
        """Whether work of the agent is still settling, which its sums would miss."""
        return any(
            agents.may_own(self._turn, agent_key, agent, event)
            for key, part in self._turn.parts.items()
            if is_complete(key, part) or (key[0] in "gtmu" and spans.is_span_alone(part))
            for event in part.events
        )

    def _moments(self) -> Iterator[Settled]:
        """Point events whose place is known: all once the turn is closed, else those inside it."""
        keys = [key for key in self._in_order("p") if self._has_place(self._turn.parts[key])]
        if self._turn.closed_by:
            keys += self._in_order("ab")
        yield from self._build.moments(keys)

    def _has_place(self, part: OpenPart) -> bool:
        turn = self._turn
        if not self._passed(self._patience.settle_ms, part.touched_ms) and not self._idle:
            return False
        event_ms = part.events[0].time_ms
        inside = turn.prompt is not None and turn.prompt.time_ms < event_ms <= (turn.last_ms or 0)
        return turn.closed_by is not None or inside

    def _in_order(self, kinds: str) -> list[str]:
        parts = self._turn.parts
        keys = [key for key in parts if key[0] in kinds]
        if len(keys) > 1:
            keys.sort(key=lambda key: min(event.order for event in parts[key].events))
        return keys

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
        if is_complete(key, part) or key.startswith("p:")
    ]
    settling_agents = [agent.touched_ms for agent in turn.agents.values() if not agent.sent]
    times = [touched + patience.settle_ms for touched in settling_parts + settling_agents]
    times += [touched + patience.quiet_ms for touched in settling_agents]
    times += [part.touched_ms + patience.span_settle_ms for part in turn.parts.values()]
    times.append(turn.touched_ms + patience.idle_ms)
    if turn.closed_by is None:
        ends = closing.deadlines(turn, patience, prompted_again=prompted_again)
        times += [due_ms for _, due_ms in ends]
    return min((at for at in times if at > after_ms), default=after_ms + patience.settle_ms + 1)


def is_planned(turn: LiveTurn, patience: Patience, now_ms: int) -> bool:
    """Whether it is looked at before ``next_look_ms`` can want to: most looks are planned once."""
    if turn.cut_ms is None:
        return False
    agents_ms = [agent.touched_ms for agent in turn.agents.values() if not agent.sent]
    parts_ms = [part.touched_ms for part in turn.parts.values()]
    oldest_ms = min([turn.touched_ms, *parts_ms, *agents_ms])
    return turn.cut_ms <= max(oldest_ms + patience.shortest_ms, now_ms)


def is_complete(key: str, part: OpenPart) -> bool:
    """Whether a part has the record that makes it an observation of its own."""
    if key.startswith("g:"):
        return any(isinstance(event, (ModelRequest, ModelFailure)) for event in part.events)
    if key[0] in "td":
        return any(
            isinstance(event, ToolResult)
            or (isinstance(event, ToolDecision) and not event.accepted)
            for event in part.events
        )
    return key.startswith("c:")
