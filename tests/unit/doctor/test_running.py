"""Asking a bridge that answers over TLS, and one that is none, with real servers."""

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from bridge.config import Config
from bridge.doctor import running
from bridge.doctor.subject import Subject
from bridge.model.delivery import LangfuseState
from bridge.model.findings import State
from tests.certificates import Files, issue

WELL = {
    "status": "ok",
    "version": "0.1.0",
    "accepted": 5,
    "pending": 1,
    "dead_lettered": 0,
    "refused": {},
    "langfuse": "ok",
}


@contextmanager
def answering(body: object, files: Files | None = None) -> Iterator[int]:
    """A server that answers every GET with this body; its port."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        if files is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(files.cert, files.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def subject(folder: Path, port: int, **settings: object) -> Subject:
    around: dict[str, object] = {"data_dir": folder, "port": port, "grpc_port": 0}
    config = Config(**around | settings)  # type: ignore[arg-type]  # values of any type
    return Subject(config=config, tokens=None, layers=[], environ={})


def states(folder: Path, port: int, **settings: object) -> list[tuple[str, State]]:
    found = running.bridge(subject(folder, port, **settings))
    return [(each.name, each.state) for each in found]


def test_over_tls_the_configured_certificate_is_believed_whatever_its_name(tmp_path: Path) -> None:
    files = issue(tmp_path / "tls", trustme.CA(), "bridge.example")
    with answering(WELL, files) as port:
        found = states(tmp_path, port, tls_cert=files.cert, tls_key=files.key)
    assert found == [("port", State.OK), ("bridge", State.OK), ("delivery", State.OK)]


def test_over_tls_no_other_certificate_is_believed(tmp_path: Path) -> None:
    ours, other = (issue(tmp_path / name, trustme.CA()) for name in "ab")
    with answering(WELL, other) as port:
        found = states(tmp_path, port, tls_cert=ours.cert, tls_key=ours.key)
    assert found == [("port", State.FAILED)]


@pytest.mark.parametrize("body", [[], {"status": "OK"}, "text"])
def test_what_answers_like_no_bridge_is_none(body: object, tmp_path: Path) -> None:
    with answering(body) as port:
        assert states(tmp_path, port) == [("port", State.FAILED)]


@pytest.mark.parametrize(
    ("changed", "name", "state"),
    [
        ({"status": "degraded", "reason": "disk"}, "bridge", State.FAILED),
        ({"refused": {"unauthenticated": 3}}, "refused", State.WARNING),
        ({"dead_lettered": 2}, "delivery", State.WARNING),
        ({"langfuse": "local"}, "delivery", State.WARNING),
        ({"langfuse": "unreachable"}, "delivery", State.FAILED),
        ({"langfuse": "unauthorized"}, "delivery", State.FAILED),
        ({"langfuse": "rate_limited"}, "delivery", State.WARNING),
        ({"langfuse": "of a newer bridge"}, "delivery", State.WARNING),
    ],
)
def test_what_is_not_well_with_the_bridge_is_told(
    changed: dict[str, object], name: str, state: State, tmp_path: Path
) -> None:
    with answering(WELL | changed) as port:
        found = list(running.bridge(subject(tmp_path, port)))
    assert [each for each in found if (each.name, each.state) == (name, state) and each.remedy]


def test_every_state_of_langfuse_has_its_finding() -> None:
    assert set(running.DELIVERY) == set(LangfuseState)


def test_a_bridge_that_tells_no_more_without_a_token_runs(tmp_path: Path) -> None:
    with answering({"status": "ok", "version": "0.1.0"}) as port:
        assert ("bridge", State.OK) in states(tmp_path, port)


def test_nobody_on_the_grpc_port_fails(tmp_path: Path) -> None:
    with answering(WELL) as port:
        assert ("port", State.FAILED) in states(tmp_path, port, grpc_port=1)
