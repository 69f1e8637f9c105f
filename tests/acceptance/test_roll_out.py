"""README, "Roll it out": what a platform engineer is told to type, typed, up to who reports."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from bridge.terminal.sending import HEADERS_VARIABLE
from tests.certificates import Files, client_context, issue
from tests.processes import SecureBridge, command
from tests.recordings import CAPTURES

README = (Path(__file__).parents[2] / "README.md").read_text()
SECTION = README.split("\n## Roll it out\n")[1].split("\n## ")[0]
TOKENS, ASK, WHO_REPORTS = (
    [line.strip() for line in block.splitlines()]
    for block in re.findall(r"^ +```sh\n(.*?)^ +```$", SECTION, re.DOTALL | re.MULTILINE)
)
(MANAGED,) = re.findall(r"^ +```json\n(.*?)^ +```$", SECTION, re.DOTALL | re.MULTILINE)
SETTINGS: dict[str, str] = json.loads(MANAGED)["env"]
CAPTURE = CAPTURES / "2.1.330" / "b-tools-min"
"""Of somebody whose own settings say department=engineering and team.id=platform."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("roll-out")


@pytest.fixture(scope="module")
def tokens_file(folder: Path) -> Path:
    """Where the section's first line has the tokens, in a folder of our own."""
    variable, _, path = TOKENS[0].removeprefix("export ").partition("=")
    assert variable == "BRIDGE_TOKENS_FILE"
    return folder / Path(path).relative_to("/")


@pytest.fixture(scope="module")
def team_token(folder: Path, tokens_file: Path) -> str:
    """The second team's token, after all the lines about tokens were typed."""
    said = [typed(line, folder, BRIDGE_TOKENS_FILE=str(tokens_file)) for line in TOKENS[1:]]
    assert [row.split("\t")[:2] for row in said[-1].splitlines()[1:]] == [
        ["platform", "department=engineering,team=platform"],
        ["research", "department=research,team=research"],
    ]
    return said[1].strip()


@pytest.fixture(scope="module")
def files(folder: Path) -> Files:
    return issue(folder / "server", trustme.CA())


@pytest.fixture(scope="module")
def bridge(
    folder: Path, tokens_file: Path, team_token: str, files: Files
) -> Iterator[SecureBridge]:
    assert team_token
    tls = {"tls_cert": str(files.cert), "tls_key": str(files.key)}
    bridge = SecureBridge(folder, tokens_file=str(tokens_file), max_connections=4096, **tls)
    bridge.trusted = client_context(files.ca)
    with bridge:
        yield bridge


def typed(line: str, cwd: Path, **environment: str) -> str:
    """What a line of the section prints in a shell that has the command on its path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=cwd,
        env=os.environ | {"PATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ended.stdout


def test_the_bridge_can_be_asked_from_a_laptop(
    bridge: SecureBridge, files: Files, tmp_path: Path
) -> None:
    (line,) = ASK
    endpoint = SETTINGS["OTEL_EXPORTER_OTLP_ENDPOINT"]
    assert shlex.split(line) == ["langfuse-bridge", "health", "--url", endpoint]
    here = line.replace(endpoint, f"https://127.0.0.1:{bridge.port}")
    assert typed(f"{here} --ca {files.ca}", tmp_path).startswith("ok: version ")


def test_what_a_team_sends_has_its_members_as_users_and_its_own_tags_whatever_they_say(
    bridge: SecureBridge, team_token: str, files: Files
) -> None:
    name, _, value = (
        SETTINGS["OTEL_EXPORTER_OTLP_HEADERS"].replace("lfb_…", team_token).partition("=")
    )
    sent = command(
        "send",
        str(CAPTURE),
        "--endpoint",
        f"https://127.0.0.1:{bridge.port}",
        cwd=bridge.data_dir,
        SSL_CERT_FILE=str(files.ca),
        **{HEADERS_VARIABLE: f"{name}={value}"},
    )
    assert sent.returncode == 0
    bridge.wait_until_assembled()

    (session,) = json.loads(told(bridge, "sessions", "--json"))
    (line,) = WHO_REPORTS
    who = typed(line, bridge.data_dir, **bridge.environment)
    assert who.split() == ["1", session["user_id"]]
    traces: list[Any] = json.loads(told(bridge, "show", session["session_id"], "--json"))
    for trace in traces:
        assert {"department:research", "team:research"} <= set(trace["tags"])


def told(bridge: SecureBridge, *arguments: str) -> str:
    return command(*arguments, cwd=bridge.data_dir, **bridge.environment).stdout


def test_the_managed_settings_are_those_of_the_start_and_name_a_secure_endpoint() -> None:
    start = README.split("\n## Start\n")[1].split("\n## ")[0]
    shown = dict(re.findall(r"^export (\w+)=(.*)$", start, flags=re.MULTILINE))
    others = {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"}
    assert {name: SETTINGS[name] for name in SETTINGS.keys() - others} == {
        name: shown[name] for name in SETTINGS.keys() - others
    }
    assert SETTINGS["OTEL_EXPORTER_OTLP_ENDPOINT"].startswith("https://")
