"""What a coding agent measured: points of its metrics, in no vendor's words.

Made by ``decode``, folded into session totals by ``correlate``. Values are whole picounits (1e-12)
of the measure's unit, so that sums are exact in any order.
"""

from enum import StrEnum

import msgspec

from bridge.model.events import Origin

PICO = 1_000_000_000_000


class Temporality(StrEnum):
    """How a point relates to those before it."""

    DELTA = "delta"
    """It adds to them."""
    CUMULATIVE = "cumulative"
    """It replaces those of the same start."""
    GAUGE = "gauge"
    """It is the value at its time."""


class Measure(StrEnum):
    """The measures that have a meaning to us; any other is kept under its own name."""

    SESSIONS = "sessions"
    COST_USD = "cost_usd"
    TOKENS = "tokens"
    ACTIVE_S = "active_s"
    LINES = "lines"
    COMMITS = "commits"
    PULL_REQUESTS = "pull_requests"
    EDIT_DECISIONS = "edit_decisions"


class MetricPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One data point.

    Attributes:
        session_id: The coding agent's session; None when the client keeps it to itself.
        conversation: As in ``Event``: the session, else the installation.
        measure: A ``Measure``, or the metric's own name.
        attributes: What tells series of one measure apart, sorted.
        start_ms: Start of the window (delta) or of the counter (cumulative).
        value_pico: Picounits.
    """

    session_id: str | None
    conversation: str
    measure: str
    attributes: tuple[tuple[str, str], ...]
    temporality: Temporality
    start_ms: int
    time_ms: int
    value_pico: int

    @property
    def series(self) -> str:
        """One name for measure and attributes."""
        return "\0".join([self.measure, *(f"{key}={value}" for key, value in self.attributes)])


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One decoded data point, who it is from, when it reached us (our clock).

    Attributes:
        measured_ms: The point's time, as far as that can be true; ``point.time_ms`` is as told,
            since it is part of what tells a repetition.
        records: Data points of the request that end with it: 0 for the second half of a
            distribution, which is one point and two series.
        redacted: How many secrets were masked in it.
    """

    point: MetricPoint
    origin: Origin
    arrived_ms: int
    measured_ms: int
    records: int = 1
    redacted: int = 0
