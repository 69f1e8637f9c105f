"""What text may go further than the decode step.

``full`` lets everything through. ``redacted`` does too, but for secrets: ``redaction`` has masked
them before a record is decoded. ``metadata`` lets through names, sizes and numbers only: no prompt,
answer, command, path, tool argument, or error text taken from them. It is applied before anything
is correlated or stored, so nothing behind it can leak what it never had.
"""

import re
from enum import StrEnum
from typing import TypeVar

import msgspec

from bridge.model.events import Event, PointEvent
from bridge.model.measures import MetricPoint
from bridge.model.observations import MetadataValue
from bridge.model.spans import OtherSpan

_TEXT_FIELDS = ("text", "error", "message", "arguments", "task", "output")
UNNAMED = "unnamed"
_NAME = re.compile(r"[\w.:/@-]{1,100}")
"""Names of unknown events, spans, metrics and attributes go on under any policy, sentences not."""

_NUMBER_CHARACTERS = frozenset("0123456789.-+eE")


AnEvent = TypeVar("AnEvent", bound=Event)


class ContentPolicy(StrEnum):
    """The setting ``content``."""

    FULL = "full"
    REDACTED = "redacted"
    METADATA = "metadata"


def apply(event: AnEvent, policy: ContentPolicy, safe_strings: frozenset[str]) -> AnEvent:
    """The event with no more content than ``policy`` allows.

    Args:
        event: A freshly decoded event.
        policy: What may pass.
        safe_strings: Attributes of this coding agent whose strings are names, never content.
    """
    if policy is not ContentPolicy.METADATA:
        return event
    removed = {field: None for field in _TEXT_FIELDS if getattr(event, field, None) is not None}
    named = {"name": _name(event.name)} if isinstance(event, PointEvent | OtherSpan) else {}
    attributes = {
        key: value for key, value in event.attributes.items() if _may_pass(key, value, safe_strings)
    }
    return msgspec.structs.replace(event, attributes=attributes, **removed, **named)


def apply_to_point(
    point: MetricPoint, policy: ContentPolicy, safe_strings: frozenset[str]
) -> MetricPoint:
    """The metric point with no more content than ``policy`` allows, as with events."""
    if policy is not ContentPolicy.METADATA:
        return point
    attributes = tuple(
        (key, value) for key, value in point.attributes if _may_pass(key, value, safe_strings)
    )
    return msgspec.structs.replace(point, measure=_name(point.measure), attributes=attributes)


def _name(name: str) -> str:
    return name if _NAME.fullmatch(name) else UNNAMED


def _may_pass(key: str, value: MetadataValue, safe_strings: frozenset[str]) -> bool:
    return key in safe_strings or (_NAME.fullmatch(key) is not None and _is_number(value))


def _is_number(value: MetadataValue) -> bool:
    """A number or boolean, also as the string some clients write for it."""
    if isinstance(value, str):
        return value in {"true", "false"} or _NUMBER_CHARACTERS.issuperset(value)
    return isinstance(value, (int, float))
