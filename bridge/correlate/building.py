"""Parts that leave a turn: takes their halves out of it and puts them together.

``settling`` decides when; nothing here asks for the time.
"""

from collections.abc import Iterator
from typing import TypeVar

from bridge.correlate import agents, spans
from bridge.correlate.state import AgentState, LiveTurn, OpenPart
from bridge.correlate.turns import digest, has_open_tool
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
    OtherWork,
    Root,
    Settled,
    SubAgent,
    ToolCall,
    TurnFacts,
)
from bridge.model.spans import ModelSpan, OtherSpan, ToolRun, ToolSpan, ToolWait

E = TypeVar("E", bound=AnyEvent)

_ANSWER_GAP_MS = 2_000
"""An answer follows its request at once; only clients that give no request id need this."""


class Builder:
    """Takes parts out of one turn.

    Attributes:
        late: Records that came for something that had already left, or that spans told alone of
            work whose record had left before.
    """

    def __init__(self, turn: LiveTurn) -> None:
        self._turn = turn
        self.late = 0

    def generation(self, key: str, part: OpenPart) -> Iterator[Settled]:
        """A model request, its answer, its raw bodies and its span."""
        events = list(part.events)
        request = _first(events, ModelRequest) or _first(events, ModelFailure)
        if request is not None:
            events += self._halves_without_id(request, part)
        span = _first(events, ModelSpan)
        if request is None and span is None:
            yield from self.moments([key])
            return
        if request is None and span is not None:
            request = spans.as_request(span)
            self._turn.totals.add(request)
            self._turn.sent_by_span.add(digest(key))
        if request is None:
            return
        answer = max(
            (e for e in events if isinstance(e, ModelAnswer)), key=lambda e: e.order, default=None
        )
        owner = self._place(request, span, part.touched_ms)
        if answer and owner:
            agents.place(self._turn, owner, answer, part.touched_ms)
        yield self._leave(
            key,
            Generation(
                key=key,
                owner=owner,
                request=request,
                answer=answer,
                bodies=tuple(e for e in sorted(events, key=_order) if isinstance(e, RawBody)),
                under=agents.tool_around(self._turn, span) if span else None,
                span=span,
            ),
            records=len(events),
        )

    def tool(self, key: str, part: OpenPart) -> Iterator[Settled]:
        """A tool call: decision, result and its three spans."""
        events = list(part.events)
        result, decision = _first(events, ToolResult), _first(events, ToolDecision)
        if result and not decision and result.call_id is None:
            events += self._taken(self._decision_by_order(result))
        told = result or decision or _first(events, ToolDecision)
        if told and not any(isinstance(e, ToolSpan) for e in events):
            events += self._taken(spans.tool_span_key(self._turn, told.name, told.time_ms))
        span, run = _first(events, ToolSpan), _first(events, ToolRun)
        events += self._waits(span)
        self._know_spans(key, events)
        wait = _first(events, ToolWait)
        if told is None:
            told = spans.as_tool(span, run, wait)
            self._turn.totals.add(told)
        if told is None:
            self._drop(key, events)
            return
        owner = self._place(told, span or run, part.touched_ms)
        if key not in self._turn.calls and not self._turn.has_logs:
            agents.note_spawn(self._turn, key, owner, told, part.touched_ms)
        yield self._leave(
            key,
            ToolCall(
                key=key,
                owner=owner,
                decision=_first(events, ToolDecision)
                or (told if isinstance(told, ToolDecision) else None),
                result=told if isinstance(told, ToolResult) else None,
                span=span,
                wait=wait,
                run=run,
            ),
            records=len(events),
        )

    def other(self, key: str, part: OpenPart) -> Iterator[Settled]:
        """A span that is neither request nor tool."""
        span = _first(part.events, OtherSpan)
        if span is None:
            self._drop(key, part.events)
            return
        owner = agents.owner_of(self._turn, span) or agents.owner_around(self._turn, span)
        yield self._leave(key, OtherWork(key=key, owner=owner, span=span), records=len(part.events))

    def drop(self, key: str, part: OpenPart) -> None:
        """Spans of something whose record has left, or came without what joins them."""
        self._drop(key, part.events)

    def complete_agent(self, key: str, part: OpenPart) -> None:
        """A completion is kept with its agent, which leaves on its own terms."""
        del self._turn.parts[key]
        for event in sorted(part.events, key=_order):
            owner = event.agent_id or agents.completed_owner(self._turn, event)
            agent = self._turn.agents.get(owner)
            if agent and (agent.sent or agent.completed):
                self.late += 1
            else:
                agents.place(self._turn, owner, event, part.touched_ms)

    def agent(self, key: str, agent: AgentState) -> Settled:
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
        return self._settled(part, records=1 if agent.completed else 0)

    def root(self, reason: ClosedBy) -> Settled:
        """Close the turn: its edges are fixed from here on."""
        turn = self._turn
        turn.closed_by = reason
        turn.start_ms = turn.prompt.time_ms if turn.prompt else turn.order[0]
        turn.end_ms = max(turn.start_ms, turn.last_ms or 0)
        if turn.span:
            turn.start_ms = min(turn.start_ms or turn.span.began_ms, turn.span.began_ms)
            turn.end_ms = max(turn.start_ms, turn.span.time_ms)
        turn.totals.agents = len(turn.agents)
        root = Root(
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
        return self._settled(root, records=(turn.prompt is not None) + (turn.span is not None))

    def moments(self, keys: list[str]) -> Iterator[Settled]:
        """Point events, and halves that stand alone, each at a place of its own.

        What happened before the turn stands at its beginning, what happened after it at its end.
        """
        events = [event for key in keys for event in self._turn.parts.pop(key).events]
        points = sorted(
            (e for e in events if isinstance(e, (PointEvent, ModelAnswer, RawBody, UserPrompt))),
            key=_order,
        )
        low_ms, high_ms = self._edges()
        behind = [point for point in points if point.time_ms > high_ms]
        for point in points[: len(points) - len(behind)]:
            yield self._moment(point, self._free_ms(max(low_ms, point.time_ms), high_ms))
        for place, point in enumerate(behind, start=1 - len(behind)):
            yield self._moment(point, max(low_ms, high_ms + place))

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

    def _moment(
        self, event: PointEvent | ModelAnswer | RawBody | UserPrompt, shown_ms: int
    ) -> Settled:
        low_ms, high_ms = self._edges()
        key = f"p:{event.key.hex()}"
        part = Moment(
            key=key,
            owner=event.agent_id,
            event=event,
            shown_ms=shown_ms,
            moved=not low_ms <= event.time_ms <= high_ms,
        )
        return self._leave(key, part, records=1)

    def _halves_without_id(
        self, request: ModelRequest | ModelFailure, part: OpenPart
    ) -> list[AnyEvent]:
        """What belongs to a request and does not name it.

        The request body (known by the response body), an answer, a span.
        """
        body_ids = {e.body_id for e in part.events if isinstance(e, RawBody) and e.body_id}
        keys: list[str | None] = [f"b:{body_id}" for body_id in sorted(body_ids)]
        if request.request_id is None:
            keys.append(self._answer_by_order(request))
        if not any(isinstance(event, ModelSpan) for event in part.events):
            keys.append(spans.model_span_key(self._turn, request))
        return [event for key in keys for event in self._taken(key)]

    def _taken(self, key: str | None) -> list[AnyEvent]:
        """The events of another open part, which ends as a half of this one."""
        part = self._turn.parts.pop(key, None) if key else None
        if key is None or part is None:
            return []
        self._turn.sent.add(digest(key))
        return part.events

    def _answer_by_order(self, request: ModelRequest | ModelFailure) -> str | None:
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
        return min(following)[1] if following else None

    def _decision_by_order(self, result: ToolResult) -> str | None:
        """The earliest waiting decision for a tool of that name, for clients without call ids."""
        waiting = [
            (event.order, key)
            for key, part in self._turn.parts.items()
            if key.startswith("d:")
            for event in part.events
            if isinstance(event, ToolDecision)
            and event.accepted
            and event.name == result.name
            and event.order < result.order
        ]
        return min(waiting)[1] if waiting else None

    def _waits(self, span: ToolSpan | None) -> list[AnyEvent]:
        """The wait knows only its parent, the tool's span."""
        return self._taken(f"w:{span.otel_span_id}") if span else []

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
        self._turn.sent.add(digest(key))
        self.late += len(events)

    def _leave(self, key: str, part: AnyPart, *, records: int) -> Settled:
        self._turn.parts.pop(key, None)
        self._turn.sent.add(digest(key))
        return self._settled(part, records=records)

    def _settled(self, part: AnyPart, *, records: int) -> Settled:
        observed = min(records, 1)
        return Settled(
            turn=frozen_facts(self._turn), part=part, observed=observed, folded=records - observed
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
    return turn.facts


def _is_interrupted(turn: LiveTurn) -> bool:
    """A person's prompt that nothing followed; built-in commands need no answer."""
    did_nothing = turn.last_ms is None and not turn.agents and not has_open_tool(turn)
    return did_nothing and not (turn.prompt and turn.prompt.built_in)


def _first(events: list[AnyEvent], kind: type[E]) -> E | None:
    found = [event for event in events if isinstance(event, kind)]
    return min(found, key=_order) if len(found) > 1 else found[0] if found else None


def _order(event: AnyEvent) -> tuple[int, int, bytes]:
    return event.order
