"""What text may go further than the decode step.

``full`` lets everything through. ``metadata`` lets through names, sizes and numbers only: no
prompt, answer, command, path, tool argument, or error text taken from them. It is applied before
anything is correlated or stored, so nothing behind it can leak what it never had.
"""

from enum import StrEnum
from typing import TypeVar

import msgspec

from bridge.model.events import Event
from bridge.model.observations import MetadataValue

_TEXT_FIELDS = ("text", "error", "message", "arguments", "task", "output")
_NUMBER_CHARACTERS = frozenset("0123456789.-+eE")


AnEvent = TypeVar("AnEvent", bound=Event)


class ContentPolicy(StrEnum):
    """The setting ``content``."""

    FULL = "full"
    METADATA = "metadata"


def apply(event: AnEvent, policy: ContentPolicy, safe_strings: frozenset[str]) -> AnEvent:
    """The event with no more content than ``policy`` allows.

    Args:
        event: A freshly decoded event.
        policy: What may pass.
        safe_strings: Attributes of this coding agent whose strings are names, never content.
    """
    if policy is ContentPolicy.FULL:
        return event
    removed = {field: None for field in _TEXT_FIELDS if getattr(event, field, None) is not None}
    attributes = {
        key: value
        for key, value in event.attributes.items()
        if key in safe_strings or _is_number(value)
    }
    return msgspec.structs.replace(event, attributes=attributes, **removed)


def _is_number(value: MetadataValue) -> bool:
    """A number or boolean, also as the string some clients write for it."""
    if isinstance(value, str):
        return value in {"true", "false"} or _NUMBER_CHARACTERS.issuperset(value)
    return isinstance(value, int | float)
