"""A measured value with its gate: a line of the table."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table.

    Attributes:
        number: Of the gate.
        rounds: A value for each round; the figure is their median.
        gate: The most that it may be.
        detail: What it is made of, in absolute terms.
    """

    number: int
    what: str
    unit: str
    rounds: Sequence[float]
    gate: float
    stretch: float
    detail: str = ""

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)

    @property
    def spread(self) -> float:
        """Largest less smallest, as a part of the median."""
        return (max(self.rounds) - min(self.rounds)) / abs(self.value) if self.value else 0.0

    @property
    def verdict(self) -> str:
        """``stretch``, ``ok`` or ``misses``."""
        if self.value <= self.stretch:
            return "stretch"
        return "ok" if self.value <= self.gate else "misses"
