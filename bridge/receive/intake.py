"""Between many clients and one disk: requests that arrive together share a commit.

Responsible for: that a request is called settled only once it is on disk, that what waits is
bounded, and saying once that intake became unavailable and once that it is back.
Left to others: the disk (whoever provides ``AppendsRequests``), the answer (``http``).

::

    hold   ─┐
    append ─┼─► queue ─► commit, on its own thread ─► all of them are settled
    hold   ─┘     ▲
                  └── whatever comes meanwhile is the next commit: no timer, and the busier the
                      disk, the larger the groups

``append`` is ``hold`` for those who want to wait: it costs a future and a turn of the loop more.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, Protocol

from bridge.errors import IntakeUnavailableError
from bridge.model.requests import ExportRequest
from bridge.receive.journal import note, note_failure

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


Settled = Callable[[Exception | None], None]
"""Is told that a request is on disk, or why it is not."""

_Waiting = tuple[ExportRequest, Settled]


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
        self._committing = False
        self._idle: asyncio.Future[None] | None = None
        self._closed = False
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="inbox-append")
        self._availability = _Availability()

    async def append(self, request: ExportRequest) -> None:
        """Return when ``request`` is committed.

        Raises:
            IntakeUnavailableError: It is not, for now: too much waits, or the commit failed.
        """
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self.hold(request, partial(_tell, committed)):
            raise self._unavailable()
        await committed

    def hold(self, request: ExportRequest, settled: Settled) -> bool:
        """Commit ``request`` and call ``settled`` then; False when nothing more is taken now."""
        size_bytes = len(request.body)
        if self._closed or self._is_full_for(size_bytes):
            return False
        self._queue.append((request, settled))
        self._held_requests += 1
        self._held_bytes += size_bytes
        if not self._committing:  # what comes in this turn of the loop shares the commit
            self._committing = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self._commit, loop)
        return True

    async def close(self) -> None:
        """Accept no more, and return when what is queued has been committed."""
        self._closed = True
        if self._committing:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
        self._executor.shutdown()

    def _unavailable(self) -> IntakeUnavailableError:
        reason = "shutting down" if self._closed else "queue full"
        if not self._closed:
            self._availability.lost(reason)
        return IntakeUnavailableError(reason, RETRY_AFTER_S)

    def _is_full_for(self, size_bytes: int) -> bool:
        """A body larger than the whole bound is taken when nothing else waits."""
        return self._held_requests > 0 and (
            self._held_requests >= self._max_held_requests
            or self._held_bytes + size_bytes > self._max_held_bytes
        )

    def _commit(self, loop: asyncio.AbstractEventLoop) -> None:
        group, self._queue = self._queue, []
        self._executor.submit(self._append, group, loop)

    def _append(self, group: Sequence[_Waiting], loop: asyncio.AbstractEventLoop) -> None:
        """On the thread; wakes the loop once for the whole group."""
        failure = None
        try:
            self._inbox.append([request for request, _ in group])
        except Exception as error:  # noqa: BLE001 - the root of a thread: every waiter must hear
            failure = error
        loop.call_soon_threadsafe(self._settle, group, failure, loop)

    def _settle(
        self,
        group: Sequence[_Waiting],
        failure: Exception | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._held_requests -= len(group)
        self._held_bytes -= sum([len(request.body) for request, _ in group])
        self._judge(failure)
        # Before the next commit begins, since both would wait for Python's lock in turns.
        _tell_all(group, failure)
        self._committing = bool(self._queue)
        if self._queue:
            loop.call_soon(self._commit, loop)
        if self._idle is not None and not self._committing:
            self._idle.set_result(None)

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


def _tell(committed: asyncio.Future[None], failure: Exception | None) -> None:
    if committed.done():  # its request was cancelled meanwhile
        return
    if failure is None:
        committed.set_result(None)
    else:
        committed.set_exception(failure)


def _tell_all(group: Sequence[_Waiting], failure: Exception | None) -> None:
    """Whatever goes wrong for one of a group, the others hear too."""
    for _, settled in group:
        try:
            settled(failure)
        except Exception as error:  # noqa: BLE001 - the root of an answer
            note_failure(error)
