"""What a person reads at the terminal: rows made by ``store``, drawn by ``terminal``."""

import msgspec

from bridge.model.observations import Observation


class SessionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One line of ``langfuse-bridge sessions``.

    Attributes:
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


class TraceView(msgspec.Struct, frozen=True, kw_only=True):
    """All kept observations of one trace, for ``langfuse-bridge show``.

    Attributes:
        live: The turn is not closed: its root has not been made yet.
        observations: In order of start.
    """

    trace_id: str
    session_id: str | None
    live: bool
    observations: tuple[Observation, ...]
