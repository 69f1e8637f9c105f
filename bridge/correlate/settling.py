"""When parts leave the turn.

``Cut`` is one look at a turn at one moment. Generations and tools leave ``settle_s`` after the
last of their records, or later if a span of theirs is still promised; what only spans tell of
leaves after ``span_settle_s``; sub-agents when they have ended; point events when the turn's edges
are known; the root when ``closing`` says so; and after ``idle_ms`` whatever is left.
"""

from collections.abc import Mapping
from typing import Final

from bridge.correlate import agents, closing, spans
from bridge.correlate.building import Builder
from bridge.correlate.closing import SET_BACK_MS, Patience
from bridge.correlate.halves import AWAITS_RECORD, COMPLETE, MOMENT, RECORD, SPAN, TRACED
from bridge.correlate.state import AgentState, LiveTurn, OpenPart
from bridge.model.parts import ClosedBy, Settled

_WORK: Final[Mapping[str, int]] = dict.fromkeys("gtdc", 0) | {"m": 1, "u": 1, "s": 1, "w": 2}
"""Kind of part that is work → when it has its turn: spans without records after the others, for
those may take them; and the waits of tools last."""


_PROMISED: Final = COMPLETE | TRACED
_SETTLING: Final = COMPLETE | MOMENT
"""What leaves once it has settled, whether spans tell of it or not."""


class Cut:
    """One look at one turn at one moment: takes out of it what is due.

    Attributes:
        late: Records that came too late to be part of anything.
        told_by_spans: What stands for records that never came, to be counted like them.
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
        self._old_ms = now_ms - patience.settle_ms
        self._build = Builder(turn, traced=traced)
        self._idle = self._passed(patience.idle_ms, turn.touched_ms)
        self._reason: ClosedBy | None = None
        self.late = 0
        self.told_by_spans = self._build.told_by_spans
        if turn.closed_by is None and not undecided:
            self._reason = closing.closed_by(turn, patience, prompted_again, now_ms)

    def run(self) -> list[Settled]:
        """Everything due, in the order in which it happened; the turn's root last."""
        turn, build = self._turn, self._build
        if turn.parts:
            self._let_work_go()
        if turn.agents:
            self._let_agents_go()
        root = build.root(self._reason) if self._reason else None
        if turn.parts:
            self._let_moments_go()
        if root:
            build.leave(root)
        self.late = build.late
        return build.settled

    def _let_work_go(self) -> None:
        """Generations, tools, completions of agents; nearly always all of them have settled."""
        parts, old_ms = self._turn.parts, self._old_ms
        plain = [
            (part.order, key)
            for key, part in parts.items()
            if part.told & _PROMISED == COMPLETE and part.touched_ms <= old_ms
        ]
        if len(plain) < len(parts) or self._traced:
            self._let_mixed_work_go()
            return
        if len(plain) > 1:
            plain.sort()
        for _, key in plain:
            part = parts.get(key)  # it may be gone with one before it
            if part is not None and not self._build.plain(key, part):
                self._let_go(key, part)

    def _let_mixed_work_go(self) -> None:
        """Where some are to wait, or are spans: each when it has its turn, if it is due then."""
        parts = self._turn.parts
        work = [
            (rank, part.order, key)
            for key, part in parts.items()
            if (rank := _WORK.get(key[0])) is not None
        ]
        if len(work) > 1:
            work.sort()
        for _, _, key in work:
            part = parts.get(key)
            if part is None or not self._is_due(key, part):
                continue
            if self._traced or not self._build.plain(key, part):  # nearly all are plain
                self._let_go(key, part)

    def _let_go(self, key: str, part: OpenPart) -> None:
        kind, build = key[0], self._build
        if kind == "g" or (kind == "m" and not self._turn.has_logs):
            build.generation(key, part)
        elif kind in "td" or (kind == "u" and spans.tells_alone(self._turn, part)):
            build.tool(key, part)
        elif kind == "s":
            build.other(key, part)
        elif kind == "c":
            build.complete_agent(key, part)
        else:
            build.drop(key, part)

    def _is_due(self, key: str, part: OpenPart) -> bool:
        told = part.told
        if not self._traced and told & _PROMISED == COMPLETE and part.touched_ms <= self._old_ms:
            return True  # nearly every part
        if self._idle:
            return True
        if told & COMPLETE:
            if not self._passed(self._patience.settle_ms, part.touched_ms):
                return False
            is_promised = self._traced or told & TRACED
            return not is_promised or self._has_its_span(key, part)
        return not told & RECORD and self._is_alone_for_good(key, part)

    def _has_its_span(self, key: str, part: OpenPart) -> bool:
        """Whether the span is there that its records promise by naming a trace, and others' too."""
        if part.told & SPAN or key[0] == "c":
            return True
        return self._passed(self._patience.span_settle_ms, part.touched_ms)

    def _is_alone_for_good(self, key: str, part: OpenPart) -> bool:
        """Whether spans are not to wait for records any more."""
        if not self._passed(self._patience.span_settle_ms, part.touched_ms):
            return False
        if key[0] == "w" and not (self._turn.closed_by or self._reason):
            return False  # its tool, which may run for long, tells of itself when it is back
        if part.told & AWAITS_RECORD and self._turn.has_logs:
            return False  # a record comes where logs are exported, but for auxiliary requests
        return not (key[0] in "muw" and self._may_be_taken())

    def _may_be_taken(self) -> bool:
        """Whether records may still come that spans without their id are the other half of."""
        turn = self._turn
        settling = any(part.told & COMPLETE for part in turn.parts.values())
        return turn.has_logs and (turn.closed_by is None or settling)

    def _let_agents_go(self) -> None:
        ready = [
            (agent.first_ms, key, agent)
            for key, agent in self._turn.agents.items()
            if not agent.sent and self._is_agent_due(key, agent)
        ]
        for _, key, agent in sorted(ready, key=lambda item: item[:2]):
            self._build.agent(key, agent)

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
            if part.told & COMPLETE or (key[0] in "gtmu" and not part.told & RECORD)
            for event in part.events
        )

    def _let_moments_go(self) -> None:
        """Point events whose place is known: all once the turn is closed, else those inside it."""
        parts = self._turn.parts
        keys = [key for key, part in parts.items() if key[0] == "p" and self._has_place(part)]
        if self._turn.closed_by:
            keys += [key for key in parts if key[0] in "ab"]
        if keys:
            self._build.moments(keys)

    def _has_place(self, part: OpenPart) -> bool:
        turn, event = self._turn, part.events[0]
        if not self._idle:
            if not self._passed(self._patience.settle_ms, part.touched_ms):
                return False
            if event.agent_id is not None and event.agent_id not in turn.agents:
                return False  # no work of that agent has told of it yet
        event_ms = event.time_ms
        inside = turn.prompt is not None and turn.prompt.time_ms < event_ms <= (turn.last_ms or 0)
        return turn.closed_by is not None or inside

    def _passed(self, wait_ms: int, since_ms: int) -> bool:
        now_ms = self._now_ms
        return now_ms >= since_ms + wait_ms or now_ms < since_ms - SET_BACK_MS


def next_look_ms(turn: LiveTurn, patience: Patience, prompted_again: bool) -> int:
    """The earliest time at which ``Cut`` can find something due."""
    if turn.agents:
        return min(all_looks_ms(turn, patience, prompted_again))
    soonest_ms = _end_ms(turn, patience, prompted_again)
    settle_ms, span_settle_ms = patience.settle_ms, patience.span_settle_ms
    if settle_ms > span_settle_ms:
        settle_ms = span_settle_ms
    for part in turn.parts.values():
        wait_ms = settle_ms if part.told & _SETTLING else span_settle_ms
        if part.touched_ms + wait_ms < soonest_ms:
            soonest_ms = part.touched_ms + wait_ms
    return soonest_ms


def later_look_ms(turn: LiveTurn, patience: Patience, prompted_again: bool, now_ms: int) -> int:
    """The earliest time after a ``Cut`` at which another can find something due.

    What was settled by then and is still there waits for more than time: an agent for its end, an
    event for the turn's edge. A new record, or the turn's end, gives it its chance.
    """
    if not turn.parts and not turn.agents:
        end_ms = _end_ms(turn, patience, prompted_again)
        if end_ms > now_ms:
            return end_ms
    looks_ms = [at_ms for at_ms in all_looks_ms(turn, patience, prompted_again) if at_ms > now_ms]
    return min(looks_ms) if looks_ms else now_ms + patience.settle_ms + 1


def _end_ms(turn: LiveTurn, patience: Patience, prompted_again: bool) -> int:
    """When all of the turn that is left by then can leave, if nothing more arrives."""
    if turn.closed_by is None:
        return closing.soonest_end_ms(turn, patience, prompted_again)
    return turn.touched_ms + patience.idle_ms


def all_looks_ms(turn: LiveTurn, patience: Patience, prompted_again: bool) -> list[int]:
    """When anything of a turn may be due, each in its own right, if nothing more arrives."""
    if turn.closed_by is None:
        looks_ms = [due_ms for due_ms, _ in closing.deadlines(turn, patience, prompted_again)]
    else:
        looks_ms = [turn.touched_ms + patience.idle_ms]
    settle_ms, span_settle_ms = patience.settle_ms, patience.span_settle_ms
    for part in turn.parts.values():
        touched_ms = part.touched_ms
        looks_ms.append(touched_ms + span_settle_ms)
        if part.told & _SETTLING:
            looks_ms.append(touched_ms + settle_ms)
    for agent in turn.agents.values():
        if not agent.sent:
            touched_ms = agent.touched_ms
            looks_ms += (touched_ms + settle_ms, touched_ms + patience.quiet_ms)
    return looks_ms
