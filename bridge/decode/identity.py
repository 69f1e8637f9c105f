"""Who a record is from, told by a pseudonym or not at all.

A record names the person in attributes of its own and of its resource. What these say is replaced
wherever else in the record it stands too: as a tag that repeats it, inside the metadata of a raw
request body, or in a system prompt. Names that the team itself gives (``member=alex``) stay.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from bridge.decode.attributes import Value, text

INSTALLATION = "user.id"
"""What puts the records of one installation together; ``omit`` keeps its pseudonym for that."""

OMITTED = "[user]"
_PREFIXES = ("user.", "enduser.")
_GROUPS = frozenset({"user.groups", "user.roles", "enduser.role", "enduser.scope"})
_LAST_PARTS = frozenset(
    {"user", "user_id", "userid", "langfuse_user_id", "user_email", "useremail", "user_name"}
)
_TELLING_CHARS = 16
"""Shorter values are replaced as a whole only: a user named ``al`` is part of many words."""

S = TypeVar("S", bound=msgspec.Struct)
Replacement = Callable[[str], str]


class UserPolicy(StrEnum):
    """The setting ``user``."""

    PLAIN = "plain"
    HASH = "hash"
    OMIT = "omit"


class Identity:
    """Replaces persons by pseudonyms, for ``hash`` and ``omit``.

    Args:
        omits: Whether to leave out even the pseudonyms.
        key: 1 to 64 bytes; bridges that share it give the same person the same pseudonym.
    """

    def __init__(self, key: bytes, *, omits: bool) -> None:
        self._key = key
        self.omits = omits

    def pseudonym(self, value: str) -> str:
        """``user-`` and 16 hex digits, the same for an e-mail address in any spelling."""
        told = value.strip().casefold().encode("utf-8", "surrogatepass")
        return f"user-{hashlib.blake2b(told, digest_size=8, key=self._key).hexdigest()}"

    def record(self, record: S) -> S:
        """The record without the persons that its attributes name; itself if they name none."""
        held: Any = record
        persons = self.persons(held.resource, held.attributes)
        if not persons:
            return record
        replace = self.replacing(persons)
        fields = {name: getattr(held, name) for name in held.__struct_fields__}
        return type(record)(
            **{name: self._without(value, persons, replace) for name, value in fields.items()}
        )

    def persons(self, *attributes: Mapping[str, Value]) -> frozenset[str]:
        """What the attributes that name a person say."""
        told = (
            text(item)
            for holder in attributes
            for name, value in holder.items()
            if is_person(name)
            for item in _scalars(value)
        )
        return frozenset(filter(None, told))

    def replacing(self, persons: frozenset[str]) -> Replacement:
        """What makes of a text one that names none of these persons."""
        alike = {person.casefold() for person in persons}
        telling = sorted(filter(_is_telling, persons), key=len, reverse=True)
        shortest = min(map(len, alike), default=0)

        def replaced(value: str) -> str:
            if len(value) < shortest:
                return value
            if value.casefold() in alike:
                return self.pseudonym(value)
            for person in telling:
                if person in value:
                    value = value.replace(person, self._in_text(person))
            return value

        return replaced

    def leaves_out(self, name: str, value: Value, persons: frozenset[str]) -> bool:
        """Whether an attribute is omitted: it names the person, or repeats one that does."""
        if not self.omits or name == INSTALLATION:
            return False
        alike = {person.casefold() for person in persons}
        return is_person(name) or (text(value) or "").casefold() in alike

    def _in_text(self, person: str) -> str:
        return OMITTED if self.omits else self.pseudonym(person)

    def _without(self, value: Any, persons: frozenset[str], replace: Replacement) -> Any:  # noqa: ANN401 - any value
        if isinstance(value, str):
            return replace(value)
        if isinstance(value, dict):
            return {
                name: self._without(item, persons, replace)
                for name, item in value.items()
                if not self.leaves_out(name, item, persons)
            }
        if isinstance(value, list | tuple):
            return type(value)(self._without(item, persons, replace) for item in value)
        if isinstance(value, msgspec.Struct):
            fields = {name: getattr(value, name) for name in value.__struct_fields__}
            return type(value)(
                **{name: self._without(item, persons, replace) for name, item in fields.items()}
            )
        return value


def is_person(name: str) -> bool:
    """Whether an attribute of this name says who a person is, and not which group they are in."""
    if name.startswith(_PREFIXES):
        return name not in _GROUPS
    return name.rsplit(".", 1)[-1].lower() in _LAST_PARTS or name == "langfuse.user.id"


def _scalars(value: Value) -> Iterator[Value]:
    """The values in a value; most are none but themselves."""
    if isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _scalars(item)
    else:
        yield value


def _is_telling(person: str) -> bool:
    return len(person) >= _TELLING_CHARS or "@" in person
