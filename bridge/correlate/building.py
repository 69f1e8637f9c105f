"""Parts that leave a turn: takes their halves out of it and puts them together.

``settling`` decides when; nothing here asks for the time.
"""

from typing import Any, Final, get_args

from bridge.correlate import agents, joining, spans
from bridge.correlate.halves import DECIDED
from bridge.correlate.state import AgentState, LiveTurn, OpenPart
from bridge.correlate.turns import digest, has_open_tool
from bridge.model.event import order_of
from bridge.model.events import (
    AnyEvent,
    ModelAnswer,
    ModelFailure,
    ModelRequest,
    Origin,
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
    OtherWork,
    Root,
    Settled,
    SubAgent,
    ToolCall,
    TurnFacts,
)
from bridge.model.spans import ModelSpan, OtherSpan, ToolRun, ToolSpan, ToolWait

Momentary = PointEvent | ModelAnswer | RawBody | UserPrompt
"""What can stand alone, at one moment."""
_MOMENTS: Final = frozenset(get_args(Momentary))

_IN_FACTS: Final = Origin(product="", service_name="", service_version=None, attributes={})
"""Stands for a turn's origin once its facts tell it: the state is written at every step."""

_CALL: Final = 2
"""Records of nearly every tool call: the decision and the result."""


class Builder:
    """Takes parts out of one turn.

    Attributes:
        settled: Those that have left, in order.
        late: Records that came for something that had already left, or that spans told alone of
            work whose record had left before.
        told_by_spans: What stands for records that never came.
    """

    def __init__(self, turn: LiveTurn, *, traced: bool) -> None:
        self._turn = turn
        self._traced = traced
        self.settled: list[Settled] = []
        self.late = 0
        self.told_by_spans: list[AnyEvent] = []

    def plain(self, key: str, part: OpenPart) -> bool:
        """Let go what nothing has to be joined with, as ``generation`` and ``tool`` would.

        Returns:
            Whether it was such: one request that has an id, or a tool's decision and its result.
        """
        turn, events = self._turn, part.events
        last, count = events[-1], len(events)
        made: Generation | ToolCall
        if type(last) is ModelRequest and count == 1 and last.request_id:
            owner = agents.owner_of(turn, last)
            made = Generation(key=key, owner=owner, request=last, answer=None, bodies=())
        elif (
            type(last) is ToolResult and count == _CALL and type(first := events[0]) is ToolDecision
        ):
            owner = agents.owner_of(turn, last)
            made = ToolCall(key=key, owner=owner, decision=first, result=last)
        else:
            return False
        if owner:
            agents.place(turn, owner, last, part.touched_ms)
        del turn.parts[key]
        turn.left.add(key)
        facts = turn.facts or frozen_facts(turn)
        self.settled.append(Settled(turn=facts, part=made, observed=1, folded=count - 1))
        return True

    def generation(self, key: str, part: OpenPart) -> None:
        """A model request, its answer, its raw bodies and its span."""
        events = part.events
        halves = joining.earliest(events)
        request: ModelRequest | ModelFailure | None
        request = halves.get(ModelRequest) or halves.get(ModelFailure)
        if request is not None and (self._traced or RawBody in halves or not request.request_id):
            events = [*events, *self._halves_without_id(request, events)]
            halves = joining.earliest(events)
        span: ModelSpan | None = halves.get(ModelSpan)
        if request is None:
            if span is None:
                self.moments([key])
                return
            request = self._told_by_span(key, span)
        owner = self._place(request, span, part.touched_ms)
        answer: ModelAnswer | None = halves.get(ModelAnswer)
        if answer and len(halves) < len(events):
            answer = joining.latest_answer(events)
        if answer and owner:
            agents.place(self._turn, owner, answer, part.touched_ms)
        generation = Generation(
            key=key,
            owner=owner,
            request=request,
            answer=answer,
            bodies=joining.bodies(events) if RawBody in halves else (),
            under=agents.tool_around(self._turn, span) if span else None,
            span=span,
        )
        self._leave(key, generation, len(events))

    def tool(self, key: str, part: OpenPart) -> None:
        """A tool call: decision, result and its three spans."""
        events = self._tool_events(key, part)
        halves = joining.earliest(events)
        decision: ToolDecision | None = halves.get(ToolDecision)
        result: ToolResult | None = halves.get(ToolResult)
        span: ToolSpan | None = halves.get(ToolSpan)
        run: ToolRun | None = halves.get(ToolRun)
        wait: ToolWait | None = halves.get(ToolWait)
        told = result or decision
        if told is None:
            told = spans.as_tool(span, run, wait)
            if told is None:
                self._drop(key, events)
                return
            if not self._turn.has_logs:  # the root has its sums by then, and records count apart
                self._turn.totals.add(told)
            self.told_by_spans.append(told)
            decision, result = (told, None) if isinstance(told, ToolDecision) else (None, told)
        owner = self._place(told, span or run, part.touched_ms)
        if not self._turn.has_logs and key not in self._turn.calls:
            agents.note_spawn(self._turn, key, owner, told, part.touched_ms)
        call = ToolCall(
            key=key, owner=owner, decision=decision, result=result, span=span, wait=wait, run=run
        )
        self._leave(key, call, len(events))

    def other(self, key: str, part: OpenPart) -> None:
        """A span that is neither request nor tool."""
        span: OtherSpan | None = joining.earliest(part.events).get(OtherSpan)
        if span is None:
            self._drop(key, part.events)
            return
        owner = agents.owner_of(self._turn, span) or agents.owner_around(self._turn, span)
        self._leave(key, OtherWork(key=key, owner=owner, span=span), len(part.events))

    def drop(self, key: str, part: OpenPart) -> None:
        """Spans of something whose record has left, or came without what joins them."""
        self._drop(key, part.events)

    def complete_agent(self, key: str, part: OpenPart) -> None:
        """A completion is kept with its agent, which leaves on its own terms."""
        del self._turn.parts[key]
        for event in sorted(part.events, key=order_of):
            owner = event.agent_id or agents.completed_owner(self._turn, event)
            agent = self._turn.agents.get(owner)
            if agent and (agent.sent or agent.completed):
                self.late += 1
            else:
                agents.place(self._turn, owner, event, part.touched_ms)

    def agent(self, key: str, agent: AgentState) -> None:
        """A sub-agent, matched with the call that started it."""
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
            type=agents.type_of(agent, call),
            start_ms=start_ms,
            end_ms=end_ms,
            completed=agent.completed,
            task=call.task if call else None,
            answer=agent.answer,
            totals=agent.totals,
        )
        self._settle(part, 1 if agent.completed else 0)

    def root(self, reason: ClosedBy) -> Root:
        """Close the turn: its edges are fixed from here on. The root is the last to ``leave``."""
        turn = self._turn
        turn.closed_by = reason
        turn.start_ms = turn.prompt.time_ms if turn.prompt else turn.order()[0]
        turn.end_ms = max(turn.start_ms, turn.last_ms or 0)
        if turn.span:
            turn.start_ms = min(turn.start_ms or turn.span.began_ms, turn.span.began_ms)
            turn.end_ms = max(turn.start_ms, turn.span.time_ms)
        turn.totals.agents = len(turn.agents)
        return Root(
            prompt=turn.prompt,
            start_ms=turn.start_ms,
            end_ms=turn.end_ms,
            answer=turn.answer,
            failure=turn.failure,
            interrupted=_is_interrupted(turn),
            totals=turn.totals.copy(),
            closed_by=turn.closed_by,
            span=turn.span,
        )

    def leave(self, root: Root) -> None:
        """The turn itself leaves."""
        if root.prompt is None and root.span:
            self.told_by_spans.append(spans.as_prompt(root.span))
        self._settle(root, (root.prompt is not None) + (root.span is not None))

    def moments(self, keys: list[str]) -> None:
        """Point events, and halves that stand alone, each at a place of its own.

        What happened before the turn stands at its beginning, what happened after it at its end.
        """
        events = [event for key in keys for event in self._turn.parts.pop(key).events]
        points: list[Any] = [event for event in events if type(event) in _MOMENTS]
        points.sort(key=order_of)
        low_ms, high_ms = edges = self._edges()
        behind = [point for point in points if point.time_ms > high_ms]
        for point in points[: len(points) - len(behind)]:
            self._moment(point, self._free_ms(max(low_ms, point.time_ms), high_ms), edges)
        for place, point in enumerate(behind, start=1 - len(behind)):
            self._moment(point, max(low_ms, high_ms + place), edges)

    def _edges(self) -> tuple[int, int]:
        """First and last moment at which a point event can stand."""
        turn = self._turn
        low_ms = (turn.prompt.time_ms if turn.prompt else turn.start_ms) + 1
        return low_ms, max(low_ms, turn.end_ms if turn.closed_by else turn.last_ms or 0)

    def _free_ms(self, wanted_ms: int, high_ms: int) -> int:
        """The next millisecond without a point: Langfuse orders those of one at random."""
        while wanted_ms in self._turn.taken_ms and wanted_ms < high_ms:
            wanted_ms += 1
        self._turn.taken_ms.add(wanted_ms)
        return wanted_ms

    def _moment(self, event: Momentary, shown_ms: int, edges: tuple[int, int]) -> None:
        low_ms, high_ms = edges
        key = f"p:{event.key.hex()}"
        part = Moment(
            key=key,
            owner=event.agent_id if event.agent_id in self._turn.agents else None,
            event=event,
            shown_ms=shown_ms,
            moved=not low_ms <= event.time_ms <= high_ms,
        )
        self._settle(part, 1)

    def _halves_without_id(
        self, request: ModelRequest | ModelFailure, events: list[AnyEvent]
    ) -> list[AnyEvent]:
        """What belongs to a request and does not name it.

        The request body (known by the response body), an answer, a span.
        """
        body_ids = {e.body_id for e in events if type(e) is RawBody and e.body_id}
        keys: list[str | None] = [f"b:{body_id}" for body_id in sorted(body_ids)]
        if request.request_id is None:
            keys.append(joining.answer_by_order(self._turn, request))
        if self._traced and not any(type(event) is ModelSpan for event in events):
            keys.append(spans.model_span_key(self._turn, request))
        return [event for key in keys for event in self._taken(key)]

    def _told_by_span(self, key: str, span: ModelSpan) -> ModelRequest | ModelFailure:
        """The request whose record never came."""
        request = spans.as_request(span)
        self._turn.totals.add(request)
        self._turn.sent_by_span.add(digest(key))
        self.told_by_spans.append(request)
        return request

    def _tool_events(self, key: str, part: OpenPart) -> list[AnyEvent]:
        """The events of a tool call, those that do not name it among them."""
        events = part.events
        if not part.told & DECIDED:
            result: ToolResult | None = joining.earliest(events).get(ToolResult)
            if result:
                events = [*events, *self._taken(joining.decision_by_order(self._turn, result))]
        return self._with_spans(key, events) if self._traced else events

    def _with_spans(self, key: str, events: list[AnyEvent]) -> list[AnyEvent]:
        halves = joining.earliest(events)
        told: ToolDecision | ToolResult | None = halves.get(ToolResult) or halves.get(ToolDecision)
        if told and ToolSpan not in halves:
            found = self._taken(spans.tool_span_key(self._turn, told))
            events = [*events, *found]
        span: ToolSpan | None = joining.earliest(events).get(ToolSpan)
        if span:  # the wait knows only its parent
            events = [*events, *self._taken(f"w:{span.otel_span_id}")]
        self._know_spans(key, events)
        return events

    def _taken(self, key: str | None) -> list[AnyEvent]:
        """The events of another open part, which ends as a half of this one."""
        part = self._turn.parts.pop(key, None) if key else None
        if key is None or part is None:
            return []
        self._turn.left.add(key)
        return part.events

    def _know_spans(self, key: str, events: list[AnyEvent]) -> None:
        """What these spans hold below them belongs to this call, under whatever key it came."""
        for event in events:
            if isinstance(event, (ToolSpan, ToolRun)) and event.otel_span_id:
                self._turn.span_parts[event.otel_span_id] = key

    def _place(
        self, event: AnyEvent, span: ModelSpan | ToolSpan | ToolRun | None, touched_ms: int
    ) -> str | None:
        owner = agents.owner_of(self._turn, event, span)
        if owner:
            agents.place(self._turn, owner, event, touched_ms)
            if isinstance(span, ModelSpan):
                agents.widen(self._turn, owner, span)
        return owner

    def _drop(self, key: str, events: list[AnyEvent]) -> None:
        self._turn.parts.pop(key, None)
        self._turn.left.add(key)
        self.late += len(events)

    def _leave(self, key: str, part: AnyPart, records: int) -> None:
        turn = self._turn
        turn.parts.pop(key, None)
        turn.left.add(key)
        self.settled.append(
            Settled(
                turn=turn.facts or frozen_facts(turn), part=part, observed=1, folded=records - 1
            )
        )

    def _settle(self, part: AnyPart, records: int) -> None:
        """What is no open part leaves; it may be told by no record of its own."""
        observed = 1 if records else 0
        facts = frozen_facts(self._turn)
        self.settled.append(
            Settled(turn=facts, part=part, observed=observed, folded=records - observed)
        )


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
            otel_trace_id=turn.otel_trace_id,
        )
        turn.origin = _IN_FACTS
    return turn.facts


def _is_interrupted(turn: LiveTurn) -> bool:
    """A person's prompt that nothing followed; built-in commands need no answer."""
    if turn.prompt is None or turn.prompt.built_in:
        return False
    return turn.last_ms is None and not turn.agents and not has_open_tool(turn)
