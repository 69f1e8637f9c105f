"""The turns and conversations in memory, and which of them have changed.

The archive has all of them. Those used last are held, up to a bound, and what has changed stays
until it is saved.
"""

from bridge.correlate import turns
from bridge.correlate.conversation import Conversation
from bridge.correlate.held import Held
from bridge.correlate.saved import (
    Archive,
    Bounds,
    SavedConversation,
    SavedTurn,
    decode_conversation,
    decode_turn,
    saved_conversation,
    saved_turn,
)
from bridge.correlate.state import LiveTurn, Order
from bridge.model.events import Record

NOTE_EVERY_MS = 300_000
KEPT_INSTALLATIONS = 400
"""Those whose latest note is remembered; beyond it all are forgotten, and asked for one by one."""


class States:
    """What is known of turns and conversations, in memory or archived.

    Attributes:
        changed_turns: What has to be saved, by key; ``changed_conversations`` likewise. Nearly
            every record is of one of them, so they are looked at before all others.
        most_changed: After so many of both they have to be saved.
    """

    def __init__(self, archive: Archive, bounds: Bounds) -> None:
        self._archive = archive
        self.most_changed = bounds.changed
        self._turns: Held[LiveTurn] = Held(bounds.held, bounds.held_bytes)
        self._conversations: Held[Conversation] = Held(bounds.held, bounds.held_bytes)
        self.changed_turns: dict[str, LiveTurn] = {}
        self.changed_conversations: dict[str, Conversation] = {}
        self._noted_until_ms: dict[str, int] = {}
        self._ended_turns: list[str] = []
        self._resting: list[str] = []

    @property
    def held(self) -> int:
        """Conversations and turns in memory."""
        return len(self._turns) + len(self._conversations)

    @property
    def is_full(self) -> bool:
        """Whether so much has changed that it has to be saved before anything else is touched."""
        return len(self.changed_turns) + len(self.changed_conversations) >= self.most_changed

    def changing(self, key: str) -> Conversation:
        """A conversation that is about to change, and then to be saved."""
        changed = self.changed_conversations.get(key)
        if changed is None:
            changed = self.changed_conversations[key] = self.conversation(key)
        return changed

    def conversation(self, key: str) -> Conversation:
        """A conversation that is only looked at, so far; a new one if nothing is known of it."""
        known = self.changed_conversations.get(key) or self.known_conversation(key)
        return known or self._conversations.hold(key, Conversation(key=key))

    def known_conversation(self, key: str) -> Conversation | None:
        """A conversation, unless nothing is known of it."""
        conversation = self._conversations.use(key)
        if conversation is None and (saved := self._archive.conversation(key)):
            conversation = self._conversations.hold(key, decode_conversation(saved))
            self._conversations.weigh(key, len(saved))
        return conversation

    def changing_turn(self, key: str, record: Record, order: Order) -> LiveTurn:
        """The turn of a record, which may be its first."""
        turn = self.known_turn(key)
        if turn is None:
            turn = self._turns.hold(key, turns.new_turn(key, record, order))
        self.changed_turns[key] = turn
        return turn

    def known_turn(self, key: str) -> LiveTurn | None:
        """A turn, unless nothing is known of it."""
        turn = self.changed_turns.get(key) or self._turns.use(key)
        if turn is None and (saved := self._archive.turn(key)):
            turn = self._turns.hold(key, decode_turn(saved))
            self._turns.weigh(key, len(saved))
        return turn

    def note_logs(self, key: str, arrived_ms: int) -> int:
        """Remember that an installation sends log records; until when that needs no other note."""
        until_ms = self._noted_until_ms.get(key, 0)
        return until_ms if arrived_ms <= until_ms else self._note_logs(key, arrived_ms)

    def saved_turns(self) -> tuple[SavedTurn, ...]:
        """The turns that have changed, as they are to be saved."""
        return tuple([self._save_turn(key) for key in sorted(self.changed_turns)])

    def saved_conversations(self) -> tuple[SavedConversation, ...]:
        """The conversations that have changed, as they are to be saved."""
        return tuple([self._save_conversation(key) for key in sorted(self.changed_conversations)])

    def forget(self) -> None:
        """All is saved: what has ended needs no memory any more, and the rest is bounded again."""
        for key in self._ended_turns:
            self._turns.drop(key)
        for key in self._resting:
            self._conversations.drop(key)
        self._ended_turns.clear()
        self._resting.clear()
        self._turns.shrink()
        self._conversations.shrink()
        self.changed_turns.clear()
        self.changed_conversations.clear()

    def _note_logs(self, key: str, arrived_ms: int) -> int:
        installation = self.conversation(key)
        if arrived_ms - installation.last_log_ms > NOTE_EVERY_MS:
            installation.last_log_ms = arrived_ms
            self.changed_conversations[key] = installation
        if len(self._noted_until_ms) >= KEPT_INSTALLATIONS:
            self._noted_until_ms.clear()
        until_ms = self._noted_until_ms[key] = installation.last_log_ms + NOTE_EVERY_MS
        return until_ms

    def _save_turn(self, key: str) -> SavedTurn:
        saved = saved_turn(self.changed_turns[key])
        if saved.live:
            self._turns.weigh(key, len(saved.state))
        else:
            self._ended_turns.append(key)
        return saved

    def _save_conversation(self, key: str) -> SavedConversation:
        """An installation's always rests, and goes on with its next log record."""
        conversation = self.changed_conversations[key]
        saved = saved_conversation(conversation)
        if saved.live or conversation.last_log_ms:
            self._conversations.weigh(key, len(saved.state))
        else:
            self._resting.append(key)
        return saved
