"""OTLP over HTTP: the shell that reads requests and sends answers.

Responsible for: one port, with or without TLS, the three export routes below any prefix,
``GET /healthz`` and ``/metrics``, and that every request is answered, whatever happens.
Left to others: who may send (``access``), whether to accept (``origin``, ``request``), committing
(``intake``), the words of an answer (``response``), what health and metrics are (the caller), how
long a connection may keep silent and how many there may be (``connections``), certificates
(``tls``).
"""

import asyncio
import logging
import socket
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple, Protocol

import orjson
from aiohttp import HttpVersion11, web

from bridge.clock import Clock
from bridge.errors import IntakeUnavailableError
from bridge.model.requests import Encoding, ExportRequest
from bridge.receive import response
from bridge.receive.access import WHO_MAY_SCRAPE, Access, Sender
from bridge.receive.body import (
    BODY_IDLE_TIMEOUT_S,
    BODY_TIMEOUT_S,
    BodyLimits,
    read_body,
)
from bridge.receive.budget import Budget
from bridge.receive.connections import ConnectionLimits, Connections, connection_of, watch
from bridge.receive.journal import note, note_failure
from bridge.receive.origin import check_origin
from bridge.receive.repeats import Desk, HoldsRequests, Known
from bridge.receive.request import (
    MAX_BODY_BYTES,
    Head,
    Refusal,
    RefusedError,
    check_head,
    count_records,
    encoding_of,
)
from bridge.receive.response import Answer, Answered, told_nobody
from bridge.receive.tls import keep_buffers_small

HealthReport = Callable[[], Mapping[str, object]]
MetricsReport = Callable[[], tuple[bytes, str]]  # the text, and its content type

DESK: Final = web.AppKey("DESK", Desk)

PUBLIC_HEALTH: Final = ("status", "version")
"""What of the health report anybody may know: a balancer asks without a token."""

LARGE_BODY_BYTES: Final = 32 * 1024
"""Larger bodies are checked on a thread, one at a time: inflating lets the loop go on, and only
one large body at once is held inflated."""

RETRY_AFTER_S: Final = 5
"""After a failure nobody foresaw; what is known to pass sooner says so itself."""

BACKLOG: Final = 1024
"""Connections that may wait; asyncio calls ``listen`` again and would cut it to 100."""

HANDSHAKE_TIMEOUT_S: Final = 10.0
"""For TLS to be agreed on. Handshakes under way are not counted as connections yet."""

TLS_SHUTDOWN_TIMEOUT_S: Final = 2.0
"""For the other side to say goodbye; most never do."""

FINISH_TIMEOUT_S: Final = 3.0
"""How long open requests get at the end: a commit takes milliseconds, and a client that is still
sending gives up after 10 s anyway."""


class AcceptsRequests(HoldsRequests, Protocol):
    """What the receiver needs of intake."""

    async def append(self, request: ExportRequest) -> None:
        """Return once committed; raises IntakeUnavailableError when that is not possible now."""
        ...


def make_app(
    intake: AcceptsRequests,
    clock: Clock,
    health: HealthReport,
    *,
    budget: Budget | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    body_idle_timeout_s: float = BODY_IDLE_TIMEOUT_S,
    body_timeout_s: float = BODY_TIMEOUT_S,
    hosts: frozenset[str] | None = None,
    answered: Counter[int] | None = None,
    access: Access | None = None,
    refused: Counter[str] | None = None,
    metrics: MetricsReport | None = None,
    took: Answered = told_nobody,
) -> web.Application:
    """Build the receiver's HTTP application, to be run by ``serve``.

    Args:
        intake: Where accepted requests go.
        clock: Stamps requests.
        health: What ``GET /healthz`` answers as JSON; called on a thread of its own, may block.
        budget: What large bodies may hold together, if others draw on it too.
        max_body_bytes: Largest body, on the wire and inflated.
        body_idle_timeout_s: How long to wait for more of a body.
        body_timeout_s: How long a whole body may take.
        hosts: What the Host header may name besides loopback addresses; None: anything.
        answered: Counts answers by HTTP status, if given.
        access: Who may send; without it, everybody.
        refused: Counts refusals by their reason, if given.
        metrics: What ``GET /metrics`` answers; called as ``health`` is.
        took: Is told how each export request was answered, and how long that took.
    """
    limits = BodyLimits(
        body_bytes=max_body_bytes,
        idle_timeout_s=body_idle_timeout_s,
        timeout_s=body_timeout_s,
    )
    counters = _Counters(
        answered=Counter() if answered is None else answered,
        refused=Counter() if refused is None else refused,
        took=took,
    )
    access = access or Access(clock)
    receiver = _Receiver(
        intake,
        clock,
        health,
        limits,
        budget=budget or Budget(max_body_bytes),
        hosts=hosts,
        access=access,
        counters=counters,
        metrics=metrics,
    )
    app = web.Application(middlewares=[watch])
    app[DESK] = Desk(intake, access, clock, max_body_bytes, counters.accepted)
    app.router.add_get("/healthz", receiver.answer_health)
    app.router.add_get("/metrics", receiver.answer_metrics)
    for path in ("/healthz", "/metrics"):
        app.router.add_route("*", path, receiver.refuse_method)
    app.router.add_route("*", "/{path:.*}", receiver.answer_export)
    app.cleanup_ctx.append(receiver.threads)
    return app


async def serve(
    app: web.Application,
    listening: socket.socket,
    *,
    limits: ConnectionLimits | None = None,
    context: ssl.SSLContext | None = None,
) -> "Listener":
    """Serve on a socket that is bound already; whoever bound it may keep it over our restart.

    Args:
        app: Made by ``make_app``.
        listening: Is ours from now on.
        limits: Of connections.
        context: With TLS, and then with nothing else.
    """
    runner = web.AppRunner(app, shutdown_timeout=FINISH_TIMEOUT_S)
    await runner.setup()
    if runner.server is None:
        raise RuntimeError("set up, an application has a server")
    connections = Connections(runner.server, limits or ConnectionLimits(), app[DESK])
    listener = Listener(runner, connections, listening)
    await listener.listen(context)
    return listener


class Listener:
    """A receiver that listens, until it is closed."""

    def __init__(
        self, runner: web.AppRunner, connections: Connections, listening: socket.socket
    ) -> None:
        self._runner = runner
        self._connections = connections
        self._listening = listening
        self._server: asyncio.Server | None = None
        self.port: int = listening.getsockname()[1]

    async def listen(self, context: ssl.SSLContext | None) -> None:
        """Take new connections with ``context``; those that are open go on as they are.

        A context in use can be given a certificate, but no authority can be taken from it. So each
        has a listening socket of its own, on the same port.
        """
        if context is not None:
            keep_buffers_small()
        server = await asyncio.get_running_loop().create_server(
            self._connections,
            sock=self._listening.dup(),
            ssl=context,
            backlog=BACKLOG,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S if context else None,
            ssl_shutdown_timeout=TLS_SHUTDOWN_TIMEOUT_S if context else None,
        )
        if self._server is not None:
            self._server.close()
        self._server = server

    async def close(self) -> None:
        """Stop listening, then finish open requests within ``FINISH_TIMEOUT_S``.

        A connection that has just been taken is given a moment for its request.
        """
        if self._server is not None:
            self._server.close()
        self._listening.close()
        await self._connections.until_used()
        await self._runner.cleanup()


class _Counters(NamedTuple):
    answered: Counter[int]
    refused: Counter[str]
    took: Answered

    def accepted(self, took_s: float) -> None:
        """Count an answer that nothing had to be looked up for."""
        self.answered[200] += 1
        self.took("200", took_s)


class _Receiver:
    """The handlers, and what they need."""

    def __init__(
        self,
        intake: AcceptsRequests,
        clock: Clock,
        health: HealthReport,
        limits: BodyLimits,
        *,
        budget: Budget,
        hosts: frozenset[str] | None,
        access: Access,
        counters: _Counters,
        metrics: MetricsReport | None,
    ) -> None:
        self._metrics = metrics
        self._intake = intake
        self._clock = clock
        self._health = health
        self._limits = limits
        self._budget = budget
        self._hosts = hosts
        self._access = access
        self._counters = counters
        self._check_thread = ThreadPoolExecutor(1, thread_name_prefix="receive-check")
        self._health_thread = ThreadPoolExecutor(1, thread_name_prefix="receive-health")

    async def threads(self, _: web.Application) -> AsyncIterator[None]:
        """End the threads with the application; what hangs in ``health`` is not waited for."""
        yield
        self._check_thread.shutdown()
        self._health_thread.shutdown(wait=False, cancel_futures=True)

    async def answer_export(self, request: web.Request) -> web.Response:
        """Accept an export request, or say why not."""
        encoding = encoding_of(request.headers) or Encoding.JSON
        began_s = time.monotonic()
        try:
            await self._accept(request)
            answer = response.accepted(encoding)
        except RefusedError as refused:
            answer = self._refusal(refused, encoding)
        except IntakeUnavailableError as unavailable:
            answer = response.unavailable(unavailable.retry_after_s, encoding)
        except Exception as error:  # noqa: BLE001 - the root of a request: a 500 loses the batch
            answer = _failed(error, encoding)
        self._counters.took(str(answer.status), time.monotonic() - began_s)
        return self._send(answer)

    async def answer_health(self, request: web.Request) -> web.Response:
        """Answer what ``health`` says, all of it to those who may send and on this machine."""
        return await self._answer_look(request, self._told_health)

    async def answer_metrics(self, request: web.Request) -> web.Response:
        """Answer what ``metrics`` says, to those who are told all of health."""
        return await self._answer_look(request, self._told_metrics)

    async def _answer_look(
        self, request: web.Request, tell: Callable[[web.Request], Awaitable[Answer]]
    ) -> web.Response:
        try:
            check_origin(request.headers, self._hosts)
            answer = await tell(request)
        except RefusedError as refused:
            answer = self._refusal(refused, Encoding.JSON)
        except Exception as error:  # noqa: BLE001 - the root of a request
            answer = _failed(error, Encoding.JSON)
        return self._send(answer)

    async def _told_health(self, request: web.Request) -> Answer:
        loop = asyncio.get_running_loop()
        report = await loop.run_in_executor(self._health_thread, self._health)
        if not self._access.may_see(request.headers, request.remote):
            report = {key: report[key] for key in PUBLIC_HEALTH if key in report}
        return Answer(status=200, content_type=Encoding.JSON, body=orjson.dumps(dict(report)))

    async def _told_metrics(self, request: web.Request) -> Answer:
        if self._metrics is None:
            raise RefusedError(Refusal.NOT_FOUND, "There are no metrics here.")
        if not self._access.may_see(request.headers, request.remote):
            raise RefusedError(Refusal.UNAUTHENTICATED, WHO_MAY_SCRAPE)
        loop = asyncio.get_running_loop()
        body, content_type = await loop.run_in_executor(self._health_thread, self._metrics)
        return Answer(status=200, content_type=content_type, body=body)

    async def refuse_method(self, _: web.Request) -> web.Response:
        """Answer any other method on a path that is only read."""
        text = "Only GET is served here."
        return self._send(response.refused(Refusal.METHOD, text, Encoding.JSON, allow="GET, HEAD"))

    async def _accept(self, request: web.Request) -> None:
        check_origin(request.headers, self._hosts)
        if connection_of(request).crowded:
            raise IntakeUnavailableError("too many connections", RETRY_AFTER_S)
        sender = self._access.admit(request.headers)
        head = check_head(request.path, request.method, request.headers)
        connection = connection_of(request)
        with self._budget.share() as share:
            with connection.reading(share):
                body = await read_body(request, self._limits, share)
            connection.repeats.body_came(len(body))
            await self._keep(head, sender, body)
        if _may_be_repeated(request):
            connection.repeats.remember(Known(head, sender))

    async def _keep(self, head: Head, sender: Sender, body: bytes) -> None:
        records = await self._count(head, body)
        if records:
            now_ms = self._clock.now_ms()
            await self._intake.append(sender.request(head, body, records, now_ms))

    async def _count(self, head: Head, body: bytes) -> int:
        if len(body) <= LARGE_BODY_BYTES:
            return count_records(head, body, self._limits.body_bytes)
        return await asyncio.get_running_loop().run_in_executor(
            self._check_thread, count_records, head, body, self._limits.body_bytes
        )

    def _refusal(self, refused: RefusedError, encoding: Encoding) -> Answer:
        self._counters.refused[refused.refusal.value] += 1
        note(logging.DEBUG, "receive.refused", reason=refused.refusal)
        return response.refused(
            refused.refusal, str(refused), encoding, retry_after_s=refused.retry_after_s
        )

    def _send(self, answer: Answer) -> web.Response:
        self._counters.answered[answer.status] += 1
        return web.Response(
            status=answer.status,
            body=answer.body,
            headers={"Content-Type": answer.content_type, **answer.headers},
        )


def _may_be_repeated(request: web.Request) -> bool:
    """Whether the answer to such a head is never anything but the plain one."""
    return (
        request.version == HttpVersion11
        and request.keep_alive
        and not any(name in request.headers for name in ("Expect", "Upgrade"))
    )


def _failed(error: Exception, encoding: Encoding) -> Answer:
    note_failure(error)
    return response.unavailable(RETRY_AFTER_S, encoding)
