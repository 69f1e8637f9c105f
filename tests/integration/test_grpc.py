"""OTLP over gRPC with real clients, in front of a real inbox: what is answered, what is kept."""

import asyncio
import gzip
import resource
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import opentelemetry.exporter.otlp.proto.grpc._log_exporter as grpc_logs
import opentelemetry.exporter.otlp.proto.grpc.metric_exporter as grpc_metrics
import opentelemetry.exporter.otlp.proto.grpc.trace_exporter as grpc_traces
import opentelemetry.exporter.otlp.proto.http._log_exporter as http_logs
import opentelemetry.exporter.otlp.proto.http.metric_exporter as http_metrics
import opentelemetry.exporter.otlp.proto.http.trace_exporter as http_traces
import pytest
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped] # it has no stubs
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # it has no stubs
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.http import Compression as HttpCompression
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from structlog.testing import capture_logs

from bridge.errors import BridgeError
from bridge.model.requests import Encoding, ExportRequest, Signal
from bridge.receive.grpc import SERVICES, Exporting, serve
from bridge.receive.http import make_app
from bridge.receive.http import serve as serve_http
from bridge.receive.intake import Intake, Settled
from bridge.receive.records import count
from bridge.store.inbox import Inbox
from tests.intakes import DEADLINE_S, NOW_MS, CountingIntake, FixedClock, GatedInbox, Kept
from tests.processes import Bridge, command, free_port, post_over_grpc, until
from tests.recordings import capture

MAX_BODY_BYTES = 1_000_000
RECORDED = capture("2.1.330/a-grpc-full")
SEND_ZEROS = """
import grpc, sys
address, method, size_bytes = sys.argv[1:]
unlimited = [("grpc.max_send_message_length", -1)]
with grpc.insecure_channel(address, unlimited, grpc.Compression.Gzip) as channel:
    try:
        channel.unary_unary(method)(bytes(int(size_bytes)), timeout=60)
    except grpc.RpcError as error:
        print(error.code().name)
"""


class BrokenIntake:
    def hold(self, request: ExportRequest, _: Settled) -> bool:
        raise ZeroDivisionError(request.body)

    async def append(self, request: ExportRequest) -> None:
        raise ZeroDivisionError(request.body.decode(errors="replace"))


class Exporter:
    """A client that sends bytes as they are."""

    def __init__(self, channel: grpc.aio.Channel, port: int) -> None:
        self._channel = channel
        self.port = port

    async def export(self, of: Signal, body: bytes, method: str = "Export") -> bytes:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(
            f"/{SERVICES[of]}/{method}"
        )
        return await call(body, timeout=DEADLINE_S)

    async def refusal(
        self, of: Signal, body: bytes, method: str = "Export"
    ) -> grpc.aio.AioRpcError:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await self.export(of, body, method)
        return refused.value


@asynccontextmanager
async def a_client(
    intake: Any, compression: grpc.Compression = grpc.Compression.NoCompression
) -> AsyncIterator[tuple[Exporter, Exporting]]:
    server = await serve(intake, FixedClock(), "127.0.0.1:0", max_body_bytes=MAX_BODY_BYTES)
    unlimited = [("grpc.max_send_message_length", -1)]
    try:
        async with grpc.aio.insecure_channel(
            f"127.0.0.1:{server.port}", options=unlimited, compression=compression
        ) as channel:
            yield Exporter(channel, server.port), server
    finally:
        await server.close()


# ------------------------------------------------------------------------------- what is accepted


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_recorded_bytes_arrive_unchanged(
    intake: CountingIntake, kept: Kept, compression: grpc.Compression
) -> None:
    async with a_client(intake, compression) as (client, _):
        for body in RECORDED:
            assert await client.export(Signal(body.signal), body.data) == b""

    for body in RECORDED:
        of = Signal(body.signal)
        (request,) = kept(of)
        assert request.body == body.data
        assert (request.encoding, request.gzipped) == (Encoding.PROTOBUF, False)
        assert request.records == count(of, Encoding.PROTOBUF, body.data) > 0
        assert request.received_at_ms == NOW_MS


async def test_bytes_that_no_class_would_write_are_kept_too(
    intake: CountingIntake, kept: Kept
) -> None:
    """Fields of a newer protocol, and fields in another order, would not outlive re-encoding."""
    unknown_field = b"\xfa\x01\x03new"
    body = unknown_field + logs(1) + unknown_field

    async with a_client(intake) as (client, _):
        await client.export(Signal.LOGS, body)

    assert [request.body for request in kept(Signal.LOGS)] == [body]


async def test_an_answer_means_that_it_is_on_disk(
    intake: CountingIntake, gated: GatedInbox, kept: Kept
) -> None:
    gated.gate.clear()
    async with a_client(intake) as (client, _):
        waiting = asyncio.create_task(client.export(Signal.LOGS, logs(1)))
        await gated.until_entered()
        assert not waiting.done()
        assert kept(Signal.LOGS) == []

        gated.gate.set()

        assert await waiting == b""
        assert len(kept(Signal.LOGS)) == 1


async def test_an_empty_export_is_fine_and_nothing_is_stored(
    intake: CountingIntake, kept: Kept
) -> None:
    without_records = ExportLogsServiceRequest()
    without_records.resource_logs.add().scope_logs.add()

    async with a_client(intake) as (client, _):
        for of in Signal:
            assert await client.export(of, b"") == b""
        assert await client.export(Signal.LOGS, without_records.SerializeToString()) == b""

    assert [kept(of) for of in Signal] == [[], [], []]


async def test_many_calls_at_once_all_arrive_and_share_commits(
    intake: CountingIntake, gated: GatedInbox, kept: Kept
) -> None:
    bodies = [logs(1, f"record {number}") for number in range(100)]
    gated.gate.clear()
    async with a_client(intake) as (client, _):
        calls = [asyncio.create_task(client.export(Signal.LOGS, body)) for body in bodies]
        await intake.until_arrived(len(bodies))
        gated.gate.set()
        await asyncio.gather(*calls)

    assert sorted(request.body for request in kept(Signal.LOGS)) == sorted(bodies)
    assert len(gated.group_sizes) <= 3


async def test_a_large_body_does_not_keep_others_waiting_and_arrives(
    intake: CountingIntake, kept: Kept
) -> None:
    large = logs(1, "x" * (MAX_BODY_BYTES - 1000))

    async with a_client(intake) as (client, _):
        await asyncio.gather(client.export(Signal.LOGS, large), client.export(Signal.LOGS, logs(1)))

    assert {len(request.body) for request in kept(Signal.LOGS)} == {len(large), len(logs(1))}


# -------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("of", Signal)
@pytest.mark.parametrize("size", [5, 100_000])
async def test_a_malformed_message_is_an_invalid_argument(
    intake: CountingIntake, kept: Kept, of: Signal, size: int
) -> None:
    async with a_client(intake) as (client, _):
        refusal = await client.refusal(of, b"\xff" * size)

    assert refusal.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.details() == (
        f"The message is not an export request for {of} in application/x-protobuf."
    )
    assert kept(of) == []


async def test_more_than_so_many_records_are_an_invalid_argument(
    intake: CountingIntake, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.receive.request.MAX_RECORDS", 2)
    async with a_client(intake) as (client, _):
        refusal = await client.refusal(Signal.LOGS, logs(3))
        assert await client.export(Signal.LOGS, logs(2)) == b""

    assert refusal.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "more than 2 records" in str(refusal.details())
    assert len(kept(Signal.LOGS)) == 1


async def test_connections_beyond_the_bound_are_closed(intake: CountingIntake) -> None:
    server = await serve(intake, FixedClock(), "127.0.0.1:0", max_connections=2)
    first, second, third = [
        await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)
    ]
    for reader, _ in (first, second):
        assert await asyncio.wait_for(reader.read(1), DEADLINE_S)  # SETTINGS
    assert await asyncio.wait_for(third[0].read(), DEADLINE_S) == b""
    for _, writer in (first, second, third):
        writer.close()
    await server.close()


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_a_message_above_the_limit_is_refused_inflated_too(
    intake: CountingIntake, kept: Kept, compression: grpc.Compression
) -> None:
    async with a_client(intake, compression) as (client, _):
        refusal = await client.refusal(Signal.LOGS, logs(1, "x" * MAX_BODY_BYTES))
        assert await client.export(Signal.LOGS, logs(1)) == b""

    assert refusal.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(kept(Signal.LOGS)) == 1


async def test_a_small_message_that_inflates_to_a_huge_one_is_not_held(
    intake: CountingIntake, kept: Kept
) -> None:
    async with a_client(intake) as (client, _):
        before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        method = f"/{SERVICES[Signal.LOGS]}/Export"
        arguments = [f"127.0.0.1:{client.port}", method, "300000000"]
        ended = await asyncio.to_thread(python, SEND_ZEROS, *arguments)
        grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb

    assert ended.stdout.strip() == "RESOURCE_EXHAUSTED"
    assert grown_kb < 50_000
    assert kept(Signal.LOGS) == []


async def test_what_cannot_be_committed_is_unavailable_with_the_time_to_come_again(
    inbox: Inbox, kept: Kept
) -> None:
    closed = Intake(inbox)
    await closed.close()

    async with a_client(closed) as (client, _):
        refusal = await client.refusal(Signal.LOGS, logs(1))

    assert refusal.code() is grpc.StatusCode.UNAVAILABLE
    assert retry_delay_s(refusal) == 1
    assert kept(Signal.LOGS) == []


async def test_a_failure_nobody_foresaw_is_unavailable_and_quotes_nothing() -> None:
    with capture_logs() as lines:
        async with a_client(BrokenIntake()) as (client, _):
            refusal = await client.refusal(Signal.LOGS, logs(1, "secret"))

    assert refusal.code() is grpc.StatusCode.UNAVAILABLE
    assert retry_delay_s(refusal) == 5
    assert "secret" not in f"{refusal.details()}{lines}"
    assert [(line["event"], line["error"]) for line in lines] == [
        ("receive.failed", "ZeroDivisionError")
    ]


async def test_there_is_no_other_method(intake: CountingIntake) -> None:
    async with a_client(intake) as (client, _):
        refusal = await client.refusal(Signal.LOGS, logs(1), "Import")

    assert refusal.code() is grpc.StatusCode.UNIMPLEMENTED


# -------------------------------------------------------------------------------- start and stop


async def test_closing_answers_what_is_open_and_takes_nothing_new(
    intake: CountingIntake, gated: GatedInbox, kept: Kept
) -> None:
    gated.gate.clear()
    async with a_client(intake) as (client, server):
        open_call = asyncio.create_task(client.export(Signal.LOGS, logs(1)))
        await gated.until_entered()
        closing_server = asyncio.create_task(server.close())
        await asyncio.to_thread(until, lambda: refused(client.port), "nobody listens")
        assert not closing_server.done()

        gated.gate.set()

        assert await open_call == b""
        await closing_server
        late = await client.refusal(Signal.LOGS, logs(1))
        assert late.code() is grpc.StatusCode.UNAVAILABLE

    assert len(kept(Signal.LOGS)) == 1


async def test_a_client_that_gives_up_does_no_harm(
    intake: CountingIntake, gated: GatedInbox, kept: Kept
) -> None:
    gated.gate.clear()
    async with a_client(intake) as (client, _):
        given_up = asyncio.create_task(client.export(Signal.LOGS, logs(1)))
        await gated.until_entered()
        given_up.cancel()
        gated.gate.set()
        assert await client.export(Signal.LOGS, logs(2)) == b""

    assert len(kept(Signal.LOGS)) == 2


async def test_an_address_that_is_not_ours_is_named(intake: CountingIntake) -> None:
    with pytest.raises(BridgeError, match=r"cannot listen on 192\.0\.2\.1:4317 for gRPC"):
        await serve(intake, FixedClock(), "192.0.2.1:4317")


# ----------------------------------------------------------------------------- real exporters


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_exporters_of_the_sdk_deliver_all_three_signals(
    intake: CountingIntake, kept: Kept, protocol: str, *, compressed: bool
) -> None:
    async with both_receivers(intake) as ports:
        endpoint = f"http://127.0.0.1:{ports[protocol]}"
        await asyncio.to_thread(EXPORTS[protocol], endpoint, compressed=compressed)

    for of in Signal:
        (request,) = kept(of)
        assert request.gzipped is (compressed and protocol == "http")
        plain = gzip.decompress(request.body) if request.gzipped else request.body
        assert request.records == count(of, Encoding.PROTOBUF, plain) == 1
        assert b"planted" in plain


def export_over_grpc(endpoint: str, *, compressed: bool) -> None:
    told: dict[str, Any] = {
        "endpoint": endpoint,
        "insecure": True,
        "compression": grpc.Compression.Gzip if compressed else grpc.Compression.NoCompression,
    }
    export_all(
        grpc_logs.OTLPLogExporter(**told),
        grpc_metrics.OTLPMetricExporter(**told),
        grpc_traces.OTLPSpanExporter(**told),
    )


def export_over_http(endpoint: str, *, compressed: bool) -> None:
    compression = HttpCompression.Gzip if compressed else HttpCompression.NoCompression
    export_all(
        http_logs.OTLPLogExporter(f"{endpoint}/v1/logs", compression=compression),
        http_metrics.OTLPMetricExporter(f"{endpoint}/v1/metrics", compression=compression),
        http_traces.OTLPSpanExporter(f"{endpoint}/v1/traces", compression=compression),
    )


EXPORTS = {"grpc": export_over_grpc, "http": export_over_http}


def export_all(logs_to: Any, metrics_to: Any, traces_to: Any) -> None:
    """One log record, one data point and one span, as an application sends them."""
    loggers = LoggerProvider(shutdown_on_exit=False)
    loggers.add_log_record_processor(SimpleLogRecordProcessor(logs_to))
    loggers.get_logger("app").emit(LogRecord(timestamp=NOW_MS * 10**6, body="planted"))
    loggers.shutdown()
    reader = PeriodicExportingMetricReader(metrics_to, export_interval_millis=3_600_000)
    meters = MeterProvider([reader], shutdown_on_exit=False)
    meters.get_meter("app").create_counter("planted").add(1)
    meters.shutdown()
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(traces_to))
    tracers.get_tracer("app").start_span("planted").end()
    tracers.shutdown()


@asynccontextmanager
async def both_receivers(intake: CountingIntake) -> AsyncIterator[Mapping[str, int]]:
    over_grpc = await serve(intake, FixedClock(), "127.0.0.1:0")
    app = make_app(intake, FixedClock(), dict)
    over_http = await serve_http(app, socket.create_server(("127.0.0.1", 0)))
    yield {"grpc": over_grpc.port, "http": over_http.port}
    await over_grpc.close()
    await over_http.close()


# ------------------------------------------------------------------------------ as a whole bridge


def test_a_bridge_takes_both_and_stops_in_order(tmp_path: Path) -> None:
    with Bridge(tmp_path, grpc_port=free_port()) as bridge:
        post_over_grpc(bridge, *RECORDED)
        post_over_grpc(bridge, *RECORDED)
        assert bridge.health()["accepted"] == 2 * sum(
            count(Signal(body.signal), Encoding.PROTOBUF, body.data) for body in RECORDED
        )

        assert bridge.stop() == 0
        assert refused(int(bridge.settings["grpc_port"]))


def test_a_receiver_that_dies_comes_back_on_the_same_port(tmp_path: Path) -> None:
    with Bridge(tmp_path, grpc_port=free_port()) as bridge:
        port = int(bridge.settings["grpc_port"])
        post_over_grpc(bridge, *RECORDED)
        (died,) = bridge.kill_child("receiver")
        with pytest.raises(OSError, match="in use"):  # nobody else can take it meanwhile
            socket.create_server(("127.0.0.1", port)).close()

        until(lambda: not refused(port), "gRPC listens again")
        post_over_grpc(bridge, *RECORDED)

        assert died == "receiver"
        bridge.stop(signal.SIGINT)


@pytest.mark.parametrize("shares", [False, True])
def test_a_grpc_port_that_is_taken_is_named_and_how_to_set_another(
    tmp_path: Path, *, shares: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=shares) as other:
        port = str(other.getsockname()[1])
        ended = command("run", "--port", "0", cwd=tmp_path, **settings(tmp_path, port))

    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port} for gRPC" in ended.stderr
    assert "BRIDGE_GRPC_PORT" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_bridge_without_grpc_neither_listens_nor_loads_it(tmp_path: Path) -> None:
    with Bridge(tmp_path, grpc_port=0) as bridge:
        receiver = bridge.pids()["receiver"]
        loaded = Path(f"/proc/{receiver}/maps").read_text()
        with urllib.request.urlopen(f"http://127.0.0.1:{bridge.port}/healthz") as answer:
            assert answer.status == 200

        assert "cygrpc" not in loaded
        assert bridge.stop() == 0


# ---------------------------------------------------------------------------------------- helpers


def logs(records: int, text: str = "") -> bytes:
    message = ExportLogsServiceRequest()
    scope = message.resource_logs.add().scope_logs.add()
    for _ in range(records):
        scope.log_records.add().body.string_value = text
    return message.SerializeToString()


def retry_delay_s(refusal: grpc.aio.AioRpcError) -> int:
    trailers = dict(refusal.trailing_metadata())
    status = Status.FromString(trailers["grpc-status-details-bin"])
    retry = RetryInfo()
    assert (status.code, status.message) == (14, refusal.details())
    assert status.details[0].Unpack(retry)
    return int(retry.retry_delay.seconds)


def refused(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def settings(folder: Path, grpc_port: str) -> dict[str, str]:
    return {"BRIDGE_DATA_DIR": str(folder / "data"), "BRIDGE_GRPC_PORT": grpc_port}


def python(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
