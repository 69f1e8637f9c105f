"""What is done to a record before it is decoded: no persons, no secrets, as the settings say.

Works on records as they stand in their requests, and on the OTLP messages of spans that are passed
on, so that nothing made of either has ever seen what may not leave. What the policy ``metadata``
takes out is up to ``content``.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import msgspec
from google.protobuf.message import Message
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from bridge.decode.identity import Identity, is_person
from bridge.decode.layouts import Head
from bridge.decode.otlp import RawLog, WholeLog, apart
from bridge.decode.otlp_metrics import RawPoint
from bridge.decode.otlp_spans import RawSpan
from bridge.decode.redaction import Kinds, Redactor
from bridge.decode.values import proto_attributes

Raw = TypeVar("Raw", WholeLog, RawPoint, RawSpan)
Change = Callable[[str, str], str]
"""(text, the key it is under) → what may leave of it."""

KEPT: Final = 1_024
"""Heads remembered."""


class Privacy:
    """Applies the settings ``content`` (redacted) and ``user`` to what has been read.

    Args:
        redactor: None where secrets stay.
        identity: None where persons stay.
    """

    def __init__(self, redactor: Redactor | None = None, identity: Identity | None = None) -> None:
        self._redactor = redactor
        self.identity = identity
        self._heads: dict[Head, Head] = {}
        self.is_active = redactor is not None or identity is not None

    def guarded_log(self, raw: RawLog) -> tuple[RawLog, Kinds]:
        """The log record as it may be decoded, and how many secrets of which kind it had."""
        whole = raw.whole
        guarded, found = self.guarded(whole)
        if guarded is whole:
            return raw, found
        changed = apart(guarded)
        return msgspec.structs.replace(changed, head=self._shared(raw.head, changed.head)), found

    def _shared(self, told: Head, changed: Head) -> Head:
        """The head that others told so became, if this one became the same; mostly it did.

        They are compared as values, and values of different kinds can be equal: these come from
        the same attributes, each left as it is or made another text, so none can be mistaken.
        """
        known = self._heads.get(told)
        if known is not None and known.says_the_same(changed):
            return known
        if told.is_lasting:
            if len(self._heads) >= KEPT:
                self._heads.clear()
            changed.is_lasting = True
            self._heads[told] = changed
        return changed

    def guarded(self, raw: Raw) -> tuple[Raw, Kinds]:
        """The record as it may be decoded, and how many secrets of which kind it had."""
        found: Kinds = Counter()
        if self.identity is not None:
            raw = self.identity.record(raw)
        if self._redactor is not None:
            raw = self._redactor.record(raw, found)
        return raw, found

    def guard_messages(self, *messages: Message) -> Kinds:
        """Take persons and secrets out of these messages, which tell of one span together."""
        found: Kinds = Counter()
        if (identity := self.identity) is not None:
            persons = identity.persons(*(proto_attributes(_pairs(each)) for each in messages))
            replace = identity.replacing(persons)
            for message in messages if persons else ():
                _omit(message, identity, persons)
                _change(message, lambda text, _: replace(text))
        if (redactor := self._redactor) is not None:
            for message in messages:
                _change(message, lambda text, name: str(redactor.value(text, found, name)))
        return found


def _pairs(message: Message) -> Iterable[KeyValue]:
    """All attributes of a message, at whatever depth."""
    for _, value in message.ListFields():
        for child in _messages(value):
            if isinstance(child, KeyValue):
                yield child
            yield from _pairs(child)


def _omit(message: Message, identity: Identity, persons: frozenset[str]) -> None:
    for _, value in message.ListFields():
        for child in list(_messages(value)):
            if isinstance(child, KeyValue) and _is_left_out(child, identity, persons):
                value.remove(child)
            else:
                _omit(child, identity, persons)


def _is_left_out(pair: KeyValue, identity: Identity, persons: frozenset[str]) -> bool:
    if identity.omits and is_person(pair.key):
        return True
    return identity.leaves_out(pair.key, pair.value.string_value, persons)


def _change(message: Message, change: Change, name: str = "") -> None:
    """Change every text of a message in place, names included; ids and numbers stay."""
    if isinstance(message, KeyValue):
        name = message.key
    for field, value in message.ListFields():
        if isinstance(value, str):
            setattr(message, field.name, change(value, name))
        elif isinstance(value, bytes) and isinstance(message, AnyValue):
            text = change(value.decode("utf-8", "surrogateescape"), name)
            message.bytes_value = text.encode("utf-8", "surrogateescape")
        for child in _messages(value):
            _change(child, change, name)


def _messages(value: object) -> Iterable[Message]:
    if isinstance(value, Message):
        return [value]
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return []
    return [child for child in value if isinstance(child, Message)]
