"""What Langfuse is told: observations, and the facts every span of a trace repeats."""

from enum import StrEnum

import msgspec

PICO_PER_USD = 1_000_000_000_000
"""Costs are whole picodollars inside the bridge: sums are exact, and twelve decimals are what
Langfuse keeps (its columns are Decimal(18, 12))."""

Scalar = str | int | float | bool
MetadataValue = Scalar | list[Scalar]


class ObservationKind(StrEnum):
    """Langfuse's observation types that the bridge uses; lower case is required on the wire."""

    AGENT = "agent"
    GENERATION = "generation"
    TOOL = "tool"
    SPAN = "span"
    EVENT = "event"


class Level(StrEnum):
    """Langfuse's levels; DEBUG is hidden in its trace tree by default."""

    DEBUG = "DEBUG"
    DEFAULT = "DEFAULT"
    WARNING = "WARNING"
    ERROR = "ERROR"


class TraceFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What every span of one trace repeats, because Langfuse v4 reads rows, not traces.

    Frozen when the first observation of a turn leaves, so that all of them agree.

    Attributes:
        tags: One ``key:value`` for each configured attribute, in the configured order.
        metadata: The same values unabridged, under the tag's key, and what else is trace-wide.
        version: The coding agent's version.
        service_name: Resource attribute of the client, kept as the resource sent on.
    """

    name: str
    session_id: str | None
    user_id: str | None
    tags: tuple[str, ...]
    metadata: dict[str, MetadataValue]
    version: str | None
    release: str | None
    environment: str | None
    service_name: str
    service_version: str | None


class Observation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One finished Langfuse observation, made by ``correlate`` and encoded by ``langfuse.wire``.

    Attributes:
        trace_id: 32 lower-case hex digits.
        id: 16 lower-case hex digits.
        parent_id: None for the root, unless it joins another program's trace.
        is_app_root: It is a root although its trace is another program's.
        start_ms: Unix milliseconds; Langfuse keeps no finer time.
        usage: Langfuse usage keys → tokens; only on generations.
        cost_picousd: Picodollars; only on generations; None lets Langfuse price the usage.
        completion_start_ms: When the first token came, Unix milliseconds.
    """

    trace_id: str
    id: str
    parent_id: str | None
    kind: ObservationKind
    name: str
    start_ms: int
    end_ms: int
    trace: TraceFacts
    level: Level = Level.DEFAULT
    status_message: str | None = None
    input: str | None = None
    output: str | None = None
    model: str | None = None
    model_parameters: dict[str, str] | None = None
    usage: dict[str, int] | None = None
    cost_picousd: int | None = None
    completion_start_ms: int | None = None
    is_app_root: bool = False
    metadata: dict[str, MetadataValue] = {}
