"""The commands as processes, beside a running bridge and without one."""

import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Bridge, command
from tests.recordings import CAPTURES, capture, cost_usd, records, sessions

SUBAGENT = "2.1.330/e-subagent"


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """A bridge that has been sent one capture by the command."""
    folder = tmp_path_factory.mktemp("bridge")
    with Bridge(folder) as bridge:
        endpoint = f"http://127.0.0.1:{bridge.port}"
        sent = command("send", str(CAPTURES / SUBAGENT), "--endpoint", endpoint, cwd=folder)
        assert (sent.returncode, sent.stderr) == (0, "3 requests sent: 3 accepted, 0 refused\n")
        bridge.wait_until_assembled()
        yield bridge


def answer(bridge: Bridge, *arguments: str) -> str:
    ended = command(*arguments, cwd=bridge.data_dir, **bridge.environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


DEMO_OBSERVATIONS = {
    "agent": 1 + 1,  # the root, and one subagent_completed
    "generation": 8,  # api_request
    "tool": 6 + 1,  # tool_result, and one call that a hook rejected
    "event": 7 + 7 + 6 + 3 + 2 + 1 + 1,  # hooks, plugins, MCP servers, settings, a skill
}
"""Counted in the recorded bodies."""


def test_demo_needs_nothing_and_shows_one_trace_with_all_its_observations(tmp_path: Path) -> None:
    ended = command("demo", "--json", cwd=tmp_path)

    assert (ended.returncode, ended.stderr) == (0, "")
    (trace,) = json.loads(ended.stdout)
    kinds = Counter(observation["kind"] for observation in trace["observations"])
    assert kinds == DEMO_OBSERVATIONS
    assert trace["live"] is False
    assert list(tmp_path.iterdir()) == []


def test_demo_draws_a_tree_without_colours_into_a_pipe(tmp_path: Path) -> None:
    ended = command("demo", cwd=tmp_path)

    assert ended.returncode == 0
    assert ended.stdout.startswith("trace")
    assert "generation" in ended.stdout
    assert "\x1b" not in ended.stdout


def test_demo_keeps_what_it_is_asked_to_keep(tmp_path: Path) -> None:
    assert command("demo", "--keep", "kept", cwd=tmp_path).returncode == 0

    listed = command("sessions", "--json", "--data-dir", "kept", cwd=tmp_path)

    assert len(json.loads(listed.stdout)) == 1


def test_sessions_lists_what_was_sent(bridge: Bridge) -> None:
    (row,) = json.loads(answer(bridge, "sessions", "--json"))

    (session,) = sessions(capture(SUBAGENT))
    calls = Counter(record["event.name"] for record in records(capture(SUBAGENT)))
    assert row["session_id"] == session
    assert row["user_id"] == "alex"
    assert row["prompts"] == calls["user_prompt"] == 1
    assert row["generations"] == calls["api_request"]
    assert row["tools"] == calls["tool_result"]
    assert Decimal(row["cost_usd"]) == cost_usd(capture(SUBAGENT))[session]


def test_show_finds_a_session_and_a_trace_by_the_beginning_of_its_id(bridge: Bridge) -> None:
    (session,) = sessions(capture(SUBAGENT))
    (of_session,) = json.loads(answer(bridge, "show", session[:6], "--json"))
    trace_id = of_session["trace_id"]
    (of_trace,) = json.loads(answer(bridge, "show", trace_id[:10], "--json"))

    assert of_trace == of_session
    assert (of_session["session_id"], of_session["live"]) == (session, False)
    assert root_of(of_session)["name"] == "claude-code"


def root_of(trace: dict[str, Any]) -> dict[str, Any]:
    (root,) = (each for each in trace["observations"] if each["parent_id"] is None)
    return dict(root)


def test_reading_commands_are_for_pipes_too(bridge: Bridge) -> None:
    (session,) = sessions(capture(SUBAGENT))

    assert session in answer(bridge, "sessions")
    assert session in answer(bridge, "show", session)


def test_send_says_when_nobody_listens(tmp_path: Path) -> None:
    ended = command(
        "send", str(CAPTURES / SUBAGENT), "--endpoint", "http://127.0.0.1:1", cwd=tmp_path
    )

    assert ended.returncode == 1
    assert "0 accepted" in ended.stderr
    assert "nobody answers at http://127.0.0.1:1: `langfuse-bridge run` starts" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_reading_without_anything_kept_says_what_to_do(tmp_path: Path) -> None:
    ended = command("sessions", "--data-dir", "none", cwd=tmp_path)

    assert ended.returncode == 1
    assert "langfuse-bridge run" in ended.stderr
    assert "Traceback" not in ended.stderr
