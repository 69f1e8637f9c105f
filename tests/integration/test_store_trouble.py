"""Trouble with the files while the bridge runs: answered 503, and over without a restart."""

import contextlib
import http.client
import json
import os
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.store.damage import damaged_files
from bridge.store.inbox_reader import InboxReader
from tests.processes import Bridge, Langfuse, until
from tests.recordings import JSON, Body, as_session, capture, sessions

SUBAGENT = capture("2.1.330/e-subagent")
LOGS = next(body for body in SUBAGENT if body.signal == "logs")
MARKER = "canary-4711-sings"
PAGE_BYTES = 4096


@pytest.fixture
def langfuse(tmp_path: Path) -> Iterator[Langfuse]:
    with Langfuse(tmp_path) as langfuse:
        yield langfuse


def test_a_locked_inbox_is_answered_503_and_recovers(tmp_path: Path) -> None:
    with Bridge(tmp_path) as bridge:
        bridge.post(LOGS)
        with contextlib.closing(sqlite3.connect(bridge.data_dir / "inbox.db")) as shell:
            shell.execute("BEGIN IMMEDIATE")
            assert post(bridge, LOGS) == (503, "2")
        bridge.post(LOGS)


def test_a_locked_ledger_keeps_records_in_the_inbox_and_nobody_waiting(tmp_path: Path) -> None:
    with Bridge(tmp_path) as bridge:
        bridge.wait_until_assembled()
        with contextlib.closing(sqlite3.connect(bridge.data_dir / "ledger.db")) as shell:
            shell.execute("BEGIN IMMEDIATE")
            bridge.post(*SUBAGENT)
            assert bridge.health()["outcomes"]["observed"] == 0
        assert bridge.wait_until_assembled()["outcomes"]["observed"] > 0


def test_a_damaged_inbox_is_set_aside_while_receiving_goes_on(
    tmp_path: Path, langfuse: Langfuse
) -> None:
    with Bridge(tmp_path, langfuse.url) as bridge:
        bridge.post(*SUBAGENT)
        bridge.wait_until_settled()
        overwrite(bridge.data_dir / "inbox.db")
        bridge.kill_child("receiver")  # which has those pages in memory, and would mend them
        until(lambda: damaged_files(bridge.data_dir), "the file is set aside", poll_s=0.1)
        later = [body for body in as_session(SUBAGENT, 7) if body.signal == "logs"]
        until(lambda: post(bridge, later[0])[0] == 200, "it is taken again")
        bridge.post(*later[1:])
        health = bridge.wait_until_settled()

    assert health["status"] == "ok"
    assert health["damaged_files"] == damaged_files(bridge.data_dir) != []
    assert '"inbox.damaged_file_set_aside"' in bridge.log()
    assert '"level": "error"' in bridge.log()
    assert all(langfuse.received().usage(session) for session in sessions(later))


def until_released(bridge: Bridge) -> None:
    with contextlib.closing(InboxReader(bridge.data_dir / "inbox.db")) as inbox:
        until(lambda: inbox.totals().kept_requests == 0, "requests are released")


def test_a_damaged_ledger_is_set_aside_and_delivery_goes_on(
    tmp_path: Path, langfuse: Langfuse
) -> None:
    with Bridge(tmp_path, langfuse.url) as bridge:
        bridge.post(*SUBAGENT)
        bridge.wait_until_settled()
        until_released(bridge)  # what is still there would be assembled again, to the same bytes
        delivered = len(langfuse.received().spans)
        overwrite(bridge.data_dir / "ledger.db")
        bridge.kill_child("worker")
        bridge.post(*as_session(SUBAGENT, 7))
        until(lambda: damaged_files(bridge.data_dir), "the file is set aside", poll_s=0.1)
        health = bridge.wait_until_settled()

    assert health["status"] == "ok"
    assert len(langfuse.received().spans) == 2 * delivered
    assert '"ledger.damaged_file_set_aside"' in bridge.log()


@pytest.mark.parametrize("name", ["inbox.db", "ledger.db"])
def test_a_file_that_was_damaged_before_the_start_is_set_aside(
    tmp_path: Path, langfuse: Langfuse, name: str
) -> None:
    with Bridge(tmp_path, langfuse.url) as bridge:
        bridge.post(*SUBAGENT)
        bridge.wait_until_settled()
        bridge.stop()
        before = len(langfuse.received().spans)
        (bridge.data_dir / name).write_bytes(b"this is no database" * 10_000)
        bridge.start()
        later = as_session(SUBAGENT, 7)
        until(lambda: post(bridge, later[0])[0] == 200, "it is taken again")
        bridge.post(*later[1:])
        health = bridge.wait_until_settled()

        assert len(langfuse.received().spans) == 2 * before
        assert health["held"] == 0
        (aside,) = damaged_files(bridge.data_dir)
        assert (bridge.data_dir / aside).read_bytes() == b"this is no database" * 10_000


def test_no_request_is_left_in_any_file_once_it_is_assembled(tmp_path: Path) -> None:
    """The largest is in the file as it came; compressed ones have a unit test of the inbox."""
    with Bridge(tmp_path, content="metadata") as bridge:
        bridge.post(*(marked(body) for body in SUBAGENT if body.signal == "logs"))
        bridge.post(marked(LOGS, times=20_000))
        health = bridge.wait_until_assembled()
        running = until(
            lambda: not files_with_marker(bridge.data_dir), "no file has it", poll_s=0.2
        )
        bridge.post(marked(LOGS))
        bridge.wait_until_assembled()
        bridge.stop()
        left = files_with_marker(bridge.data_dir)

    assert health["outcomes"]["observed"] > 0
    assert running
    assert left == []


def test_files_and_folder_are_for_their_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Bridge(tmp_path) as bridge:
            bridge.post(*SUBAGENT)
            bridge.wait_until_assembled()
            files = list(bridge.data_dir.iterdir())
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in files}
            folder = stat.S_IMODE(bridge.data_dir.stat().st_mode)
    finally:
        os.umask(before)
    assert {"inbox.db", "inbox.db-wal", "ledger.db", "ledger.db-wal"} <= modes.keys()
    assert set(modes.values()) == {0o600}, modes
    assert folder == 0o700


@contextlib.contextmanager
def small_disk(folder: Path, options: str) -> Iterator[None]:
    """A file system of its own at ``folder``; skips the test where we may not mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_answered_503_until_there_is_room(
    tmp_path: Path, langfuse: Langfuse
) -> None:
    with (
        small_disk(tmp_path / "data", "size=16m,mode=700"),
        Bridge(tmp_path, langfuse.url) as bridge,
    ):
        bridge.post(*SUBAGENT)
        bridge.wait_until_settled()
        filler = bridge.data_dir / "something.else"
        fill(filler)
        bodies = as_session(SUBAGENT, 7)
        until(lambda: post(bridge, bodies[0])[0] == 503, "the disk is full")
        assert post(bridge, bodies[0]) == (503, "2")
        assert "full" in str(bridge.health()["reason"])
        filler.unlink()
        until(lambda: post(bridge, bodies[0])[0] == 200, "it is taken again")
        bridge.post(*bodies[1:])
        health = bridge.wait_until_settled()

    assert (health["status"], health["damaged_files"], health["quarantined"]) == ("ok", [], 0)
    assert all(langfuse.received().usage(session) for session in sessions(bodies))


def test_a_read_only_disk_at_the_start_is_answered_503_until_it_is_writable(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "data"
    with small_disk(folder, "size=8m,mode=700,ro"), Bridge(tmp_path) as bridge:
        assert post(bridge, LOGS) == (503, "2")
        assert bridge.health()["status"] in {"ok", "degraded"}
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        until(lambda: post(bridge, LOGS)[0] == 200, "it is taken now")
        bridge.wait_until_assembled()


def marked(body: Body, times: int = 1) -> Body:
    """The same request with a marker in its texts."""
    document = body.parsed
    for around in document["resourceLogs"]:
        for scope in around["scopeLogs"]:
            for record in scope["logRecords"]:
                value = {"stringValue": MARKER * times}
                record["attributes"].append({"key": "planted", "value": value})
                record["body"] = value
    return replace(body, content_type=JSON, gzipped=False, data=json.dumps(document).encode())


def files_with_marker(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if MARKER.encode() in file.read_bytes()]


def fill(file: Path) -> None:
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * PAGE_BYTES)


def overwrite(path: Path) -> None:
    """The file and its log are garbage from now on."""
    for file in (path, path.with_name(f"{path.name}-wal")):
        if file.exists():
            with file.open("r+b") as opened:
                opened.write(b"\xa5" * file.stat().st_size)


def post(bridge: Bridge, body: Body) -> tuple[int, str | None]:
    """Status and ``Retry-After``."""
    connection = http.client.HTTPConnection("127.0.0.1", bridge.port, timeout=20)
    with contextlib.closing(connection):
        connection.request("POST", f"/v1/{body.signal}", body.data, body.headers)
        response = connection.getresponse()
        response.read()
        return response.status, response.headers["Retry-After"]
