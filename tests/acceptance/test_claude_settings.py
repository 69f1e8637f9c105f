"""``claude-settings`` as a process, with a home of its own."""

import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.processes import command

BEFORE = '{\n  "model": "opus",\n  "env": {\n    "EDITOR": "vi"\n  }\n}\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "home" / ".claude"
    folder.mkdir(parents=True)
    return folder / "settings.json"


def claude_settings(file: Path, *arguments: str, **environment: str) -> CompletedProcess[str]:
    home = {"HOME": str(file.parents[1]), "BRIDGE_DATA_DIR": str(file.parent / "data")}
    return command("claude-settings", *arguments, cwd=file.parents[2], **home | environment)


def test_it_prints_the_block_and_where_it_belongs_and_writes_nothing(file: Path) -> None:
    ended = claude_settings(file, BRIDGE_PORT="4319")

    assert ended.returncode == 0
    environment = json.loads(ended.stdout)["env"]
    assert environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4319"
    assert str(file) in ended.stderr
    assert not file.exists()


def test_it_writes_shows_what_changed_and_takes_it_back(file: Path) -> None:
    file.write_text(BEFORE)
    written = claude_settings(file, "--write", "--token", "lfb_abc", "--tags", "member=Alex Doe")

    assert written.returncode == 0
    assert '+    "OTEL_LOGS_EXPORTER": "otlp",' in written.stdout
    assert "lfb_abc" not in written.stdout + written.stderr
    settings = json.loads(file.read_text())
    assert list(settings) == ["model", "env"]
    assert settings["env"]["EDITOR"] == "vi"
    assert settings["env"]["OTEL_EXPORTER_OTLP_HEADERS"] == "Authorization=Bearer lfb_abc"
    assert settings["env"]["OTEL_RESOURCE_ATTRIBUTES"] == "member=Alex%20Doe"
    assert "drop member" in written.stderr

    again = claude_settings(file, "--write", "--token", "lfb_abc", "--tags", "member=Alex%20Doe")
    assert "says so already" in again.stderr

    undone = claude_settings(file, "--undo")
    assert undone.returncode == 0
    assert file.read_text() == BEFORE


def test_a_file_that_is_new_has_nothing_to_be_kept(file: Path) -> None:
    written = claude_settings(file, "--write")
    undone = claude_settings(file, "--undo")

    assert (
        f"{file} is new\n`langfuse-bridge claude-settings --undo` takes it back" in written.stderr
    )
    assert "what was there" not in written.stderr
    assert f"{file} is removed: it was new" in undone.stderr
    assert list(file.parent.iterdir()) == []


def test_what_another_place_replaces_is_a_warning(file: Path) -> None:
    attributes = "OTEL_RESOURCE_ATTRIBUTES"
    project = file.parents[2] / ".claude" / "settings.json"
    project.parent.mkdir(exist_ok=True)
    project.write_text(json.dumps({"env": {attributes: "team=x"}}))
    ended = claude_settings(file, "--tags", "member=alex", **{attributes: "member=ben"})

    assert f"warning: {attributes} of the shell no longer counts" in ended.stderr
    assert f"warning: {attributes} of {project} wins over this file" in ended.stderr


def test_an_empty_token_from_stdin_is_refused(file: Path) -> None:
    ended = claude_settings(file, "--token", "-")

    assert ended.returncode == 2
    assert "a token should be" in ended.stderr


def test_settings_that_are_no_json_are_left_alone(file: Path) -> None:
    file.write_text("{ // mine\n}")
    ended = claude_settings(file, "--write")

    assert ended.returncode == 1
    assert "no JSON" in ended.stderr
    assert str(file) in ended.stderr
    assert [file.read_text(), list(file.parent.iterdir())] == ["{ // mine\n}", [file]]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--endpoint", "localhost:4318"),
        ("--tags", "alex"),
        ("--grpc",),
        ("--content", "everything"),
        ("--write", "--undo"),
    ],
    ids=" ".join,
)
def test_wrong_usage_writes_nothing_and_ends_with_two(
    file: Path, arguments: tuple[str, ...]
) -> None:
    ended = claude_settings(file, *arguments, BRIDGE_GRPC_PORT="0")

    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert not file.exists()
