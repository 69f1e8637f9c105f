"""Values taken out of a sequence by their places, all in one call."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

Row = Sequence[Any]
Pick = Callable[[Row], tuple[Any, ...]]


def pick(places: Sequence[int]) -> Pick:
    """What picks these places from a row as a tuple; ``itemgetter`` does so for two and more."""
    match places:
        case []:
            return lambda _: ()
        case [place]:
            return lambda row: (row[place],)
    return itemgetter(*places)
