"""Settled parts of a turn: what ``correlate`` hands to ``langfuse.mapping``.

A turn is one prompt and all it caused. Its parts name their place by keys (``owner`` is the
sub-agent a part belongs to, None the main thread); Langfuse's ids are made of them later.
"""

from enum import StrEnum

import msgspec

from bridge.model.events import (
    AgentCompleted,
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
from bridge.model.sessions import Counter, Summary
from bridge.model.spans import ModelSpan, OtherSpan, ToolRun, ToolSpan, ToolWait, TurnSpan
from bridge.model.totals import Totals


class ClosedBy(StrEnum):
    """Why a turn's root was made when it was. Counted, logged and shown on the root."""

    NEXT_PROMPT = "next_prompt"
    """The session went on to another prompt."""
    QUIET = "quiet"
    """The turn looked finished and nothing more came for ``quiet_s``."""
    INTERACTION = "interaction"
    """The client's own span of the turn has ended."""
    IDLE = "idle"
    """It did not look finished, but nothing more came for ``idle_s``."""


class TurnFacts(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What all parts of a turn share; frozen when the first of them leaves.

    Attributes:
        key: Identifies the turn: conversation and prompt id, or conversation and prompt time.
        command: The slash command that the prompt was, without the slash.
        is_summary: It is no turn but a session's summary, which has a trace of its own.
    """

    key: str
    session_id: str | None
    prompt_id: str | None
    origin: Origin
    command: str | None
    synthetic: bool
    otel_trace_id: str | None
    is_summary: bool = False


class Generation(msgspec.Struct, frozen=True, kw_only=True, tag_field="part", gc=False):
    """A model request with what belongs to it.

    Attributes:
        under: The tool call it was made for (a permission classifier), None otherwise.
        span: What its span tells besides.
    """

    key: str
    owner: str | None
    request: ModelRequest | ModelFailure
    answer: ModelAnswer | None
    bodies: tuple[RawBody, ...]
    under: str | None = None
    span: ModelSpan | None = None


class ToolCall(msgspec.Struct, frozen=True, kw_only=True, tag_field="part", gc=False):
    """A tool call: decided, run, or both. Neither half alone is an error.

    Attributes:
        span: What its spans tell besides: all of it, the part that ``wait``ed for a person, and
            the part that ``run`` it.
    """

    key: str
    owner: str | None
    decision: ToolDecision | None
    result: ToolResult | None
    span: ToolSpan | None = None
    wait: ToolWait | None = None
    run: ToolRun | None = None


class OtherWork(msgspec.Struct, frozen=True, kw_only=True, tag_field="part", gc=False):
    """A span of the coding agent that is neither request nor tool: a hook."""

    key: str
    owner: str | None
    span: OtherSpan


class SubAgent(msgspec.Struct, frozen=True, kw_only=True, tag_field="part", gc=False):
    """A sub-agent and its own sums.

    Attributes:
        call_key: The tool call that started it, None when that is not known.
        calls: More than one when parallel agents cannot be told apart in the records.
    """

    key: str
    owner: str | None
    call_key: str | None
    calls: tuple[str, ...]
    type: str | None
    start_ms: int
    end_ms: int
    completed: AgentCompleted | None
    task: str | None
    answer: ModelAnswer | None
    totals: Totals


class Moment(msgspec.Struct, frozen=True, kw_only=True, tag_field="part", gc=False):
    """Something that happened at one moment.

    Attributes:
        shown_ms: Where it stands in the trace: the events of one millisecond in a row, and what
            happened before or after the turn at the turn's edge.
        moved: Whether it was put at the edge.
    """

    key: str
    owner: str | None
    event: PointEvent | ModelAnswer | RawBody | UserPrompt
    shown_ms: int
    moved: bool


class Root(msgspec.Struct, frozen=True, kw_only=True, tag_field="part", gc=False):
    """The turn itself, once it is closed.

    Attributes:
        answer: The main thread's last answer.
        failure: The failed request the turn ended with.
        interrupted: A prompt that nothing followed.
    """

    prompt: UserPrompt | None
    start_ms: int
    end_ms: int
    answer: ModelAnswer | None
    failure: ModelFailure | None
    interrupted: bool
    totals: Totals
    closed_by: ClosedBy
    span: TurnSpan | None = None


AnyPart = Generation | ToolCall | SubAgent | Moment | OtherWork | Root | Summary | Counter


class PromptCost(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a closed turn costs by now; told again when a late request adds to it."""

    turn: TurnFacts
    start_ms: int
    totals: Totals


class Settled(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A part that will not change any more, and how many records ended in it.

    Attributes:
        observed: Records that this part's observation stands for: 1, or 0 for a part that no
            record of its own made (a sub-agent known only by its requests).
        folded: Further records that are part of it.
    """

    turn: TurnFacts
    part: AnyPart
    observed: int
    folded: int
