"""OTLP over HTTP: the shell that reads requests and sends answers.

Responsible for: one port, the three export routes below any prefix, ``GET /healthz``, and that
every request is answered, whatever happens.
Left to others: who may send (``access``), whether to accept (``request``), committing
(``intake``), the words of an answer (``response``), what health is (the caller).
"""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Final, NamedTuple, Protocol

import orjson
from aiohttp import StreamReader, web

from bridge.clock import Clock
from bridge.errors import IntakeUnavailableError
from bridge.model.requests import Encoding, ExportRequest
from bridge.receive import response
from bridge.receive.access import Access, Sender
from bridge.receive.budget import Budget, Share
from bridge.receive.journal import connection_logger, note, note_failure
from bridge.receive.request import (
    MAX_BODY_BYTES,
    Head,
    Refusal,
    RefusedError,
    check_head,
    check_size,
    count_records,
    encoding_of,
)
from bridge.receive.response import Answer

HealthReport = Callable[[], Mapping[str, object]]

PUBLIC_HEALTH: Final = ("status", "version")
"""What of the health report anybody may know."""

LARGE_BODY_BYTES: Final = 32 * 1024
"""Larger bodies are checked on a thread, one at a time: inflating lets the loop go on, and only
one large body at once is held inflated."""

RETRY_AFTER_S: Final = 5
"""After a failure nobody foresaw; what is known to pass sooner says so itself."""

BODY_IDLE_TIMEOUT_S: Final = 10.0
"""A body of which nothing comes for so long is given up, as the client has done by then. Chunks
found malformed while a body is being read need it too: aiohttp does not tell the reader."""

BACKLOG: Final = 1024
"""Connections that may wait; aiohttp calls ``listen`` again and would cut it to 128."""

FINISH_TIMEOUT_S: Final = 3.0
"""How long open requests get at the end: a commit takes milliseconds, and a client that is still
sending gives up after 10 s anyway."""


class AcceptsRequests(Protocol):
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
    answered: Counter[int] | None = None,
    access: Access | None = None,
    refused: Counter[str] | None = None,
) -> web.Application:
    """Build the receiver's HTTP application, to be run by ``serve``.

    Args:
        intake: Where accepted requests go.
        clock: Stamps requests.
        health: What ``GET /healthz`` answers as JSON; called on a thread of its own, may block.
        budget: What large bodies may hold together, if others draw on it too.
        max_body_bytes: Largest body, on the wire and inflated.
        body_idle_timeout_s: How long to wait for more of a body.
        answered: Counts answers by HTTP status, if given.
        access: Who may send; without it, everybody.
        refused: Counts refusals by their reason, if given.
    """
    limits = _Limits(
        body_bytes=max_body_bytes,
        idle_timeout_s=body_idle_timeout_s,
        budget=budget or Budget(max_body_bytes),
    )
    counters = _Counters(
        answered=Counter() if answered is None else answered,
        refused=Counter() if refused is None else refused,
    )
    access = access or Access(clock)
    receiver = _Receiver(intake, clock, health, limits, access=access, counters=counters)
    app = web.Application()
    app.router.add_get("/healthz", receiver.answer_health)
    app.router.add_route("*", "/healthz", receiver.refuse_health)
    app.router.add_route("*", "/{path:.*}", receiver.answer_export)
    app.cleanup_ctx.append(receiver.threads)
    return app


async def serve(app: web.Application, listening: socket.socket) -> "Listener":
    """Serve on a socket that is bound already; whoever bound it may keep it over our restart."""
    # aiohttp would inflate bodies, and leave Content-Encoding as it was: they are kept as sent.
    runner = web.AppRunner(
        app,
        auto_decompress=False,
        access_log=None,
        logger=connection_logger(),
        shutdown_timeout=FINISH_TIMEOUT_S,
    )
    await runner.setup()
    await web.SockSite(runner, listening, backlog=BACKLOG).start()
    return Listener(runner)


class Listener:
    """A receiver that listens, until it is closed."""

    def __init__(self, runner: web.AppRunner) -> None:
        self._runner = runner
        self.port: int = runner.addresses[0][1]

    async def close(self) -> None:
        """Stop listening, then finish open requests within ``FINISH_TIMEOUT_S``."""
        await self._runner.cleanup()


class _Limits(NamedTuple):
    body_bytes: int
    idle_timeout_s: float
    budget: Budget


class _Counters(NamedTuple):
    answered: Counter[int]
    refused: Counter[str]


class _Receiver:
    """The handlers, and what they need."""

    def __init__(
        self,
        intake: AcceptsRequests,
        clock: Clock,
        health: HealthReport,
        limits: _Limits,
        *,
        access: Access,
        counters: _Counters,
    ) -> None:
        self._intake = intake
        self._clock = clock
        self._health = health
        self._limits = limits
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
        try:
            await self._accept(request)
            answer = response.accepted(encoding)
        except RefusedError as refused:
            self._count_refusal(refused.refusal)
            answer = response.refused(
                refused.refusal, str(refused), encoding, retry_after_s=refused.retry_after_s
            )
        except IntakeUnavailableError as unavailable:
            answer = response.unavailable(unavailable.retry_after_s, encoding)
        except Exception as error:  # noqa: BLE001 - the root of a request: a 500 loses the batch
            answer = _failed(error, encoding)
        return self._send(answer)

    async def answer_health(self, request: web.Request) -> web.Response:
        """Answer what ``health`` says, as JSON.

        A balancer that asks without a token is told the bridge's state and no more; all of it is
        for those who may send, and for a person on this machine.
        """
        loop = asyncio.get_running_loop()
        try:
            report = await loop.run_in_executor(self._health_thread, self._health)
            if not self._access.may_see(request.headers, request.remote):
                report = {key: report[key] for key in PUBLIC_HEALTH if key in report}
            answer = Answer(status=200, content_type=Encoding.JSON, body=orjson.dumps(dict(report)))
        except Exception as error:  # noqa: BLE001 - the root of a request
            answer = _failed(error, Encoding.JSON)
        return self._send(answer)

    async def refuse_health(self, _: web.Request) -> web.Response:
        """Answer any other method on the path of ``answer_health``."""
        text = "Only GET is served here."
        return self._send(response.refused(Refusal.METHOD, text, Encoding.JSON, allow="GET, HEAD"))

    async def _accept(self, request: web.Request) -> None:
        sender = self._access.admit(request.headers)
        head = check_head(request.path, request.method, request.headers)
        with self._limits.budget.share() as share:
            await self._keep(head, sender, await _read_body(request, self._limits, share))

    async def _keep(self, head: Head, sender: Sender, body: bytes) -> None:
        records = await self._count(head, body)
        if records:
            await self._intake.append(
                ExportRequest(
                    signal=head.signal,
                    encoding=head.encoding,
                    body=body,
                    gzipped=head.gzipped,
                    records=records,
                    received_at_ms=self._clock.now_ms(),
                    sender=sender.name,
                    fixed=sender.fixed,
                )
            )

    async def _count(self, head: Head, body: bytes) -> int:
        if len(body) <= LARGE_BODY_BYTES:
            return count_records(head, body, self._limits.body_bytes)
        return await asyncio.get_running_loop().run_in_executor(
            self._check_thread, count_records, head, body, self._limits.body_bytes
        )

    def _count_refusal(self, refusal: Refusal) -> None:
        self._counters.refused[refusal.value] += 1
        note(logging.DEBUG, "receive.refused", reason=refusal)

    def _send(self, answer: Answer) -> web.Response:
        self._counters.answered[answer.status] += 1
        return web.Response(
            status=answer.status,
            body=answer.body,
            headers={"Content-Type": answer.content_type, **answer.headers},
        )


async def _read_body(request: web.Request, limits: _Limits, share: Share) -> bytes:
    """Read a body of at most ``limits.body_bytes``, of announced length or chunked.

    Raises:
        RefusedError: It is larger, or did not come whole.
        IntakeUnavailableError: Other bodies fill the memory for now.
    """
    check_size(request.content_length or 0, limits.body_bytes)
    await share.announce(request.content_length or 0)
    try:
        async with asyncio.timeout(limits.idle_timeout_s) as idle:
            return await _read_chunks(request.content, limits, share, idle)
    except (web.RequestPayloadError, OSError) as error:  # a TimeoutError is an OSError too
        text = "The body ended early, stopped coming, or its chunks are malformed."
        raise RefusedError(Refusal.INCOMPLETE, text) from error


async def _read_chunks(
    content: StreamReader, limits: _Limits, share: Share, idle: asyncio.Timeout
) -> bytes:
    # A BytesIO grows in place and gives its buffer away; chunks to be joined would be there twice.
    body = BytesIO()
    async for chunk in content.iter_any():
        size_bytes = body.tell() + len(chunk)
        check_size(size_bytes, limits.body_bytes)
        share.grow(size_bytes)
        body.write(chunk)
        idle.reschedule(asyncio.get_running_loop().time() + limits.idle_timeout_s)
    return body.getvalue()


def _failed(error: Exception, encoding: Encoding) -> Answer:
    note_failure(error)
    return response.unavailable(RETRY_AFTER_S, encoding)
