"""What every span of a trace repeats: name, session, user, tags, metadata, version, group.

Langfuse v4 reads rows, not traces, and does not unite what differs between rows: so this is derived
once for a turn and is identical on all its spans.
"""

import re
from collections.abc import Mapping

import msgspec

from bridge.langfuse import ids
from bridge.langfuse.limits import clamped_metadata, clamped_name
from bridge.model.observations import MetadataValue, TraceFacts
from bridge.model.parts import TurnFacts

MAX_PROPAGATED_CHARS = 200
"""Langfuse's lists and filters read the first 200 characters of a trace-level value."""

MAX_ENVIRONMENT_CHARS = 40
_NO_ENVIRONMENT = re.compile(r"[^a-z0-9_-]")

FALLBACK_USERS = ("member", "user.email", "user.account_uuid", "user.account_id", "user.id")
"""Who a trace's user is: the first of these that is told."""


class TraceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings ``tags``, ``group_by``, ``environment`` and ``join_traces``.

    Attributes:
        tags: (attribute, key) in the order of the tags.
    """

    tags: tuple[tuple[str, str], ...]
    group_by: str | None = None
    environment: str | None = None
    join_traces: bool = False


def trace_facts(turn: TurnFacts, settings: TraceSettings) -> TraceFacts:
    """What every span of the turn's trace repeats."""
    attributes = turn.origin.attributes
    tagged = {key: attributes[name] for name, key in settings.tags if name in attributes}
    return TraceFacts(
        name=trace_name(turn),
        session_id=turn.session_id,
        user_id=user_of(attributes),
        tags=(*tags_of(attributes, settings), turn.origin.product),
        metadata=_trace_metadata(turn, tagged, {name for name, _ in settings.tags}),
        version=turn.origin.service_version,
        release=_cut(attributes.get(settings.group_by or "") or "") or None,
        environment=environment_of(attributes, settings),
        service_name=turn.origin.service_name,
        service_version=turn.origin.service_version,
    )


def tags_of(attributes: Mapping[str, str], settings: TraceSettings) -> tuple[str, ...]:
    """One ``key:value`` for each configured attribute that is told, in the configured order."""
    return tuple(_tag(key, attributes[name]) for name, key in settings.tags if name in attributes)


def trace_id_of(turn: TurnFacts, settings: TraceSettings) -> str:
    """The turn's own trace, or the one its client's spans are in, when turns join those."""
    if settings.join_traces and turn.otel_trace_id:
        return turn.otel_trace_id
    return ids.trace_id(turn.key)


def trace_name(turn: TurnFacts) -> str:
    """``claude-code``, and with ``/compact``, ``background`` or ``session`` behind it."""
    if turn.is_summary:
        return f"{turn.origin.product} session"
    if turn.synthetic:
        return f"{turn.origin.product} background"
    product = turn.origin.product
    return clamped_name(f"{product} /{turn.command}") if turn.command else product


def user_of(attributes: Mapping[str, str]) -> str | None:
    """Who it was, by the first attribute of ``FALLBACK_USERS`` that is told."""
    return next((_cut(attributes[name]) for name in FALLBACK_USERS if name in attributes), None)


def _tag(key: str, value: str) -> str:
    return f"{key}:{value.lower()}"[:MAX_PROPAGATED_CHARS]


def environment_of(attributes: Mapping[str, str], settings: TraceSettings) -> str | None:
    """The configured environment, else the one the client's resource names."""
    return settings.environment or _environment(_told_environment(attributes) or "")


def _environment(told: str) -> str | None:
    """As Langfuse takes it; any other would be shown as ``default``. Metadata has it as told."""
    return _NO_ENVIRONMENT.sub("-", told.lower())[:MAX_ENVIRONMENT_CHARS] or None


def _told_environment(attributes: Mapping[str, str]) -> str | None:
    return attributes.get("deployment.environment.name") or attributes.get("deployment.environment")


def _trace_metadata(
    turn: TurnFacts, tagged: Mapping[str, str], tag_attributes: set[str]
) -> dict[str, MetadataValue]:
    """The tags' values unabridged, then what else identifies, then the prompt."""
    rest = {
        name: value
        for name, value in sorted(turn.origin.attributes.items())
        if name not in tag_attributes
    }
    own = {"prompt_id": turn.prompt_id, "otel_trace_id": turn.otel_trace_id}
    values = dict(tagged) | rest | own
    return clamped_metadata({key: _cut(value) for key, value in values.items() if value})


def _cut(value: str) -> str:
    return value[:MAX_PROPAGATED_CHARS]
