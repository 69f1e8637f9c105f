"""The commands that read a ledger, on a real one, piped and on a terminal."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from bridge.cli import main
from bridge.langfuse.wire import encode_span
from bridge.model.observations import Observation
from bridge.store.ledger import Ledger
from bridge.store.step import Finished, Step
from bridge.terminal.traces import trace_lines
from tests.unit.terminal.samples import FACTS, START_MS, a_full_trace, an_observation

Captured = pytest.CaptureFixture[str]
TRACE_ID = "a" * 32
SESSION_ID = str(FACTS.session_id)


@dataclass(frozen=True)
class Turn:
    """What the ledger wants to know of a turn."""

    key: str
    session_id: str
    live: bool = False
    held: int = 0
    started_ms: int = START_MS
    state: bytes = b""


def finished(observation: Observation) -> Finished:
    return Finished(observation=observation, span=encode_span(observation), observed=1, folded=0)


def step(session_id: str, trace_id: str, *observations: Observation) -> Step:
    return Step(
        watermark=1,
        turns=[(Turn(f"{session_id}/1", session_id), trace_id)],
        conversations=[],
        finished=[finished(each) for each in observations],
        quarantined=[],
        outcomes={},
        at_ms=START_MS,
    )


@pytest.fixture(autouse=True)
def _two_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRIDGE_DATA_DIR", str(tmp_path))
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        ledger.commit(step(SESSION_ID, TRACE_ID, *_with_hex_ids(a_full_trace().observations)))
        facts = msgspec.structs.replace(FACTS, session_id="97d2-other")
        other = an_observation("f" * 16, trace_id="b" * 32, parent_id=None, trace=facts)
        ledger.commit(step("97d2-other", "b" * 32, other))
        yield


def _with_hex_ids(observations: tuple[Observation, ...]) -> list[Observation]:
    """The same observations under ids as Langfuse wants them."""
    numbers = {each.id: f"{n:016x}" for n, each in enumerate(observations, start=1)}
    return [
        msgspec.structs.replace(
            each, id=numbers[each.id], parent_id=numbers.get(each.parent_id or "")
        )
        for each in observations
    ]


def test_sessions_are_listed_with_what_they_cost(capsys: Captured) -> None:
    assert main(["sessions"]) == 0
    captured = capsys.readouterr()
    header, *rows = [line.split("\t") for line in captured.out.splitlines()]
    assert header[2] == "session"
    (row,) = [row for row in rows if row[2] == SESSION_ID]
    assert row[1] == "alex"
    assert row[6:] == ["$0.003086", "3", "11→117 tok (1,010 cached)", "1", *"----"]
    assert captured.err == ""


def test_sessions_that_are_left_out_are_mentioned(capsys: Captured) -> None:
    assert main(["sessions", "--limit", "1", "--json"]) == 0
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)) == 1
    assert captured.err == "only the newest 1 are listed; --limit N lists more\n"


@pytest.mark.parametrize("what", [SESSION_ID[:8], TRACE_ID[:5]], ids=["session", "trace"])
def test_a_session_or_trace_is_shown_by_its_beginning(capsys: Captured, what: str) -> None:
    assert main(["show", what]) == 0
    assert capsys.readouterr().out.splitlines() == trace_lines(a_full_trace())


def test_all_and_json_reach_what_is_shown(capsys: Captured) -> None:
    assert main(["show", SESSION_ID, "--all"]) == 0
    assert capsys.readouterr().out.splitlines() == trace_lines(a_full_trace(), show_debug=True)
    assert main(["show", SESSION_ID, "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["trace_id"], record["cost_usd"]) == (TRACE_ID, "0.003086")


@pytest.mark.parametrize(
    ("what", "told"),
    [("97d2", "2 ids begin with '97d2'"), ("zz", "nothing that is kept begins with 'zz'")],
    ids=["several", "nothing"],
)
def test_an_unclear_beginning_fails_and_says_what_to_do(
    capsys: Captured, what: str, told: str
) -> None:
    assert main(["show", what]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"langfuse-bridge: {told}")


@pytest.mark.parametrize(
    ("argv", "seen"),
    [
        (["sessions"], "97d2fd7f"),
        (["show", TRACE_ID], "├── "),
        (["check-config"], "langfuse_base_url"),
    ],
    ids=lambda argv: argv[0],
)
def test_on_a_terminal_there_are_colours(argv: list[str], seen: str) -> None:
    ours, theirs = os.openpty()
    with open(ours, encoding="utf-8", newline="") as terminal:  # noqa: PTH123  a descriptor
        environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200"}
        process = subprocess.Popen(
            [sys.executable, "-m", "bridge", *argv], stdout=theirs, env=environ
        )
        os.close(theirs)
        text = read_all(terminal.fileno())
        assert process.wait() == 0
    assert "\x1b[" in text
    assert seen in text


def read_all(terminal: int) -> str:
    """Everything until the other end is closed, which a terminal reports as an error."""
    chunks = []
    try:
        while chunk := os.read(terminal, 65_536):
            chunks.append(chunk)
    except OSError:
        pass
    return b"".join(chunks).decode()
