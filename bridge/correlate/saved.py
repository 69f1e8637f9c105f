"""What of turns and conversations is saved and read back, and how much is in memory between."""

from typing import Protocol

import msgspec

from bridge.correlate.conversation import Conversation
from bridge.correlate.looks import MOST_NEAR, ArchivedLooks, LookChanges
from bridge.correlate.state import LiveTurn
from bridge.model.outcomes import Outcome
from bridge.model.packing import pack, unpacker
from bridge.model.parts import PromptCost
from bridge.model.sessions import SessionTotals


class Archive(ArchivedLooks, Protocol):
    """What was saved before: encoded states by key, None for what was never seen."""

    def turn(self, key: str) -> bytes | None:
        """The saved state of a turn."""
        ...

    def conversation(self, key: str) -> bytes | None:
        """The saved state of a conversation."""
        ...


class SavedTurn(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A turn to save. The plain columns are for people who list sessions."""

    key: str
    session_id: str | None
    live: bool
    held: int
    started_ms: int
    state: bytes
    otel_trace_id: str | None = None


class SavedConversation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A conversation to save."""

    key: str
    live: bool
    held: int
    state: bytes


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that changed since the last call."""

    turns: tuple[SavedTurn, ...]
    conversations: tuple[SavedConversation, ...]
    outcomes: dict[Outcome, int]
    sessions: tuple[SessionTotals, ...]
    costs: tuple[PromptCost, ...]
    looks: LookChanges = LookChanges()

    @property
    def any(self) -> bool:
        """Whether anything has to be saved."""
        return bool(self.turns or self.conversations or self.looks.done)


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much is held in memory between two saves.

    Attributes:
        held: As many conversations, and as many turns.
        held_bytes: As large in the archive, each of the two; decoded they take several times that.
        changed: After so many changed conversations and turns a save is due: until then they have
            to stay.
        looks: Of the queue.
    """

    held: int = 400
    held_bytes: int = 2_000_000
    changed: int = 800
    looks: int = MOST_NEAR


decode_turn = unpacker(LiveTurn)
decode_conversation = unpacker(Conversation)


def saved_turn(turn: LiveTurn) -> SavedTurn:
    """A turn as it is now."""
    return SavedTurn(
        key=turn.key,
        session_id=turn.session_id,
        live=turn.closed_by is None or not turn.is_finished(),
        held=turn.held(),
        started_ms=turn.order()[0],
        state=pack(turn),
        otel_trace_id=turn.facts.otel_trace_id if turn.facts else turn.otel_trace_id,
    )


def saved_conversation(conversation: Conversation) -> SavedConversation:
    """A conversation as it is now."""
    return SavedConversation(
        key=conversation.key,
        live=not conversation.resting,
        held=len(conversation.waiting),
        state=pack(conversation),
    )
