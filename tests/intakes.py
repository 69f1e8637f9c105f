"""The real inbox and intake with a hold on them: a gate before commits, a count of arrivals."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Protocol

from bridge.model.requests import ExportRequest, Signal
from bridge.receive.intake import Intake, Settled
from bridge.store.inbox import Inbox

DEADLINE_S = 5.0
NOW_MS = 1_790_000_000_000


class Kept(Protocol):
    """What the inbox has: all of it, or of one signal."""

    def __call__(self, of: Signal | None = None) -> list[ExportRequest]: ...


class FixedClock:
    def now_ms(self) -> int:
        return NOW_MS


class GatedInbox:
    """Lets commits through to the real inbox only while its gate is open; counts groups."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.group_sizes: list[int] = []

    def append(self, requests: Sequence[ExportRequest]) -> None:
        self.entered.set()
        assert self.gate.wait(DEADLINE_S)
        self._inbox.append(requests)
        self.group_sizes.append(len(requests))

    async def until_entered(self) -> None:
        assert await asyncio.to_thread(self.entered.wait, DEADLINE_S)


class CountingIntake:
    """The real intake, counting what came in.

    Attributes:
        repeated: How many came as repetitions of one before.
    """

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._arrival = asyncio.Event()
        self._count = 0
        self.repeated = 0

    def hold(self, request: ExportRequest, settled: Settled) -> bool:
        self._arrived()
        self.repeated += 1
        return self._intake.hold(request, settled)

    async def append(self, request: ExportRequest) -> None:
        self._arrived()
        await self._intake.append(request)

    async def until_arrived(self, count: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while self._count < count:
                self._arrival.clear()
                await self._arrival.wait()

    def _arrived(self) -> None:
        self._count += 1
        self._arrival.set()
