"""Waiting out a trouble with Langfuse: what the loops of spans and of scores share.

What an answer means is for ``retry`` to say; this says it once to the log, waits as long as it
asks for, and, where a person must act first, asks for that instead of sending in vain.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

import structlog

from bridge.langfuse.retry import Answer, asks_for_probe, decide_probe
from bridge.model.delivery import LangfuseState, RetryLater

T = TypeVar("T")
Sleep = Callable[[float], Coroutine[Any, Any, None]]

log = structlog.get_logger(__name__)


class Probed(Protocol):
    """What can be asked whether the keys are taken."""

    async def probe(self) -> Answer:
        """One look."""
        ...


async def told_nobody(_state: LangfuseState, _reason: str) -> None:
    """For a loop whose troubles only its log tells of."""


class Trouble:
    """The trouble one loop has with Langfuse, if any.

    Args:
        stage: First part of its log events.
        sleep: Waits that many seconds.
        jitter: Draws 0 ≤ fraction < 1.
        grace_s: How long a probe may still take after a stop request.
        told: Is told of every trouble before it is waited out.

    Attributes:
        failures: Attempts that failed in a row.
    """

    def __init__(
        self,
        stage: str,
        *,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        grace_s: float = 5.0,
        told: Callable[[LangfuseState, str], Coroutine[Any, Any, None]] = told_nobody,
    ) -> None:
        self.failures = 0
        self._stage = stage
        self._sleep = sleep
        self._jitter = jitter
        self._grace_s = grace_s
        self._told = told
        self._logged: tuple[LangfuseState, bool] | None = None

    async def wait_out(self, later: RetryLater, stop: asyncio.Event, *, loud: bool) -> None:
        """Say a failure and wait as long as it asks for."""
        self.failures += 1
        self._logger(later.state, loud=loud)(
            f"{self._stage}.retry_scheduled",
            state=later.state.value,
            reason=later.reason,
            attempt=self.failures,
            after_s=round(later.after_s, 3),
        )
        await self._told(later.state, later.reason)
        await within(self._sleep(later.after_s), stop, 0.0)

    async def probe_until_free(self, client: Probed, stop: asyncio.Event) -> None:
        """Where a person must act first, ask for that instead of sending in vain."""
        while not stop.is_set():
            answer = await within(client.probe(), stop, self._grace_s)
            if answer is None:
                return
            later = decide_probe(answer, self.failures + 1, self._jitter())
            if later is None:
                return
            await self.wait_out(later, stop, loud=asks_for_probe(answer))

    def over(self) -> None:
        """Langfuse takes what is sent."""
        if self.failures:
            event = f"{self._stage}.recovered"
            log.info(event, attempts=self.failures)
        self.failures, self._logged = 0, None

    def _logger(self, state: LangfuseState, *, loud: bool) -> Callable[..., None]:
        """Once when a trouble begins or becomes another one, then only for who debugs."""
        known, self._logged = self._logged == (state, loud), (state, loud)
        write: Callable[..., None] = log.debug if known else log.error if loud else log.warning
        return write


async def within(work: Coroutine[Any, Any, T], stop: asyncio.Event, grace_s: float) -> T | None:
    """Await ``work``; once ``stop`` is set it has ``grace_s`` left. None: it was cut off."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            await asyncio.wait({working}, timeout=grace_s)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.wait({working, stopping})
