"""``langfuse-bridge run`` as a service manager and a person at a terminal see it."""

import base64
import contextlib
import json
import os
import signal
import socket
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.processes import (
    OPEN_TURNS,
    PUBLIC_KEY,
    SECRET_KEY,
    Bridge,
    Client,
    Langfuse,
    command,
    suspend,
    until,
)
from tests.recordings import JSON, Body, capture, captures, count, texts

SUBAGENT = capture("2.1.330/e-subagent")
CANARY = "canary-4711-sings"
NUMBERS = {"cost_usd", "cost_usd_micros", "duration_ms", "input_tokens", "attempt", "success"}


@pytest.fixture
def langfuse(tmp_path: Path) -> Iterator[Langfuse]:
    with Langfuse(tmp_path) as langfuse:
        yield langfuse


# ----------------------------------------------------------------------------------------- stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_order_with_open_turns_and_langfuse_down(
    tmp_path: Path, langfuse: Langfuse, number: signal.Signals
) -> None:
    langfuse.stop()

    with Bridge(tmp_path, langfuse.url, **OPEN_TURNS) as bridge:
        bridge.post(*SUBAGENT)
        until(lambda: bridge.health()["langfuse"] == "unreachable", "Langfuse is missed")
        assert bridge.stop(number) == 0
        log = bridge.log()

    assert '"bridge.stopped"' in log
    assert '"bridge.child_killed"' not in log
    assert "Traceback" not in log


def test_it_stops_while_langfuse_keeps_a_request_hanging(
    tmp_path: Path, langfuse: Langfuse
) -> None:
    with Bridge(tmp_path, langfuse.url) as bridge:
        langfuse.freeze()
        bridge.post(*SUBAGENT)
        until(lambda: bridge.health()["pending"], "something is on its way")
        assert bridge.stop() == 0
        assert '"bridge.child_killed"' not in bridge.log()


def test_a_child_that_does_not_stop_is_ended_in_time(tmp_path: Path) -> None:
    with Bridge(tmp_path) as bridge:
        suspend(bridge.pids()["worker"])
        assert bridge.stop() == 0
        assert '"bridge.child_killed"' in bridge.log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_a_second_time_it_ends_at_once(tmp_path: Path, number: signal.Signals) -> None:
    with Bridge(tmp_path) as bridge:
        suspend(*bridge.pids().values())  # neither would end by itself
        bridge.send(number)
        until(lambda: '"bridge.stopping"' in bridge.log(), "it is stopping")
        bridge.send(number)
        assert bridge.wait() == 0
        assert '"bridge.child_killed"' not in bridge.log()  # what it does when patience ends


def test_it_stops_while_its_children_are_being_started(tmp_path: Path) -> None:
    with Bridge(tmp_path) as bridge:
        assert bridge.stop() == 0
        for _ in range(3):
            bridge.launch()
            assert bridge.stop() == 0

        assert "Traceback" not in bridge.log()
        bridge.start()


def test_a_request_that_waits_for_the_disk_at_the_stop_is_answered(tmp_path: Path) -> None:
    body = capture("2.1.330/a-json-min")[1]
    head = f"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body.data)}\r\n"

    with Bridge(tmp_path) as bridge:
        bridge.post(SUBAGENT[0])
        before = bridge.health()["accepted"]
        locked = sqlite3.connect(bridge.data_dir / "inbox.db", isolation_level=None)
        with (
            contextlib.closing(locked),
            socket.create_connection(("127.0.0.1", bridge.port), timeout=20) as client,
        ):
            locked.execute("BEGIN IMMEDIATE")
            client.sendall(f"{head}Content-Type: {JSON}\r\n\r\n".encode() + body.data)
            bridge.health()  # asked later: the receiver has come to the request by then
            bridge.send(signal.SIGTERM)
            until(lambda: '"bridge.stopping"' in bridge.log(), "it is stopping")
            locked.execute("ROLLBACK")
            status = int(client.recv(1024).split()[1])
        assert bridge.wait() == 0
        bridge.start()
        accepted = bridge.health()["accepted"] - before

    # A machine so busy that all this took longer than the receiver waits for a lock says 503.
    assert (status, accepted) in {(200, count([body])["logs"]), (503, 0)}


def test_nothing_is_left_of_it_and_descriptors_do_not_pile_up(tmp_path: Path) -> None:
    with Bridge(tmp_path) as bridge:
        bridge.post(*SUBAGENT)
        bridge.wait_until_assembled()
        before = {role: open_files(pid) for role, pid in bridge.pids().items()}
        for _ in range(50):
            bridge.post(SUBAGENT[0])
        bridge.wait_until_assembled()
        until(
            lambda: all(open_files(pid) <= before[r] + 2 for r, pid in bridge.pids().items()),
            "connections are closed",
        )
        assert bridge.stop() == 0
        assert bridge.pids() == {}


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


# ---------------------------------------------------------------------------------------- start


def test_a_port_that_is_taken_is_said_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = command("run", "--port", str(port), "--data-dir", "data", cwd=tmp_path)

    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in ended.stderr
    assert "BRIDGE_PORT" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_folder_that_cannot_be_used_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    ended = command("run", "--port", "0", "--data-dir", "file/data", cwd=tmp_path)

    assert ended.returncode == 1
    assert f"cannot use the folder {tmp_path}/file/data: Not a directory" in ended.stderr
    assert "BRIDGE_DATA_DIR" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)

    ended = command("run", "--port", "0", "--data-dir", "data", cwd=tmp_path)

    assert ended.returncode == 1
    assert f"cannot use the folder {tmp_path}/data: Permission denied" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_folder_serves_one_bridge_at_a_time(tmp_path: Path) -> None:
    with Bridge(tmp_path) as bridge:
        environment = bridge.environment | {"BRIDGE_PORT": "0"}
        ended = command("run", cwd=tmp_path, **environment)
        assert bridge.health()["status"] == "ok"

    assert ended.returncode == 1
    assert f"another bridge uses the folder {bridge.data_dir}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_everything_wrong_in_the_configuration_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "bridge.toml").write_text('colour = "red"\n')

    ended = command(
        "--config",
        "bridge.toml",
        "run",
        cwd=tmp_path,
        BRIDGE_PORT="often",
        BRIDGE_SETTLE_S="-1",
        LANGFUSE_SECRET_KEY=CANARY,
    )

    assert ended.returncode == 2
    for name in ("colour", "BRIDGE_PORT", "BRIDGE_SETTLE_S", "LANGFUSE_PUBLIC_KEY"):
        assert name in ended.stderr
    assert CANARY not in ended.stderr
    assert "Traceback" not in ended.stderr


# ------------------------------------------------------------------------------------------ logs


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_content_and_no_key_is_ever_logged(
    tmp_path: Path, langfuse: Langfuse, log_format: str
) -> None:
    bodies = [body for name in captures() for body in capture(name)]
    broken = [
        Body(name="no JSON", signal="logs", content_type=JSON, gzipped=False, data=text)
        for text in (CANARY.encode(), b'{"resourceLogs": "' + CANARY.encode() + b'"}')
    ]

    with Bridge(tmp_path, langfuse.url, log_level="debug", log_format=log_format) as bridge:
        bridge.post(*bodies, *map(with_texts_for_numbers, bodies))
        client = Client(bridge.port)
        assert {client.post(body) for body in broken} == {400}
        client.close()
        with socket.create_connection(("127.0.0.1", bridge.port)) as stranger:
            stranger.sendall(f"{CANARY}\r\n\r\n".encode())
            stranger.recv(1024)
        bridge.wait_until_settled()
        bridge.kill_child("worker")
        bridge.wait_until_up()
        assert bridge.stop() == 0

    log = bridge.log()
    basic = base64.b64encode(f"{PUBLIC_KEY}:{SECRET_KEY}".encode()).decode()
    assert "turn.closed" in log
    assert SECRET_KEY not in log
    assert basic not in log
    assert CANARY not in log
    assert {text for text in texts(bodies, 12) if text in log} == set()


def with_texts_for_numbers(body: Body) -> Body:
    """A client gone mad: its numbers are texts, and nobody knows what they say."""
    if body.content_type != JSON or body.signal != "logs":
        return body
    request = body.parsed
    for resource in request["resourceLogs"]:
        for scope in resource["scopeLogs"]:
            for record in scope["logRecords"]:
                for attribute in record["attributes"]:
                    if attribute["key"] in NUMBERS:
                        attribute["value"] = {"stringValue": CANARY}
    return replace(body, data=json.dumps(request).encode())
