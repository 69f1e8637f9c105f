"""TLS in both directions, with certificates made for the test and real connections."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path

import aiohttp
import grpc
import pytest
import trustme
from structlog.testing import capture_logs

from bridge.errors import BridgeError
from bridge.langfuse.client import LangfuseTarget, connect
from bridge.langfuse.deliver import Deliverer
from bridge.langfuse.trust import trust
from bridge.model.delivery import LangfuseState, PendingSpan
from bridge.receive import grpc as grpc_receiver
from bridge.receive import http as http_receiver
from bridge.receive.http import Listener, make_app, serve
from bridge.receive.tls import Certificates, TlsFiles, read
from tests.certificates import Files, client_context, issue
from tests.fakes import FakeClock, FakeLangfuse, FakeSleep, MemoryOutbox
from tests.intakes import DEADLINE_S, CountingIntake, FixedClock, Kept
from tests.processes import SecureBridge, command, until

AUTHORITY, OTHER = trustme.CA(), trustme.CA()
SERVICE = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"


@pytest.fixture
def server(tmp_path: Path) -> Files:
    return issue(tmp_path / "server", AUTHORITY)


@pytest.fixture
def client(tmp_path: Path) -> Files:
    return issue(tmp_path / "client", AUTHORITY, "client.example")


@pytest.fixture
def stranger(tmp_path: Path) -> Files:
    return issue(tmp_path / "stranger", OTHER)


def tls_files(server: Files, client_ca: Path | None = None) -> TlsFiles:
    return TlsFiles(server.cert, server.key, client_ca)


# ------------------------------------------------------------------------------------------- HTTP


@asynccontextmanager
async def listening(intake: CountingIntake, files: TlsFiles) -> AsyncIterator[Listener]:
    listener = await serve(
        make_app(intake, FixedClock(), lambda: {"status": "ok"}),
        socket.create_server(("127.0.0.1", 0)),
        context=read(files).context,
    )
    yield listener
    await listener.close()


async def health(port: int, context: ssl.SSLContext, scheme: str = "https") -> int:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(DEADLINE_S)) as session,
        session.get(f"{scheme}://127.0.0.1:{port}/healthz", ssl=context) as answer,
    ):
        return answer.status


async def test_a_client_that_trusts_the_authority_is_answered(
    intake: CountingIntake, server: Files, stranger: Files
) -> None:
    async with listening(intake, tls_files(server)) as listener:
        assert await health(listener.port, client_context(server.ca)) == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await health(listener.port, client_context(stranger.ca))


async def test_a_body_of_many_tls_records_arrives_whole(
    intake: CountingIntake, server: Files, kept: Kept
) -> None:
    records = b",".join([b'{"body":{"stringValue":"' + b"x" * 1000 + b'"}}'] * 1000)
    body = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[' + records + b"]}]}]}"
    async with (
        listening(intake, tls_files(server)) as listener,
        aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as session,
        session.post(
            f"https://127.0.0.1:{listener.port}/v1/logs",
            data=BytesIO(body),
            ssl=client_context(server.ca),
        ) as answer,
    ):
        assert answer.status == 200
    assert [request.body for request in kept()] == [body]


async def test_nothing_older_than_tls_1_2_is_spoken(intake: CountingIntake, server: Files) -> None:
    async with listening(intake, tls_files(server)) as listener:
        newer = client_context(server.ca)
        newer.maximum_version = ssl.TLSVersion.TLSv1_2
        assert await health(listener.port, newer) == 200
    assert read(tls_files(server)).context.minimum_version is ssl.TLSVersion.TLSv1_2


async def test_only_clients_with_a_certificate_of_the_authority_are_let_in(
    intake: CountingIntake, server: Files, client: Files, stranger: Files
) -> None:
    async with listening(intake, tls_files(server, client.ca)) as listener:
        assert await health(listener.port, client_context(server.ca, client)) == 200
        for context in (client_context(server.ca), client_context(server.ca, stranger)):
            with pytest.raises((aiohttp.ClientError, OSError)):
                await health(listener.port, context)
        assert await health(listener.port, client_context(server.ca, client)) == 200


async def test_plain_http_on_the_port_does_no_harm(
    intake: CountingIntake, server: Files, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with listening(intake, tls_files(server)) as listener:
        with pytest.raises((aiohttp.ClientError, OSError)):
            await health(listener.port, client_context(server.ca), scheme="http")
        assert await health(listener.port, client_context(server.ca)) == 200
    assert "healthz" not in caplog.text


async def test_a_handshake_that_does_not_go_on_is_given_up(
    intake: CountingIntake, server: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_receiver, "HANDSHAKE_TIMEOUT_S", 0.1)
    async with listening(intake, tls_files(server)) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"\x16\x03\x01\x02\x00\x01")
        assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
        writer.close()
        await writer.wait_closed()


async def test_new_connections_get_the_new_certificate_and_open_ones_go_on(
    intake: CountingIntake, server: Files, tmp_path: Path
) -> None:
    certificates = Certificates(tls_files(server))
    old = client_context(server.ca)
    async with listening(intake, tls_files(server)) as listener:
        kept = await asyncio.open_connection("127.0.0.1", listener.port, ssl=old)
        new = client_context(issue(tmp_path / "server", OTHER).ca)
        assert certificates.renew()
        await listener.listen(certificates.current.context)
        assert await health(listener.port, new) == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await health(listener.port, old)
        kept[1].write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" in await asyncio.wait_for(kept[0].readline(), DEADLINE_S)
        kept[1].close()


# ------------------------------------------------------------------------------------------- gRPC


@asynccontextmanager
async def exporting(intake: CountingIntake, certificates: Certificates) -> AsyncIterator[int]:
    server = await grpc_receiver.serve(
        intake, FixedClock(), "127.0.0.1:0", certificates=certificates
    )
    yield server.port
    await server.close()


def credentials(ca: Path, own: Files | None) -> grpc.ChannelCredentials:
    pair = (own.key.read_bytes(), own.cert.read_bytes()) if own else (None, None)
    return grpc.ssl_channel_credentials(ca.read_bytes(), *pair)


async def export(port: int, ca: Path, own: Files | None = None) -> bytes:
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials(ca, own)) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(SERVICE)
        return await call(b"", timeout=DEADLINE_S)


async def is_refused(port: int, ca: Path, own: Files | None = None) -> bool:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await export(port, ca, own)
    return refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_grpc_speaks_tls_and_lets_in_who_it_should(
    intake: CountingIntake, server: Files, client: Files, stranger: Files
) -> None:
    async with exporting(intake, Certificates(tls_files(server))) as port:
        assert await export(port, server.ca) == b""
        assert await is_refused(port, stranger.ca)
    async with exporting(intake, Certificates(tls_files(server, client.ca))) as port:
        assert await export(port, server.ca, client) == b""
        assert await is_refused(port, server.ca)
        assert await is_refused(port, server.ca, stranger)


async def test_grpc_takes_up_a_new_certificate(
    intake: CountingIntake, server: Files, tmp_path: Path
) -> None:
    certificates = Certificates(tls_files(server))
    old = server.ca.rename(tmp_path / "old.pem")
    async with exporting(intake, certificates) as port:
        assert await export(port, old) == b""
        new = issue(tmp_path / "server", OTHER).ca
        assert certificates.renew()
        assert await export(port, new) == b""
        assert await is_refused(port, old)


# ------------------------------------------------------------------------------------ wrong files


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda files: files.cert.unlink(), "cannot read .*cert.pem: No such file.*TLS_CERT"),
        (lambda files: files.key.unlink(), "cannot read .*key.pem: No such file.*TLS_KEY"),
        (lambda files: files.ca.unlink(), "cannot read .*ca.pem: No such file.*TLS_CLIENT_CA"),
        (lambda files: files.key.write_text("no key"), "cannot use the certificate .*PEM"),
        (lambda files: files.cert.write_text("no cert"), "cannot use the certificate .*PEM"),
        (lambda files: files.ca.write_text("no ca"), "no certificate in .*ca.pem.*TLS_CLIENT_CA"),
        (lambda files: files.key.write_bytes(another_key()), "does not belong to the certificate"),
        (lambda files: encrypt(files.key), "without a password"),
    ],
    ids=["no cert", "no key", "no ca", "bad key", "bad cert", "bad ca", "mismatch", "encrypted"],
)
def test_files_that_cannot_be_used_are_told_in_words(
    server: Files, spoil: Callable[[Files], object], words: str
) -> None:
    spoil(server)
    with pytest.raises(BridgeError, match=words):
        read(tls_files(server, server.ca))


def another_key() -> bytes:
    return OTHER.issue_cert("127.0.0.1").private_key_pem.bytes()


def encrypt(key: Path) -> None:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  for this alone

    private = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )


def test_a_new_certificate_that_is_no_good_is_told_once_and_the_old_one_kept(
    server: Files,
) -> None:
    certificates = Certificates(tls_files(server))
    kept = certificates.current
    assert not certificates.renew()
    server.cert.write_text("half a certif")
    with capture_logs() as logs:
        assert not certificates.renew()
        assert not certificates.renew()
    assert [entry["event"] for entry in logs] == ["tls.certificate_kept"]
    assert certificates.current is kept


def test_a_bridge_with_a_wrong_certificate_does_not_start(tmp_path: Path, server: Files) -> None:
    server.key.write_bytes(another_key())
    environment = {"BRIDGE_TLS_CERT": str(server.cert), "BRIDGE_TLS_KEY": str(server.key)}
    ended = command("run", cwd=tmp_path, BRIDGE_DATA_DIR=str(tmp_path / "data"), **environment)
    assert ended.returncode != 0
    assert "does not belong to the certificate" in ended.stderr
    assert "Traceback" not in ended.stderr


# -------------------------------------------------------------------------------- the whole bridge


def test_a_bridge_takes_up_a_renewed_certificate_while_it_runs(
    tmp_path: Path, server: Files
) -> None:
    bridge = SecureBridge(tmp_path, tls_cert=str(server.cert), tls_key=str(server.key))
    bridge.trusted = client_context(server.ca)
    with bridge:
        assert bridge.health()["status"] == "ok"
        bridge.trusted = client_context(issue(tmp_path / "server", OTHER).ca)
        until(bridge.find_health, "the new certificate is shown")
        assert "https://127.0.0.1" in bridge.log()
        assert "tls.certificate_renewed" in bridge.log()


# ------------------------------------------------------------------------------------ to Langfuse


@asynccontextmanager
async def langfuse(server: Files) -> AsyncIterator[FakeLangfuse]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.cert, server.key)
    async with FakeLangfuse(ssl_context=context) as double:
        yield double


def target(double: FakeLangfuse, ca_file: Path | None, host: str = "127.0.0.1") -> LangfuseTarget:
    return LangfuseTarget(
        base_url=double.url.replace("127.0.0.1", host),
        public_key=double.public_key,
        secret_key=double.secret_key,
        ca_file=ca_file,
    )


async def probed(double: FakeLangfuse, ca_file: Path | None, host: str = "127.0.0.1") -> str:
    async with connect(target(double, ca_file, host)) as client:
        answer = await client.probe()
    return answer.error or str(answer.status)


async def test_a_private_authority_is_trusted_when_it_is_named(
    server: Files, stranger: Files
) -> None:
    async with langfuse(server) as double:
        assert await probed(double, server.ca) == "200"
        for untrusting in (None, stranger.ca):
            told = await probed(double, untrusting)
            assert told.startswith("its certificate is not trusted (")
            assert "BRIDGE_CA_FILE" in told


async def test_delivery_to_a_server_that_is_not_trusted_waits_and_says_why(
    server: Files, stranger: Files
) -> None:
    outbox, stop = MemoryOutbox(), asyncio.Event()
    await outbox.add(
        PendingSpan(position=1, span=b"", service_name="claude-code", service_version="1")
    )
    sleep = FakeSleep(lambda _number: stop.set())
    async with langfuse(server) as double, connect(target(double, stranger.ca)) as client:
        deliverer = Deliverer(
            outbox, client, FakeClock(), sleep=sleep, wait_for_work=outbox.wait_for_work
        )
        with capture_logs() as logs:
            await asyncio.wait_for(deliverer.run(stop), DEADLINE_S)
    ((state, reason),) = outbox.notes
    assert state is LangfuseState.UNREACHABLE
    assert "BRIDGE_CA_FILE" in reason
    assert "BRIDGE_CA_FILE" in logs[0]["reason"]
    assert list(outbox.pending) == [1]
    assert double.requests == 0


async def test_a_certificate_of_another_host_is_not_taken(server: Files) -> None:
    async with langfuse(server) as double:
        told = await probed(double, server.ca, host="localhost")
    assert "not valid for 'localhost'" in told
    assert double.secret_key not in told


def test_systems_authorities_stay_trusted_beside_the_file(server: Files) -> None:
    own = {cert["serialNumber"] for cert in ssl.create_default_context().get_ca_certs()}
    all_of_them = {cert["serialNumber"] for cert in trust(server.ca).get_ca_certs()}
    assert len(all_of_them - own) == 1
    assert own <= all_of_them


@pytest.mark.parametrize(
    ("content", "words"),
    [("no pem", "there is no certificate"), (None, "cannot read the CA file: No such file")],
)
def test_a_ca_file_that_cannot_be_used_stops_the_start(
    tmp_path: Path, content: str | None, words: str
) -> None:
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_text(content)
    settings = {"BRIDGE_CA_FILE": str(ca_file), "BRIDGE_DATA_DIR": str(tmp_path / "data")}
    ended = command("run", cwd=tmp_path, **settings)
    assert ended.returncode != 0
    assert words in ended.stderr
    assert str(ca_file) in ended.stderr
