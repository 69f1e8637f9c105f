"""The strict Langfuse double with an outage that lasts until it is told otherwise.

Runs as ``tests/fakes.py`` does, with its arguments. ``PUT /double`` with an ``Outage`` as JSON
begins one, an empty object ends it, and ``GET /double`` tells when which request came.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from tests.fakes import FakeLangfuse, arguments, parse_export, read_export, serve

CONTROL = "/double"
EXPORTS = "/api/public/otel/v1/traces"
SCORES = "/api/public/scores"
TRICKLE_S = 0.5
LONG_ANSWER_BYTES = 100_000

Kind = Literal[
    "none", "answer", "close", "hang", "slow", "garbage", "trickle", "poison", "too_many", "discard"
]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What every request gets while it lasts.

    ``answer``    ``status`` with ``headers``; nothing is stored
    ``close``     the connection is closed in the middle of the body; nothing is stored
    ``hang``      no answer while it lasts, then 500; nothing is stored
    ``slow``      it is stored, and answered ``wait_s`` later
    ``garbage``   bytes that are not HTTP; nothing is stored
    ``trickle``   it is stored, and the body of its 200 comes byte by byte without an end
    ``poison``    the first span of the next export is refused for ever, with all that come with it
    ``too_many``  413 for an export of more than ``max_spans``
    ``discard``   spans and scores are answered well, and neither read nor kept
    """

    kind: Kind = "none"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    max_spans: int = 0


class LastingDouble(FakeLangfuse):
    """``FakeLangfuse`` whose answers can be changed for as long as wanted, over HTTP."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._outage = Outage()
        self._over = asyncio.Event()
        self._arrivals: list[tuple[float, str]] = []

    def _app(self) -> web.Application:
        app = super()._app()
        app.middlewares.append(self._in_outage)
        app.router.add_put(CONTROL, self._begin)
        app.router.add_get(CONTROL, self._tell)
        return app

    async def _begin(self, request: web.Request) -> web.Response:
        self._over.set()
        self._over = asyncio.Event()
        self._outage = Outage(**await request.json())
        return web.json_response({})

    async def _tell(self, _request: web.Request) -> web.Response:
        return web.json_response(self._arrivals)

    @web.middleware
    async def _in_outage(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path == CONTROL:
            return await handler(request)
        self._arrivals.append((time.monotonic(), request.path))
        match self._outage:
            case Outage(kind="none"):
                return await handler(request)
            case Outage(kind="poison" | "too_many" | "discard"):
                return await self._judge(request, handler)
            case outage:
                return await self._fail(outage, request, handler)

    async def _judge(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Outages in which it depends on what came."""
        body = await request.read()
        if self._outage.kind == "discard" and request.path in {EXPORTS, SCORES}:
            return web.json_response({}, status=200 if request.path == EXPORTS else 202)
        if request.path == EXPORTS and self._outage.kind != "discard":
            spans = read_export(parse_export(request.headers, body), 0)
            if self._outage.kind == "too_many" and len(spans) > self._outage.max_spans:
                return web.json_response({"message": "Payload Too Large"}, status=413)
            if self._outage.kind == "poison":
                self.reject_span(spans[0].span_id)
                self._outage = Outage()
        return await handler(request)

    async def _fail(
        self, outage: Outage, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        match outage.kind:
            case "close":
                await request.content.readany()
                return _closed(request, b"")
            case "garbage":
                await request.read()
                return _closed(request, b"\x00\xff garbage, not HTTP\r\n\r\n")
            case "hang":
                await request.read()
                await self._over.wait()
                return web.json_response({"message": "Internal Server Error"}, status=500)
            case "slow":
                answer = await handler(request)
                await asyncio.sleep(outage.wait_s)
                return answer
            case "trickle":
                return await self._trickle(request, await handler(request))
        await request.read()
        words = json.dumps({"message": "scripted"})
        return web.Response(status=outage.status, headers=outage.headers, text=words)

    async def _trickle(
        self, request: web.Request, answer: web.StreamResponse
    ) -> web.StreamResponse:
        slow = web.StreamResponse(status=answer.status, headers={"Content-Type": "text/plain"})
        slow.content_length = LONG_ANSWER_BYTES
        await slow.prepare(request)
        over = self._over
        while not over.is_set() and request.transport is not None:
            await slow.write(b" ")
            await asyncio.sleep(TRICKLE_S)
        return _closed(request, b"")


def _closed(request: web.Request, last_words: bytes) -> web.Response:
    if request.transport is not None:
        request.transport.write(last_words)
        request.transport.close()
    return web.Response()


if __name__ == "__main__":
    asyncio.run(serve(LastingDouble(**vars(arguments()))))
