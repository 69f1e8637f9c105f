"""Where the halves of one request or tool call meet, when they name two prompts.

Work that outlives its prompt ends under the id of the next one: a background agent's tool was
allowed in one turn and comes back in another, and the span of a session's title stands in the
trace of one while its record names the other. A call stays where it was first told of, a request
goes where its record puts it, since logs alone must give the same tree.
"""

from collections.abc import Callable
from typing import Final

from bridge.correlate.conversation import Conversation
from bridge.correlate.halves import COMPLETE, HALVES, RECORD, SPAN
from bridge.correlate.sessions import Assigned, learn_trace
from bridge.correlate.state import LiveTurn, OpenPart
from bridge.correlate.turns import digest
from bridge.model.events import AnyEvent, ToolDecision
from bridge.model.spans import ModelSpan, ToolSpan

_SPANS: Final = frozenset({ModelSpan, ToolSpan})
"""Those that may name a request or a call by the id that its record names."""

KEPT_STRAYS = 64
"""Requests and calls with halves of two prompts, remembered per conversation."""

MOST_TURNS = 16
"""Turns that are looked at: without session ids a conversation may have any number of them."""


def meeting_turn(
    conversation: Conversation,
    named: str,
    event: AnyEvent,
    turn_of: Callable[[str], LiveTurn | None],
    changed: dict[str, LiveTurn],
) -> str:
    """The key of the turn that an event belongs to, which is nearly always the one it names.

    Turns that it changes go into ``changed``.
    """
    key, told = HALVES[type(event)](event)
    # But for its span, all that tells of a request names the same prompt.
    meets = key[0] == "t" or (key[0] == "g" and conversation.traced)
    if not meets or type(event) is ToolDecision:
        return named
    stray = conversation.strays.get(key)
    if stray is not None:
        return stray
    own = turn_of(named)
    if own is not None and (key in own.parts or key in own.left):
        return named
    for other_key in sorted(conversation.live - {named})[:MOST_TURNS]:
        other = turn_of(other_key)
        if other is None or not (key in other.parts or key in other.left):
            continue
        if key[0] == "g" and told & COMPLETE and not _was_told_by_span(other, key):
            return _claimed(conversation, key, own, other, changed) or named
        return _remembered(conversation, key, other_key)
    return named


def met_by_id(
    conversation: Conversation, turn_of: Callable[[str], LiveTurn | None]
) -> list[Assigned]:
    """Take out the waiting spans whose request or call a live turn has without its span."""
    if not any(type(record.event) in _SPANS for record in conversation.waiting):
        return []  # and no turn is read back for nothing
    met, waiting = [], []
    live = [turn for key in sorted(conversation.live)[:MOST_TURNS] if (turn := turn_of(key))]
    for record in conversation.waiting:
        key = _turn_without(live, record.event)
        if key is None:
            waiting.append(record)
            continue
        learn_trace(conversation, record.event.otel_trace_id, key)
        met.append(Assigned(key, record))
    conversation.waiting = waiting
    return met


def _turn_without(live: list[LiveTurn], event: AnyEvent) -> str | None:
    if type(event) not in _SPANS:
        return None
    key, _ = HALVES[type(event)](event)
    for turn in live:
        part = turn.parts.get(key)
        if part is not None and part.told & RECORD and not part.told & SPAN:
            return turn.key
    return None


def _was_told_by_span(turn: LiveTurn, key: str) -> bool:
    return digest(key) in turn.sent_by_span


def _claimed(
    conversation: Conversation,
    key: str,
    own: LiveTurn | None,
    other: LiveTurn,
    changed: dict[str, LiveTurn],
) -> str | None:
    """A request's record takes with it what came before it; another request stays where it is."""
    part = other.parts.get(key)
    if part is None or part.told & COMPLETE or own is None:
        return None  # a gateway may give an id twice
    changed[own.key], changed[other.key] = own, other
    del other.parts[key]
    own.parts[key] = OpenPart(part.events, part.touched_ms, part.order, part.told)
    own.seen.update(event.key for event in part.events)
    return _remembered(conversation, key, own.key)


def _remembered(conversation: Conversation, key: str, turn_key: str) -> str:
    conversation.strays[key] = turn_key
    while len(conversation.strays) > KEPT_STRAYS:
        del conversation.strays[next(iter(conversation.strays))]
    return turn_key
