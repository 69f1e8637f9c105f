"""The receiver over real HTTP, in front of a real inbox: what is answered, and what is kept."""

import asyncio
import gzip
import resource
import socket
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import orjson
import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # it has no stubs
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from structlog.testing import capture_logs

from bridge.model.requests import Encoding, ExportRequest, Signal
from bridge.receive.http import AcceptsRequests, Listener, make_app, serve
from bridge.receive.intake import Settled
from tests.intakes import DEADLINE_S, NOW_MS, CountingIntake, FixedClock, GatedInbox, Kept

CAPTURES = Path(__file__).parents[1] / "captures" / "2.1.330"
MAX_BODY_BYTES = 1_000_000

JSON = {"Content-Type": "application/json"}
PROTOBUF = {"Content-Type": "application/x-protobuf"}
GZIP = {"Content-Encoding": "gzip"}

LOGS_JSON = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"intValue":1}},{}]}]}]}'


def logs_protobuf() -> bytes:
    message = ExportLogsServiceRequest()
    message.resource_logs.add().scope_logs.add().log_records.add()
    return message.SerializeToString()


class Receiver:
    """All of a running receiver that tests look at."""

    def __init__(self, listener: Listener, client: aiohttp.ClientSession) -> None:
        self.listener = listener
        self.client = client
        self.url = f"http://127.0.0.1:{listener.port}"

    def post(
        self, path: str, body: object, headers: Mapping[str, str]
    ) -> "aiohttp.client._RequestContextManager":
        return self.client.post(self.url + path, data=body, headers=headers)


@asynccontextmanager
async def a_receiver(
    intake: AcceptsRequests,
    health: Callable[[], Mapping[str, object]] = dict,
    answered: Counter[int] | None = None,
    body_idle_timeout_s: float = DEADLINE_S,
) -> AsyncIterator[Receiver]:
    app = make_app(
        intake,
        FixedClock(),
        health,
        max_body_bytes=MAX_BODY_BYTES,
        body_idle_timeout_s=body_idle_timeout_s,
        answered=answered,
    )
    listener = await serve(app, socket.create_server(("127.0.0.1", 0)))
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as client:
        yield Receiver(listener, client)
    await listener.close()


@pytest.fixture
async def receiver(intake: CountingIntake) -> AsyncIterator[Receiver]:
    async with a_receiver(intake) as receiver:
        yield receiver


def a_kept(body: bytes, encoding: Encoding, records: int, *, gzipped: bool) -> ExportRequest:
    return ExportRequest(
        signal=Signal.LOGS,
        encoding=encoding,
        body=body,
        gzipped=gzipped,
        records=records,
        received_at_ms=NOW_MS,
    )


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    """Makes aiohttp's client send chunked."""
    for start in range(0, len(body), 7):
        yield body[start : start + 7]


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("gzipped", [False, True], ids=["identity", "gzip"])
@pytest.mark.parametrize(
    ("headers", "body", "answer", "records"),
    [(JSON, LOGS_JSON, b"{}", 2), (PROTOBUF, logs_protobuf(), b"", 1)],
    ids=["json", "protobuf"],
)
async def test_body_is_kept_exactly_as_sent(
    receiver: Receiver,
    kept: Kept,
    *,
    headers: dict[str, str],
    body: bytes,
    answer: bytes,
    records: int,
    gzipped: bool,
    chunked: bool,
) -> None:
    sent = gzip.compress(body) if gzipped else body
    sent_headers = {**headers, **(GZIP if gzipped else {})}
    data = in_pieces(sent) if chunked else sent
    async with receiver.post("/v1/logs", data, sent_headers) as response:
        assert (response.status, await response.read()) == (200, answer)
        assert response.headers["Content-Type"] == headers["Content-Type"]
    encoding = Encoding(headers["Content-Type"])
    assert kept() == [a_kept(sent, encoding, records, gzipped=gzipped)]


@pytest.mark.parametrize(
    "path", ["/v1/logs", "/v1/logs/", "/otlp/v1/logs", "//v1/logs", "/v1/logs?key=value"]
)
async def test_path_below_any_prefix_is_served(receiver: Receiver, kept: Kept, path: str) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    async with receiver.post(path, LOGS_JSON, headers) as response:
        assert response.status == 200
    assert [request.body for request in kept()] == [LOGS_JSON]


@pytest.mark.parametrize(
    ("body", "headers"),
    [(b"{}", JSON), (b"", PROTOBUF), (gzip.compress(b""), {**PROTOBUF, **GZIP})],
    ids=["json", "protobuf", "gzip"],
)
async def test_export_without_records_is_answered_and_not_kept(
    receiver: Receiver, kept: Kept, body: bytes, headers: dict[str, str]
) -> None:
    for signal in Signal:
        async with receiver.post(f"/v1/{signal}", body, headers) as response:
            assert response.status == 200
    assert kept() == []


BODY_TOO_LARGE = b" " * (MAX_BODY_BYTES + 1)
UTF16 = '{"resourceLogs":[]}'.encode("utf-16")


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "code"),
    [
        ("POST", "/v1/profiles", JSON, b"{}", 404, 5),
        ("POST", "/", PROTOBUF, b"", 404, 5),
        ("GET", "/v1/logs", {}, None, 405, 12),
        ("PUT", "/otlp/v1/traces/", PROTOBUF, b"", 405, 12),
        ("DELETE", "/v1/metrics", JSON, None, 405, 12),
        ("POST", "/v1/logs", {}, b"{}", 415, 3),
        ("POST", "/v1/logs", {"Content-Type": "text/plain"}, b"{}", 415, 3),
        ("POST", "/v1/logs", {**PROTOBUF, "Content-Encoding": "zstd"}, b"", 415, 3),
        ("POST", "/v1/logs", {**JSON, "Content-Encoding": "deflate"}, b"{}", 415, 3),
        ("POST", "/v1/logs", JSON, BODY_TOO_LARGE, 413, 3),
        ("POST", "/v1/logs", {**PROTOBUF, **GZIP}, gzip.compress(BODY_TOO_LARGE), 413, 3),
        ("POST", "/v1/logs", JSON, b"{", 400, 3),
        ("POST", "/v1/logs", JSON, b"", 400, 3),
        ("POST", "/v1/logs", JSON, UTF16, 400, 3),
        ("POST", "/v1/logs", JSON, b'{"resourceLogs":{}}', 400, 3),
        ("POST", "/v1/traces", PROTOBUF, b"\xff", 400, 3),
        ("POST", "/v1/metrics", PROTOBUF, LOGS_JSON, 400, 3),
        ("POST", "/v1/logs", {**JSON, **GZIP}, LOGS_JSON, 400, 3),
        ("POST", "/v1/logs", {**JSON, **GZIP}, zlib.compress(LOGS_JSON), 400, 3),
        ("POST", "/v1/logs", {**JSON, **GZIP}, gzip.compress(LOGS_JSON)[:-9], 400, 3),
    ],
)
async def test_refusal_is_a_status_in_the_clients_encoding(
    receiver: Receiver,
    kept: Kept,
    *,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes | None,
    status: int,
    code: int,
) -> None:
    async with receiver.client.request(
        method, receiver.url + path, headers=headers, data=body
    ) as response:
        answer = await response.read()
        assert response.status == status
        if headers.get("Content-Type") == PROTOBUF["Content-Type"]:
            assert response.headers["Content-Type"] == PROTOBUF["Content-Type"]
            message = Status.FromString(answer)
            assert (message.code, bool(message.message)) == (code, True)
        else:
            assert response.headers["Content-Type"] == JSON["Content-Type"]
            assert orjson.loads(answer) == {
                "code": code,
                "message": orjson.loads(answer)["message"],
            }
        assert response.headers.get("Allow") == ("POST" if status == 405 else None)
    assert kept() == []


async def test_chunked_body_without_end_in_sight_is_too_large(receiver: Receiver) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 10_000 + 2):
            yield b" " * 10_000

    async with receiver.post("/v1/logs", endless(), JSON) as response:
        assert response.status == 413


BODIES = sorted(CAPTURES.glob("*/*.*.*"))


@pytest.mark.parametrize("capture", BODIES, ids=lambda path: f"{path.parent.name}/{path.name}")
async def test_what_claude_code_sent_is_accepted(
    receiver: Receiver, kept: Kept, capture: Path
) -> None:
    _, signal, *kind = capture.name.split(".")
    headers = {**(JSON if kind[0] == "json" else PROTOBUF), **(GZIP if "gz" in kind else {})}
    body = await asyncio.to_thread(capture.read_bytes)
    async with receiver.post(f"/v1/{signal}", body, headers) as response:
        assert response.status == 200
    (request,) = kept()
    assert request.body == body
    assert (request.signal, request.gzipped) == (Signal(signal), "gz" in kind)
    assert request.records > 0


async def test_success_is_answered_only_after_the_commit(
    receiver: Receiver, gated: GatedInbox, kept: Kept
) -> None:
    gated.gate.clear()
    post = asyncio.ensure_future(receiver.post("/v1/logs", LOGS_JSON, JSON))
    await gated.until_entered()
    assert not post.done()
    assert kept() == []
    gated.gate.set()
    async with await post as response:
        assert response.status == 200
    assert len(kept()) == 1


async def test_posts_that_meet_a_busy_disk_share_one_commit(
    receiver: Receiver, gated: GatedInbox, intake: CountingIntake, kept: Kept
) -> None:
    gated.gate.clear()
    first = asyncio.ensure_future(receiver.post("/v1/logs", LOGS_JSON, JSON))
    await gated.until_entered()
    rest = [
        asyncio.ensure_future(receiver.post("/v1/traces", a_traces_body(i), JSON))
        for i in range(50)
    ]
    await intake.until_arrived(51)
    gated.gate.set()
    for response in await asyncio.gather(first, *rest):
        assert response.status == 200
        response.release()
    assert gated.group_sizes == [1, 50]
    assert {request.body for request in kept()} == {LOGS_JSON, *map(a_traces_body, range(50))}


def a_traces_body(number: int) -> bytes:
    return b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"%d"}]}]}]}' % number


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process can grow meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("headers", [JSON, PROTOBUF], ids=["json", "protobuf"])
async def test_full_disk_is_answered_503_even_if_the_log_cannot_be_written_either(
    receiver: Receiver, kept: Kept, headers: dict[str, str]
) -> None:
    body = LOGS_JSON if headers is JSON else logs_protobuf()
    with full_disk():
        async with receiver.post("/v1/logs", body, headers) as response:
            answer = await response.read()
            assert response.status == 503
            assert int(response.headers["Retry-After"]) > 0
            code = (
                orjson.loads(answer)["code"] if headers is JSON else Status.FromString(answer).code
            )
            assert code == 14
    assert kept() == []
    async with receiver.post("/v1/logs", body, headers) as response:
        assert response.status == 200
    assert [request.body for request in kept()] == [body]


class BrokenIntake:
    def hold(self, request: ExportRequest, _: Settled) -> bool:
        raise ZeroDivisionError(request.body)

    async def append(self, request: ExportRequest) -> None:
        raise ValueError(request.body)


async def test_bug_is_answered_503_and_logged_without_content() -> None:
    body = LOGS_JSON.replace(b'"intValue":1', b'"stringValue":"hunter2"')
    answered = Counter[int]()
    async with a_receiver(BrokenIntake(), answered=answered) as receiver:
        with capture_logs() as logs:
            async with receiver.post("/v1/logs", body, JSON) as response:
                answer = await response.read()
                assert (response.status, response.headers["Retry-After"]) == (503, "5")
    assert [(entry["event"], entry["error"]) for entry in logs] == [
        ("receive.failed", "ValueError")
    ]
    assert "hunter2" not in f"{logs}{answer!r}"
    assert answered == {503: 1}


async def test_refusal_is_logged_without_content(receiver: Receiver) -> None:
    with capture_logs() as logs:
        async with receiver.post("/v1/logs", b'{"resourceLogs":"hunter2"}', JSON) as response:
            answer = await response.read()
    assert logs == [{"event": "receive.refused", "reason": "malformed", "log_level": "debug"}]
    assert b"hunter2" not in answer


async def test_answers_are_counted_by_status(intake: CountingIntake) -> None:
    answered = Counter[int]()
    async with a_receiver(intake, answered=answered) as receiver:
        for body in (LOGS_JSON, LOGS_JSON, b"{"):
            async with receiver.post("/v1/logs", body, JSON):
                pass
    assert answered == {200: 2, 400: 1}


async def test_health_is_what_the_caller_says(intake: CountingIntake) -> None:
    async with a_receiver(intake, lambda: {"status": "ok", "held": 3}) as receiver:
        async with receiver.client.get(receiver.url + "/healthz") as response:
            assert response.status == 200
            assert await response.json() == {"status": "ok", "held": 3}
        async with receiver.post("/healthz", b"", JSON) as response:
            assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")


async def test_health_that_fails_is_answered_503(intake: CountingIntake) -> None:
    def broken() -> Mapping[str, object]:
        raise OSError

    async with (
        a_receiver(intake, broken) as receiver,
        receiver.client.get(receiver.url + "/healthz") as response,
    ):
        assert response.status == 503


async def test_large_body_is_checked_and_kept_like_any_other(
    receiver: Receiver, kept: Kept
) -> None:
    record = b'{"body":{"stringValue":"' + b"x" * 100 + b'"}},'
    records = record * 4_000
    large = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[' + records[:-1] + b"]}]}]}"
    async with receiver.post("/v1/logs", large, JSON) as response:
        assert response.status == 200
    assert [request.records for request in kept()] == [4_000]


@asynccontextmanager
async def a_connection(
    receiver: Receiver,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", receiver.listener.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


POST_HEAD = b"POST /v1/logs HTTP/1.1\r\nHost: bridge\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "later"])
async def test_malformed_chunks_are_answered_400_and_not_quoted(
    intake: CountingIntake, kept: Kept, caplog: pytest.LogCaptureFixture, at_once: bool
) -> None:
    chunks = [POST_HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", b"hunter2\r\n"]
    with capture_logs() as logs:
        async with (
            a_receiver(intake, body_idle_timeout_s=0.1) as receiver,
            a_connection(receiver) as (reader, writer),
        ):
            for data in [b"".join(chunks)] if at_once else chunks:
                writer.write(data)
                async with receiver.client.get(receiver.url + "/healthz"):
                    pass  # by now the receiver has read what was sent before
            status_line = await asyncio.wait_for(reader.readline(), DEADLINE_S)
    assert status_line.split()[1] == b"400"
    assert kept() == []
    assert "hunter2" not in f"{logs}{caplog.text}"


async def test_body_that_stops_coming_is_answered_400(intake: CountingIntake, kept: Kept) -> None:
    async with (
        a_receiver(intake, body_idle_timeout_s=0.05) as receiver,
        a_connection(receiver) as (reader, writer),
    ):
        writer.write(POST_HEAD + b"Content-Length: 100\r\n\r\n{")
        status_line = await asyncio.wait_for(reader.readline(), DEADLINE_S)
    assert status_line.split()[1] == b"400"
    assert kept() == []


async def test_client_that_leaves_in_the_middle_leaves_nothing_behind(
    intake: CountingIntake, kept: Kept
) -> None:
    answered = Counter[int]()
    with capture_logs() as logs:
        async with a_receiver(intake, answered=answered) as receiver:
            async with a_connection(receiver) as (_, writer):
                writer.write(POST_HEAD + b"Content-Length: 100\r\n\r\n{")
                await writer.drain()
            async with receiver.post("/v1/logs", LOGS_JSON, JSON) as response:
                assert response.status == 200
    assert answered == {400: 1, 200: 1}
    assert [entry["event"] for entry in logs] == ["receive.refused"]
    assert len(kept()) == 1


async def test_close_finishes_the_open_request_and_listens_no_more(
    gated: GatedInbox, intake: CountingIntake, kept: Kept
) -> None:
    listener = await serve(
        make_app(intake, FixedClock(), dict), socket.create_server(("127.0.0.1", 0))
    )
    url = f"http://127.0.0.1:{listener.port}/v1/logs"
    gated.gate.clear()
    async with aiohttp.ClientSession() as client:
        post = asyncio.ensure_future(client.post(url, data=LOGS_JSON, headers=JSON))
        await gated.until_entered()
        closing_listener = asyncio.create_task(listener.close())
        await asyncio.sleep(0)
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.post(url, data=LOGS_JSON, headers=JSON)
        gated.gate.set()
        async with await post as response:
            assert response.status == 200
        await closing_listener
    assert len(kept()) == 1
