"""The correlator: holds what is live, folds records in, gives out what is due.

Owned by the assembler alone. It does no I/O: what it does not hold it asks of an ``Archive``, and
``take_changes`` tells what to save. If saving fails, the correlator is thrown away and built anew
from the store, which then has the state before.
"""

import heapq
from collections import Counter
from collections.abc import Iterator
from typing import Protocol

import msgspec

from bridge.correlate import activity, building, sessions, settling, spans, turns
from bridge.correlate.closing import Patience, has_passed
from bridge.correlate.sessions import Conversation
from bridge.correlate.state import LiveTurn
from bridge.model.events import ModelRequest, Record, UserPrompt
from bridge.model.measures import Measurement
from bridge.model.outcomes import Outcome
from bridge.model.parts import PromptCost, Root, Settled
from bridge.model.sessions import Counter as Metered
from bridge.model.sessions import SessionTotals, Summary
from bridge.model.spans import SpanEvent


class Archive(Protocol):
    """What was saved before: encoded states by key, None for what was never seen."""

    def turn(self, key: str) -> bytes | None:
        """The saved state of a turn."""
        ...

    def conversation(self, key: str) -> bytes | None:
        """The saved state of a conversation."""
        ...


class SavedTurn(msgspec.Struct, frozen=True, kw_only=True):
    """A turn to save. The plain columns are for people who list sessions."""

    key: str
    session_id: str | None
    live: bool
    held: int
    started_ms: int
    state: bytes
    otel_trace_id: str | None = None


class SavedConversation(msgspec.Struct, frozen=True, kw_only=True):
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


NOTE_EVERY_MS = 300_000

_Look = tuple[int, int, str]
"""When, for what, at which conversation or turn."""

_ASSIGN, _CUT, _END = range(3)
"""In this order at one moment: waiting records find their turns, turns give out what is due, and
then a stretch of activity may have ended."""

_encode = msgspec.msgpack.Encoder().encode
_decode_turn = msgspec.msgpack.Decoder(LiveTurn).decode
_decode_conversation = msgspec.msgpack.Decoder(Conversation).decode


class Correlator:
    """Live turns and conversations, and when to look at each again."""

    def __init__(self, patience: Patience, archive: Archive) -> None:
        self._patience = patience
        self._archive = archive
        self._turns: dict[str, LiveTurn] = {}
        self._conversations: dict[str, Conversation] = {}
        self._looks: list[_Look] = []
        self._scheduled: dict[tuple[int, str], int] = {}
        self._changed_turns: set[str] = set()
        self._changed_conversations: set[str] = set()
        self._costed: set[str] = set()
        self._ended: set[str] = set()
        self._outcomes: Counter[Outcome] = Counter()
        self._clock_ms = 0

    def restore(self, conversation_keys: list[str], *, now_ms: int) -> None:
        """Take up live conversations and their turns again after a start."""
        for key in conversation_keys:
            conversation = self._conversation(key)
            if conversation.waiting:
                first_ms = min(record.arrived_ms for record in conversation.waiting)
                self._schedule(first_ms + self._patience.settle_ms, _ASSIGN, key)
            if conversation.activity.open:
                self._look_at_activity(conversation, now_ms)
            for turn_key in sorted(conversation.live):
                if turn := self._known_turn(turn_key):
                    self._look_at_turn(turn, conversation)

    def fold(self, record: Record) -> None:
        """Take one record in."""
        event = record.event
        conversation = self._conversation(event.conversation)
        self._changed_conversations.add(conversation.key)
        activity.note_record(conversation.activity, record)
        if not isinstance(event, SpanEvent):
            self._note_logs(record)
        self._look_at_activity(conversation, record.arrived_ms)
        key = sessions.turn_key(conversation, event)
        if key is None:
            conversation.waiting.append(record)
            self._look_at_conversation(conversation, record.arrived_ms)
            return
        if isinstance(event, UserPrompt):
            sessions.note_prompt(conversation, key, event)
            self._look_at_all(conversation, record.arrived_ms)
        self._fold_into_turn(conversation, key, record)

    def measure(self, measurement: Measurement) -> None:
        """Take one metric point in. It ends at once, as part of its session's totals."""
        conversation = self._conversation(measurement.point.conversation)
        self._changed_conversations.add(conversation.key)
        new = activity.measure(conversation.activity, measurement)
        outcome = Outcome.SESSION_TOTAL if new else Outcome.DUPLICATE
        self._outcomes[outcome] += measurement.records
        self._look_at_activity(conversation, measurement.arrived_ms)

    def due(self, now_ms: int) -> list[Settled]:
        """Everything that is due at ``now_ms``, in the order in which it became due.

        Each look is taken as of the time it was planned for: after a pause of ours what came
        together is judged as it would have been without the pause.
        """
        settled: list[Settled] = []
        while self._looks and self._is_due(self._looks[0][0], now_ms):
            at_ms, kind, key = heapq.heappop(self._looks)
            if self._scheduled.get((kind, key)) != at_ms:
                continue  # an earlier look has been there since
            del self._scheduled[kind, key]
            self._clock_ms = min(max(at_ms, self._clock_ms), now_ms)
            if kind == _ASSIGN:
                self._assign(key, self._clock_ms)
            elif kind == _CUT:
                settled += self._cut(key, self._clock_ms)
            else:
                settled += self._end_stretch(key, self._clock_ms)
        self._clock_ms = now_ms
        return settled

    def _is_due(self, at_ms: int, now_ms: int) -> bool:
        """Whether a look is due; one too far ahead was planned by a clock set back since."""
        return at_ms <= now_ms or at_ms > now_ms + self._patience.longest_ms

    def take_changes(self) -> Changes:
        """What to save, and forget what needs no memory any more."""
        totals = tuple(self._session_totals())
        changes = Changes(
            turns=tuple(self._save_turn(key) for key in sorted(self._changed_turns)),
            conversations=tuple(
                self._save_conversation(key) for key in sorted(self._changed_conversations)
            ),
            outcomes=dict(self._outcomes),
            sessions=totals,
            costs=tuple(self._prompt_costs()),
        )
        self._forget()
        return changes

    def _conversation(self, key: str) -> Conversation:
        conversation = self._conversations.get(key)
        if conversation is None:
            saved = self._archive.conversation(key)
            conversation = _decode_conversation(saved) if saved else Conversation(key=key)
            self._conversations[key] = conversation
        return conversation

    def _known_turn(self, key: str) -> LiveTurn | None:
        turn = self._turns.get(key)
        if turn is None and (saved := self._archive.turn(key)):
            turn = self._turns[key] = _decode_turn(saved)
        return turn

    def _fold_into_turn(self, conversation: Conversation, key: str, record: Record) -> None:
        turn = self._known_turn(key)
        if turn is None:
            turn = self._turns[key] = turns.new_turn(key, record)
        outcome = turns.fold(turn, record)
        self._changed_turns.add(key)
        if outcome is not None:
            self._outcomes[outcome] += 1
        else:
            activity.note_event(conversation.activity, record.event)
        if turn.closed_by and isinstance(record.event, ModelRequest):
            self._costed.add(key)
        if not turn.is_finished():
            conversation.live.add(key)
            self._look_at_turn(turn, conversation)

    def _assign(self, key: str, now_ms: int) -> None:
        conversation = self._conversations.get(key)
        if conversation is None or not conversation.waiting:
            return
        self._changed_conversations.add(key)
        for assigned in sessions.assign(
            conversation,
            self._patience,
            logs_elsewhere=self._has_logs_elsewhere(conversation, now_ms),
            now_ms=now_ms,
        ):
            if assigned.turn_key is None:
                self._outcomes[assigned.outcome] += 1
            else:
                # Its halves may be assigned just now too: they settle together from here.
                record = msgspec.structs.replace(assigned.record, arrived_ms=now_ms)
                self._fold_into_turn(conversation, assigned.turn_key, record)
        self._look_at_conversation(conversation, now_ms)

    def _has_logs_elsewhere(self, conversation: Conversation, now_ms: int) -> bool:
        origin = conversation.activity.origin
        if origin is None or conversation.has_logs:
            return False
        installation = self._conversation(sessions.installation_key(origin))
        self._changed_conversations.add(installation.key)
        return now_ms - installation.last_log_ms < self._patience.idle_ms

    def _note_logs(self, record: Record) -> None:
        """Remember, to within minutes, that an installation sends log records."""
        installation = self._conversation(sessions.installation_key(record.origin))
        if record.arrived_ms - installation.last_log_ms > NOTE_EVERY_MS:
            installation.last_log_ms = record.arrived_ms
            self._changed_conversations.add(installation.key)

    def _cut(self, key: str, now_ms: int) -> list[Settled]:
        turn = self._turns.get(key)
        if turn is None or turn.is_finished():
            return []
        conversation = self._conversation(turn.conversation)
        undecided = sessions.is_undecided(conversation, self._patience, now_ms=now_ms)
        cut = settling.Cut(
            turn,
            self._patience,
            prompted_again=sessions.prompted_after(conversation, turn.order),
            undecided=undecided,
            traced=conversation.traced,
            now_ms=now_ms,
        )
        settled = cut.run()
        self._changed_turns.add(key)
        self._outcomes[Outcome.LATE] += cut.late
        for part in settled:
            if isinstance(part.part, Root):
                self._costed.add(key)
            if told := spans.told_by_spans_alone(part.part):
                activity.note_event(conversation.activity, told)
                self._changed_conversations.add(conversation.key)
        if turn.is_finished():
            conversation.live.discard(key)
            self._changed_conversations.add(conversation.key)
        else:
            self._look_at_turn(turn, conversation, after_ms=now_ms)
            if undecided:
                self._schedule(now_ms + self._patience.settle_ms, _CUT, key)
        return settled

    def _end_stretch(self, key: str, now_ms: int) -> list[Settled]:
        """The summary of a stretch of activity that has ended, and its counters."""
        conversation = self._conversations.get(key)
        if conversation is None or not conversation.activity.open:
            return []
        going_on = conversation.activity
        idle_ms = self._patience.session_idle_ms
        passed = has_passed(idle_ms, since_ms=going_on.touched_ms, now_ms=now_ms)
        if conversation.live or conversation.waiting or not passed:
            self._look_at_activity(conversation, now_ms)
            return []
        self._changed_conversations.add(key)
        self._ended.add(key)
        facts = sessions.summary_facts(conversation)
        summary = activity.end_stretch(going_on)
        if summary is None or facts is None:
            return []
        parts: list[Summary | Metered] = [summary, *activity.counters(summary)]
        return [Settled(turn=facts, part=part, observed=0, folded=0) for part in parts]

    def _look_at_activity(self, conversation: Conversation, now_ms: int) -> None:
        at_ms = conversation.activity.touched_ms + self._patience.session_idle_ms
        later_ms = now_ms + max(self._patience.settle_ms, 1)
        self._schedule(max(at_ms, later_ms), _END, conversation.key)

    def _look_at_turn(self, turn: LiveTurn, conversation: Conversation, after_ms: int = -1) -> None:
        again = sessions.prompted_after(conversation, turn.order)
        at_ms = settling.next_look_ms(turn, self._patience, prompted_again=again, after_ms=after_ms)
        self._schedule(at_ms, _CUT, turn.key)

    def _look_at_conversation(self, conversation: Conversation, now_ms: int) -> None:
        at_ms = sessions.next_look_ms(conversation, self._patience, now_ms=now_ms)
        if at_ms is not None:
            self._schedule(at_ms, _ASSIGN, conversation.key)

    def _schedule(self, at_ms: int, kind: int, key: str) -> None:
        """Look at it then, unless it is looked at before that anyway."""
        if at_ms < self._scheduled.get((kind, key), at_ms + 1):
            self._scheduled[kind, key] = at_ms
            heapq.heappush(self._looks, (at_ms, kind, key))

    def _look_at_all(self, conversation: Conversation, now_ms: int) -> None:
        """A new prompt may end the turns before it, and give waiting records their turn."""
        if conversation.waiting:
            self._schedule(now_ms, _ASSIGN, conversation.key)
        for key in conversation.live:
            if turn := self._turns.get(key):
                self._look_at_turn(turn, conversation)

    def _save_turn(self, key: str) -> SavedTurn:
        turn = self._turns[key]
        return SavedTurn(
            key=key,
            session_id=turn.session_id,
            live=not turn.is_finished(),
            held=turn.held,
            started_ms=turn.order[0],
            state=_encode(turn),
            otel_trace_id=turn.facts.otel_trace_id if turn.facts else turn.otel_trace_id,
        )

    def _save_conversation(self, key: str) -> SavedConversation:
        conversation = self._conversations[key]
        return SavedConversation(
            key=key,
            live=not conversation.resting,
            held=len(conversation.waiting),
            state=_encode(conversation),
        )

    def _session_totals(self) -> Iterator[SessionTotals]:
        for key in sorted(self._changed_conversations):
            totals = activity.totals(self._conversations[key].activity, final=key in self._ended)
            if totals:
                yield totals

    def _prompt_costs(self) -> Iterator[PromptCost]:
        for key in sorted(self._costed):
            turn = self._turns[key]
            yield PromptCost(
                turn=building.frozen_facts(turn),
                start_ms=turn.start_ms,
                totals=turn.totals.copied(),
            )

    def _forget(self) -> None:
        for key in self._changed_turns:
            if self._turns[key].is_finished():
                del self._turns[key]
        for key in self._changed_conversations:
            if self._conversations[key].resting:
                del self._conversations[key]
        self._changed_turns.clear()
        self._changed_conversations.clear()
        self._costed.clear()
        self._ended.clear()
        self._outcomes.clear()
