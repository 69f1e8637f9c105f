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

from bridge.correlate.activity import Activity
from bridge.correlate.closing import Patience, has_passed
from bridge.correlate.conversation import (
    KEPT_PROMPTS,
    KEPT_TRACES,
    OF_SEVERAL,
    Conversation,
    PromptMark,
)
from bridge.correlate.homes import known_home, settle_in
from bridge.correlate.state import LiveTurn, Order
from bridge.model.event import Origin
from bridge.model.events import AnyEvent, PointEvent, Record, UserPrompt
from bridge.model.outcomes import Outcome
from bridge.model.parts import TurnFacts
from bridge.model.spans import (
    OtherSpan,
    SpanEvent,
    ToolRun,
    ToolSpan,
    ToolWait,
    TurnSpan,
)

PROMPT_APART_MS = 2_000
"""Between the start of a turn's span and its prompt's record: up to 70 ms in all recordings."""


class Assigned(msgspec.Struct, frozen=True):
    """A waiting record that has found its turn, or, where that is None, its ending."""

    turn_key: str | None
    record: Record
    outcome: Outcome = Outcome.NO_PROMPT


def turn_key(conversation: Conversation, event: AnyEvent) -> str | None:
    """The turn a record names: by prompt id, being a prompt itself by its time, or by its trace."""
    if not conversation.has_logs:
        conversation.has_logs = True
    key = None
    if prompt_id := event.prompt_id:
        key = f"{conversation.key}\0{prompt_id}"
    elif type(event) is UserPrompt:
        key = f"{conversation.key}\0@{event.time_ms}.{event.sequence or 0}"
    trace_id = event.otel_trace_id
    if trace_id is not None:
        key = _key_in_trace(conversation, trace_id, key, event)
    if key is None or not event.agent_id:
        return key
    is_sure = conversation.traces.get(trace_id or "") == key
    return settle_in(conversation.homes, event, key, is_sure=is_sure)


def goes_on_alone(conversation: Conversation, turn: LiveTurn) -> bool:
    """Whether every record that names the turn's prompt, and no trace, belongs to it."""
    if turn.closed_by or len(conversation.live) > 1 or conversation.strays:
        return False
    return bool(turn.prompt_id) and turn.key == f"{turn.conversation}\0{turn.prompt_id}"


def turn_key_of_span(conversation: Conversation, event: AnyEvent) -> str | None:
    """The turn a span belongs to by its trace, if that is known."""
    conversation.traced = True
    _note_outside_trace(conversation, event)
    return conversation.traces.get(event.otel_trace_id or "") or None


def _note_outside_trace(conversation: Conversation, span: AnyEvent) -> None:
    """Keep in mind that a trace came from outside: the next prompt may be in it too."""
    if type(span) is TurnSpan and span.otel_parent_id and conversation.has_logs:
        conversation.traces[span.otel_trace_id or ""] = OF_SEVERAL


def _key_in_trace(
    conversation: Conversation, trace_id: str, key: str | None, event: AnyEvent
) -> str | None:
    """The turn that a record names, unless its trace is known to be another's."""
    conversation.logs_name_traces = True
    if key and trace_id:
        learn_trace(conversation, trace_id, key)
        known = conversation.traces[trace_id]
        if known in {key, OF_SEVERAL}:
            return key
        if _is_of_spans_alone(known):
            return known  # its records come too late to make it another turn
        if type(event) is UserPrompt:
            conversation.traces[trace_id] = OF_SEVERAL
        elif key in conversation.traces.values():
            return known  # work that outlives its prompt names the next one's id
    return key


def _is_of_spans_alone(key: str) -> bool:
    return "\0#" in key


def learn_trace(conversation: Conversation, trace_id: str | None, key: str) -> None:
    """Remember whose a trace is, unless that is known, or there is none."""
    if not trace_id:
        return
    conversation.traces.setdefault(trace_id, key)
    while len(conversation.traces) > KEPT_TRACES:
        del conversation.traces[next(iter(conversation.traces))]


def note_prompt(conversation: Conversation, key: str, prompt: UserPrompt, order: Order) -> None:
    """Remember a prompt; repeating it changes nothing."""
    mark = PromptMark(
        order=order,
        sequence=prompt.sequence,
        turn_key=key,
        traced=prompt.otel_trace_id is not None,
    )
    marks = conversation.prompts
    if not marks or marks[-1].order < mark.order:
        marks.append(mark)
    elif mark not in marks:
        bisect.insort(marks, mark, key=lambda m: m.order)
    del marks[:-KEPT_PROMPTS]


def overtaken(conversation: Conversation) -> set[str]:
    """Live turns that the latest prompt may have been the first to come after."""
    before = {mark.turn_key for mark in conversation.prompts[:-2]}
    return conversation.live - before


def prompted_after(conversation: Conversation, order: Order) -> bool:
    """Whether the session went on to a prompt after this place in it.

    Without session ids the prompts of parallel sessions cannot be told apart, so there the answer
    is always no.
    """
    prompts = conversation.prompts
    return bool(prompts) and prompts[-1].order > order and not conversation.key.startswith("user:")


def summary_facts(conversation: Conversation) -> TurnFacts | None:
    """What the parts of a summary share; known by its session and when the stretch began."""
    activity = conversation.activity
    if activity.origin is None:
        return None
    return TurnFacts(
        key=f"{conversation.key}\0summary\0{activity.start_ms}",
        session_id=activity.session_id,
        prompt_id=None,
        origin=activity.origin,
        command=None,
        synthetic=False,
        otel_trace_id=None,
        is_summary=True,
    )


def assign(
    conversation: Conversation, patience: Patience, *, logs_elsewhere: bool, now_ms: int
) -> list[Assigned]:
    """Take out the waiting records whose turn is settled by now, in the order they happened.

    Args:
        conversation: Where they wait.
        patience: How long to wait for what.
        logs_elsewhere: Whether the installation sends log records, though not to this session:
            while a session is resumed, old clients give spans a session id that nothing else has.
        now_ms: Our clock.
    """
    assigned, waiting = [], []
    for record in sorted(conversation.waiting, key=lambda r: r.event.order):
        key = _turn_of(conversation, patience, record, logs_elsewhere=logs_elsewhere, now_ms=now_ms)
        if key:
            assigned.append(Assigned(key, record))
        elif (
            logs_elsewhere
            and not conversation.has_logs
            and _is_standalone(conversation, record.event)
            and _passed(patience.span_settle_ms, record, now_ms)
        ):
            assigned.append(Assigned(None, record, Outcome.LATE))
        else:
            waiting.append(record)
    if assigned and waiting:
        waiting = _without_known(conversation, waiting, assigned)
    expired = bool(waiting) and all(_passed(patience.idle_ms, r, now_ms) for r in waiting)
    conversation.waiting = [] if expired else waiting
    return [*assigned, *(_without_prompt(waiting) if expired else [])]


def _without_known(
    conversation: Conversation, waiting: list[Record], assigned: list[Assigned]
) -> list[Record]:
    """Those left that wait on; spans whose trace a later one has just told go with it."""
    left: list[Record] = []
    for record in waiting:
        key = _turn_of_known_trace(conversation, record.event)
        if key:
            assigned.append(Assigned(key, record))
        else:
            left.append(record)
    return left


def _turn_of_known_trace(conversation: Conversation, event: AnyEvent) -> str | None:
    """The turn of a span that waited for its trace to be known; what it says counts from then."""
    if not isinstance(event, SpanEvent):
        return None
    known = conversation.traces.get(event.otel_trace_id or "")
    if known:
        _note_outside_trace(conversation, event)
    return known or None


def is_undecided(conversation: Conversation, patience: Patience, *, now_ms: int) -> bool:
    """Whether some record has come too lately to know its turn: no turn is closed meanwhile."""
    waiting = conversation.waiting
    return bool(waiting) and any(not _passed(patience.settle_ms, r, now_ms) for r in waiting)


def next_look_ms(conversation: Conversation, patience: Patience, *, now_ms: int) -> int | None:
    """When ``assign`` can next find something; None when nothing waits."""
    if not conversation.waiting:
        return None
    settling = [
        r.arrived_ms + wait_ms
        for r in conversation.waiting
        for wait_ms in (patience.settle_ms, patience.span_settle_ms, patience.idle_ms)
        if not _passed(wait_ms, r, now_ms)
    ]
    idle_ms = max(r.arrived_ms for r in conversation.waiting) + patience.idle_ms
    return min([*settling, idle_ms])


def _turn_of(
    conversation: Conversation,
    patience: Patience,
    record: Record,
    *,
    logs_elsewhere: bool,
    now_ms: int,
) -> str | None:
    """The turn a waiting record belongs to, if that is clear by now."""
    event = record.event
    if known := _turn_of_known_trace(conversation, event):
        return known
    if isinstance(event, SpanEvent) and not isinstance(event, OtherSpan):
        key = _turn_of_span(
            conversation, patience, record, logs_elsewhere=logs_elsewhere, now_ms=now_ms
        )
        if key and event.otel_trace_id:
            learn_trace(conversation, event.otel_trace_id, key)
            _note_outside_trace(conversation, event)
        return key
    if not _passed(patience.settle_ms, record, now_ms):
        return None
    mark = _prompt_of(conversation, event)
    return mark.turn_key if mark else None


def _turn_of_span(
    conversation: Conversation,
    patience: Patience,
    record: Record,
    *,
    logs_elsewhere: bool,
    now_ms: int,
) -> str | None:
    """By its trace; by time where records do not name theirs; else it may stand alone.

    It must not where log records tell of the same work: tokens would be counted twice. So where
    they are sent at all, it waits for them for as long as for anything.
    """
    event = record.event
    if not isinstance(event, SpanEvent) or not _passed(patience.settle_ms, record, now_ms):
        return None
    if mark := _prompt_of_span(conversation, event):
        doer = _tool_above(conversation, event) or event  # parts of a tool name no agent
        return known_home(conversation.homes, doer) or mark.turn_key
    if not _passed(patience.span_settle_ms, record, now_ms):
        return None
    waited = _passed(patience.idle_ms, record, now_ms)
    return _turn_of_span_alone(conversation, event, logs_elsewhere=logs_elsewhere, waited=waited)


def _turn_of_span_alone(
    conversation: Conversation, span: AnyEvent, *, logs_elsewhere: bool, waited: bool
) -> str | None:
    """The turn of a span that no record has claimed."""
    if conversation.has_logs and not conversation.logs_name_traces:
        mark = _prompt_of(conversation, span)
        return mark.turn_key if mark else None
    # Without a span for the turn there is nothing to tell how long its records may take, and
    # tokens counted twice are worse than a trace that comes late: these wait like any record.
    if _is_standalone(conversation, span):
        return None
    if (conversation.has_logs or logs_elsewhere) and not waited:
        return None
    return f"{conversation.key}\0#{span.otel_trace_id}"


def _is_standalone(conversation: Conversation, event: AnyEvent) -> bool:
    """Whether it is the span of a request or tool that is a trace of its own.

    For parts of a tool only the tool's span can tell, which comes when the call has come back;
    until then they count as such.
    """
    if not isinstance(event, SpanEvent) or isinstance(event, (TurnSpan, OtherSpan)):
        return False
    if not isinstance(event, (ToolWait, ToolRun)):
        return not event.otel_parent_id
    above = _tool_above(conversation, event)
    return above is None or not above.otel_parent_id


def _tool_above(conversation: Conversation, event: AnyEvent) -> ToolSpan | None:
    """The span of the tool that a span is a part of, if it waits too."""
    if not isinstance(event, (ToolWait, ToolRun)):
        return None
    waiting = (record.event for record in conversation.waiting)
    tools = (other for other in waiting if isinstance(other, ToolSpan))
    return next((tool for tool in tools if tool.otel_span_id == event.otel_parent_id), None)


def installation_key(origin: Origin) -> str:
    """The conversation that stands for one installation of the client."""
    return f"installation:{origin.installation or origin.attributes.get('user.id', '')}"


def _prompt_of_span(conversation: Conversation, span: SpanEvent) -> PromptMark | None:
    """The prompt a span belongs to by time, where records do not tell it by their trace."""
    of_several = conversation.traces.get(span.otel_trace_id or "") == OF_SEVERAL
    untraced = [mark for mark in conversation.prompts if of_several or not mark.traced]
    if isinstance(span, TurnSpan):
        near = [mark for mark in untraced if _apart_ms(mark, span) <= PROMPT_APART_MS]
        return min(near, key=lambda mark: (_apart_ms(mark, span), mark.order), default=None)
    before = [mark for mark in untraced if mark.order[0] <= span.time_ms]
    return before[-1] if before else None


def _apart_ms(mark: PromptMark, span: TurnSpan) -> int:
    return abs(mark.order[0] - span.began_ms)


def _prompt_of(conversation: Conversation, event: AnyEvent) -> PromptMark | None:
    """The prompt before the event, if it is of the same process; else the one after it."""
    marks = conversation.prompts
    place = bisect.bisect_right(marks, event.order, key=lambda m: m.order)
    before = marks[place - 1] if place else None
    if before and not _restarted(conversation.activity, before, event):
        return before
    return marks[place] if place < len(marks) else None


def _restarted(activity: Activity, before: PromptMark, event: AnyEvent) -> bool:
    """Whether another process has begun since: its numbers, or some before them, are lower."""
    told = before.sequence
    if told is None or event.sequence is None:
        return False
    return event.sequence < told or any(
        before.order < first <= event.order and first[1] <= told for first, _ in activity.runs
    )


def _without_prompt(records: list[Record]) -> list[Assigned]:
    work = [r.event for r in records if not isinstance(r.event, (PointEvent, OtherSpan))]
    # Spans may come or not: where there are records, the key is theirs.
    told = [r.event for r in records if not isinstance(r.event, SpanEvent)] or work
    key = f"{work[0].conversation}\0-{told[0].time_ms}" if work else None
    return [Assigned(key, record) for record in records]


def _passed(wait_ms: int, record: Record, now_ms: int) -> bool:
    return has_passed(wait_ms, record.arrived_ms, now_ms)
