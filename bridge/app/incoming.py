"""A request on its way into the assembler, over as many steps as it takes.

What was read of it in memory is a copy of nothing: how far it came is in the ledger, and after a
restart it is decoded again and what was assembled before is passed over.
"""

from collections.abc import Callable, Iterator, Sequence

from bridge.decode.records import Batch, Decoded
from bridge.model.measures import Measurement
from bridge.model.requests import InboxEntry, Progress, Signal


class Reading:
    """One request, given out batch by batch from where an earlier step ended.

    Attributes:
        progress: How much of it was assembled and given out.
        ended: Whether that was all.
    """

    def __init__(self, entry: InboxEntry, batches: Iterator[Batch], start: Progress) -> None:
        self.entry = entry
        self.progress = start
        self.ended = False
        self._batches = batches
        self._known_items = start.items
        is_metrics = entry.request.signal is Signal.METRICS
        self._records: Callable[[Sequence[Decoded]], int] = _points if is_metrics else len

    def more(self) -> tuple[list[Decoded], int]:
        """The next items, and how many bytes they were.

        Raises:
            UndecodableError: The rest cannot be read; that is its end.
        """
        self.ended = True  # unless there is more
        batch = next(self._batches)
        self.ended = batch.last
        new = batch.items[self._known_items :]
        self._known_items = max(self._known_items - len(batch.items), 0)
        records = self._records(new)
        self.progress = Progress(self.progress.items + len(new), self.progress.records + records)
        return new, batch.size_bytes if new else 0  # else restarts might never come further


def _points(items: Sequence[Decoded]) -> int:
    """Records of a request with metrics, where an item may stand for several."""
    return sum(item.records if isinstance(item, Measurement) else 1 for item in items)
