"""How many bytes of large bodies are in memory at once, over all connections.

A body counts from before it is read until it is committed and answered. One of announced length
waits for its share before a byte of it is read, so its client is held back by TCP; one that only
shows its size while it comes is told to come again, since waiting with half a body in hand would
let two such wait for each other. Small bodies do not count: they are bounded by the number of
connections, and nobody's prompt should wait behind a gateway's batch.

Owned by one event loop, hence no lock.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bridge.errors import IntakeUnavailableError

SMALL_BYTES: Final = 32 * 1024
MAX_BYTES: Final = 64 * 1024 * 1024
"""One body of the largest size, or some of 10 MB. Besides it there is what one of them inflates to,
while it is checked."""

WAIT_S: Final = 3.0
RETRY_AFTER_S: Final = 2
"""Together half of what Claude Code waits before it gives a batch up."""

FULL: Final = "too many large bodies at once"


class Budget:
    """What large bodies may hold together; a limit on bodies above it raises it to one of them."""

    def __init__(
        self, max_bytes: int = MAX_BYTES, *, small_bytes: int = SMALL_BYTES, wait_s: float = WAIT_S
    ) -> None:
        self._free_bytes = max_bytes
        self._small_bytes = small_bytes
        self._wait_s = wait_s
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """What one request holds; given back at the end."""
        share = Share(self)
        try:
            yield share
        finally:
            self._free_bytes += share.held_bytes
            self._grant()

    def is_small(self, size_bytes: int) -> bool:
        """Whether a body of that size does not count."""
        return size_bytes <= self._small_bytes

    def take(self, size_bytes: int) -> None:
        """Take so much now; IntakeUnavailableError when there is not that much."""
        if self._waiting or size_bytes > self._free_bytes:
            raise IntakeUnavailableError(FULL, RETRY_AFTER_S)
        self._free_bytes -= size_bytes

    async def wait_for(self, size_bytes: int) -> None:
        """Take so much, in order of asking; IntakeUnavailableError when it takes too long."""
        if not self._waiting and size_bytes <= self._free_bytes:
            self._free_bytes -= size_bytes
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size_bytes, turn))
        try:
            await asyncio.wait_for(turn, self._wait_s)
        except BaseException as ended:
            self._leave(size_bytes, turn)
            if isinstance(ended, TimeoutError):
                raise IntakeUnavailableError(FULL, RETRY_AFTER_S) from None
            raise

    def _leave(self, size_bytes: int, turn: "asyncio.Future[None]") -> None:
        """Stop waiting, or give back what was granted in the same moment."""
        if turn.cancelled():
            self._waiting.remove((size_bytes, turn))
        else:
            self._free_bytes += size_bytes
        self._grant()

    def _grant(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free_bytes:
            size_bytes, turn = self._waiting.popleft()
            self._free_bytes -= size_bytes
            turn.set_result(None)


class Share:
    """What one request holds of the budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.held_bytes = 0

    async def announce(self, size_bytes: int) -> None:
        """A body of that size is about to be read.

        Raises:
            IntakeUnavailableError: There is no room for it for now.
        """
        if not self._budget.is_small(size_bytes):
            await self._budget.wait_for(size_bytes)
            self.held_bytes = size_bytes

    def grow(self, size_bytes: int) -> None:
        """The body has that size by now.

        Raises:
            IntakeUnavailableError: There is no room for more of it for now.
        """
        if size_bytes > self.held_bytes and not self._budget.is_small(size_bytes):
            self._budget.take(size_bytes - self.held_bytes)
            self.held_bytes = size_bytes
