"""Connections that are slow, idle, too many or a browser's, over raw sockets."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, create_server, socket
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from bridge.receive import connections
from bridge.receive.budget import Budget
from bridge.receive.connections import (
    BUFFER_BYTES,
    LARGE_BUFFER_BYTES,
    ConnectionLimits,
    Connections,
)
from bridge.receive.http import DESK, Listener, make_app, serve
from tests.intakes import DEADLINE_S, CountingIntake, FixedClock, GatedInbox

SHORT_S = 0.1
PATIENT = ConnectionLimits()
HEAD = "POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}'
EXPORT = f"{HEAD}Content-Length: {len(BODY)}\r\n\r\n{BODY}"
HEALTH = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """A connection that sends exactly what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    def send(self, text: str) -> None:
        self.writer.write(text.encode())

    async def answer(self) -> Answer:
        async with asyncio.timeout(DEADLINE_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            status, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (x.partition(": ") for x in lines)}
            body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(status.split()[1]), headers, body)

    async def ask(self, text: str) -> Answer:
        self.send(text)
        return await self.answer()

    async def until_closed(self) -> None:
        """By the other side, without another answer."""
        async with asyncio.timeout(DEADLINE_S):
            with suppress(ConnectionResetError):
                assert await self._reader.read() == b""


class Door:
    """A receiver to knock at."""

    def __init__(self, listener: Listener, clients: AsyncExitStack) -> None:
        self.listener = listener
        self._clients = clients

    async def connect(self) -> Client:
        sock = socket()
        sock.setsockopt(SOL_SOCKET, SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", self.listener.port))
        reader, writer = await asyncio.open_connection(sock=sock)
        self._clients.callback(writer.close)
        return Client(reader, writer)


@asynccontextmanager
async def a_door(
    intake: CountingIntake, limits: ConnectionLimits = PATIENT, **options: Any
) -> AsyncIterator[Door]:
    app = make_app(intake, FixedClock(), lambda: {"status": "ok"}, **options)
    listening = create_server(("127.0.0.1", 0))
    listening.setsockopt(SOL_SOCKET, SO_SNDBUF, 4096)  # answers that nobody reads soon fill it
    listener = await serve(app, listening, limits=limits)
    async with AsyncExitStack() as clients:
        yield Door(listener, clients)
    await listener.close()


@asynccontextmanager
async def trickling(client: Client, door: Door) -> AsyncIterator[None]:
    """One more byte whenever the receiver has answered somebody else."""

    async def trickle() -> None:
        while True:
            client.send("x")
            assert (await (await door.connect()).ask(HEALTH)).status == 200

    task = asyncio.create_task(trickle())
    yield
    assert not task.done()
    task.cancel()


def closings(logs: list[Any]) -> list[str]:
    return [entry["reason"] for entry in logs if entry["event"] == "receive.connection_closed"]


# ---------------------------------------------------------------------------------- slow and idle


@pytest.mark.parametrize("head", ["", "P", HEAD, HEAD + "X: " + "y" * 1000])
async def test_a_head_that_does_not_come_to_its_end_closes_the_connection(
    intake: CountingIntake, head: str
) -> None:
    with capture_logs() as logs:
        async with a_door(intake, PATIENT._replace(head_timeout_s=SHORT_S)) as door:
            client = await door.connect()
            client.send(head)
            await client.until_closed()
    assert closings(logs) == ["slow_head"]


async def test_a_head_that_trickles_in_is_not_given_more_time(intake: CountingIntake) -> None:
    async with a_door(intake, PATIENT._replace(head_timeout_s=SHORT_S)) as door:
        client = await door.connect()
        client.send(f"{HEAD}X: ")
        async with trickling(client, door):
            await client.until_closed()


async def test_the_next_head_has_the_same_limit_after_an_answer(intake: CountingIntake) -> None:
    with capture_logs() as logs:
        async with a_door(intake, PATIENT._replace(head_timeout_s=SHORT_S)) as door:
            client = await door.connect()
            assert (await client.ask(EXPORT)).status == 200
            assert (await client.ask(EXPORT)).status == 200
            client.send(HEAD)
            await client.until_closed()
    assert closings(logs) == ["slow_head"]


async def test_a_connection_on_which_nothing_more_is_asked_is_closed(
    intake: CountingIntake,
) -> None:
    with capture_logs() as logs:
        async with a_door(intake, PATIENT._replace(idle_timeout_s=SHORT_S)) as door:
            client = await door.connect()
            assert (await client.ask(EXPORT)).status == 200
            await client.until_closed()
    assert closings(logs) == ["idle"]


async def test_a_client_that_takes_no_answers_is_closed(intake: CountingIntake) -> None:
    short = PATIENT._replace(head_timeout_s=SHORT_S, idle_timeout_s=SHORT_S)
    with capture_logs() as logs:
        async with a_door(intake, short) as door:
            client = await door.connect()
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            async with asyncio.timeout(DEADLINE_S):
                while not client.writer.is_closing():
                    client.send(HEALTH * 1000)
                    try:
                        await client.writer.drain()
                    except ConnectionError:
                        break
    assert len(closings(logs)) == 1


async def test_the_limits_are_the_clients_and_a_slow_commit_is_waited_for(
    intake: CountingIntake, gated: GatedInbox
) -> None:
    short = PATIENT._replace(head_timeout_s=SHORT_S, idle_timeout_s=SHORT_S)
    gated.gate.clear()
    async with a_door(intake, short) as door:
        client = await door.connect()
        client.send(EXPORT)
        await gated.until_entered()
        other = await door.connect()
        await other.until_closed()  # by now the other limits would have been over, too
        gated.gate.set()
        assert (await client.answer()).status == 200


async def test_a_body_that_trickles_in_is_answered_400_in_the_end(intake: CountingIntake) -> None:
    async with a_door(intake, body_timeout_s=SHORT_S) as door:
        client = await door.connect()
        client.send(f"{HEAD}Content-Length: 1000000\r\n\r\n")
        async with trickling(client, door):
            assert (await client.answer()).status == 400


# -------------------------------------------------------------------------------------- repeated


async def test_a_repetition_is_answered_with_the_same_words(intake: CountingIntake) -> None:
    answered = Counter[int]()
    async with a_door(intake, answered=answered) as door:
        client = await door.connect()
        answers = [await client.ask(EXPORT) for _ in range(3)]
    for answer in answers:
        assert answer.headers.pop("date").endswith(" GMT")
    assert answers[0] == answers[1] == answers[2]
    assert intake.repeated == 2
    assert answered == {200: 3}


async def test_a_repetition_is_answered_after_its_commit_and_what_follows_after_it(
    intake: CountingIntake, gated: GatedInbox
) -> None:
    short = PATIENT._replace(head_timeout_s=SHORT_S, idle_timeout_s=SHORT_S)
    async with a_door(intake, short) as door:
        client = await door.connect()
        assert (await client.ask(EXPORT)).status == 200
        gated.entered.clear()
        gated.gate.clear()
        client.send(EXPORT)
        await gated.until_entered()
        client.send(HEALTH)
        other = await door.connect()
        await other.until_closed()  # by now the limits would have been over
        gated.gate.set()
        assert (await client.answer()).headers["content-length"] == "2"
        assert (await client.answer()).body == b'{"status":"ok"}'
    assert intake.repeated == 1


async def test_a_connection_that_only_repeats_is_closed_when_it_is_idle(
    intake: CountingIntake,
) -> None:
    with capture_logs() as logs:
        async with a_door(intake, PATIENT._replace(idle_timeout_s=SHORT_S)) as door:
            client = await door.connect()
            for _ in range(2):
                assert (await client.ask(EXPORT)).status == 200
            await client.until_closed()
    assert intake.repeated == 1
    assert closings(logs) == ["idle"]


async def test_an_open_repetition_is_answered_when_the_receiver_stops(
    intake: CountingIntake, gated: GatedInbox
) -> None:
    async with a_door(intake) as door:
        client = await door.connect()
        assert (await client.ask(EXPORT)).status == 200
        gated.entered.clear()
        gated.gate.clear()
        client.send(EXPORT)
        await gated.until_entered()
        closing = asyncio.create_task(door.listener.close())
        other = await door.connect()
        await other.until_closed()
        gated.gate.set()
        assert (await client.answer()).status == 200
        await closing
    assert intake.repeated == 1


async def test_a_client_that_goes_during_the_commit_of_its_repetition_harms_nobody(
    intake: CountingIntake, gated: GatedInbox
) -> None:
    async with a_door(intake) as door:
        gone, other = await door.connect(), await door.connect()
        for client in (gone, other):
            assert (await client.ask(EXPORT)).status == 200
        gated.entered.clear()
        gated.gate.clear()
        gone.send(EXPORT)
        await gated.until_entered()
        other.send(EXPORT)
        await intake.until_arrived(4)
        gone.writer.transport.abort()
        gated.gate.set()
        assert (await other.answer()).status == 200


# --------------------------------------------------------------------------------------- stopping


@pytest.mark.parametrize("sent_before", ["", HEAD])
async def test_who_has_connected_before_the_receiver_stops_is_answered(
    intake: CountingIntake, sent_before: str
) -> None:
    async with a_door(intake) as door:
        client = await door.connect()
        client.send(sent_before)
        await (await door.connect()).ask(HEALTH)  # so the first one has been accepted
        closing = asyncio.create_task(door.listener.close())
        await asyncio.sleep(0)  # it has stopped listening now
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", door.listener.port)
        assert (await client.ask(EXPORT.removeprefix(sent_before))).status == 200
        await client.until_closed()
        await closing


async def test_who_connects_and_says_nothing_does_not_hold_up_the_stop(
    intake: CountingIntake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "FIRST_REQUEST_TIMEOUT_S", SHORT_S)
    async with a_door(intake) as door, asyncio.timeout(DEADLINE_S):
        silent, idle = await door.connect(), await door.connect()
        assert (await idle.ask(EXPORT)).status == 200
        await door.listener.close()
        for client in (silent, idle):
            await client.until_closed()


# --------------------------------------------------------------------------------------- too many


async def test_beyond_the_bound_an_export_is_answered_503_once_and_health_as_ever(
    intake: CountingIntake,
) -> None:
    with capture_logs() as logs:
        async with a_door(intake, PATIENT._replace(connections=2)) as door:
            first, second, third, fourth = [await door.connect() for _ in range(4)]
            for client in (first, second):
                assert (await client.ask(EXPORT)).status == 200
            refused = await third.ask(EXPORT)
            assert (refused.status, refused.headers["retry-after"]) == (503, "5")
            await third.until_closed()
            assert (await fourth.ask(HEALTH)).status == 200
            await fourth.until_closed()
            assert (await first.ask(EXPORT)).status == 200
    crowds = [entry["event"] for entry in logs if "crowd" in entry["event"]]
    assert crowds[:1] == ["receive.crowded"]
    assert crowds.count("receive.crowded") == 1


async def test_beyond_the_spare_ones_a_connection_is_closed_and_room_comes_back(
    intake: CountingIntake,
) -> None:
    with capture_logs() as logs:
        async with a_door(intake, PATIENT._replace(connections=1, spare=1)) as door:
            first, second, third = [await door.connect() for _ in range(3)]
            await third.until_closed()
            for client in (first, second):
                client.send(EXPORT)
            assert (await first.answer()).status == 200
            assert (await second.answer()).status == 503
            await second.until_closed()
            first.writer.close()
            await first.writer.wait_closed()
            await until_taken(door)
    assert closings(logs) == ["crowded"]
    assert [entry["event"] for entry in logs if "gone" in entry["event"]] != []


async def until_taken(door: Door) -> None:
    """The receiver hears of a closed connection a little after its client."""
    async with asyncio.timeout(DEADLINE_S):
        while (await (await door.connect()).ask(EXPORT)).status != 200:
            pass


# --------------------------------------------------------------------------------------- browsers


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        ("POST /v1/logs", {"Origin": "https://evil.example"}, 403),
        ("POST /v1/logs", {"Origin": "null", "Content-Type": "text/plain"}, 403),
        ("POST /v1/logs", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("POST /v1/logs", {"Content-Type": "text/plain"}, 415),
        ("POST /v1/logs", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ("POST /v1/logs", {"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ("POST /v1/logs", {"Host": "evil.example"}, 421),
        ("OPTIONS /v1/logs", {"Origin": "http://a", "Access-Control-Request-Method": "POST"}, 403),
        ("OPTIONS /v1/logs", {}, 405),
        ("OPTIONS /healthz", {}, 405),
        ("GET /healthz", {"Host": "evil.example"}, 421),
        ("GET /healthz", {"Origin": "https://evil.example"}, 403),
        ("GET /healthz", {"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_a_web_page_can_neither_post_nor_read(
    intake: CountingIntake, request_line: str, headers: Mapping[str, str], status: int
) -> None:
    sent = {"Host": "localhost", "Content-Type": "application/json", **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    async with a_door(intake, hosts=frozenset()) as door:
        client = await door.connect()
        answer = await client.ask(f"{request_line} HTTP/1.1\r\n{head}Content-Length: 0\r\n\r\n")
    assert answer.status == status
    assert b'"message":' in answer.body
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_a_refused_origin_is_logged_by_its_name_only(intake: CountingIntake) -> None:
    with capture_logs() as logs:
        async with a_door(intake) as door:
            client = await door.connect()
            answer = await client.ask(
                f"{HEAD}Origin: http://planted.example\r\nContent-Length: 0\r\n\r\n"
            )
    assert [entry["reason"] for entry in logs] == ["cross_site"]
    assert "planted" not in f"{logs}{answer}"


async def test_a_body_nested_too_deeply_is_answered_400(intake: CountingIntake) -> None:
    async with a_door(intake) as door:
        for body in ("[" * 100_000, '{"a":' * 5_000 + "1" + "}" * 5_000):
            client = await door.connect()
            answer = await client.ask(f"{HEAD}Content-Length: {len(body)}\r\n\r\n{body}")
            assert answer.status == 400
            assert b"nested" in answer.body


async def test_only_a_body_that_has_its_share_is_read_in_large_pieces(
    intake: CountingIntake,
) -> None:
    app = make_app(intake, FixedClock(), dict)
    runner = web.AppRunner(app)
    await runner.setup()
    assert runner.server is not None
    connection = Connections(runner.server, ConnectionLimits(), app[DESK])()

    with Budget(1 << 20).share() as share, connection.reading(share):
        assert len(connection.get_buffer(-1)) == BUFFER_BYTES
        await share.announce(200_000)
        assert len(connection.get_buffer(-1)) == LARGE_BUFFER_BYTES
    assert len(connection.get_buffer(-1)) == BUFFER_BYTES
    await runner.cleanup()
