"""``doctor`` as a process: beside a bridge and a Langfuse, and without them."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.processes import Bridge, Langfuse, command
from tests.recordings import capture

README = (Path(__file__).parents[2] / "README.md").read_text()
Findings = list[dict[str, Any]]

SET_UP = {
    "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
    "OTEL_LOGS_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "otlp",
    "OTEL_RESOURCE_ATTRIBUTES": "member=alex",
}


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment with a home and a ``claude`` of its own."""
    programs = tmp_path / "bin"
    programs.mkdir()
    claude = programs / "claude"
    claude.write_text("#!/bin/sh\necho '2.1.330 (Claude Code)'\n")
    claude.chmod(0o755)
    return {"HOME": str(tmp_path), "PATH": f"{programs}:/usr/bin:/bin", "CLAUDE_CONFIG_DIR": ""}


@pytest.fixture
def langfuse(tmp_path: Path) -> Iterator[Langfuse]:
    with Langfuse(tmp_path) as langfuse:
        yield langfuse


@pytest.fixture
def bridge(tmp_path: Path, langfuse: Langfuse) -> Iterator[Bridge]:
    with Bridge(tmp_path, langfuse.url) as bridge:
        yield bridge


def doctor(
    folder: Path, *arguments: str, **environment: str
) -> tuple[Findings, CompletedProcess[str]]:
    ended = command("doctor", "--json", *arguments, cwd=folder, **environment)
    assert "Traceback" not in ended.stderr
    return json.loads(ended.stdout), ended


def around(bridge: Bridge, home: dict[str, str]) -> dict[str, str]:
    """The environment of a Claude Code that is set up for this bridge."""
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{bridge.port}"}
    return bridge.environment | home | SET_UP | endpoint


def shown_in_readme() -> list[tuple[str, str]]:
    """State and name of each line that the README shows."""
    section = README.split("## Is it working?")[1].split("\n## ")[0]
    lines = section.split("$ langfuse-bridge doctor\n")[1].split("```")[0].splitlines()
    cells = [re.split(" {2,}", line) for line in lines]
    return [(state, name) for state, name, _ in cells]


def named(found: Findings, name: str) -> dict[str, Any]:
    (finding,) = (each for each in found if each["name"] == name)
    return finding


def test_where_all_is_well_every_line_is_ok(
    bridge: Bridge, home: dict[str, str], tmp_path: Path
) -> None:
    bridge.post(*capture("2.1.330/e-subagent"))
    bridge.wait_until_settled()

    found, ended = doctor(tmp_path, **around(bridge, home))

    assert [each for each in found if each["state"] != "ok"] == []
    assert ended.returncode == 0
    assert "of alex, session b184bb53" in named(found, "last record")["text"]
    assert named(found, "Langfuse")["text"].endswith("version 4.16.0")
    assert named(found, "keys")["text"] == "accepted, project test"
    assert named(found, "data model")["text"] == "v4 (events_only)"
    shown = shown_in_readme()
    shown.remove(("ok", "port"))  # there are two, and this bridge has gRPC off
    assert shown == [(each["state"], each["name"]) for each in found]
    assert named(found, "configuration")["text"].partition(" of ")[2] in README


def test_a_made_up_turn_goes_through_all_of_it_and_is_removed(
    bridge: Bridge, langfuse: Langfuse, home: dict[str, str], tmp_path: Path
) -> None:
    found, _ = doctor(tmp_path, "--send", **around(bridge, home))

    sent = found[[each["name"] for each in found].index("send") :]
    assert [(each["name"], each["state"]) for each in sent] == [
        ("send", "ok"),
        ("arrived", "ok"),
        ("tags", "ok"),
        ("tokens", "ok"),
        ("cost", "ok"),
        ("removed", "ok"),
    ]
    (trace_id,) = langfuse.received().by_trace()
    assert named(found, "removed")["text"] == f"trace {trace_id}"
    again, _ = doctor(tmp_path, **around(bridge, home))
    assert "nothing was received" in named(again, "last record")["text"]


def test_a_made_up_turn_uses_the_token_that_claude_code_would(
    langfuse: Langfuse, home: dict[str, str], tmp_path: Path
) -> None:
    token = "lfb_abcdefghijklmnopqrstuvwxyz"  # noqa: S105  made up
    with Bridge(tmp_path, langfuse.url, tokens=f"ada:{token}") as bridge:
        headers = {"OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer {token}"}
        found, ended = doctor(tmp_path, "--send", **around(bridge, home) | headers)
        assert named(found, "removed")["state"] == "ok"
        assert token not in ended.stdout + ended.stderr

        refused, ended = doctor(tmp_path, "--send", **around(bridge, home))
        assert "401" in named(refused, "send")["text"]
        assert named(refused, "token")["state"] == "failed"
        assert ended.returncode == 2


def test_a_made_up_turn_without_a_bridge_fails(home: dict[str, str], tmp_path: Path) -> None:
    keys = {"LANGFUSE_PUBLIC_KEY": "pk", "LANGFUSE_SECRET_KEY": "sk"}
    base = {"LANGFUSE_BASE_URL": "http://127.0.0.1:1", "BRIDGE_PORT": "1"}
    found, _ = doctor(tmp_path, "--send", **home | keys | base, BRIDGE_DATA_DIR="data")

    assert "does not answer" in named(found, "send")["text"]


def test_a_bridge_that_has_seen_nothing_is_a_warning(
    bridge: Bridge, home: dict[str, str], tmp_path: Path
) -> None:
    found, ended = doctor(tmp_path, **around(bridge, home))

    assert [each["name"] for each in found if each["state"] != "ok"] == ["last record"]
    assert ended.returncode == 1


def test_the_reason_why_nothing_would_be_exported_is_found_in_a_projects_settings(
    bridge: Bridge, home: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / ".claude" / "settings.local.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"env": {"CLAUDE_CODE_ENABLE_TELEMETRY": "0"}}))

    found, ended = doctor(tmp_path, **around(bridge, home))

    assert named(found, "telemetry") == {
        "name": "telemetry",
        "state": "failed",
        "text": f"nothing is exported: CLAUDE_CODE_ENABLE_TELEMETRY=0 ({file})",
        "remedy": "`langfuse-bridge claude-settings --write` sets it up; then start claude anew",
    }
    assert ended.returncode == 2


def test_keys_that_langfuse_refuses_fail(
    bridge: Bridge, home: dict[str, str], tmp_path: Path
) -> None:
    wrong = {"LANGFUSE_SECRET_KEY": "sk-lf-wrong"}
    found, ended = doctor(tmp_path, **around(bridge, home) | wrong)

    assert named(found, "keys")["state"] == "failed"
    assert "sk-lf-wrong" not in ended.stdout + ended.stderr


def test_without_a_bridge_and_langfuse_it_says_what_to_do(
    home: dict[str, str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    keys = {"LANGFUSE_PUBLIC_KEY": "pk", "LANGFUSE_SECRET_KEY": "sk"}
    found, ended = doctor(
        tmp_path,
        **home | keys,
        BRIDGE_PORT=str(port),
        BRIDGE_DATA_DIR="data",
        LANGFUSE_BASE_URL="http://127.0.0.1:1",
    )

    assert ended.returncode == 2
    assert named(found, "port")["text"] == f"{port} is free"
    assert "langfuse-bridge run" in named(found, "bridge")["remedy"]
    assert "LANGFUSE_BASE_URL" in named(found, "Langfuse")["remedy"]
    assert [each for each in found if each["state"] != "ok" and not each["remedy"]] == []
    assert not (tmp_path / "data").exists()


def test_another_program_on_the_port_is_not_taken_for_the_bridge(
    langfuse: Langfuse, home: dict[str, str], tmp_path: Path
) -> None:
    port = langfuse.url.rpartition(":")[2]
    found, _ = doctor(tmp_path, **home, BRIDGE_PORT=port, BRIDGE_DATA_DIR="data")

    assert "is not this bridge" in named(found, "port")["text"]


def test_a_wrong_configuration_fails_and_claude_is_looked_at_all_the_same(
    home: dict[str, str], tmp_path: Path
) -> None:
    found, ended = doctor(tmp_path, **home, BRIDGE_PORT="many", BRIDGE_DATA_DIR="data")

    assert "BRIDGE_PORT" in named(found, "configuration")["text"]
    assert named(found, "Claude Code")["state"] == "ok"
    assert ended.returncode == 2


def test_piped_each_finding_is_a_line(home: dict[str, str], tmp_path: Path) -> None:
    ended = command("doctor", cwd=tmp_path, **home, BRIDGE_DATA_DIR="data", BRIDGE_PORT="1")

    states = {line.split("\t")[0] for line in ended.stdout.splitlines()}
    assert states == {"ok", "warning", "failed"}
    assert "\x1b" not in ended.stdout
