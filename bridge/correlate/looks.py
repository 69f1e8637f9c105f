"""When to look again at which conversation or turn.

The ledger has the whole queue, in order; only its near end is in memory, so that neither the number
of open sessions nor a start costs any. What is planned and taken since the last ``take_changes`` is
here alone until then.
"""

import heapq
from typing import Protocol

import msgspec

Look = tuple[int, int, str]
"""When, for what, at which conversation or turn; looks are taken in this order."""

MOST_NEAR = 1_000
"""Looks read on at a time; at most twice as many stay in memory after a save."""

_BEHIND_ALL: Look = (2**63 - 1, 0, "")


class ArchivedLooks(Protocol):
    """The queue as it was saved."""

    def looks(self, after: Look, limit: int) -> list[Look]:
        """The first looks behind one, in order."""
        ...


class LookChanges(msgspec.Struct, frozen=True):
    """What became of the queue since the last call: first take out, then put in."""

    done: tuple[Look, ...] = ()
    planned: tuple[Look, ...] = ()


class Looks:
    """The queue, read from the archive as time goes on.

    Args:
        archive: The queue as it was saved.
        longest_ms: No look is planned further ahead than this.
        most_near: How many looks to keep in memory, about.
    """

    def __init__(self, archive: ArchivedLooks, longest_ms: int, most_near: int = MOST_NEAR) -> None:
        self._archive = archive
        self._longest_ms = longest_ms
        self._most_near = most_near
        self._heap: list[Look] = []
        self._near: set[Look] = set()
        self._edge: Look = (-(2**63), 0, "")
        self._furthest_ms = _BEHIND_ALL[0]
        self._pulled_in = False
        self._planned: set[Look] = set()
        self._done: set[Look] = set()

    @property
    def near(self) -> int:
        """How many looks are in memory."""
        return max(len(self._heap), len(self._near))

    def plan(self, look: Look) -> None:
        """Look then."""
        self._planned.add(look)
        if look[0] > self._furthest_ms:
            self._furthest_ms = look[0]
        if look <= self._edge and look not in self._near:
            self._near.add(look)
            heapq.heappush(self._heap, look)

    def cancel(self, look: Look) -> None:
        """Do not look then; unless it was planned since the last save, it was saved."""
        self._near.discard(look)
        if look in self._planned:
            self._planned.remove(look)
        else:
            self._done.add(look)

    def take_due(self, now_ms: int) -> Look | None:
        """Take the first look out that is due; None when none is.

        Those too far ahead were planned by a clock that has been set back since: they are due now.
        """
        if self._furthest_ms > now_ms + self._longest_ms and not self._pulled_in:
            self._pull_in(now_ms)
        heap = self._heap
        look = heap[0] if heap and heap[0] in self._near else self.first()
        if look is None or look[0] > now_ms:
            return None
        heapq.heappop(heap)
        self.cancel(look)
        return look

    def first(self) -> Look | None:
        """The first look of the queue; None when it is empty."""
        while True:
            while self._heap and self._heap[0] not in self._near:
                heapq.heappop(self._heap)  # it was cancelled
            if self._heap or self._edge == _BEHIND_ALL:
                return self._heap[0] if self._heap else None
            self._read_on()

    def take_changes(self) -> LookChanges:
        """What to save; from then on the archive is as up to date as memory."""
        changes = LookChanges(done=tuple(sorted(self._done)), planned=tuple(sorted(self._planned)))
        self._planned.clear()
        self._done.clear()
        self._pulled_in = False
        if len(self._heap) > 2 * self._most_near:
            self._keep_nearest()
        return changes

    def _read_on(self) -> None:
        """The next stretch of the queue, with what has changed in it since it was saved."""
        saved = self._archive.looks(self._edge, self._most_near)
        start, self._edge = self._edge, saved[-1] if len(saved) == self._most_near else _BEHIND_ALL
        planned = {look for look in self._planned if start < look <= self._edge}
        for look in planned.union(set(saved) - self._done):
            self._push(look)

    def _push(self, look: Look) -> None:
        if look not in self._near:
            self._near.add(look)
            heapq.heappush(self._heap, look)

    def _keep_nearest(self) -> None:
        """Let go what is far off, and what was cancelled: the archive has it."""
        self._heap = sorted(self._near)
        if len(self._heap) > self._most_near:
            del self._heap[self._most_near :]
            self._near = set(self._heap)
            self._edge = self._heap[-1]

    def _pull_in(self, now_ms: int) -> None:
        """Plan anew, for now, what is too far ahead: a bounded number between two saves."""
        end: Look = (now_ms + self._longest_ms + 1, -1, "")
        saved = self._archive.looks(end, self._most_near)
        planned = {look for look in self._planned if look > end}
        for look in planned.union(set(saved) - self._done):
            self.cancel(look)
            self.plan((now_ms, *look[1:]))
        self._pulled_in = True
        if len(saved) < self._most_near:
            self._furthest_ms = now_ms + self._longest_ms
