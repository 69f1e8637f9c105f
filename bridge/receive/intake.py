"""Between many clients and one disk: requests that arrive together share a commit.

Responsible for: that ``append`` returns only once the request is on disk, that what waits is
bounded, and saying once that intake became unavailable and once that it is back.
Left to others: the disk (whoever provides ``AppendsRequests``), the answer (``http``).

::

    append ─┐
    append ─┼─► queue ─► commit, on its own thread ─► all of them return
    append ─┘     ▲
                  └── whatever comes meanwhile is the next commit: no timer, and the busier the
                      disk, the larger the groups
"""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple, Protocol

from bridge.errors import IntakeUnavailableError
from bridge.model.requests import ExportRequest
from bridge.receive.journal import note

MAX_HELD_REQUESTS: Final = 8_192
MAX_HELD_BYTES: Final = 128 * 1024 * 1024
"""What may wait in memory for the disk: two bodies of the largest size, or seconds of ordinary
posts at many times the load of a thousand developers."""

RETRY_AFTER_S: Final = 1
"""A full queue is empty again one commit later."""


class AppendsRequests(Protocol):
    """What intake needs of the inbox."""

    def append(self, requests: Sequence[ExportRequest]) -> None:
        """Commit all or none; blocks. Raises IntakeUnavailableError when it cannot now."""
        ...


class _Waiting(NamedTuple):
    request: ExportRequest
    committed: asyncio.Future[None]


class Intake:
    """Commits requests in groups. Owned by one event loop, hence no lock."""

    def __init__(
        self,
        inbox: AppendsRequests,
        *,
        max_held_requests: int = MAX_HELD_REQUESTS,
        max_held_bytes: int = MAX_HELD_BYTES,
    ) -> None:
        self._inbox = inbox
        self._max_held_requests = max_held_requests
        self._max_held_bytes = max_held_bytes
        self._queue: list[_Waiting] = []
        self._held_requests = 0
        self._held_bytes = 0
        self._committer: asyncio.Task[None] | None = None
        self._closed = False
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="inbox-append")
        self._availability = _Availability()

    async def append(self, request: ExportRequest) -> None:
        """Return when ``request`` is committed.

        Raises:
            IntakeUnavailableError: It is not, for now: too much waits, or the commit failed.
        """
        self._admit(request)
        waiting = _Waiting(request, asyncio.get_running_loop().create_future())
        self._hold(waiting)
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_queue(), name="intake.commit")
        await waiting.committed

    async def close(self) -> None:
        """Accept no more, and return when what is queued has been committed."""
        self._closed = True
        if self._committer is not None:
            await self._committer
        self._executor.shutdown()

    def _admit(self, request: ExportRequest) -> None:
        if self._closed:
            raise IntakeUnavailableError("shutting down", RETRY_AFTER_S)
        if self._is_full_for(request):
            self._availability.lost("queue full")
            raise IntakeUnavailableError("queue full", RETRY_AFTER_S)

    def _is_full_for(self, request: ExportRequest) -> bool:
        """A request larger than the whole bound is taken when nothing else waits."""
        return self._held_requests > 0 and (
            self._held_requests >= self._max_held_requests
            or self._held_bytes + len(request.body) > self._max_held_bytes
        )

    def _hold(self, waiting: _Waiting) -> None:
        self._queue.append(waiting)
        self._held_requests += 1
        self._held_bytes += len(waiting.request.body)

    async def _commit_queue(self) -> None:
        while self._queue:
            group, self._queue = self._queue, []
            failure = await self._commit([waiting.request for waiting in group])
            self._settle(group, failure)
        self._committer = None

    async def _commit(self, requests: Sequence[ExportRequest]) -> Exception | None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._executor, self._inbox.append, requests)
        except Exception as failure:  # noqa: BLE001 - the root of a task: every waiter must hear
            return failure
        return None

    def _settle(self, group: Sequence[_Waiting], failure: Exception | None) -> None:
        self._held_requests -= len(group)
        self._held_bytes -= sum(len(waiting.request.body) for waiting in group)
        for waiting in group:
            if waiting.committed.done():  # its request was cancelled meanwhile
                continue
            if failure is None:
                waiting.committed.set_result(None)
            else:
                waiting.committed.set_exception(failure)
        self._judge(failure)

    def _judge(self, failure: Exception | None) -> None:
        if isinstance(failure, IntakeUnavailableError):
            self._availability.lost(failure.reason)
        elif failure is not None:
            self._availability.lost(type(failure).__name__)
        elif self._held_requests * 2 <= self._max_held_requests:
            self._availability.regained()


class _Availability:
    """Says once that intake became unavailable, and once that it is back."""

    def __init__(self) -> None:
        self._failures = 0

    def lost(self, reason: str) -> None:
        if self._failures == 0:
            note(logging.WARNING, "receive.unavailable", reason=reason)
        self._failures += 1

    def regained(self) -> None:
        if self._failures:
            note(logging.INFO, "receive.available_again", failures=self._failures)
        self._failures = 0
