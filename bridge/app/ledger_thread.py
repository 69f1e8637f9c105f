"""The one thread that uses the ledger, as seen from the event loop.

Marks of deliveries are tried until they are on disk, and each trouble with a file is told once.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import structlog

from bridge.errors import StoreError
from bridge.model.delivery import LangfuseState, PendingSpan
from bridge.model.scores import PendingScore
from bridge.store.ledger import Ledger

RETRY_S: Final = 1.0
"""Between two attempts while a file cannot be used."""

T = TypeVar("T")
log = structlog.get_logger(__name__)


class LedgerThread:
    """The one thread that writes the ledger, as seen from the event loop."""

    def __init__(self, ledger: Ledger, replaced: Callable[[], None]) -> None:
        self._ledger = ledger
        self._replaced = replaced
        # Apart, since a disk that is full for what is written lets go on what is read.
        self._reading = Availability("ledger.unreadable", "ledger.readable_again")
        self._writing = Availability("ledger.unavailable", "ledger.available_again")
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")

    async def run(self, work: Callable[[], T]) -> T:
        """The result of ``work``, done on the ledger's thread.

        Raises:
            StoreError: A file could not be used. A damaged ledger has been replaced meanwhile, so
                it is worth trying again.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except StoreError:
            await self.recover()
            raise

    async def recover(self) -> None:
        """Replace the ledger's file if it is damaged; what cannot be done now is tried again."""
        with contextlib.suppress(StoreError):
            await asyncio.get_running_loop().run_in_executor(self._thread, self._recover)

    def _recover(self) -> None:
        if replaced := self._ledger.recover():
            self._replaced()
            log.error("ledger.damaged_file_set_aside", reason=str(replaced))

    async def claim(self, max_bytes: int, max_spans: int) -> list[PendingSpan]:
        """Pending spans, oldest first."""
        reading = self._reading
        return await self._patiently(lambda: self._ledger.claim(max_bytes, max_spans), reading)

    async def delivered(self, positions: Sequence[int], at_ms: int) -> None:
        """Langfuse has these."""
        await self._patiently(lambda: self._ledger.delivered(positions, at_ms))

    async def rejected(self, position: int, reason: str, at_ms: int) -> None:
        """Langfuse will never take this one."""
        await self._patiently(lambda: self._ledger.rejected(position, reason, at_ms))

    async def claim_scores(self, now_ms: int, limit: int) -> list[PendingScore]:
        """Scores to tell now."""
        return await self._patiently(lambda: self._ledger.claim_scores(now_ms, limit))

    async def scores_delivered(self, sent: Sequence[PendingScore], at_ms: int) -> None:
        """Langfuse has these scores."""
        await self._patiently(lambda: self._ledger.scores_delivered(sent, at_ms))

    async def score_rejected(self, pending: PendingScore, reason: str, at_ms: int) -> None:
        """Langfuse will not take this value of a score."""
        await self._patiently(lambda: self._ledger.score_rejected(pending, reason, at_ms))

    async def note(self, state: LangfuseState, reason: str) -> None:  # noqa: ARG002 - for the log
        """What is known of Langfuse."""
        await self._patiently(lambda: self._ledger.note(state))

    async def close(self) -> None:
        """Let what is running end, and close the file.

        Its log is emptied first: SQLite would leave it, since the receiver still reads the file.
        """
        with contextlib.suppress(StoreError):
            await self.run(self._ledger.checkpoint)
        await self.run(self._ledger.close)
        self._thread.shutdown()

    async def _patiently(
        self, work: Callable[[], T], availability: "Availability | None" = None
    ) -> T:
        """Until it succeeds: a mark that is forgotten would be a span sent twice."""
        availability = availability or self._writing
        while True:
            try:
                done = await self.run(work)
            except StoreError as error:
                availability.lost(error)
                await asyncio.sleep(RETRY_S)
            else:
                availability.regained()
                return done


class Availability:
    """Says once that files cannot be used, and once that they can again."""

    def __init__(self, lost_event: str, regained_event: str) -> None:
        self._events = (lost_event, regained_event)
        self._failures = 0

    def lost(self, error: StoreError) -> None:
        """It could not be used this time."""
        if not self._failures:
            log.warning(self._events[0], reason=str(error))
        self._failures += 1

    def regained(self) -> None:
        """It could."""
        if self._failures:
            log.info(self._events[1], failures=self._failures)
        self._failures = 0
