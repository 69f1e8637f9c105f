"""Which turn a record belongs to.

With a prompt id that is plain. Records without one (all of clients before 2.1.59; start-up, shut-
down and mode changes of later ones) wait ``settle_ms`` for prompts still on their way, and then:

* a record behind a prompt, in time and by sequence, belongs to that prompt's turn;
* a record before the first prompt of its process (its sequence is lower than that of the prompt
  before it, because a resumed session counts from 0 again) waits for the next prompt;
* when no prompt comes for ``idle_ms``, start-up events end as ``no_prompt`` and are not shown; if
  there is work among them (a request costs money) they become a turn without a prompt.
"""

import bisect

import msgspec

from bridge.correlate.closing import Patience, has_passed
from bridge.correlate.turns import Order
from bridge.model.events import AnyEvent, PointEvent, Record, UserPrompt

KEPT_PROMPTS = 64
"""Prompts remembered per conversation; records are assigned within seconds of them."""


class PromptMark(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt that was seen: its place in the conversation and its turn."""

    order: Order
    sequence: int | None
    turn_key: str


class Conversation(msgspec.Struct, kw_only=True):
    """One session (or one installation that does not tell its sessions).

    Attributes:
        prompts: In order, the latest ``KEPT_PROMPTS``.
        waiting: Records whose turn is not known yet.
        live: Keys of turns that are not finished.
    """

    key: str
    prompts: list[PromptMark] = []
    waiting: list[Record] = []
    live: set[str] = set()

    @property
    def resting(self) -> bool:
        """Nothing of it has to stay in memory."""
        return not self.waiting and not self.live


class Assigned(msgspec.Struct, frozen=True):
    """Waiting records that have found their turn, None for those that will not be shown."""

    turn_key: str | None
    record: Record


def turn_key(event: AnyEvent) -> str | None:
    """The turn an event names: by prompt id, or, being a prompt itself, by its time."""
    if event.prompt_id:
        return f"{event.conversation}\0{event.prompt_id}"
    if isinstance(event, UserPrompt):
        return f"{event.conversation}\0@{event.time_ms}.{event.sequence or 0}"
    return None


def note_prompt(conversation: Conversation, key: str, prompt: UserPrompt) -> None:
    """Remember a prompt; repeating it changes nothing."""
    mark = PromptMark(order=prompt.order, sequence=prompt.sequence, turn_key=key)
    if mark not in conversation.prompts:
        bisect.insort(conversation.prompts, mark, key=lambda m: m.order)
        del conversation.prompts[:-KEPT_PROMPTS]


def prompted_after(conversation: Conversation, order: Order) -> bool:
    """Whether the session went on to a prompt after this place in it.

    Without session ids the prompts of parallel sessions cannot be told apart, so there the answer
    is always no.
    """
    if conversation.key.startswith("user:") or not conversation.prompts:
        return False
    return conversation.prompts[-1].order > order


def assign(conversation: Conversation, patience: Patience, *, now_ms: int) -> list[Assigned]:
    """Take out the waiting records whose turn is settled by now, in the order they happened."""
    assigned, waiting = [], []
    for record in sorted(conversation.waiting, key=lambda r: r.event.order):
        if not _passed(patience.settle_ms, record, now_ms):
            waiting.append(record)
            continue
        mark = _prompt_of(conversation, record.event)
        if mark:
            assigned.append(Assigned(mark.turn_key, record))
        else:
            waiting.append(record)
    expired = bool(waiting) and all(_passed(patience.idle_ms, r, now_ms) for r in waiting)
    conversation.waiting = [] if expired else waiting
    return [*assigned, *(_without_prompt(waiting) if expired else [])]


def is_undecided(conversation: Conversation, patience: Patience, *, now_ms: int) -> bool:
    """Whether some record has come too lately to know its turn: no turn is closed meanwhile."""
    return any(not _passed(patience.settle_ms, r, now_ms) for r in conversation.waiting)


def next_look_ms(conversation: Conversation, patience: Patience, *, now_ms: int) -> int | None:
    """When ``assign`` can next find something; None when nothing waits."""
    if not conversation.waiting:
        return None
    settling = [
        r.arrived_ms + patience.settle_ms
        for r in conversation.waiting
        if not _passed(patience.settle_ms, r, now_ms)
    ]
    idle_ms = max(r.arrived_ms for r in conversation.waiting) + patience.idle_ms
    return min([*settling, idle_ms])


def _prompt_of(conversation: Conversation, event: AnyEvent) -> PromptMark | None:
    """The prompt before the event, if it is of the same process; else the one after it."""
    marks = conversation.prompts
    place = bisect.bisect_right(marks, event.order, key=lambda m: m.order)
    before = marks[place - 1] if place else None
    if before and not _restarted(before.sequence, event.sequence):
        return before
    return marks[place] if place < len(marks) else None


def _restarted(before: int | None, then: int | None) -> bool:
    return before is not None and then is not None and then < before


def _without_prompt(records: list[Record]) -> list[Assigned]:
    work = [r.event for r in records if not isinstance(r.event, PointEvent)]
    key = f"{work[0].conversation}\0-{records[0].event.time_ms}" if work else None
    return [Assigned(key, record) for record in records]


def _passed(wait_ms: int, record: Record, now_ms: int) -> bool:
    return has_passed(wait_ms, since_ms=record.arrived_ms, now_ms=now_ms)
