"""What is counted besides the endings of records: numbers told apart by labels.

Names are those of ``metrics.families``, without the prefix that all of ours share.
"""

from typing import Final

import msgspec

OTHER: Final = "other"
"""Stands for all values of a label that are not told apart any more."""

MAX_SERIES: Final = {"unknown_names": 50}
MAX_SERIES_DEFAULT: Final = 1_000
"""How many series one name may have: whoever sends chooses values, and Prometheus keeps each."""

Labels = tuple[tuple[str, str], ...]


class Series(msgspec.Struct, frozen=True, cache_hash=True, gc=False):
    """One number of those with the same name. Those who count often make it once and keep it.

    Attributes:
        name: Of the metric; the value's unit stands in it, and is a whole number in the ledger.
        labels: (label, value) whose values are of a closed set.
        told: (label, value) whose values are the clients' own.
    """

    name: str
    labels: Labels = ()
    told: Labels = ()

    def beyond(self) -> "Series":
        """The series that takes what comes when a name has as many as it may have."""
        return Series(self.name, self.labels, tuple((label, OTHER) for label, _ in self.told))


Counts = dict[Series, int]
"""Series → what is added to it."""


def max_series(name: str) -> int:
    """How many series a name may have before ``Series.beyond`` takes the rest."""
    return MAX_SERIES.get(name, MAX_SERIES_DEFAULT)
