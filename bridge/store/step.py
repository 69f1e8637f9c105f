"""One assemble step as data: what the ledger makes true in one transaction, and its rows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from bridge.model.counted import Series
from bridge.model.foreign import Forwarded
from bridge.model.observations import Observation
from bridge.model.outcomes import Outcome
from bridge.model.packing import pack
from bridge.model.requests import Progress, Signal
from bridge.model.scores import Score
from bridge.model.sessions import SessionNumbers

Look = tuple[int, int, str]
"""(Unix milliseconds, what for, at what): when the correlator looks at something again."""


class TurnState(Protocol):
    """A turn to save, as the correlator gives it."""

    @property
    def key(self) -> str: ...  # noqa: D102 - described by the class
    @property
    def session_id(self) -> str | None: ...  # noqa: D102
    @property
    def live(self) -> bool: ...  # noqa: D102
    @property
    def held(self) -> int: ...  # noqa: D102
    @property
    def started_ms(self) -> int: ...  # noqa: D102
    @property
    def state(self) -> bytes: ...  # noqa: D102


class ConversationState(Protocol):
    """A conversation to save, as the correlator gives it."""

    @property
    def key(self) -> str: ...  # noqa: D102
    @property
    def live(self) -> bool: ...  # noqa: D102
    @property
    def held(self) -> int: ...  # noqa: D102
    @property
    def state(self) -> bytes: ...  # noqa: D102


class Finished(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An observation with its span bytes, and the records that ended in it: as in ``Settled``.

    Attributes:
        usage: What it adds to the usage totals, if it is new.
    """

    observation: Observation
    span: bytes
    observed: int
    folded: int
    usage: Mapping[Series, int] = {}


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """Records that could not be taken in.

    Attributes:
        position: Of the request in the inbox.
        record_index: Which record of it; None for the whole request, and for a part.
        signal: None for a part, whose records may be of several.
        body: MessagePack: of an ``ExportRequest``, of one record or of all, or of the ``Settled``
            part that could not be told of. Empty where the content policy keeps no bytes.
    """

    position: int
    record_index: int | None
    records: int
    reason: str
    body: bytes
    signal: Signal | None = None


class SummaryTrace(msgspec.Struct, frozen=True, kw_only=True):
    """The trace of a session's summary: listed among its turns, and counted as none."""

    key: str
    trace_id: str
    session_id: str | None
    started_ms: int


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """All that one assemble step leads to.

    Attributes:
        watermark: Position of the last request assembled whole.
        progress: How much of the next one was.
        turns: (turn, trace id) of every turn that changed.
        forwarded: Spans of other programs, each one record.
        tallies: What else is counted, by name; ``counts``: by name and labels.
        scores: (score, urgent) of every score that may have changed.
        sessions: (session id, its numbers) of every session that changed.
        looks_done: What is taken out of the queue of looks, before ``looks_planned`` are put in.
    """

    watermark: int
    turns: Sequence[tuple[TurnState, str]]
    conversations: Sequence[ConversationState]
    finished: Sequence[Finished]
    quarantined: Sequence[Quarantined]
    outcomes: Mapping[Outcome, int]
    at_ms: int
    progress: Progress = Progress()
    summaries: Sequence[SummaryTrace] = ()
    forwarded: Sequence[Forwarded] = ()
    tallies: Mapping[str, int] = {}
    counts: Mapping[Series, int] = {}
    scores: Sequence[tuple[Score, bool]] = ()
    sessions: Sequence[tuple[str, SessionNumbers]] = ()
    looks_done: Sequence[Look] = ()
    looks_planned: Sequence[Look] = ()


def turn_rows(step: Step) -> Iterator[tuple[object, ...]]:
    """Rows of ``turns``: turns, and the traces of summaries."""
    for turn, trace_id in step.turns:
        yield (
            turn.key,
            trace_id,
            turn.session_id,
            1 if turn.live else 0,
            turn.held,
            turn.started_ms,
            step.at_ms,
            0,
            turn.state,
        )
    for summary in step.summaries:
        yield (
            summary.key,
            summary.trace_id,
            summary.session_id,
            0,
            0,
            summary.started_ms,
            step.at_ms,
            1,
            b"",
        )


def conversation_rows(step: Step) -> Iterator[tuple[object, ...]]:
    """Rows of ``conversations``."""
    for conversation in step.conversations:
        yield (
            conversation.key,
            1 if conversation.live else 0,
            conversation.held,
            step.at_ms,
            conversation.state,
        )


def session_rows(step: Step) -> Iterator[tuple[object, ...]]:
    """Rows of ``sessions``."""
    for session_id, numbers in step.sessions:
        yield (session_id, pack(numbers), step.at_ms)


def quarantine_rows(step: Step) -> Iterator[tuple[object, ...]]:
    """Rows of ``quarantine``."""
    for item in step.quarantined:
        yield (
            item.position,
            item.record_index,
            item.signal,
            item.records,
            item.reason,
            item.body,
            step.at_ms,
        )


SAVE_TURN: Final = """
    INSERT INTO turns (key, trace_id, session_id, live, held, started_ms, saved_at_ms, is_summary,
        state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET trace_id = excluded.trace_id, session_id = excluded.session_id,
        live = excluded.live, held = excluded.held, started_ms = excluded.started_ms,
        saved_at_ms = excluded.saved_at_ms, is_summary = excluded.is_summary,
        state = excluded.state"""
SAVE_SESSION: Final = "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)"
SAVE_CONVERSATION: Final = """
    INSERT INTO conversations (key, live, held, saved_at_ms, state) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET live = excluded.live, held = excluded.held,
        saved_at_ms = excluded.saved_at_ms, state = excluded.state"""
TAKE_LOOK_OUT: Final = "DELETE FROM looks WHERE at_ms = ? AND kind = ? AND key = ?"
PLAN_LOOK: Final = "INSERT OR IGNORE INTO looks VALUES (?, ?, ?)"
QUARANTINE: Final = (
    "INSERT INTO quarantine (position, record_index, signal, records, reason, body, at_ms)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
"""A row keeps its place when it is saved again (``ON CONFLICT``; ``REPLACE`` moves it to the end).
"""
