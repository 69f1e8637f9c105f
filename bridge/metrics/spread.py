"""How times and sizes are spread: cumulative buckets that can be added up in the ledger.

A value is counted in the first bucket that takes it; Prometheus' sums over buckets are made when
they are shown.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from typing import Final

from bridge.model.counted import Counts, Series

MICRO: Final = 1_000_000
"""Sums are whole millionths."""

ANSWER_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""An answer takes a commit, milliseconds, and the clients give up after ten seconds."""
DELIVERY_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCH_SPANS: Final = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0)

LE: Final = "le"
BEYOND: Final = "+Inf"
SUM: Final = "sum_micro"


class Spread:
    """One distribution: how often values came into each bucket, and their sum.

    Args:
        bounds: Upper ends of the buckets, growing; there is one more beyond them.
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._buckets = (*map(str, bounds), BEYOND)
        self._counts: Counter[str] = Counter()

    def note(self, value: float) -> None:
        """Count one value."""
        self._counts[self._buckets[bisect_left(self._bounds, value)]] += 1
        self._counts[SUM] += round(value * MICRO)

    def counts(self) -> Mapping[str, int]:
        """Bucket → how many, and ``SUM`` → the sum in millionths."""
        return dict(self._counts)

    def take(self, name: str) -> Counts:
        """What came since the last time, as series of ``name``."""
        taken, self._counts = self._counts, Counter()
        return {Series(name, ((LE, bucket),)): n for bucket, n in taken.items()}


def cumulative(
    counts: Mapping[str, int], bounds: tuple[float, ...]
) -> tuple[list[tuple[str, float]], float]:
    """(bucket, values up to it) as Prometheus counts them, and the sum of all values."""
    so_far = 0
    buckets: list[tuple[str, float]] = []
    for bucket in (*map(str, bounds), BEYOND):
        so_far += counts.get(bucket, 0)
        buckets.append((bucket, so_far))
    return buckets, counts.get(SUM, 0) / MICRO
