"""Posts taken as repetitions against aiohttp alone: the same answers and the same is kept."""

import asyncio
import gzip
import re
from collections.abc import Iterator, Sequence
from typing import Any

import hypothesis.strategies as st
import pytest
from aiohttp import web
from hypothesis import given, settings

from bridge.errors import IntakeUnavailableError
from bridge.model.requests import ExportRequest
from bridge.receive import connections, http, repeats
from bridge.receive.connections import Connection, ConnectionLimits, Connections
from bridge.receive.http import DESK, make_app
from bridge.receive.intake import Settled
from tests.intakes import FixedClock

TURNS = 30
"""Of the loop, in which everything that was sent is answered."""
DATE = re.compile(rb"Date: [^\r]*")
BODY = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"%s"}}]}]}]}'
UNLUCKY = b"cannot be stored"


class Recorder:
    """Keeps what it is given a turn later, but for what is unlucky."""

    def __init__(self) -> None:
        self.kept: list[ExportRequest] = []
        self.repeated = 0

    def hold(self, request: ExportRequest, settled: Settled) -> bool:
        self.repeated += 1
        asyncio.get_running_loop().call_soon(self._commit, request, settled)
        return True

    async def append(self, request: ExportRequest) -> None:
        await asyncio.sleep(0)  # no time passes: as a commit, it comes back in a later turn
        self._keep(request)

    def _commit(self, request: ExportRequest, settled: Settled) -> None:
        try:
            self._keep(request)
        except IntakeUnavailableError as failure:
            settled(failure)
        else:
            settled(None)

    def _keep(self, request: ExportRequest) -> None:
        if UNLUCKY in request.body:
            raise IntakeUnavailableError("disk full", 2)
        self.kept.append(request)


class Wire(asyncio.Transport):
    """A connection whose other end is a list of bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.reads = True
        self._closing = False

    def write(self, data: Any) -> None:
        if not self._closing:
            self.sent += bytes(data)

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    abort = close


def a_post(
    path: str = "/v1/logs",
    body: bytes = BODY % b"x",
    head: str = "",
    length: str = "Content-Length",
) -> bytes:
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        *([head] if head else []),
        f"{length}: {len(body)}",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


CHUNKED = (
    b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
)
POSTS = st.sampled_from(
    [
        *([a_post(), a_post(body=BODY % b"longer"), a_post("/v1/metrics", b"{}")] * 3),
        a_post(length="content-length"),
        a_post(head="X-Api-Key: secret"),
        a_post("/v1/traces", b'{"resourceSpans":[{"scopeSpans":[{"spans":[{}]}]}]}'),
        a_post(head="Content-Encoding: gzip", body=gzip.compress(BODY % b"x", mtime=0)),
        a_post(body=BODY % UNLUCKY),
        a_post(body=b'{"resourceLogs":{}}'),
        a_post(body=a_post()),
        a_post(body=BODY % b"y" * 2),
        a_post(body=b""),
        a_post(body=BODY % (b"z" * 40_000)),
        a_post("/nowhere"),
        a_post(head="Origin: https://example.com"),
        a_post(head="Expect: 100-continue"),
        a_post(head="Content-Length: 5"),
        a_post(head="Transfer-Encoding: chunked"),
        a_post(head="Connection: close"),
        b"GET /v1/logs HTTP/1.1\r\nHost: localhost\r\n\r\n",
        CHUNKED,
        b"no HTTP\r\n\r\n",
    ]
)
STREAMS = st.lists(st.tuples(POSTS, st.booleans(), st.none() | st.integers(1, 400)), max_size=8)
"""Posts; whether the client waits for each one's answer, and where it is cut in two."""


@pytest.fixture(autouse=True)
def without_threads() -> Iterator[None]:
    """What happens on a thread takes an unknown number of turns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "LARGE_BODY_BYTES", 1_000_000)
        yield


@given(stream=STREAMS)
@settings(deadline=None)
def test_answers_and_what_is_kept_are_those_of_aiohttp(
    stream: Sequence[tuple[bytes, bool, int | None]],
) -> None:
    pieces = list(_pieces(stream))
    taken, _ = asyncio.run(_received(pieces))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeats, "MOST_KNOWN", 0)
        plain, repeated = asyncio.run(_received(pieces))
    assert taken == plain
    assert repeated == 0


def test_what_is_known_is_taken_as_a_repetition() -> None:
    pieces = [(a_post(), True)] * 3 + [(a_post("/v1/metrics", b"{}"), True), (a_post(), True)]
    (answers, kept), repeated = asyncio.run(_received(pieces))
    assert answers.count(b"HTTP/1.1 200 OK") == 5
    assert (len(kept), repeated) == (4, 3)


def test_of_an_aiohttp_that_does_not_show_that_it_waits_nothing_is_taken() -> None:
    pieces = [(a_post(), True)] * 3 + [(a_post("/nowhere"), True), (a_post(), True)]
    expected, taken = asyncio.run(_received(pieces))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "WAITER", "_gone")
        plain, repeated = asyncio.run(_received(pieces))
    assert plain == expected
    assert (taken, repeated) == (2, 0)


@pytest.mark.parametrize(
    ("other", "taken"),
    [
        (a_post(body=BODY % (b"z" * 40_000)), 1),
        (a_post(body=BODY % (b"z" * 900_000)), 1),
        (a_post(body=BODY % UNLUCKY), 2),
    ],
    ids=["a large body", "a body larger than is read at once", "a failed commit"],
)
def test_behind_what_is_left_to_aiohttp_the_next_is_taken_again(other: bytes, taken: int) -> None:
    pieces = [(a_post(), True), (other[:500], False), (other[500:], True), (a_post(), True)]
    (_, kept), repeated = asyncio.run(_received(pieces))
    assert kept[-1].body == BODY % b"x"
    assert repeated == taken


def _pieces(stream: Sequence[tuple[bytes, bool, int | None]]) -> Any:
    """What is sent at once, and whether answers are waited for then."""
    for post, waits, at in stream:
        if at is not None:
            yield post[:at], waits
        yield post[at or 0 :], waits


async def _received(
    pieces: Sequence[tuple[bytes, bool]],
) -> tuple[tuple[bytes, list[ExportRequest]], int]:
    """All answers and all that was kept; how many were taken as repetitions."""
    intake = Recorder()
    app = make_app(intake, FixedClock(), lambda: {"status": "ok"})
    runner = web.AppRunner(app)
    await runner.setup()
    assert runner.server is not None
    connection = Connections(runner.server, ConnectionLimits(), app[DESK])()
    wire = Wire()
    connection.connection_made(wire)
    for data, waits in pieces:
        await _send(connection, wire, data)
        if waits:
            await _turns()
    await _turns()
    connection.connection_lost(None)
    await runner.cleanup()
    return (DATE.sub(b"", wire.sent), intake.kept), intake.repeated


async def _send(connection: Connection, wire: Wire, data: bytes) -> None:
    room = len(connection.get_buffer(-1))
    while data and not wire.is_closing():
        if not wire.reads:
            await _turns()
        assert wire.reads
        piece, data = data[:room], data[room:]
        connection.get_buffer(-1)[: len(piece)] = piece
        connection.buffer_updated(len(piece))


async def _turns() -> None:
    """Let the loop do what is ready; no time passes."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


@pytest.mark.parametrize("size_bytes", [40_000, 900_000])
def test_behind_a_large_body_of_an_unknown_head_the_next_is_taken(size_bytes: int) -> None:
    pieces = [(a_post(body=BODY % (b"z" * size_bytes)), True), (a_post(), True)]
    (_, kept), repeated = asyncio.run(_received(pieces))
    assert len(kept) == 2
    assert repeated == 1
