"""One export request → records: picks the coding agent, sets the time, finds out who it is from.

A record that cannot be read is returned as such and never stops the others of its request.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec

from bridge.decode import claude_code, content
from bridge.decode.attributes import Value, text
from bridge.decode.content import ContentPolicy
from bridge.decode.otlp import RawLog, raw_logs
from bridge.model.events import Origin, Record
from bridge.model.requests import ExportRequest

NS_PER_MS = 1_000_000

_IDENTITY = frozenset(
    {
        "member", "user.id", "user.email", "user.account_uuid", "user.account_id", "user.groups",
        "organization.id", "terminal.type", "app.version", "app.entrypoint", "identity.source",
        "deployment.environment", "deployment.environment.name", "anthropic.provider",
        "anthropic.custom_base_url", "anthropic.plan", "anthropic.seat_type",
        "vcs.repository.url.full", "vcs.owner.name", "vcs.repository.name", "vcs.provider.name",
        "workflow.name", "workflow.run_id",
    }
)  # fmt: skip
"""Record attributes that are the same for a whole turn."""

_NOT_IDENTITY = ("host.", "os.", "service.", "process.", "telemetry.", "wsl.", "event.")
_NEVER_FROM_RESOURCE = frozenset({"session.id", "prompt.id", "agent_id", "parent_agent_id"})
"""OTEL_RESOURCE_ATTRIBUTES is the user's: it must not move a record into another session."""


class Foreign(msgspec.Struct, frozen=True):
    """A log record of another program's scope."""

    scope_name: str


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """A log record that could not be decoded, and why."""

    index: int
    reason: str
    record: bytes


Decoded = Record | Foreign | Unreadable


class Decoder:
    """Reads logs requests. Holds the settings that decoding depends on, and a cache of origins."""

    def __init__(self, *, policy: ContentPolicy, tag_attributes: frozenset[str]) -> None:
        self._policy = policy
        self._identity = _IDENTITY | tag_attributes

    def decode(self, request: ExportRequest) -> Iterator[Decoded]:
        """Every log record of a request, in order.

        Raises:
            UndecodableError: The body as a whole cannot be read.
        """
        twins: Counter[bytes] = Counter()
        for index, raw in enumerate(raw_logs(request)):
            if not claude_code.recognises(raw):
                yield Foreign(raw.scope_name)
                continue
            try:
                yield self._record(raw, request.received_at_ms, twins)
            except (ValueError, TypeError, OverflowError) as error:
                yield Unreadable(index=index, reason=str(error), record=msgspec.json.encode(raw))

    def _record(self, raw: RawLog, received_at_ms: int, twins: Counter[bytes]) -> Record:
        twin = claude_code.record_key(raw, claude_code.event_name(raw), 0)
        origin = self._origin(raw)
        event = claude_code.decode(
            raw,
            time_ms=raw.time_unix_ns // NS_PER_MS or received_at_ms,
            hidden=frozenset(raw.resource) | self._identity,
            repeat=twins[twin],
        )
        twins[twin] += 1
        allowed = content.apply(event, self._policy, claude_code.SAFE_STRINGS)
        return Record(event=allowed, origin=origin, arrived_ms=received_at_ms)

    def _origin(self, raw: RawLog) -> Origin:
        attributes = _identifying(raw.resource)
        for name in self._identity | attributes.keys():
            if value := text(raw.attributes.get(name)):
                attributes[name] = value
        version = text(raw.resource.get("service.version")) or raw.scope_version
        return Origin(
            product=claude_code.PRODUCT,
            service_name=text(raw.resource.get("service.name")) or claude_code.PRODUCT,
            service_version=version or None,
            attributes=attributes,
        )


def _identifying(resource: Mapping[str, Value]) -> dict[str, str]:
    """What the resource says of the user: all but what describes the machine and the program."""
    found = {
        key: text(value)
        for key, value in resource.items()
        if not key.startswith(_NOT_IDENTITY) and key not in _NEVER_FROM_RESOURCE
    }
    return {key: value for key, value in found.items() if value}
