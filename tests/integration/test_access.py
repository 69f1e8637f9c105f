"""Both doors of the receiver with tokens, in front of a real inbox and with real clients."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc
import opentelemetry.exporter.otlp.proto.grpc._log_exporter as grpc_logs
import opentelemetry.exporter.otlp.proto.http._log_exporter as http_logs
import pytest
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped] # it has no stubs
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # it has no stubs
from opentelemetry._logs import LogRecord
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from structlog.testing import capture_logs

from bridge.errors import IntakeUnavailableError
from bridge.model.requests import ExportRequest, Signal
from bridge.model.tokens import Token, digest_of
from bridge.receive import grpc as over_grpc
from bridge.receive import http as over_http
from bridge.receive.access import Access
from bridge.receive.intake import Settled
from tests.intakes import DEADLINE_S, NOW_MS, CountingIntake, FixedClock, Kept

TOKEN = "lfb_planted-token-of-ada"  # noqa: S105 - made up
WRONG = "lfb_planted-token-of-nobody"
FIXED = {"member": "ada", "department": "research"}
ADA = Token(name="ada", digest=digest_of(TOKEN), fixed=FIXED)
BEA = Token(name="bea", digest=digest_of(WRONG + "!"), fixed={})
JSON = {"Content-Type": "application/json"}
LOGS_JSON = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}'
EXPORT_LOGS = f"/{over_grpc.SERVICES[Signal.LOGS]}/Export"
GOOD = [
    {"Authorization": f"Bearer {TOKEN}"},
    {"Authorization": f"Bearer%20{TOKEN}"},
    {"x-api-key": TOKEN},
]
BAD = [{}, {"Authorization": f"Bearer {WRONG}"}, {"x-api-key": WRONG}]
WHAT_TO_SET = 'OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer TOKEN"'


@dataclass
class Doors:
    """Both doors of one receiver, and what they share."""

    access: Access
    http_port: int
    grpc_port: int
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"


@asynccontextmanager
async def doors(
    intake: CountingIntake, *tokens: Token, rate_limit: float = 0
) -> AsyncIterator[Doors]:
    access = Access(FixedClock(), tokens, rate_limit=rate_limit)
    refused = Counter[str]()
    report = {"status": "ok", "version": "1", "accepted": 7}
    app = over_http.make_app(intake, FixedClock(), lambda: report, access=access, refused=refused)
    http = await over_http.serve(app, socket.create_server(("127.0.0.1", 0)))
    grpc_door = await over_grpc.serve(
        intake, FixedClock(), "127.0.0.1:0", access=access, refused=refused
    )
    try:
        yield Doors(access, http.port, grpc_door.port, refused)
    finally:
        await http.close()
        await grpc_door.close()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(DEADLINE_S)) as session:
        yield session


def logs() -> bytes:
    message = ExportLogsServiceRequest()
    message.resource_logs.add().scope_logs.add().log_records.add()
    return message.SerializeToString()


async def export(
    port: int, headers: Mapping[str, str], body: bytes = b""
) -> grpc.aio.AioRpcError | None:
    """Export over gRPC; the refusal, if it was one."""
    metadata = tuple((name.lower(), value) for name, value in headers.items())
    unlimited = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=unlimited) as channel:
        call: Any = channel.unary_unary(EXPORT_LOGS)
        try:
            await call(body or logs(), metadata=metadata, timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as refused:
            return refused
    return None


# --------------------------------------------------------------------------------- who may send


@pytest.mark.parametrize("headers", GOOD, ids=["bearer", "bearer as written", "api key"])
async def test_what_a_known_sender_posts_is_kept_under_its_name(
    intake: CountingIntake, client: aiohttp.ClientSession, kept: Kept, headers: dict[str, str]
) -> None:
    async with doors(intake, ADA) as both:
        async with client.post(
            f"{both.url}/v1/logs", data=LOGS_JSON, headers=JSON | headers
        ) as answer:
            assert answer.status == 200
        assert await export(both.grpc_port, headers) is None

    assert [(each.sender, each.fixed) for each in kept()] == [("ada", FIXED)] * 2
    assert both.refused == {}


@pytest.mark.parametrize("headers", BAD, ids=["nothing", "bearer", "api key"])
async def test_anybody_else_is_told_what_to_set_and_nothing_is_kept(
    intake: CountingIntake, client: aiohttp.ClientSession, kept: Kept, headers: dict[str, str]
) -> None:
    with capture_logs() as lines:
        async with doors(intake, ADA) as both:
            async with client.post(
                f"{both.url}/v1/logs", data=LOGS_JSON, headers=JSON | headers
            ) as answer:
                told = await answer.text()
                assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            over = await export(both.grpc_port, headers)

    assert over is not None
    assert over.code() is grpc.StatusCode.UNAUTHENTICATED
    assert WHAT_TO_SET.replace('"', '\\"') in told
    assert WHAT_TO_SET in str(over.details())
    assert both.refused == {"unauthenticated": 2}
    assert "planted" not in f"{lines}{told}{over.details()}"
    assert kept() == []


async def test_an_unknown_path_tells_a_stranger_nothing(
    intake: CountingIntake, client: aiohttp.ClientSession
) -> None:
    async with (
        doors(intake, ADA) as both,
        client.get(f"{both.url}/v1/profiles") as answer,
    ):
        assert answer.status == 401


async def test_a_stranger_is_refused_before_its_body_is_sent(intake: CountingIntake) -> None:
    head = (
        "POST /v1/logs HTTP/1.1\r\nHost: bridge\r\nContent-Type: application/json\r\n"
        "Content-Length: 60000000\r\n\r\n"
    )
    async with doors(intake, ADA) as both, asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", both.http_port)
        writer.write(head.encode())
        assert b" 401 " in await reader.readline()
        writer.close()
        await writer.wait_closed()


async def test_over_grpc_a_stranger_is_refused_before_its_message_is_sent(
    intake: CountingIntake,
) -> None:
    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async with (
        doors(intake, ADA) as both,
        grpc.aio.insecure_channel(f"127.0.0.1:{both.grpc_port}") as channel,
    ):
        call: Any = channel.stream_unary(EXPORT_LOGS)(never(), timeout=DEADLINE_S)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_large_message_of_a_stranger_is_unauthenticated_too(
    intake: CountingIntake, kept: Kept
) -> None:
    async with doors(intake, ADA) as both:
        refused = await export(both.grpc_port, {}, b"\x0a" * 5_000_000)
        assert refused is not None
        assert refused.code() is grpc.StatusCode.UNAUTHENTICATED
    assert kept() == []


async def test_a_revoked_token_is_worth_nothing_on_an_open_connection(
    intake: CountingIntake, client: aiohttp.ClientSession
) -> None:
    statuses = []
    async with doors(intake, ADA) as both:
        for tokens in (None, [ADA], [], [ADA]):
            if tokens is not None:
                both.access.replace(tokens)
            async with client.post(
                f"{both.url}/v1/logs", data=LOGS_JSON, headers=JSON | GOOD[0]
            ) as answer:
                statuses.append(answer.status)
    assert statuses == [200, 200, 401, 200]


async def test_a_repetition_is_its_senders_as_long_as_its_token_is_in_force(
    intake: CountingIntake, client: aiohttp.ClientSession, kept: Kept
) -> None:
    statuses = []
    async with doors(intake, ADA) as both:
        for tokens in ([ADA], None, None, [BEA], [ADA], None):
            if tokens is not None:
                both.access.replace(tokens)
            async with client.post(
                f"{both.url}/v1/logs", data=LOGS_JSON, headers=JSON | GOOD[0]
            ) as answer:
                statuses.append(answer.status)
    assert statuses == [200, 200, 200, 401, 200, 200]
    assert intake.repeated == 3
    assert {(request.sender, *request.fixed.items()) for request in kept()} == {
        ("ada", *FIXED.items())
    }


async def test_a_repetition_counts_against_the_limit_of_its_sender(
    intake: CountingIntake, client: aiohttp.ClientSession
) -> None:
    statuses = []
    async with doors(intake, ADA, rate_limit=0.3) as both:
        for body in (LOGS_JSON, LOGS_JSON, b'{"resourceLogs":1}', LOGS_JSON):
            async with client.post(
                f"{both.url}/v1/logs", data=body, headers=JSON | GOOD[0]
            ) as answer:
                statuses.append(answer.status)
        assert both.refused == {"malformed": 1, "rate_limited": 1}
    assert statuses == [200, 200, 400, 429]
    assert intake.repeated == 1


def full(_request: ExportRequest, _settled: Settled) -> bool:
    return False


def failing(_request: ExportRequest, settled: Settled) -> bool:
    failure = IntakeUnavailableError("disk full", 2)
    asyncio.get_running_loop().call_soon(settled, failure)
    return True


def broken(_request: ExportRequest, _settled: Settled) -> bool:
    raise ZeroDivisionError


@pytest.mark.parametrize("hold", [full, failing, broken])
async def test_a_repetition_that_is_not_kept_at_once_is_charged_once(
    hold: Any,
    intake: CountingIntake,
    client: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "hold", hold)
    statuses = []
    async with doors(intake, ADA, rate_limit=0.3) as both:
        for _ in range(4):
            async with client.post(
                f"{both.url}/v1/logs", data=LOGS_JSON, headers=JSON | GOOD[0]
            ) as answer:
                statuses.append(answer.status)
    assert statuses == [200, 200, 200, 429]


# ------------------------------------------------------------------------------------ how fast


async def test_too_fast_a_sender_is_told_when_to_come_again(
    intake: CountingIntake, client: aiohttp.ClientSession, kept: Kept
) -> None:
    async with doors(intake, ADA, rate_limit=0.1) as both:
        assert await export(both.grpc_port, GOOD[0]) is None
        async with client.post(
            f"{both.url}/v1/logs", data=LOGS_JSON, headers=JSON | GOOD[0]
        ) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "10")
            assert (await answer.json())["code"] == 8
        over = await export(both.grpc_port, GOOD[0])

    assert over is not None
    assert over.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert retry_delay_s(over) == 10
    assert both.refused == {"rate_limited": 2}
    assert len(kept()) == 1


def retry_delay_s(refusal: grpc.aio.AioRpcError) -> int:
    trailers = dict(refusal.trailing_metadata() or ())
    status = Status.FromString(trailers["grpc-status-details-bin"])
    told = RetryInfo()
    assert status.details[0].Unpack(told)
    return int(told.retry_delay.seconds)


# -------------------------------------------------------------------------------------- health


async def test_strangers_from_elsewhere_see_that_it_is_up_and_no_more(
    intake: CountingIntake, client: aiohttp.ClientSession
) -> None:
    elsewhere = {"X-Forwarded-For": "192.0.2.1"}
    seen = []
    async with doors(intake, ADA) as both:
        for headers in (elsewhere, elsewhere | GOOD[0], elsewhere | BAD[1], {}):
            async with client.get(f"{both.url}/healthz", headers=headers) as answer:
                assert answer.status == 200
                seen.append(await answer.json())
    bare = {"status": "ok", "version": "1"}
    assert seen == [bare, bare | {"accepted": 7}, bare, bare | {"accepted": 7}]
    assert both.refused == {}


# ------------------------------------------------------------------------------ real exporters


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize(
    "scheme", ["Authorization=Bearer ", "Authorization=Bearer%20", "x-api-key="]
)
async def test_exporters_of_the_sdk_send_the_token_from_the_environment(
    intake: CountingIntake,
    kept: Kept,
    monkeypatch: pytest.MonkeyPatch,
    *,
    protocol: str,
    scheme: str,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"{scheme}{TOKEN}")
    async with doors(intake, ADA) as both:
        if protocol == "http":
            exporter: Any = http_logs.OTLPLogExporter(f"{both.url}/v1/logs")
        else:
            endpoint = f"http://127.0.0.1:{both.grpc_port}"
            exporter = grpc_logs.OTLPLogExporter(endpoint=endpoint, insecure=True)
        await asyncio.to_thread(emit, exporter)

    assert [each.sender for each in kept()] == ["ada"]


def emit(exporter: Any) -> None:
    loggers = LoggerProvider(shutdown_on_exit=False)
    loggers.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    loggers.get_logger("app").emit(LogRecord(timestamp=NOW_MS * 10**6, body="said"))
    loggers.shutdown()
