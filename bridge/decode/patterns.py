"""What records of one kind have in common: the names of their attributes, and some of the values.

A pattern stands between fields and values: it says which value of a record is whose.
``layouts`` finds the pattern of a record that it reads by its bytes, and knows several for the same
names, one for each set of words that come again. Every other record, as all of JSON, has the
pattern of its names alone. What a pattern means is worked out once, as a ``Shape``.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from bridge.decode.attributes import Value

KEPT_PATTERNS: Final = 1_024
"""Of records that have been read without a layout, as all of JSON are."""
MAX_NAMES, MAX_NAMES_CHARS = 200, 8_192
"""Records with more or longer names have no pattern that would be remembered."""

FIRST_OF_EVENT: Final = "event.name"
"""The first attribute that is the event's own, in all clients known."""


@dataclass(slots=True, eq=False)
class Pattern:
    """What records have in common whose own attributes differ in fresh values only.

    Records that have the same have the same object, so what was found out about one holds for all.

    Attributes:
        names: Of the attributes: first those whose values are ``steady``, then the others.
        order: The same names as they stand in the record.
        steady: The values that are the same in all.
        event_name: As it was told, if it is one of these; else None.
    """

    names: tuple[str, ...]
    order: tuple[str, ...]
    steady: tuple[Value, ...] = ()
    event_name: str | None = field(init=False)

    def __post_init__(self) -> None:
        told = self.steady[0] if self.steady and self.names[0] == FIRST_OF_EVENT else None
        self.event_name = told if isinstance(told, str) else None


def pattern_in_order(names: tuple[str, ...], event_name: Value) -> Pattern:
    """The pattern of records with these attributes, of which no value is steady but the first."""
    if names[:1] != (FIRST_OF_EVENT,) or not isinstance(event_name, str):
        return Pattern(names, names)
    make = Pattern if is_too_long(names, event_name) else _remembered_pattern
    return make(names, names, (event_name,))


def is_too_long(names: tuple[str, ...], event_name: str) -> bool:
    """Whether the pattern of records with these attributes is not worth remembering."""
    return len(names) > MAX_NAMES or len(event_name) + sum(map(len, names)) > MAX_NAMES_CHARS


@lru_cache(maxsize=KEPT_PATTERNS)
def _remembered_pattern(
    names: tuple[str, ...], order: tuple[str, ...], steady: tuple[str, ...]
) -> Pattern:
    return Pattern(names, order, steady)
