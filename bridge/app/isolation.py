"""Which records of a request are to blame when a step fails for no reason a disk could have.

Decides by trying: what it is given repeats the step without some of the records and tells whether
it failed. Leaves the trying, and what becomes of the culprits, to ``assembler``.
"""

from bisect import bisect_left
from collections.abc import Callable
from collections.abc import Set as AbstractSet

MAX_CULPRITS = 20
"""Each costs as many attempts as the request's size has binary digits. Behind the last of them all
that is left of the request goes where they go."""

Fails = Callable[[AbstractSet[int]], bool]
"""Whether the step fails although the records at these places are left out."""


def culprits(fails: Fails, records: int) -> set[int]:
    """Places of the records without which the step succeeds; empty if it does so with all.

    Raises:
        ValueError: It fails without any of them too: no record is to blame.
    """
    found: set[int] = set()
    while fails(found):
        first = _first(fails, found, records)
        rest = range(first + 1, records) if len(found) + 1 == MAX_CULPRITS else ()
        found |= {first, *rest}
    return found


def _first(fails: Fails, found: set[int], records: int) -> int:
    """The place of the first record with which, after all before it, the step fails."""

    def fails_up_to(end: int) -> bool:
        return fails(found.union(range(end, records)))

    end = bisect_left(range(records + 1), True, key=fails_up_to)
    if end == 0 or end > records:
        raise ValueError("no record is to blame")
    return end - 1
