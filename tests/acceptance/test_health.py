"""The command ``health`` as a process: what a container's health check and a probe are told."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import trustme

from tests.certificates import Files, client_context, issue
from tests.processes import Bridge, SecureBridge, command

WELL = re.compile(r"ok: version [\d.]+, uptime_s [\d.]+, held 0, pending 0, langfuse local\n")
AUTHORITY, OTHER = trustme.CA(), trustme.CA()


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with Bridge(tmp_path_factory.mktemp("bridge")) as bridge:
        yield bridge


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return issue(tmp_path_factory.mktemp("files") / "server", AUTHORITY, "bridge.example")


@pytest.fixture(scope="module")
def secure(
    tmp_path_factory: pytest.TempPathFactory, server: Files, client: Files
) -> Iterator[SecureBridge]:
    """It asks for a certificate, so that one bridge is enough for all that TLS can ask for."""
    files = {"tls_cert": str(server.cert), "tls_key": str(server.key)}
    bridge = SecureBridge(tmp_path_factory.mktemp("bridge"), tls_client_ca=str(client.ca), **files)
    bridge.trusted = client_context(server.ca, client)
    bridge.trusted.check_hostname = False  # the certificate holds another name than its address
    with bridge:
        yield bridge


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return issue(tmp_path_factory.mktemp("files") / "client", OTHER, "probe.example")


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """The address of something that answers one request like this."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        thread.join()


def test_a_bridge_that_is_well_is_told_in_one_line_with_zero(bridge: Bridge) -> None:
    ended = command("health", cwd=bridge.data_dir, **bridge.environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert WELL.fullmatch(ended.stdout)


def test_a_bridge_that_listens_everywhere_is_asked_on_loopback(bridge: Bridge) -> None:
    everywhere = bridge.environment | {"BRIDGE_HOST": "0.0.0.0"}  # noqa: S104  what images set
    assert command("health", cwd=bridge.data_dir, **everywhere).returncode == 0


def test_another_bridge_is_asked_by_its_address(bridge: Bridge, tmp_path: Path) -> None:
    ended = command("health", "--url", f"http://127.0.0.1:{bridge.port}/", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_where_nobody_answers_the_line_says_what_to_do(tmp_path: Path, free_port: int) -> None:
    ended = command("health", cwd=tmp_path, BRIDGE_PORT=str(free_port))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"langfuse-bridge: http://127.0.0.1:{free_port}/healthz does not answer: [Errno 111]"
        " Connection refused; is the bridge running? `langfuse-bridge run` starts it; or name"
        " another address with --url\n"
    )


@pytest.mark.parametrize(
    ("status", "body", "line"),
    [
        (200, b'{"status":"degraded","reason":"disk\\u001b[2J full"}', "degraded: disk [2J full"),
        (421, b'{"code":9,"message":"Not by this name."}', "answered 421: Not by this name."),
        (502, b"<html>", "answered 502: without a reason"),
        (200, b"[]", "is answered, but by no bridge; name another address with --url"),
    ],
)
def test_what_is_not_well_is_one_line_and_one(
    tmp_path: Path, status: int, body: bytes, line: str
) -> None:
    with answering(status, body) as url:
        ended = command("health", "--url", url, cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.endswith(f"{line}\n")
    assert ended.stderr.count("\n") == 1


def test_a_port_that_only_the_log_knows_has_to_be_named(tmp_path: Path) -> None:
    ended = command("health", cwd=tmp_path, BRIDGE_PORT="0")
    assert (ended.returncode, "--url" in ended.stderr) == (1, True)


def test_an_address_that_is_none_and_a_wrong_setting_end_with_two(tmp_path: Path) -> None:
    assert command("health", "--url", "bridge:4318", cwd=tmp_path).returncode == 2
    assert command("health", cwd=tmp_path, BRIDGE_PORT="x").returncode == 2


def test_its_own_certificate_is_trusted_whatever_name_is_in_it(
    secure: SecureBridge, client: Files
) -> None:
    shown = ("--cert", str(client.cert), "--key", str(client.key))
    ended = command("health", *shown, cwd=secure.data_dir, **secure.environment)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_that_a_certificate_has_to_be_shown_is_told(secure: SecureBridge) -> None:
    ended = command("health", cwd=secure.data_dir, **secure.environment)
    assert ended.returncode == 1
    assert "this bridge asks for a certificate; show one with --cert" in ended.stderr


def test_by_its_address_a_bridge_needs_a_certificate_for_that_name(
    secure: SecureBridge, server: Files, tmp_path: Path
) -> None:
    url = ("--url", f"https://127.0.0.1:{secure.port}")
    stranger = command("health", *url, cwd=tmp_path)
    assert (stranger.returncode, "verify failed" in stranger.stderr) == (1, True)
    misnamed = command("health", *url, "--ca", str(server.ca), cwd=tmp_path)
    assert (misnamed.returncode, "not valid for '127.0.0.1'" in misnamed.stderr) == (1, True)


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "ca.pem"
    wrong.write_text("nothing")
    ended = command("health", "--url", "https://127.0.0.1:1", "--ca", str(wrong), cwd=tmp_path)
    assert (ended.returncode, str(wrong) in ended.stderr) == (1, True)
