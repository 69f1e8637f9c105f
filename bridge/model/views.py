"""What a person reads at the terminal: rows made by ``store``, drawn by ``terminal``."""

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
