"""kill -9 of one process: what the others do meanwhile, and what its successor takes up.

Many of them at random moments, and what arrives all the same, are in ``tests/chaos``.
"""

import contextlib
import signal
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.accounts import exports_that_came_twice
from tests.processes import Bridge, Langfuse, until
from tests.recordings import capture


@pytest.fixture
def langfuse(tmp_path: Path) -> Iterator[Langfuse]:
    with Langfuse(tmp_path) as langfuse:
        yield langfuse


def test_a_dead_receiver_leaves_the_port_open_and_its_successor_answers(tmp_path: Path) -> None:
    body = capture("2.1.330/e-subagent")[0]

    with Bridge(tmp_path) as bridge:
        bridge.suspend()  # so that it cannot start another one yet
        bridge.kill_child("receiver")
        with socket.create_connection(("127.0.0.1", bridge.port), timeout=20) as waiting:
            head = (
                f"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body.data)}\r\n"
            )
            waiting.sendall(f"{head}Content-Type: {body.content_type}\r\n\r\n".encode())
            waiting.sendall(body.data)
            assert "receiver" not in bridge.pids()
            bridge.send(signal.SIGCONT)
            answer = waiting.recv(1024)
        health = bridge.wait_until_assembled()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert health["accepted"] > 0


def test_a_dead_worker_is_replaced_and_keeps_nobody_waiting(
    tmp_path: Path, langfuse: Langfuse
) -> None:
    with Bridge(tmp_path, langfuse.url) as bridge:
        until(lambda: "delivered" in bridge.health(), "the worker has made its file")
        bridge.suspend()
        bridge.kill_child("worker")
        bridge.post(*capture("2.1.330/e-subagent"))
        assert bridge.health()["delivered"] == 0
        bridge.send(signal.SIGCONT)
        assert bridge.wait_until_settled()["delivered"] > 0


def test_children_do_not_outlive_their_parent_and_free_port_and_folder(tmp_path: Path) -> None:
    with Bridge(tmp_path) as bridge:
        port = bridge.port
        bridge.kill()
        assert bridge.pids() == {}
        bridge.start()

        assert bridge.port == port
        assert "Traceback" not in bridge.log()


def test_an_orphan_that_cannot_end_in_order_ends_all_the_same(
    tmp_path: Path, langfuse: Langfuse
) -> None:
    with Bridge(tmp_path, langfuse.url) as bridge:
        langfuse.freeze()
        bridge.post(*capture("2.1.330/e-subagent"))
        until(lambda: bridge.health()["pending"], "a delivery is in flight")
        with contextlib.closing(sqlite3.connect(bridge.data_dir / "ledger.db")) as locked:
            locked.execute("BEGIN IMMEDIATE")  # now the worker cannot mark what it has delivered
            langfuse.thaw()
            until(lambda: langfuse.received_bytes, "Langfuse has it")
            bridge.kill()
        bridge.start()
        bridge.wait_until_settled()

    assert len(exports_that_came_twice(langfuse.received())) == 1
