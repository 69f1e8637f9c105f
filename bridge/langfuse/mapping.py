"""Settled parts → Langfuse observations.

The rules of Langfuse's v4 data model decide here: every trace-level attribute on every span; cost
and usage on generations only, model too (a model anywhere else is tokenised and priced); a failed
request has zero usage and zero cost; a root has both an input and an output, because the session
page lists only what has both; names are of low cardinality and never hold a prompt's text.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec.structs import replace

from bridge.langfuse import ids
from bridge.langfuse.fields import (
    NO_USAGE,
    agent_metadata,
    answer_text,
    failure_text,
    first_token_ms,
    generation_metadata,
    generation_output,
    generation_times,
    iso,
    moment_fields,
    prompt_text,
    root_end,
    root_input,
    root_metadata,
    root_status,
    tool_arguments,
    tool_end,
    tool_metadata,
    tool_name,
    tool_times,
)
from bridge.langfuse.ids import observation_id
from bridge.langfuse.limits import within_limits
from bridge.langfuse.summary import counter_fields, summary_fields
from bridge.langfuse.trace import TraceOrigins, TraceSettings, trace_id_of
from bridge.model.events import ModelFailure, ModelRequest, plain_model
from bridge.model.observations import (
    Level,
    Observation,
    ObservationKind,
    TraceFacts,
)
from bridge.model.parts import (
    AnyPart,
    Generation,
    Moment,
    OtherWork,
    Root,
    Settled,
    SubAgent,
    ToolCall,
    TurnFacts,
)
from bridge.model.sessions import Counter, Summary
from bridge.protowire import forget_older_half

KEPT_PLACES: Final = 512

_GENERATION, _TOOL = ObservationKind.GENERATION, ObservationKind.TOOL
_AGENT: Final = ObservationKind.AGENT
"""Looking a member up in its class costs as much as making half an observation."""


class Mapper:
    """Maps parts with the settings that tags and grouping depend on."""

    def __init__(self, settings: TraceSettings) -> None:
        self._settings = settings
        self._origins = TraceOrigins(settings)
        self._places: dict[str, _Place] = {}

    def observation(self, settled: Settled) -> Observation:
        """The one observation that a settled part becomes."""
        turn, part = settled.turn, settled.part
        place = self._places.get(turn.key)
        if place is None or place.turn is not turn:
            place = self._place(turn, place)
        made = _MAPPED[type(part)](place, part)
        return within_limits(made)

    def _place(self, turn: TurnFacts, known: "_Place | None") -> "_Place":
        """Derived once for as long as a turn's facts are the same; parts of one come together."""
        if known is not None and known.turn == turn:
            known.turn = turn  # the same object is seen to be equal without a look into it
            return known
        if len(self._places) >= KEPT_PLACES:
            forget_older_half(self._places)
        place = _Place(
            turn,
            trace_id=trace_id_of(turn, self._settings),
            own_id=ids.trace_id(turn.key),
            trace=self._origins.trace_facts(turn),
        )
        self._places[turn.key] = place
        return place


class _Place:
    """Where an observation stands: its trace, and how keys become ids in it.

    Ids come from the turn's own trace even where it joins another: that one may hold several.
    Calls have at most fifteen keywords, since with more Python puts them into a dict first.
    """

    __slots__ = ("_own_id", "_root_id", "_trace", "_trace_id", "turn")

    def __init__(self, turn: TurnFacts, *, trace_id: str, own_id: str, trace: TraceFacts) -> None:
        self.turn = turn
        self._trace_id = trace_id
        self._own_id = own_id
        self._trace = trace
        self._root_id = ids.root_id(own_id)

    def generation(self, part: Generation) -> Observation:
        """A model request: times, model, usage and cost."""
        request = part.request
        if isinstance(request, ModelRequest):
            made = self._succeeded(part, request)
        else:
            made = self._failed(part, request)
        if not part.bodies:
            return made
        asked = next((b.text for b in part.bodies if not b.is_response), None)
        return replace(made, input=asked)

    def _succeeded(self, part: Generation, request: ModelRequest) -> Observation:
        start_ms, end_ms = generation_times(part)
        model = plain_model(request.model)
        return Observation(
            trace_id=self._trace_id,
            id=observation_id(self._own_id, "generation", part.key),
            parent_id=self._above(part) if part.under or part.owner else self._root_id,
            kind=_GENERATION,
            name=model,
            start_ms=start_ms,
            end_ms=end_ms if end_ms > start_ms else start_ms,  # noqa: FURB136 - max is a call
            trace=self._trace,
            output=generation_output(part) if part.answer or part.bodies else None,
            model=model,
            model_parameters=request.parameters or None,
            usage=request.usage or NO_USAGE,
            cost_picousd=request.cost_picousd,
            completion_start_ms=None
            if request.ttft_ms is None and part.span is None
            else first_token_ms(part, request),
            metadata=generation_metadata(part),
        )

    def _failed(self, part: Generation, failure: ModelFailure) -> Observation:
        """A failed request has its message as output too: lists show no status message."""
        model, message = plain_model(failure.model), failure_text(failure)
        start_ms, end_ms = generation_times(part)
        return self._make(
            "generation",
            part.key,
            kind=_GENERATION,
            parent_id=self._above(part),
            name=model,
            model=model,
            model_parameters=failure.parameters or None,
            start_ms=start_ms,
            end_ms=end_ms,
            level=Level.ERROR,
            status_message=message,
            output=message,
            usage=NO_USAGE,
            cost_picousd=0,
            metadata=generation_metadata(part),
        )

    def _above(self, part: Generation) -> str:
        return self._id("tool", part.under) if part.under else self._owner(part.owner)

    def tool(self, part: ToolCall) -> Observation:
        """A tool call: arguments, what became of it, and how long it ran."""
        start_ms, end_ms = tool_times(part)
        output, level, message = tool_end(part)
        return Observation(
            trace_id=self._trace_id,
            id=observation_id(self._own_id, "tool", part.key),
            parent_id=self._owner(part.owner) if part.owner else self._root_id,
            kind=_TOOL,
            name=tool_name(part),
            start_ms=start_ms,
            end_ms=end_ms if end_ms > start_ms else start_ms,  # noqa: FURB136
            trace=self._trace,
            level=level,
            status_message=message,
            input=tool_arguments(part),
            output=output,
            metadata=tool_metadata(part),
        )

    def agent(self, part: SubAgent) -> Observation:
        """A sub-agent: its task, its answer, its sums."""
        parent_id = self._id("tool", part.call_key) if part.call_key else self._owner(part.owner)
        return self._make(
            "agent",
            part.key,
            kind=_AGENT,
            parent_id=parent_id,
            name=part.type or "agent",
            start_ms=part.start_ms,
            end_ms=part.end_ms,
            input=part.task,
            output=answer_text(part.answer) if part.answer else None,
            metadata=agent_metadata(part),
        )

    def other(self, part: OtherWork) -> Observation:
        """A hook, or another span of the client."""
        span = part.span
        return self._make(
            "span",
            part.key,
            kind=ObservationKind.SPAN,
            parent_id=self._owner(part.owner),
            name=span.name,
            start_ms=span.began_ms,
            end_ms=span.time_ms,
            level=Level.ERROR if span.failed else Level.DEBUG,
            status_message=span.message,
            output=span.message,
            metadata=dict(span.attributes),
        )

    def moment(self, part: Moment) -> Observation:
        """Something that happened at one moment."""
        event = part.event
        metadata = dict(event.attributes)
        if part.moved:
            metadata["occurred_at"] = iso(event.time_ms)
        return self._make(
            "event",
            part.key,
            kind=ObservationKind.EVENT,
            parent_id=self._owner(part.owner),
            start_ms=part.shown_ms,
            end_ms=part.shown_ms,
            metadata=metadata,
            **moment_fields(event),
        )

    def root(self, part: Root) -> Observation:
        """The turn itself: prompt and answer."""
        turn = self.turn
        output, level = root_end(part)
        joins = self._trace_id != self._own_id
        above = part.span.otel_parent_id if part.span and part.span.remote_parent else None
        return Observation(
            trace_id=self._trace_id,
            id=self._root_id,
            parent_id=above if joins else None,
            is_app_root=joins,
            trace=self._trace,
            kind=_AGENT,
            name=self._trace.name,
            start_ms=part.start_ms,
            end_ms=part.end_ms,
            input=root_input(part, turn),
            output=output,
            level=level,
            status_message=root_status(part, level),
            metadata=root_metadata(part, turn),
        )

    def summary(self, part: Summary) -> Observation:
        """What a session came to, as a card to read."""
        prompt = part.first_prompt
        return Observation(
            trace_id=self._trace_id,
            id=self._root_id,
            parent_id=None,
            trace=self._trace,
            name=self._trace.name,
            input=prompt_text(prompt) if prompt else "[no prompt]",
            **summary_fields(part, has_session=self._trace.session_id is not None),
        )

    def counter(self, part: Counter) -> Observation:
        """One number of a summary, for charts."""
        fields = counter_fields(part)
        return self._make("counter", part.name, parent_id=self._owner(None), **fields)

    def _owner(self, owner: str | None) -> str:
        return self._id("agent", owner) if owner else self._root_id

    def _id(self, kind: str, key: str) -> str:
        return observation_id(self._own_id, kind, key)

    def _make(self, id_kind: str, key: str, **fields: Any) -> Observation:  # noqa: ANN401 - differs by kind
        fields["end_ms"] = max(fields["start_ms"], fields["end_ms"])
        return Observation(
            trace_id=self._trace_id, id=self._id(id_kind, key), trace=self._trace, **fields
        )


_MAPPED: Final[Mapping[type[AnyPart], Callable[[_Place, Any], Observation]]] = {
    Generation: _Place.generation,
    ToolCall: _Place.tool,
    Root: _Place.root,
    SubAgent: _Place.agent,
    Moment: _Place.moment,
    OtherWork: _Place.other,
    Summary: _Place.summary,
    Counter: _Place.counter,
}
"""What each kind of part becomes; one look-up, where a class pattern asks each class in turn."""
