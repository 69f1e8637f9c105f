"""Who a record is from, which most records say in the same words as the one before.

Leaves to ``claude_code`` what the names mean.
"""

import functools
from collections.abc import Mapping
from itertools import islice
from typing import Final, Protocol

from bridge.decode import claude_code
from bridge.decode.attributes import Attributes, Value, identifier, json_text
from bridge.decode.identity import INSTALLATION
from bridge.decode.privacy import Privacy
from bridge.model.events import Origin


class Place(Protocol):
    """Where a record stands: a log record's head, or a span or point itself."""

    @property
    def resource(self) -> dict[str, Value]:
        """The attributes of its resource."""

    @property
    def scope_version(self) -> str:
        """The version of its scope."""


KEPT: Final = 1_024
MAX_RESOURCE_ATTRIBUTES: Final = 200
"""Every span of a trace repeats them."""

IDENTITY: Final = frozenset(
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

_NOT_IDENTITY: Final = ("host.", "os.", "service.", "process.", "telemetry.", "wsl.", "event.")
_NEVER_FROM_RESOURCE: Final = frozenset({"session.id", "prompt.id", "agent_id", "parent_agent_id"})
"""OTEL_RESOURCE_ATTRIBUTES is the user's: it must not move a record into another session."""


class Origins:
    """Makes origins, and gives the one made before where the same is told again.

    A resource is known by being the same object, which ``otlp`` sees to.

    Args:
        identity: Record attributes that identify, the configured tags among them.
        privacy: What has been done with the person's own.
    """

    def __init__(self, identity: frozenset[str], privacy: Privacy) -> None:
        self._identity = tuple(sorted(identity))
        self._identifies = identity
        self._omits = privacy.identity is not None and privacy.identity.omits
        self._known: dict[tuple[object, ...], tuple[Attributes, Origin]] = {}

    def of(self, place: Place, told: Attributes, fixed: Mapping[str, str]) -> Origin:
        """Whose a record, span or point is; ``fixed`` is what its sender's token says, and wins."""
        identity = tuple(map(told.get, self._identity))
        key = (id(place.resource), place.scope_version, identity, tuple(fixed.items()))
        try:
            known = self._known.get(key)
        except TypeError:  # a list or an object in place of a name
            return self._origin(place, told, fixed)
        if known is not None and known[0] is place.resource:
            return known[1]
        if len(self._known) >= KEPT:
            self._known.clear()
        origin = self._origin(place, told, fixed)
        self._known[key] = (place.resource, origin)
        return origin

    def _origin(self, place: Place, told: Attributes, fixed: Mapping[str, str]) -> Origin:
        attributes = _identifying(place.resource)
        known = told_by_trace(frozenset(attributes), self._identifies)
        for name, told_value in told.items():
            if name in known and (value := _identifying_text(told_value)):
                attributes[name] = value
        version = identifier(place.resource.get("service.version"))
        version = version or identifier(place.scope_version)
        omitted = attributes.pop(INSTALLATION, "") if self._omits else ""
        return Origin(
            product=claude_code.PRODUCT,
            service_name=identifier(place.resource.get("service.name")) or claude_code.PRODUCT,
            service_version=version or None,
            attributes=attributes | dict(fixed),
            installation=omitted,
        )


@functools.lru_cache(maxsize=1024)
def told_by_trace(of_resource: frozenset[str], identity: frozenset[str]) -> frozenset[str]:
    """Which attributes of a record say again what its trace says: identity, copies of a resource's.

    A resource may have attributes of the names that the client itself uses (``type``, ``prompt``).
    A record's own are then neither copies nor anything that identifies.
    """
    return (of_resource - claude_code.OWN_ATTRIBUTES) | identity


def _identifying(resource: Mapping[str, Value]) -> dict[str, str]:
    """What the resource says of the user: all but what describes the machine and the program."""
    found = {
        key: _identifying_text(value)
        for key, value in islice(resource.items(), MAX_RESOURCE_ATTRIBUTES)
        if _is_identifying(key)
    }
    return {key: value for key, value in found.items() if value}


def _identifying_text(value: Value) -> str | None:
    """A group may be one of several, which are told as a list."""
    return identifier(json_text(value) if isinstance(value, list | dict) else value)


def _is_identifying(key: str) -> bool:
    told = key not in _NEVER_FROM_RESOURCE and not key.startswith(_NOT_IDENTITY)
    return told and identifier(key) == key
