"""Values → what is wanted of them: worked out once for all records of one pattern.

A client writes the attributes of one kind of event in a few ways only. Where each field of the
event stands among them, what of them is shown as metadata, what has to be within limits: all that
depends on the names alone. A ``Shape`` is the answer, and records are read by it with a few calls
over whole tuples.

Most values are plain: short strings in one line, digits. That is decided for all values of a record
at once; only where it is not so they are looked at one by one. And where values are the same in all
records of a ``Pattern``, what follows from them alone is worked out once, too.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import orjson

from bridge.decode.attributes import MAX_ID_CHARS, count, shown
from bridge.decode.claude_code.clamping import COST, IDENTIFIERS, LIMITS, is_plain
from bridge.decode.claude_code.names import ENVELOPE, OLDER_NAMES, SENDER
from bridge.decode.moments import MAX_DURATION_MS
from bridge.decode.patterns import Pattern
from bridge.decode.picking import Row, pick
from bridge.model.events import AnyEvent
from bridge.model.observations import MetadataValue

BLANKS: Final = (None, "")
"""With these every row begins; behind them are the values of a head, then a record's own."""
_NOTHING, _NO_TEXT = range(2)
"""Places in every row of what is absent, among any values and among texts."""

T = TypeVar("T")
Known = Mapping[int, Any]
"""Place in a row → the value that is known to stand there."""

IDS: Final = ("prompt.id", "request_id", "tool_use_id", "query_source")
"""What every record may be known by; the ids of its kind stand behind them."""
SOURCE: Final = 3
AGENT_IDS: Final = ("agent_id", "parent_agent_id", "agent.name")
NAME: Final = "event.name"
_INTS: Final = frozenset({int})
_PLAIN: Final = MAX_DURATION_MS
"""No limit of a whole number is lower, so numbers that together are not more are within theirs."""
_KEY_IDS: Final = 3
"""So many of ``IDS`` a record's key is made of."""
_AROUND_IDS: Final = 19
"""What else is in the JSON of a record's key has at least so many characters, beside its name."""
_WORDS: Final = frozenset({str, type(None)})
"""Numbers of different kinds are equal as keys, so they are not remembered."""
_KEPT_WORDS: Final = 64
_WORD_CHARS: Final = 160
_CHECKED_ALONE: Final = frozenset({COST, "event.sequence"})


class Log(msgspec.Struct, gc=False):
    """A record on its way to becoming an event: what all builders are given.

    Attributes:
        attributes: What is shown as metadata.
        ids: ``IDS`` and those of the event's ``Kind``, "" where there is none.
        counts: Those of the kind, None where there is none.
        values: Likewise, as they were told.
        told: What the kind reads from words.
        rare: Fields of the event that few records have.
    """

    name: str
    key: bytes
    session_id: str | None
    conversation: str
    prompt_id: str | None
    time_ms: int
    sequence: int | None
    attributes: dict[str, MetadataValue]
    ids: Sequence[str]
    counts: Sequence[int | None]
    values: Sequence[Any]
    told: Any
    rare: dict[str, Any]


class Kind(NamedTuple):
    """What the events of one name are made of.

    Attributes:
        build: Makes one.
        ids: Attributes that something is known by.
        counts: Attributes that are whole numbers.
        values: Other attributes that it reads.
        own: Attributes that are not shown as metadata besides.
        read: Reads ``words``: attributes that are mostly the same in many records. It depends on
            nothing else, so what it gives is kept where they are; nobody may change it.
    """

    build: Callable[[Log], AnyEvent]
    ids: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    own: frozenset[str] = frozenset()
    words: tuple[str, ...] = ()
    read: Callable[..., Any] = lambda *_: ()


class Shape:
    """How the records of one event are read that have attributes of these names.

    Args:
        name: The event's.
        kind: What it is made of.
        of_head: Names of the attributes in a head, which is checked once for all its records.
        pattern: Names of the record's own, and values that are known beforehand.
        hidden: Attributes not to show as metadata, because the trace tells them.
        is_plain: Whether the name could be taken as it was told.

    Attributes:
        tells_sender: Whether a record's own attributes say who it is from.
        ids: Picks ``IDS`` and those of the kind from a row, "" where there is none.
        agent: Likewise ``AGENT_IDS``; None where there are none at all.
        values: Picks those of the kind, None where there is none; None where it has none at all.
        counts: Reads those of the kind.
        told: What the kind reads from words, where these are known.
        all_shown: The metadata, likewise; to be copied.
        sequence: The place of the record's number.
        room_in_key: How long the JSON of a record's key may be if it has all ids that are not
            known, and these are not too long; 0 if it has not.
        has_others: Whether something has a limit that is neither an id nor a count of the kind.
    """

    def __init__(
        self,
        name: str,
        kind: Kind,
        of_head: tuple[str, ...],
        pattern: Pattern,
        hidden: frozenset[str],
        *,
        is_plain: bool,
    ) -> None:
        own = pattern.names
        at = {each: place for place, each in enumerate(of_head + own, len(BLANKS))}
        steady = enumerate(pattern.steady, len(BLANKS) + len(of_head))
        known: Known = dict(enumerate(BLANKS)) | dict(steady)
        agent = [at.get(each, _NO_TEXT) for each in AGENT_IDS]
        ids = [at.get(each, _NO_TEXT) for each in IDS] + _places(at, kind.ids, _NO_TEXT)
        counts = _places(at, kind.counts, _NOTHING)
        limited = {at[each] for each in LIMITS.keys() & own if each not in _CHECKED_ALONE}
        named = {at[each] for each in own if each in IDENTIFIERS and each != NAME}
        self.name, self.build, self.is_plain = name, kind.build, is_plain
        self.tells_sender = not (SENDER | hidden).isdisjoint(own)
        self.sequence = at.get("event.sequence", _NOTHING)
        self.ids = pick(ids)
        self.agent = pick(agent) if max(agent) > _NO_TEXT else None
        self.values = pick(_places(at, kind.values, _NOTHING)) if kind.values else None
        self.counts = Numbers(counts)
        words = _places(at, kind.words, _NOTHING)
        self._words, self._read = pick(words), kind.read
        self._known_words: dict[tuple[Any, ...], Any] = {}
        self.told = _if_known(known, words, lambda: kind.read(*map(known.get, words)))
        texts = {*ids, *agent, *named}
        self._fresh_ids = pick(sorted(texts.difference(known)))
        self._spare_chars = _spare_chars([known[place] for place in texts.intersection(known)])
        is_all_in_key = texts.difference(known).issubset(ids[:_KEY_IDS])
        room_chars = self._spare_chars + len(name) + _AROUND_IDS
        self.room_in_key = room_chars if is_all_in_key and self._spare_chars >= 0 else 0
        numbers = sorted(limited.difference(counts))
        self._numbers = Numbers(numbers) if numbers else None
        self._cost = at.get(COST, _NOTHING)
        self.has_others = bool(numbers or self._cost)
        hidden |= ENVELOPE | kind.own
        in_order = (*of_head, *pattern.order)
        self._shown = [(each, at[each]) for each in in_order if each not in hidden]
        shown_at = [place for _, place in self._shown]
        self.all_shown = _if_known(known, shown_at, lambda: self.shown(known))

    def are_ids_plain(self, row: Row) -> bool:
        """Whether all ids are texts that can be taken as they are."""
        try:
            told = "".join(self._fresh_ids(row))
        except TypeError:  # one is a number
            return False
        return len(told) <= self._spare_chars and told.isprintable()

    def are_others_plain(self, row: Row) -> bool:
        """Whether nothing is beyond its limit that is neither an id nor a count of the kind."""
        if self._cost and not is_plain(row[self._cost], LIMITS[COST]):
            return False
        return self._numbers is None or self._numbers.plain(row) is not None

    def told_by(self, row: Row) -> Any:  # noqa: ANN401 - whatever the kind reads
        """What the kind reads from words."""
        words = self._words(row)
        try:
            return self._known_words[words]
        except (KeyError, TypeError):
            told = self._read(*words)
        if (
            _WORDS.issuperset(map(type, words))
            and sum(map(len, filter(None, words))) <= _WORD_CHARS
        ):
            if len(self._known_words) >= _KEPT_WORDS:
                self._known_words.clear()
            self._known_words[words] = told
        return told

    def shown(self, row: Row | Known) -> dict[str, MetadataValue]:
        """The metadata."""
        found: dict[str, MetadataValue] = {}
        for name, place in self._shown:
            value = row[place]
            told = value if type(value) is str else shown(value)
            if told is not None:
                found[name] = told
        return found


class Numbers:
    """Reads the whole numbers at some places of a row at once, by having them read as JSON."""

    def __init__(self, places: Sequence[int]) -> None:
        self._all = pick(places)
        self._told = pick([place for place in places if place != _NOTHING])
        self._json = f"[{','.join('null' if place == _NOTHING else '%s' for place in places)}]"
        self._has_all = _NOTHING not in places
        self._absent = [None] * len(places) if max(places, default=0) == _NOTHING else None

    def plain(self, row: Row) -> Sequence[int | None] | None:
        """The numbers, None for an absent one; None where one is written oddly or is large."""
        if self._absent is not None:
            return self._absent
        told = self._told(row)
        try:
            if not ("".join(told).isdecimal() if type(told[0]) is str else _are_counts(told)):
                return None
            numbers: list[Any] = orjson.loads(self._json % told)
        except (TypeError, orjson.JSONDecodeError):
            return None
        total = sum(numbers if self._has_all else filter(None, numbers))
        return numbers if total <= _PLAIN else None

    def all(self, row: Row) -> Sequence[int | None]:
        """The numbers, however they are written."""
        return list(map(count, self._all(row)))


def _are_counts(told: Row) -> bool:
    return _INTS.issuperset(map(type, told)) and min(told) >= 0


def _places(at: Mapping[str, int], names: Iterable[str], absent: int) -> list[int]:
    """Where each of these stands under its present name, or else under an earlier one."""
    return [
        next((at[told] for told in (name, *OLDER_NAMES.get(name, ())) if told in at), absent)
        for name in names
    ]


def _if_known(known: Known, places: Iterable[int], make: Callable[[], T]) -> T | None:
    """What follows from the values at some places, if all of these are known."""
    return make() if known.keys() >= set(places) else None


def _spare_chars(ids: Sequence[Any]) -> int:
    """How much longer ids may be together that stand beside these; none may be beside odd ones."""
    is_plain = all(type(each) is str and each.isprintable() for each in ids)
    return MAX_ID_CHARS - sum(map(len, ids)) if is_plain else -1
