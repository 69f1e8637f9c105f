"""Raw bytes at a real socket: whatever is sent, the answer is none of 5xx, and it comes."""

import asyncio
import contextlib
import random
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from bridge.model.requests import ExportRequest
from bridge.receive.http import make_app, serve
from bridge.receive.intake import Settled
from tests.fuzz.mutating import seeds
from tests.fuzz.targets import KINDS
from tests.intakes import FixedClock

IDLE_S = 0.3
ANSWER_S = 10.0
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
HEADS = (
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Content-Length: -1",
    b"Content-Length: 18446744073709551616", b"Content-Length: 5", b"Content-Length: 0x10",
    b"Content-Encoding: gzip", b"Content-Encoding: br", b"Expect: 100-continue", b"Expect: x",
    b"Connection: Upgrade\r\nUpgrade: websocket", b"Connection: close", b"Host: ", b": empty",
    b"no colon", b"X: " + b"a" * 9000, b"\x00: \xff", b"Content-Type: text/plain", b" folded: x",
)  # fmt: skip
CHUNKS = (b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"ffffffffffffffff\r\n", b"-1\r\nx", b"0\r\n\r\n")


class _Taken:
    """Takes every request."""

    def hold(self, _: ExportRequest, settled: Settled) -> bool:
        """Take it, and say so."""
        asyncio.get_running_loop().call_soon(settled, None)
        return True

    async def append(self, _: ExportRequest) -> None:
        """Take it."""


@asynccontextmanager
async def listening(answered: Counter[int]) -> AsyncIterator[int]:
    """The receiver's HTTP layer on a port of its own."""
    bound = socket.create_server(("127.0.0.1", 0))
    app = make_app(_Taken(), FixedClock(), dict, answered=answered, body_idle_timeout_s=IDLE_S)
    listener = await serve(app, bound)
    try:
        yield listener.port
    finally:
        await listener.close()
        bound.close()


def requests(rng: random.Random) -> Iterator[bytes]:
    """Well-formed requests of recorded bodies, put out of order."""
    known = [(kind, body) for kind, body in seeds() if len(body) < 5_000]
    while True:
        parts = [_request(rng, *rng.choice(known)) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        whole = bytearray(b"".join(parts))
        for _ in range(rng.choice((0, 0, 0, 1, 2, 4))):
            at = rng.randrange(len(whole) + 1)
            match rng.randrange(4):
                case 0:
                    whole[at : at + 1] = rng.randbytes(1)
                case 1:
                    del whole[at : at + rng.choice((1, 2, 50))]
                case 2:
                    whole[at:at] = rng.choice((b"\r\n", b"\r\n\r\n", b"\0", b" ", *CHUNKS))
                case _:
                    del whole[at:]
        yield bytes(whole)


def _request(rng: random.Random, kind: int, body: bytes) -> bytes:
    signal, encoding = KINDS[kind]
    method = rng.choice((b"POST",) * 30 + (b"GET", b"PUT", b"OPTIONS", b"CONNECT", b"\xff"))
    path = rng.choice((f"/v1/{signal}",) * 30 + ("*", "//", "/v1/logs/%00", "/healthz", "/" * 500))
    length = rng.choice((len(body),) * 20 + (0, len(body) + 7, len(body) - 1))
    heads = [
        b"Host: 127.0.0.1",
        b"Content-Type: " + encoding.encode(),
        b"Content-Length: %d" % length,
        *rng.sample(HEADS, rng.choice((0,) * 8 + (1, 2))),
    ]
    tail = rng.choice((body,) * 30 + CHUNKS)
    return b"%s %s HTTP/1.1\r\n%s\r\n\r\n%s" % (method, path.encode(), b"\r\n".join(heads), tail)


async def answer_to(port: int, sent: bytes) -> list[int]:
    """The statuses that come back until the connection ends, or nothing comes for a while.

    Our side stays open: a client that half-closes gets no answer from aiohttp.
    """
    async with asyncio.timeout(ANSWER_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(sent)
            answers = await _all_that_comes(reader)
        finally:
            writer.close()
    return [int(status) for status in STATUS.findall(answers)]


async def _all_that_comes(reader: asyncio.StreamReader) -> bytes:
    answers = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        while more := await asyncio.wait_for(reader.read(65_536), 2 * IDLE_S):
            answers += more
    return answers


async def fuzz(seed: int, inputs: int, together: int = 64) -> Counter[int]:
    """Send so many inputs, some at a time; returns the answers by status.

    Raises:
        AssertionError: An answer of 5xx.
        TimeoutError: No end of an answer.
    """
    answered: Counter[int] = Counter()
    seen: Counter[int] = Counter()
    source = requests(random.Random(seed))
    async with listening(answered) as port:
        for _ in range(0, inputs, together):
            sent = [next(source) for _ in range(together)]
            for one, statuses in zip(
                sent, await asyncio.gather(*(answer_to(port, each) for each in sent)), strict=True
            ):
                assert all(status < 500 for status in statuses), (statuses, one)
                seen.update(statuses)
        sound = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        assert await answer_to(port, sound) == [200], "it still answers"
    assert all(status < 500 for status in answered), answered
    return seen
