"""Fields → values: attributes of log records, read with what the records before have taught.

A record begins with attributes that say who it is from, the same in all records of a session: its
*head*. Behind it stand the event's own, in an order that depends on little more than the event's
name: a *layout*. Most of their values are words that come again and again (which tool, which
model), and records that have all of these in common are of one *pattern*. So the head is compared
and not read, the steady values are looked up all at once, and of the others the keys are compared
and not read. What differs in any way is read as the official classes read it.

All that is learnt here has one budget of bytes. When it is used up, everything is forgotten and
learnt anew, so nobody who sends ever new names and values makes it grow. Names of attributes have
no meaning here, but for the event's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.decode.attributes import Value
from bridge.decode.patterns import FIRST_OF_EVENT, Pattern, pattern_in_order
from bridge.decode.picking import pick
from bridge.protowire import Key, number

BUDGET_BYTES: Final = 8_000_000
"""What 1,500 sessions at a time and their prompts need, about."""
OBJECT_BYTES: Final = 400
KEY_BYTES: Final = 12_000
HEAD_BYTES: Final = 3_000
"""What a remembered value, key or head costs beside its own bytes, about, at the most."""
MAX_REMEMBERED_BYTES: Final = 160
"""Longer values hardly come again."""
MAX_PATTERNS: Final = 512
"""Of one layout; where there are more, one of its attributes is not as steady as it seemed."""
MAX_HEAD_BYTES: Final = 4_096
_FIRST: Final = Key(FIRST_OF_EVENT).head
_SCALARS: Final = frozenset({str, bool, int, float})

Pair = tuple[str, Value]


class _OtherLayoutError(Exception):
    """A field is not what it is in the layout."""


@dataclass(slots=True, eq=False, kw_only=True)
class Head:
    """Where records are from: resource, scope, and the attributes that all of them begin with.

    Records that begin with the same bytes have the same object, so what was found out about one
    holds for all. The names of a record's own attributes are others than those of its head.

    Attributes:
        fields: The attributes as they stand in the request.
        is_lasting: Whether it is the one that other records will have too.
        place: The same without attributes; None for that itself.
        layouts: By the first field behind the head and how many there are; heads of the same
            names share them.
    """

    resource: dict[str, Value]
    scope_name: str
    scope_version: str
    names: tuple[str, ...] = ()
    values: tuple[Value, ...] = ()
    fields: list[Any] = field(default_factory=list)
    is_lasting: bool = False
    place: "Head | None" = None
    layouts: "dict[tuple[bytes, int], _Layout]" = field(default_factory=dict)

    @property
    def attributes(self) -> dict[str, Value]:
        """The attributes that records begin with."""
        return dict(zip(self.names, self.values, strict=True))

    def with_attributes(self, told: Mapping[str, Value]) -> "Head":
        """A head in this place."""
        return Head(
            resource=self.resource,
            scope_name=self.scope_name,
            scope_version=self.scope_version,
            names=tuple(told),
            values=tuple(told.values()),
            place=self,
        )

    def says_the_same(self, other: "Head") -> bool:
        """Whether records with either head are from the same."""
        return (
            self.names == other.names
            and self.values == other.values
            and self.resource == other.resource
            and (self.scope_name, self.scope_version) == (other.scope_name, other.scope_version)
        )


@dataclass(slots=True, eq=False)
class _Attribute:
    """One attribute of layouts, and which values it had so far, by the bytes of the field."""

    key: Key
    is_fleeting: bool
    is_steady: bool
    known: dict[bytes, Value] = field(default_factory=dict)


class _Layout:
    """The names of some records' own attributes in their order, and how their values are read.

    Args:
        attributes: In their order; the first is taken as steady, as it is the same in all.
        values: Those of the first such record.

    Attributes:
        steady: Picks the fields that are looked up together, in ``patterns``.
        texts: Place of each that nearly always is a new text, how such fields begin as far as it is
            known, and the key that tells it of any.
        others: Place of each that is neither, and what is known of it.
    """

    def __init__(self, attributes: Sequence[_Attribute], values: Sequence[Value]) -> None:
        texts = [at for at, value in enumerate(values) if isinstance(value, str)]
        fresh = [at for at in texts if at and attributes[at].is_fleeting]
        steady = [at for at in texts if not at or attributes[at].is_steady]
        others = [at for at in range(len(values)) if at not in fresh + steady]
        self.steady, self.fresh = pick(steady), pick(fresh + others)
        self.attributes = attributes
        self.order = tuple(each.key.name for each in attributes)
        self.names = self.steady(self.order) + self.fresh(self.order)
        keys = [attributes[at].key for at in fresh]
        self.texts = [(at, key.strings, key) for at, key in zip(fresh, keys, strict=True)]
        self.others = [(at, attributes[at].known, attributes[at]) for at in others]
        self.patterns: dict[tuple[bytes, ...], Pattern] = {}

    def fickle(self, own: Sequence[bytes]) -> _Attribute | None:
        """The attribute that keeps these fields from becoming a pattern: it has too many values."""
        steady: tuple[_Attribute, ...] = self.steady(self.attributes)
        for attribute, told in zip(steady, self.steady(own), strict=True):
            if len(told) > MAX_REMEMBERED_BYTES:
                return attribute
        if len(self.patterns) < MAX_PATTERNS:
            return None
        values = map(len, map(set, zip(*self.patterns, strict=True)))
        return max(zip(values, steady, strict=True), key=lambda found: found[0])[1]


Told = tuple[Head, Pattern, list[Value]]
"""The attributes of a record: those of its head, and its own, whose values stand in the order of
the pattern's names; None where one has no value."""


class AttributeReader:
    """Reads the attributes of log records.

    Args:
        parse: Reads any KeyValue message as the official class does.
        fleeting: Attributes whose value is nearly always new, and not worth remembering.
        recurring: Attributes whose value comes again, but only among a few records.
        budget_bytes: How much is remembered.
    """

    def __init__(
        self,
        parse: Callable[[bytes], Pair],
        fleeting: frozenset[str] = frozenset(),
        recurring: frozenset[str] = frozenset(),
        *,
        budget_bytes: int = BUDGET_BYTES,
    ) -> None:
        self._parse = parse
        self._fleeting, self._recurring = fleeting, recurring
        self._budget_bytes = budget_bytes
        self._usual = 0
        self._forget()

    def place(self, key: tuple[object, ...], size_bytes: int, make: Callable[[], Head]) -> Head:
        """The head without attributes that is known by ``key``; made where there is none."""
        return self._heads.get(key) or self._remembered(key, size_bytes, make())

    def head(self, place: Head, fields: list[bytes]) -> Head:
        """The head that these fields begin with: what stands before the event's name.

        Raises:
            DecodeError: A field is no KeyValue.
        """
        if known := self._heads.get((place, *fields[: self._usual])):
            return known
        end = next((at for at, each in enumerate(fields) if each.startswith(_FIRST)), 0)
        of_head = fields[:end]
        key = (place, *of_head)
        if known := self._heads.get(key) if of_head else place:
            return known
        self._usual = end
        made = self._made(place, of_head, dict(map(self._parse, of_head)))
        return self._remembered(key, sum(map(len, of_head)), made)

    def head_of_strings(self, place: Head, fields: list[Any], told: dict[str, str]) -> Head:
        """The same for attributes that have been read, and are ``told``."""
        key = (place, *told.items())
        if known := self._heads.get(key) if told else place:
            return known
        made = self._made(place, fields, told)
        return self._remembered(key, sum(map(len, [*told, *told.values()])), made)

    def read(self, head: Head, own: list[bytes]) -> Told:
        """What a record says that has this head and these fields behind it.

        Raises:
            DecodeError: A field is no KeyValue.
        """
        try:  # subscripts, as a call of ``get`` costs twice as much
            layout = head.layouts[own[0], len(own)]
            pattern = layout.patterns[layout.steady(own)]
        except (IndexError, KeyError):
            return self._learn(head, own)
        try:
            values: list[Value] = [*pattern.steady]
            for at, begins, key in layout.texts:
                told = own[at]
                try:
                    begin = begins[len(told)]
                except KeyError:
                    begin = key.begin(len(told))
                text = told.removeprefix(begin)
                if text is told:  # bytes that begin otherwise are given back as they are
                    return self._read_each(head, layout, pattern, own)
                values.append(text.decode())
            for at, known, attribute in layout.others:
                values.append(known.get(own[at]) or self._fresh(attribute, own[at]))
        except (_OtherLayoutError, UnicodeDecodeError):
            return self._learn(head, own)
        return head, pattern, values

    def _read_each(self, head: Head, layout: _Layout, pattern: Pattern, own: list[bytes]) -> Told:
        """The same where a value that mostly is a new text is none."""
        try:
            fresh = list(map(self._fresh, layout.fresh(layout.attributes), layout.fresh(own)))
        except _OtherLayoutError:
            return self._learn(head, own)
        return head, pattern, [*pattern.steady, *fresh]

    def _fresh(self, attribute: _Attribute, told: bytes) -> Value:
        """A value that is not steady.

        Raises:
            _OtherLayoutError: The field is another attribute's, or has no value.
        """
        known = attribute.known.get(told)
        if known is not None:
            return known
        name, value = self._pair_of(attribute.key, told)
        if name != attribute.key.name or value is None:
            raise _OtherLayoutError
        self._remember(attribute, told, value)
        return value

    def _learn(self, head: Head, own: list[bytes]) -> Told:
        """Read everything, and remember it for the records to come."""
        pairs = list(map(self._parse, own))
        told = dict(pairs)
        if is_regular(head, told, len(own)) and _may_be_first(own, pairs):
            self._remember_pattern(self._layout(head, own, told), own, tuple(told.values()))
        return attributes_behind(head, told, len(own))

    def _remember_pattern(
        self, layout: _Layout, own: list[bytes], values: tuple[Value, ...]
    ) -> None:
        fickle = layout.fickle(own)
        if fickle is not None:
            fickle.is_steady = False
            self._layouts.pop((own[0], layout.order), None)  # made anew when it comes again
            return
        told, steady = layout.steady(own), layout.steady(values)
        if told not in layout.patterns and _SCALARS.issuperset(map(type, steady)):
            layout.patterns[told] = Pattern(layout.names, layout.order, steady)
            self._spend(sum(map(len, told)) + len(told) * OBJECT_BYTES)

    def _pair_of(self, key: Key, told: bytes) -> Pair:
        """The same where the key is likely to be this one: numbers are read without a parser."""
        value = number(told[len(key.head) :]) if told.startswith(key.head) else None
        return self._parse(told) if value is None else (key.name, value)

    def _made(self, place: Head, fields: list[Any], told: Mapping[str, Value]) -> Head:
        made = place.with_attributes(told)
        made.fields = fields
        made.layouts = self._layouts_behind.setdefault(made.names, {})
        return made

    def _remembered(self, key: tuple[object, ...], size_bytes: int, head: Head) -> Head:
        if size_bytes <= MAX_HEAD_BYTES and (head.place is None or head.place.is_lasting):
            head.is_lasting = True
            self._heads[key] = head
            told = head.fields or head.resource
            self._spend(2 * size_bytes + len(told) * OBJECT_BYTES + HEAD_BYTES)
        return head

    def _layout(self, head: Head, own: list[bytes], told: Mapping[str, Value]) -> _Layout:
        names = tuple(told)
        layout = self._layouts.get((own[0], names))
        if layout is None:
            layout = _Layout([self._attribute(name) for name in names], list(told.values()))
            self._layouts[own[0], names] = layout
            self._spend(len(own[0]) + sum(map(len, names)) + 2 * len(names) * OBJECT_BYTES)
        first = own[0], len(own)
        if first not in head.layouts:
            self._spend(len(own[0]) + OBJECT_BYTES)
        head.layouts[first] = layout
        return layout

    def _attribute(self, name: str) -> _Attribute:
        found = self._attributes.get(name)
        if found is None:
            is_fleeting = name in self._fleeting
            is_steady = not is_fleeting and name not in self._recurring
            found = self._attributes[name] = _Attribute(Key(name), is_fleeting, is_steady)
            self._spend(len(name) + KEY_BYTES)
        return found

    def _remember(self, attribute: _Attribute, told: bytes, value: Value) -> None:
        if attribute.is_fleeting or len(told) > MAX_REMEMBERED_BYTES:
            return
        if type(value) in _SCALARS and told not in attribute.known:
            attribute.known[told] = value
            self._spend(len(told) + OBJECT_BYTES)

    def _spend(self, size_bytes: int) -> None:
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            self._forget()

    def _forget(self) -> None:
        self._left_bytes = self._budget_bytes
        self._heads: dict[tuple[object, ...], Head] = {}
        self._layouts_behind: dict[tuple[str, ...], dict[tuple[bytes, int], _Layout]] = {}
        self._layouts: dict[tuple[bytes, tuple[str, ...]], _Layout] = {}
        self._attributes: dict[str, _Attribute] = {}


def is_regular(head: Head, own: dict[str, Value], count: int) -> bool:
    """Whether so many attributes behind a head all have a value, and none is told twice."""
    return len(own) == count and None not in own.values() and own.keys().isdisjoint(head.names)


def attributes_behind(head: Head, own: dict[str, Value], count: int) -> Told:
    """What a record says with this head and ``count`` attributes that have been read as ``own``.

    Where something is told twice the later counts, and the record is one without a head.
    """
    if not is_regular(head, own, count):
        own, head = head.attributes | own, head.place or head
    return head, pattern_in_order(tuple(own), own.get(FIRST_OF_EVENT)), list(own.values())


def _may_be_first(own: Sequence[bytes], pairs: Sequence[Pair]) -> bool:
    """Whether a layout may begin with the first of these fields."""
    return bool(own) and len(own[0]) <= MAX_REMEMBERED_BYTES and isinstance(pairs[0][1], str)
