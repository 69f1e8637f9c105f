"""What every span of a trace repeats: name, session, user, tags, metadata, version, group.

Langfuse v4 reads rows, not traces, and does not unite what differs between rows: so this is derived
once for a turn and is identical on all its spans.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from bridge.langfuse import ids
from bridge.langfuse.limits import clamped_metadata, clamped_name, is_plain_metadata
from bridge.model.event import Origin
from bridge.model.observations import MetadataValue, TraceFacts
from bridge.model.parts import TurnFacts
from bridge.protowire import forget_older_half

MAX_PROPAGATED_CHARS = 200
"""Langfuse's lists and filters read the first 200 characters of a trace-level value."""

KEPT_ORIGINS: Final = 512

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


class TraceOrigins:
    """What every span of a turn's trace repeats; what of it is the origin's is derived once.

    The turns of a session have the same origin, the same object as long as they stay in memory.
    """

    def __init__(self, settings: TraceSettings) -> None:
        self._settings = settings
        self._known: dict[int, tuple[Origin, TraceFacts, bool]] = {}

    def trace_facts(self, turn: TurnFacts) -> TraceFacts:
        """The facts of the turn's trace."""
        _, origin, is_plain = self._of(turn.origin)
        metadata = _with_ids(origin.metadata, turn)
        return TraceFacts(
            name=trace_name(turn),
            session_id=turn.session_id,
            user_id=origin.user_id,
            tags=origin.tags,
            metadata=metadata if is_plain else clamped_metadata(metadata),
            version=origin.version,
            release=origin.release,
            environment=origin.environment,
            service_name=origin.service_name,
            service_version=origin.service_version,
        )

    def _of(self, origin: Origin) -> tuple[Origin, TraceFacts, bool]:
        """The origin's facts, and whether their metadata stays far from any limit with two ids."""
        known = self._known.get(id(origin))
        if known is not None and known[0] is origin:
            return known
        if len(self._known) >= KEPT_ORIGINS:
            forget_older_half(self._known)
        facts = _origin_facts(origin, self._settings)
        made = self._known[id(origin)] = origin, facts, is_plain_metadata(facts.metadata)
        return made


def _origin_facts(origin: Origin, settings: TraceSettings) -> TraceFacts:
    """The facts of any trace of an origin, without what the turn says."""
    attributes = origin.attributes
    return TraceFacts(
        name=origin.product,
        session_id=None,
        user_id=user_of(attributes),
        tags=(*tags_of(attributes, settings), origin.product),
        metadata=_origin_metadata(attributes, settings),
        version=origin.service_version,
        release=_cut(attributes.get(settings.group_by or "") or "") or None,
        environment=environment_of(attributes, settings),
        service_name=origin.service_name,
        service_version=origin.service_version,
    )


def tags_of(attributes: Mapping[str, str], settings: TraceSettings) -> tuple[str, ...]:
    """One ``key:value`` for each configured attribute that is told, in the configured order."""
    tags = settings.tags
    return tuple([_tag(key, attributes[name]) for name, key in tags if name in attributes])


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
    for name in FALLBACK_USERS:
        if name in attributes:
            return _cut(attributes[name])
    return None


def _tag(key: str, value: str) -> str:
    return f"{key}:{value.lower()}"[:MAX_PROPAGATED_CHARS]


def environment_of(attributes: Mapping[str, str], settings: TraceSettings) -> str | None:
    """The configured environment, else the one the client's resource names."""
    if settings.environment:
        return settings.environment
    told = _told_environment(attributes)
    return _environment(told) if told else None


def _environment(told: str) -> str | None:
    """As Langfuse takes it; any other would be shown as ``default``. Metadata has it as told."""
    return _NO_ENVIRONMENT.sub("-", told.lower())[:MAX_ENVIRONMENT_CHARS] or None


def _told_environment(attributes: Mapping[str, str]) -> str | None:
    return attributes.get("deployment.environment.name") or attributes.get("deployment.environment")


def _origin_metadata(
    attributes: Mapping[str, str], settings: TraceSettings
) -> dict[str, MetadataValue]:
    """The tags' values unabridged, then what else identifies."""
    tagged = {key: attributes[name] for name, key in settings.tags if name in attributes}
    tag_attributes = {name for name, _ in settings.tags}
    rest = {name: value for name, value in sorted(attributes.items()) if name not in tag_attributes}
    return {key: _cut(value) for key, value in (tagged | rest).items() if value}


def _with_ids(of_origin: dict[str, MetadataValue], turn: TurnFacts) -> dict[str, MetadataValue]:
    """What the origin says, then the prompt; an attribute of these names is not told beside it."""
    metadata = dict(of_origin)
    for key, told in (("prompt_id", turn.prompt_id), ("otel_trace_id", turn.otel_trace_id)):
        if told:
            metadata[key] = _cut(told)
        else:
            metadata.pop(key, None)
    return metadata


def _cut(value: str) -> str:
    return value[:MAX_PROPAGATED_CHARS]
