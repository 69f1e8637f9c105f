"""What a person reads at the terminal: rows made by ``store``, drawn by ``terminal``."""

from enum import StrEnum

import msgspec

from bridge.model.observations import Observation

NO_SESSION = "-"
"""Stands for the session of clients that keep their session ids to themselves."""


class SessionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One line of ``langfuse-bridge sessions``.

    The last five are what only metrics tell; None where they do not.

    Attributes:
        session_id: ``NO_SESSION`` for all clients together that tell none.
        prompts: Turns seen, live ones included.
        live: Turns that are not closed yet.
        cost_picousd: Sum over the session's generations; see ``PICO_PER_USD``.
        tokens: Langfuse usage key → sum over the session's generations.
        errors: Observations of level ERROR, roots left out (they repeat their children's).
    """

    session_id: str
    user_id: str | None
    models: tuple[str, ...]
    started_ms: int
    ended_ms: int
    prompts: int
    live: int
    generations: int
    tools: int
    errors: int
    cost_picousd: int
    tokens: dict[str, int]
    active_ms: int | None = None
    lines_added: int | None = None
    lines_removed: int | None = None
    commits: int | None = None
    pull_requests: int | None = None


class TraceView(msgspec.Struct, frozen=True, kw_only=True):
    """All kept observations of one trace, for ``langfuse-bridge show``.

    Attributes:
        live: The turn is not closed: its root has not been made yet.
        observations: In order of start.
        is_summary: It is no prompt but the sum of a session's stretch of activity.
    """

    trace_id: str
    session_id: str | None
    live: bool
    observations: tuple[Observation, ...]
    is_summary: bool = False


class Ending(StrEnum):
    """How what was set aside has ended; the value is its counter's name in the ledger."""

    QUARANTINED = "quarantined"
    """Records that could not be taken in."""
    DEAD_LETTERED = "dead_lettered"
    """A finished span that Langfuse refused for good."""


class SetAside(msgspec.Struct, frozen=True, kw_only=True):
    """One line of ``langfuse-bridge quarantine list``.

    Attributes:
        id: A number; with ``s`` in front for a span that Langfuse refused.
        at_ms: When it was set aside.
        signal: None for a span, and for a part of a trace that could not be told of.
        records: Accepted records that ended here; 0 for a span, whose records have ended in it.
        size_bytes: 0 where the content policy keeps no bytes.
        position: Of the request in the inbox, or of the span in the order of delivery.
        record_index: Which record of its request, from 0; None for all of it.
    """

    id: str
    ending: Ending
    at_ms: int
    signal: str | None
    records: int
    reason: str
    size_bytes: int
    position: int
    record_index: int | None
