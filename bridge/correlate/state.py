"""What is kept of a live turn: private to ``correlate``, saved in the ledger as it is.

It is saved at every step in which a record of it came, so it is written without the names of its
fields, and so is all that stands in it: a new field goes behind the others and has a default.
"""

import msgspec

from bridge.model.event import Origin
from bridge.model.events import AgentCompleted, AnyEvent, ModelAnswer, ModelFailure, UserPrompt
from bridge.model.parts import ClosedBy, TurnFacts
from bridge.model.spans import TurnSpan
from bridge.model.totals import Totals

Order = tuple[int, int, bytes]


class OpenPart(msgspec.Struct, array_like=True, gc=False):
    """Events that will be one observation, until they leave together.

    Attributes:
        touched_ms: When the latest of them arrived (our clock).
        order: That of the earliest.
        told: What they tell together, as in ``halves``.
    """

    events: list[AnyEvent]
    touched_ms: int
    order: Order
    told: int


class SpawnCall(msgspec.Struct, kw_only=True, array_like=True, gc=False):
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


class AgentState(msgspec.Struct, kw_only=True, array_like=True, gc=False):
    """A sub-agent as far as its settled parts tell.

    Attributes:
        calls: The spawning calls it may belong to; one, unless parallel agents cannot be told
            apart; empty until matched.
        around: Id of the span that its records stand in.
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
    around: str | None = None
    sent: bool = False


class LiveTurn(msgspec.Struct, kw_only=True, array_like=True, gc=False):
    """The one mutable record of a turn; private to ``correlate``, saved in the ledger.

    Attributes:
        origin: Who it is from, until ``facts`` has it.
        facts: None until the first part leaves; then frozen, so that all parts agree.
        otel_trace_id: The trace its spans are in, when the client's tracing is on.
        span: The client's span of the whole turn; with it the turn has ended.
        span_parts: Id of a tool's span → key of the tool's part.
        has_logs: Whether log records tell of it too; only they know cost.
        seen: Keys of all records folded in; tells repetitions.
        left: Keys of parts that have left; tells late halves.
        sent: Digests of such keys, as turns have them that were saved before ``left`` was.
        sent_by_span: Digests of the keys of those that only spans had told of.
        first_ms: Start of the earliest work; the turn's start when it has no prompt.
        last_ms: End of the latest work; the turn's end. What merely happens does not move it.
        last_main: Order and kind of the main thread's latest work.
        last_request: The id of the request that this was, if it was one.
        going_on: Order and id of the latest request that stopped for a tool, as spans tell.
        unidentified_ms: Start times of sub-agent requests that do not say which agent.
        taken_ms: Where point events were put.
        closed_by: Why the root was made; None while it has not been.
        cut_ms: When it is looked at next.
    """

    key: str
    conversation: str
    session_id: str | None
    prompt_id: str | None
    origin: Origin
    origin_order: Order
    facts: TurnFacts | None = None
    prompt: UserPrompt | None = None
    prompt_order: Order | None = None
    parts: dict[str, OpenPart] = {}
    calls: dict[str, SpawnCall] = {}
    agents: dict[str, AgentState] = {}
    agent_spans: set[str] = set()
    unidentified_ms: list[int] = []
    otel_trace_id: str | None = None
    span: TurnSpan | None = None
    span_parts: dict[str, str] = {}
    has_logs: bool = False
    seen: set[bytes] = set()
    sent: set[int] = set()
    sent_by_span: set[int] = set()
    first_ms: int | None = None
    last_ms: int | None = None
    last_main: Order | None = None
    last_main_finishes: bool = False
    answer: ModelAnswer | None = None
    failure: ModelFailure | None = None
    totals: Totals
    touched_ms: int = 0
    taken_ms: set[int] = set()
    closed_by: ClosedBy | None = None
    cut_ms: int | None = None
    start_ms: int = 0
    end_ms: int = 0
    left: set[str] = set()
    last_request: str | None = None
    going_on: tuple[Order, str] | None = None

    def order(self) -> Order:
        """Where the turn stands among the prompts of its conversation: its prompt, else its work.

        Of some turns there is neither: their prompt is still to come, or was lost.
        """
        if self.prompt_order or self.first_ms is None:
            return self.prompt_order or self.origin_order
        return (self.first_ms, -1, b"")

    def held(self) -> int:
        """Records folded in whose observation has not left."""
        held = 0
        for part in self.parts.values():
            held += len(part.events)
        for agent in self.agents.values():
            held += agent.completed is not None and not agent.sent
        if self.closed_by is None:
            held += (self.prompt is not None) + (self.span is not None)
        return held

    def is_finished(self) -> bool:
        """Nothing more is going to leave unless something late arrives."""
        return (
            self.closed_by is not None
            and not self.parts
            and all(agent.sent for agent in self.agents.values())
        )
