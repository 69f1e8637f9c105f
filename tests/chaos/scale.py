"""How much of everything a run does, and what its dice are seeded with.

Both come from the environment: ``CHAOS=full`` is what ``make chaos`` sets, anything else is the
run within the ordinary tests; ``CHAOS_SEED`` repeats the moments of an earlier run, as far as a
machine can.
"""

import os
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much.

    Attributes:
        lives: Starts of the bridge in the kill scenario; each has a round of each kind.
        stops: SIGTERMs for each state of Langfuse.
        calm_s: Before an outage, for comparison.
        copies: Sessions of each recording that are sent in every way there is.
        open_sessions: That are open at the same time.
        unknown_sessions: Session ids of which one record comes each.
        records: Of the scenario with the most records.
        body_mb: The largest body allowed, which is sent.
    """

    lives: int
    stops: int
    calm_s: float
    copies: int
    open_sessions: int
    unknown_sessions: int
    records: int
    body_mb: int


FULL = Scale(
    lives=20,
    stops=10,
    calm_s=10,
    copies=200,
    open_sessions=10_000,
    unknown_sessions=100_000,
    records=1_000_000,
    body_mb=64,
)
SHORT = Scale(
    lives=6,
    stops=1,
    calm_s=2,
    copies=10,
    open_sessions=1_000,
    unknown_sessions=5_000,
    records=10_000,
    body_mb=16,
)

IS_FULL = os.environ.get("CHAOS") == "full"
SCALE = FULL if IS_FULL else SHORT
SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))


def dice(scenario: str) -> random.Random:
    """The same throws for the same seed, whatever else runs."""
    return random.Random(f"{SEED} {scenario}")  # noqa: S311 - no secret
