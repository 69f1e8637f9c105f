"""Connections over HTTP: how long one may keep us waiting, and how many there may be.

Responsible for: that a connection which sends no whole head, lies idle, or does not take its
answer is closed, and that the number of open ones is bounded.
Left to others: how long a body may take (``http``), what is answered.

aiohttp has no time limit for a head that trickles in, and none for an answer that nobody reads.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import Any, Final, NamedTuple
from weakref import WeakSet

from aiohttp import web

from bridge.receive.budget import Share
from bridge.receive.journal import connection_logger, note
from bridge.receive.repeats import Desk, Repeats

MAX_CONNECTIONS: Final = 1_024
"""A thousand developers at work. An idle connection costs 10 kB, with TLS 45 kB."""

SPARE_CONNECTIONS: Final = 256
"""Beyond the bound a connection still gets one answer: health as ever, 503 for an export, which
clients send again, where a closed connection would lose them the batch. Beyond these too, it is
closed at once."""

HEAD_TIMEOUT_S: Final = 10.0
"""From the first byte of a request, or from connecting, to the end of its head."""

IDLE_TIMEOUT_S: Final = 150.0
"""Twice the minute after which Claude Code sends its metrics, and some more: a post on a connection
that is just being closed is lost."""

FIRST_REQUEST_TIMEOUT_S: Final = 1.0
"""What a connection has for its first request when the receiver stops."""

LOOPS_TO_ACCEPT: Final = 3
"""Turns of the event loop from accepting a connection to having its protocol."""

NEVER_S: Final = math.inf

BUFFER_BYTES: Final = 64 * 1024
"""What is read at once, into one buffer for all connections. asyncio would ask the system for
256 KiB each time and give back what was not needed, and that costs more than the reading."""
LARGE_BUFFER_BYTES: Final = 512 * 1024
"""The same for a body that has its share of what bodies may hold together. Elsewhere as much as
this might come from every connection before anybody wants it."""

WAITER: Final = "_waiter"
"""What aiohttp's handler has, other than None, only while it waits for the next request. It is not
promised to anybody: of an aiohttp that has it no more, every request is left to it."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Closing(StrEnum):
    """Why a connection was closed by us without an answer."""

    SLOW_HEAD = "slow_head"
    IDLE = "idle"
    """Nothing was asked, or an answer was not taken."""
    CROWDED = "crowded"


class ConnectionLimits(NamedTuple):
    """The bounds of a listener; see the constants."""

    connections: int = MAX_CONNECTIONS
    spare: int = SPARE_CONNECTIONS
    head_timeout_s: float = HEAD_TIMEOUT_S
    idle_timeout_s: float = IDLE_TIMEOUT_S


class Connections:
    """Makes a protocol for each connection, as asyncio wants it, and counts those that are open."""

    def __init__(self, server: web.Server, limits: ConnectionLimits, desk: Desk) -> None:
        self.limits = limits
        self.desk = desk
        self.large_buffer = memoryview(bytearray(LARGE_BUFFER_BYTES))
        self.buffer = self.large_buffer[:BUFFER_BYTES]
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._logger = connection_logger()
        self._open = 0
        self._was_full = False
        self._unused: WeakSet[Connection] = WeakSet()  # a failed handshake tells nobody
        self._all_used = asyncio.Event()

    def __call__(self) -> "Connection":
        """The protocol of a connection that was just accepted."""
        connection = Connection(
            self,
            self._server,
            loop=self._loop,
            keepalive_timeout=NEVER_S,  # ours is sooner, and aiohttp does not see all that comes
            # aiohttp would inflate bodies, and leave Content-Encoding as it was: they are kept as
            # they were sent.
            auto_decompress=False,
            logger=self._logger,
            access_log=None,
        )
        self._unused.add(connection)
        return connection

    def used(self, connection: "Connection") -> None:
        """A request has come over it, or it is gone."""
        self._unused.discard(connection)
        if not self._unused:
            self._all_used.set()

    async def until_used(self) -> None:
        """Return when every connection has had a request, or has had time for one.

        Whoever has connected is about to send: one that is closed before is as bad as one refused.
        """
        for _ in range(LOOPS_TO_ACCEPT):
            await asyncio.sleep(0)
        self._all_used.clear()
        if self._unused:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_used.wait(), FIRST_REQUEST_TIMEOUT_S)

    def opened(self) -> bool:
        """Count one more; whether it is beyond the bound."""
        self._open += 1
        full = self._open > self.limits.connections
        if full and not self._was_full:
            note(logging.WARNING, "receive.crowded", connections=self.limits.connections)
        self._was_full |= full
        return full

    def closed(self) -> None:
        """Count one less."""
        self._open -= 1
        if self._was_full and self._open * 2 <= self.limits.connections:
            note(logging.INFO, "receive.crowd_gone")
            self._was_full = False

    def is_overfull(self) -> bool:
        """Whether there are not even spare ones."""
        return self._open > self.limits.connections + self.limits.spare


class Watchdog:
    """The deadline of one connection, set whenever it is the client's turn.

    Args:
        limits: How long its turns may be.
        bite: Ends the connection.
    """

    def __init__(self, limits: ConnectionLimits, bite: Callable[[], None]) -> None:
        self._limits = limits
        self._bite = bite
        self._loop = asyncio.get_running_loop()  # to ask for it is a call to the system
        self._end_s = math.inf
        self._reason = Closing.IDLE
        self._timer: asyncio.TimerHandle | None = None
        self._idle = False
        self._over = False

    def head_awaited(self) -> None:
        """The client has connected, or begun to send."""
        self._idle = False
        self._expect(self._limits.head_timeout_s, Closing.SLOW_HEAD)

    def bytes_came(self) -> None:
        """The first ones after an answer begin the next head; others change nothing."""
        if self._idle:
            self.head_awaited()

    def head_came(self) -> None:
        """From here to the answer it is our turn; a body has limits of its own."""
        self._idle = False
        self._rest()

    def answer_made(self) -> None:
        """It is to be taken; then the next request may come."""
        self._idle = True
        self._expect(self._limits.idle_timeout_s, Closing.IDLE)

    def connection_ended(self) -> None:
        """There is nothing to wait for any more, whatever is answered yet."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self, reason: Closing) -> None:
        """End the connection and say why."""
        note(logging.DEBUG, "receive.connection_closed", reason=reason)
        self._bite()

    def _expect(self, within_s: float, otherwise: Closing) -> None:
        if self._over:
            return
        self._end_s, self._reason = self._loop.time() + within_s, otherwise
        if self._timer is not None and self._timer.when() > self._end_s:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(self._end_s, self._look)

    def _rest(self) -> None:
        self._end_s = math.inf

    def _look(self) -> None:
        """The timer went off, maybe for a turn that is over: setting one for each would cost."""
        self._timer = None
        if self._end_s <= self._loop.time():
            self.close(self._reason)
        elif self._end_s < math.inf:
            self._timer = self._loop.call_at(self._end_s, self._look)


class Connection(web.RequestHandler, asyncio.BufferedProtocol):
    """aiohttp's side of one connection, watched and counted.

    Attributes:
        crowded: It is beyond the bound: its first answer is its last.
        repeats: The posts that aiohttp need not read.
    """

    def __init__(self, connections: Connections, server: web.Server, **options: Any) -> None:  # noqa: ANN401  aiohttp's own
        super().__init__(server, **options)
        self.crowded = False
        self._was_used = False
        self._share: Share | None = None
        self.connections = connections
        self.watchdog = Watchdog(connections.limits, self.abort)
        self.repeats = Repeats(connections.desk, self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a head, or leave at once when there are far too many."""
        self.crowded = self.connections.opened()
        super().connection_made(transport)
        if self.connections.is_overfull():
            self.watchdog.close(Closing.CROWDED)
        else:
            self.watchdog.head_awaited()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget it."""
        self.connections.closed()
        self.connections.used(self)
        super().connection_lost(exc)
        self.watchdog.connection_ended()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  asyncio's own
        """Where to put what comes next; it is taken out again before anything else happens."""
        if self._share is not None and self._share.held_bytes:
            return self.connections.large_buffer
        return self.connections.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take it out."""
        self.data_received(bytes(self.connections.large_buffer[:nbytes]))

    @contextmanager
    def reading(self, share: Share) -> Iterator[None]:
        """A body is read that has this share."""
        self._share = share
        try:
            yield
        finally:
            self._share = None

    def data_received(self, data: bytes) -> None:
        """Take it as a repetition, or have aiohttp read it."""
        # With nothing aiohttp calls it itself, to go on with what it has read.
        if data and self.repeats.take(data):
            self.head_came()
        else:
            self.watchdog.bytes_came()
            super().data_received(data)

    def head_came(self) -> None:
        """A request has begun."""
        self.watchdog.head_came()
        if not self._was_used:
            self._was_used = True
            self.connections.used(self)

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109  aiohttp's own
        """Answer what is open."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self.repeats.end()
        await super().shutdown(timeout)

    def is_between_requests(self) -> bool:
        """Whether aiohttp has answered all that it was given, and the client has taken it."""
        waiter = getattr(self, WAITER, None)
        waits = isinstance(waiter, asyncio.Future) and not waiter.done()
        return waits and not getattr(self, "writing_paused", True)

    def answer(self, data: bytes) -> None:
        """Send what answers a repetition, if the client is there."""
        if self.transport is not None:
            self.transport.write(data)
            self.watchdog.answer_made()

    def pass_on(self, data: bytes) -> None:
        """Have aiohttp read a repetition that could not be answered."""
        super().data_received(data)

    def hold_back(self, *, held: bool) -> None:
        """Let the client send no more for now, or again."""
        if self.transport is not None and held:
            self.transport.pause_reading()
        elif self.transport is not None:
            self.transport.resume_reading()

    def abort(self) -> None:
        """Close, not in order: that would wait for the peer to take what it does not take."""
        if self.transport is not None:
            self.transport.abort()


@web.middleware
async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell the connection whose turn it is; a crowded one ends with its answer."""
    connection = connection_of(request)
    connection.head_came()
    try:
        answer = await handler(request)
    finally:
        connection.watchdog.answer_made()
    if connection.crowded:
        answer.force_close()
    return answer


def connection_of(request: web.Request) -> Connection:
    """The connection that a request came over."""
    connection = request.protocol
    if not isinstance(connection, Connection):
        raise TypeError("the application is to be run by serve")
    return connection
