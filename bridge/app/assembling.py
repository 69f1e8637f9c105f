"""Has the assembler work while there is something to do."""

import asyncio
import math
import time
from pathlib import Path

import structlog

from bridge.app.assembler import Assembler
from bridge.app.attention import Attention, signature
from bridge.app.child import pause
from bridge.app.ledger_thread import RETRY_S, Availability, LedgerThread
from bridge.clock import SystemClock
from bridge.errors import StoreError

log = structlog.get_logger(__name__)


class Assembling:
    """Has the assembler work while there is something to do, and leaves the processor alone else.

    Args:
        assembler: What is called on the ledger's thread.
        thread: That thread.
        inbox: The inbox's file.
        committed: Is set when there may be something to deliver.
    """

    def __init__(
        self, assembler: Assembler, thread: LedgerThread, inbox: Path, committed: asyncio.Event
    ) -> None:
        self._assembler = assembler
        self._thread = thread
        self._log_path = inbox.with_name(f"{inbox.name}-wal")
        self._committed = committed
        self._clock = SystemClock()
        self._attention = Attention()
        self._availability = Availability(
            "assemble.store_unavailable", "assemble.store_available_again"
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Assemble until ``stop``."""
        while not stop.is_set():
            found = signature(self._log_path)
            if self._attention.is_due(found, time.monotonic(), self._due_in_s()):
                await self._work(stop)
            await pause(self._attention.pause_s(time.monotonic(), self._due_in_s()), stop)

    def _due_in_s(self) -> float:
        due_ms = self._assembler.due_ms
        return math.inf if due_ms is None else (due_ms - self._clock.now_ms()) / 1000

    async def _work(self, stop: asyncio.Event) -> None:
        """Steps until there is nothing more to do."""
        try:
            while await self._step() and not stop.is_set():
                pass
            self._availability.regained()
        except StoreError as error:
            self._availability.lost(error)
            await asyncio.sleep(RETRY_S)
        except Exception:
            log.exception("assemble.step_failed")
            await self._isolate()

    async def _step(self) -> int:
        before = self._assembler.committed
        done = await self._thread.run(lambda: self._assembler.step(self._clock.now_ms()))
        if self._assembler.committed != before:
            self._committed.set()
        return done

    async def _isolate(self) -> None:
        """A bug of ours must not stop the others' records."""
        try:
            await self._thread.run(lambda: self._assembler.isolate(self._clock.now_ms()))
        except Exception:
            log.exception("assemble.isolation_failed")
            await asyncio.sleep(RETRY_S)
