"""The correlator: folds records into turns and sessions, gives out what is due.

Owned by the assembler alone. It does no I/O: what it does not hold it asks of an ``Archive``, and
``take_changes`` tells what to save. If saving fails, the correlator is thrown away and built anew
from the store, which then has the state before.

It holds what it used last, up to a bound, and nothing else that grows with the number of sessions:
what is live is in the archive, and comes back with its next record or when something is due.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

import msgspec

from bridge.correlate import activity, building, sessions, settling, sums, turns
from bridge.correlate.closing import Patience, has_passed
from bridge.correlate.conversation import Conversation
from bridge.correlate.homes import is_at_home
from bridge.correlate.looks import Looks
from bridge.correlate.meeting import meeting_turn, met_by_id
from bridge.correlate.notes import NOTES
from bridge.correlate.saved import Archive, Bounds, Changes
from bridge.correlate.state import LiveTurn, Order
from bridge.correlate.states import States
from bridge.model.events import AnyEvent, ModelRequest, Origin, Record, UserPrompt
from bridge.model.measures import Measurement
from bridge.model.outcomes import Outcome
from bridge.model.parts import PromptCost, Settled
from bridge.model.sessions import Counter as Metered
from bridge.model.sessions import SessionTotals, Summary
from bridge.model.spans import SPAN_KINDS

_ASSIGN, _CUT, _END = range(3)
"""In this order at one moment: waiting records find their turns, turns give out what is due, and
then a stretch of activity may have ended."""

_FURTHER: Final = frozenset(NOTES) - SPAN_KINDS - {UserPrompt}
"""Log records that neither begin a turn nor end the ones before it."""


class Correlator:
    """Turns and conversations, and when to look at each again."""

    def __init__(self, patience: Patience, archive: Archive, bounds: Bounds | None = None) -> None:
        bounds = bounds or Bounds()
        self._patience = patience
        self._states = States(archive, bounds)
        self._changed_turns = self._states.changed_turns
        self._changed_conversations = self._states.changed_conversations
        self._looks = Looks(archive, patience.longest_ms, bounds.looks)
        self._touched: set[str] = set()
        self._costed: set[str] = set()
        self._ended: set[str] = set()
        self._to_tell: set[str] = set()
        self._logs_origin: Origin | None = None
        self._logs_until_ms = 0
        self._outcomes: Counter[Outcome] = Counter()
        self._clock_ms = 0
        self._going_on: LiveTurn | None = None
        self._going_on_in = Conversation(key="")

    @property
    def is_full(self) -> bool:
        """Whether so much has changed that it has to be saved before anything else is touched."""
        return self._states.is_full

    @property
    def held(self) -> int:
        """Conversations, turns and looks in memory."""
        return self._states.held + self._looks.near

    def fold(self, record: Record) -> None:
        """Take one record in."""
        event = record.event
        sequence = event.sequence
        order = (event.time_ms, -1 if sequence is None else sequence, event.key)
        turn = self._going_on
        if (
            turn is None
            or event.prompt_id != turn.prompt_id
            or event.conversation != turn.conversation
            or event.otel_trace_id is not None
            or record.origin is not self._logs_origin
            or record.arrived_ms > self._logs_until_ms
            or type(event) not in _FURTHER
            or (event.agent_id and not is_at_home(self._going_on_in.homes, event, turn.key))
        ):
            self._fold_first(record, order)
            return
        # One more of the turn that the record before it belonged to. Since that one nothing was due
        # and nothing was saved: turn and session are changing, have their looks, and it is open.
        conversation = self._going_on_in
        activity.note_record(conversation.activity, record, order)
        outcome = turns.fold(turn, record, order)
        if outcome is not None:
            self._outcomes[outcome] += 1
        elif sums.note_event(conversation.activity, event):
            self._to_tell.add(conversation.key)

    def _fold_first(self, record: Record, order: Order) -> None:
        """Fold in a record whose session and turn have to be looked up."""
        event = record.event
        key = event.conversation
        conversation = self._changed_conversations.get(key) or self._states.changing(key)
        activity.note_record(conversation.activity, record, order)
        if conversation.end_ms is None:
            self._look_at_activity(conversation, record.arrived_ms)
        is_span = type(event) in SPAN_KINDS
        if is_span:
            turn_key = sessions.turn_key_of_span(conversation, event)
        else:
            turn_key = sessions.turn_key(conversation, event)
            if self._logs_origin is not record.origin or record.arrived_ms > self._logs_until_ms:
                self._note_logs(record)
        if turn_key is None:
            conversation.waiting.append(record)
            self._look_at_waiting(conversation, record.arrived_ms)
            return
        if type(event) is UserPrompt:
            sessions.note_prompt(conversation, turn_key, event, order)
            self._look_at_all(conversation, record.arrived_ms)
        turn = self._fold_into_turn(conversation, turn_key, record, order)
        self._going_on = None
        if not is_span and sessions.goes_on_alone(conversation, turn):
            self._going_on, self._going_on_in = turn, conversation

    def measure(self, measurement: Measurement) -> None:
        """Take one metric point in. It ends at once, as part of its session's totals."""
        conversation = self._states.changing(measurement.point.conversation)
        new = activity.measure(conversation.activity, measurement)
        if new:
            self._to_tell.add(conversation.key)
        outcome = Outcome.SESSION_TOTAL if new else Outcome.DUPLICATE
        self._outcomes[outcome] += measurement.records
        self._look_at_activity(conversation, measurement.arrived_ms)

    def due(self, now_ms: int) -> list[Settled]:
        """What is due at ``now_ms``, in the order in which it became due.

        That is all of it unless ``is_full``: then save, and call again. Each look is taken as of
        the time it was planned for: after a pause of ours what came together is judged as it would
        have been without the pause.
        """
        settled: list[Settled] = []
        self._going_on = None
        turns, conversations = self._changed_turns, self._changed_conversations
        most_changed = self._states.most_changed
        while len(turns) + len(conversations) < most_changed:
            if self._touched:
                self._look_at_touched()
            look = self._looks.take_due(now_ms)
            if look is None:
                self._clock_ms = now_ms
                break
            at_ms, kind, key = look
            if at_ms > self._clock_ms:
                self._clock_ms = at_ms
            if now_ms < self._clock_ms:
                self._clock_ms = now_ms
            settled += self._look(kind, key, self._clock_ms)
        return settled

    def next_look_ms(self) -> int | None:
        """When something is due next if nothing comes before; None: never."""
        look = self._looks.first()
        return look[0] if look else None

    def _look(self, kind: int, key: str, now_ms: int) -> list[Settled]:
        if kind == _CUT:
            turn = self._changed_turns.get(key) or self._states.known_turn(key)
            return self._cut(turn, now_ms) if turn else []
        conversation = self._states.known_conversation(key)
        if conversation is None:
            return []
        self._changed_conversations[key] = conversation
        if kind == _END:
            return self._end_stretch(conversation, now_ms)
        self._assign(conversation, now_ms)
        return []

    def take_changes(self) -> Changes:
        """What to save, and forget what needs no memory any more."""
        self._look_at_touched()
        self._going_on = None
        totals = tuple(self._session_totals())
        changes = Changes(
            turns=self._states.saved_turns(),
            conversations=self._states.saved_conversations(),
            outcomes=dict(self._outcomes),
            sessions=totals,
            costs=tuple(self._prompt_costs()),
            looks=self._looks.take_changes(),
        )
        self._states.forget()
        self._costed.clear()
        self._ended.clear()
        self._to_tell.clear()
        self._outcomes.clear()
        return changes

    def _fold_into_turn(
        self, conversation: Conversation, key: str, record: Record, order: Order
    ) -> LiveTurn:
        if not conversation.live <= {key} or conversation.strays:
            key = meeting_turn(
                conversation, key, record.event, self._states.known_turn, self._changed_turns
            )
        turn = self._changed_turns.get(key) or self._states.changing_turn(key, record, order)
        outcome = turns.fold(turn, record, order)
        if outcome is not None:
            self._outcomes[outcome] += 1
        elif sums.note_event(conversation.activity, record.event):
            self._to_tell.add(conversation.key)
        if turn.closed_by and type(record.event) is ModelRequest:
            self._costed.add(key)
        if key not in self._touched and (turn.closed_by is None or not turn.is_finished()):
            conversation.live.add(key)
            self._touched.add(key)
        return turn

    def _assign(self, conversation: Conversation, now_ms: int) -> None:
        conversation.assign_ms = None
        elsewhere = self._has_logs_elsewhere(conversation, now_ms)
        met = met_by_id(conversation, self._states.known_turn)
        for assigned in met + sessions.assign(
            conversation, self._patience, logs_elsewhere=elsewhere, now_ms=now_ms
        ):
            if assigned.turn_key is None:
                self._outcomes[assigned.outcome] += 1
            else:
                # Its halves may be assigned just now too: they settle together from here.
                record = msgspec.structs.replace(assigned.record, arrived_ms=now_ms)
                self._fold_into_turn(conversation, assigned.turn_key, record, record.event.order)
        self._look_at_waiting(conversation, now_ms)

    def _has_logs_elsewhere(self, conversation: Conversation, now_ms: int) -> bool:
        origin = conversation.activity.origin
        if origin is None or conversation.has_logs:
            return False
        installation = self._states.changing(sessions.installation_key(origin))
        return now_ms - installation.last_log_ms < self._patience.idle_ms

    def _note_logs(self, record: Record) -> None:
        """Remember, to within minutes, that an installation sends log records."""
        key = sessions.installation_key(record.origin)
        self._logs_until_ms = self._states.note_logs(key, record.arrived_ms)
        self._logs_origin = record.origin

    def _cut(self, turn: LiveTurn, now_ms: int) -> list[Settled]:
        key = turn.key
        turn.cut_ms = None
        self._changed_turns[key] = turn
        was_closed = turn.closed_by is not None
        if was_closed and turn.is_finished():
            return []
        of = turn.conversation
        conversation = self._changed_conversations.get(of) or self._states.conversation(of)
        undecided = bool(conversation.waiting) and sessions.is_undecided(
            conversation, self._patience, now_ms=now_ms
        )
        prompted_again = sessions.prompted_after(conversation, turn.order())
        cut = settling.Cut(
            turn,
            self._patience,
            prompted_again=prompted_again,
            undecided=undecided,
            traced=conversation.traced,
            now_ms=now_ms,
        )
        settled = cut.run()
        if cut.late:
            self._outcomes[Outcome.LATE] += cut.late
        is_closed = turn.closed_by is not None
        if is_closed and not was_closed:
            self._costed.add(key)
        if cut.told_by_spans:
            self._count_told_by_spans(conversation, cut.told_by_spans)
        if is_closed and turn.is_finished():
            conversation.live.discard(key)
            self._changed_conversations[conversation.key] = conversation
        else:
            at_ms = settling.later_look_ms(turn, self._patience, prompted_again, now_ms)
            if undecided:
                at_ms = min(at_ms, now_ms + self._patience.settle_ms)
            self._plan_cut(turn, at_ms)
        return settled

    def _count_told_by_spans(self, conversation: Conversation, told: list[AnyEvent]) -> None:
        """Sum in what no record has told, and is told now by its spans alone."""
        self._changed_conversations[conversation.key] = conversation
        for event in told:
            if sums.note_event(conversation.activity, event):
                self._to_tell.add(conversation.key)

    def _end_stretch(self, conversation: Conversation, now_ms: int) -> list[Settled]:
        """The summary of a stretch of activity that has ended, and its counters."""
        conversation.end_ms = None
        if not conversation.activity.open:
            return []
        going_on = conversation.activity
        idle_ms = self._patience.session_idle_ms
        passed = has_passed(idle_ms, going_on.touched_ms, now_ms)
        if conversation.live or conversation.waiting or not passed:
            self._look_at_activity(conversation, now_ms)
            return []
        self._ended.add(conversation.key)
        facts = sessions.summary_facts(conversation)
        summary = activity.end_stretch(going_on)
        if summary is None or facts is None:
            return []
        parts: list[Summary | Metered] = [summary, *activity.counters(summary)]
        return [Settled(turn=facts, part=part, observed=0, folded=0) for part in parts]

    def _look_at_activity(self, conversation: Conversation, now_ms: int) -> None:
        if not conversation.activity.open:
            return
        at_ms = conversation.activity.touched_ms + self._patience.session_idle_ms
        planned_ms = conversation.end_ms
        if planned_ms is not None and planned_ms <= at_ms:
            return
        later_ms = now_ms + max(self._patience.settle_ms, 1)
        conversation.end_ms = self._plan(planned_ms, max(at_ms, later_ms), _END, conversation.key)

    def _plan_cut(self, turn: LiveTurn, at_ms: int) -> None:
        """``_plan`` for a turn, of which there are far more looks than of all else."""
        planned_ms, key = turn.cut_ms, turn.key
        if at_ms < self._clock_ms:
            at_ms = self._clock_ms
        if planned_ms is not None:
            if planned_ms <= at_ms:
                return
            self._looks.cancel((planned_ms, _CUT, key))
        self._looks.plan((at_ms, _CUT, key))
        turn.cut_ms = at_ms
        self._changed_turns[key] = turn

    def _look_at_waiting(self, conversation: Conversation, now_ms: int) -> None:
        at_ms = sessions.next_look_ms(conversation, self._patience, now_ms=now_ms)
        if at_ms is not None:
            self._plan_assignment(conversation, at_ms)

    def _plan_assignment(self, conversation: Conversation, at_ms: int) -> None:
        planned_ms = conversation.assign_ms
        conversation.assign_ms = self._plan(planned_ms, at_ms, _ASSIGN, conversation.key)

    def _plan(self, planned_ms: int | None, at_ms: int, kind: int, key: str) -> int:
        """Look at it then, unless it is looked at before that anyway; returns when.

        What is overdue is looked at now: looks come in one order, whoever reads them back later.
        """
        if at_ms < self._clock_ms:
            at_ms = self._clock_ms
        if planned_ms is not None and planned_ms <= at_ms:
            return planned_ms
        if planned_ms is not None:
            self._looks.cancel((planned_ms, kind, key))
        self._looks.plan((at_ms, kind, key))
        return at_ms

    def _look_at_all(self, conversation: Conversation, now_ms: int) -> None:
        """A new prompt may end the turns before it, and give waiting records their turn."""
        if conversation.waiting:
            self._plan_assignment(conversation, now_ms)
        self._touched |= sessions.overtaken(conversation)

    def _look_at_touched(self) -> None:
        """Plan the next look at turns once for all the records that came together."""
        states, conversations = self._states, self._changed_conversations
        for key in sorted(self._touched):
            turn = self._changed_turns.get(key) or states.known_turn(key)
            if turn and (turn.closed_by is None or not turn.is_finished()):
                of = turn.conversation
                conversation = conversations.get(of) or states.conversation(of)
                again = sessions.prompted_after(conversation, turn.order())
                at_ms = settling.next_look_ms(turn, self._patience, again)
                self._plan_cut(turn, at_ms)
        self._touched.clear()

    def _session_totals(self) -> Iterator[SessionTotals]:
        """Of the sessions of which something is to be told, or whose stretch has ended."""
        for key in sorted(self._to_tell | self._ended):
            told_of = self._changed_conversations[key].activity
            totals = activity.totals(told_of, final=key in self._ended)
            if totals:
                yield totals

    def _prompt_costs(self) -> Iterator[PromptCost]:
        for key in sorted(self._costed):
            turn = self._changed_turns[key]
            if activity.is_check(turn.session_id):
                continue
            yield PromptCost(
                turn=building.frozen_facts(turn),
                start_ms=turn.start_ms,
                totals=turn.totals.copy(),
            )
