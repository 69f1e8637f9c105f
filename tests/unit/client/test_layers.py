import json
from pathlib import Path

import pytest

from bridge.client.layers import (
    SHELL,
    Setting,
    conflicts,
    for_one_signal,
    in_force,
    managed_file,
    read_layer,
    read_layers,
    replaced,
    user_file,
)


def settings(path: Path, **environment: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"env": environment}))
    return str(path)


def test_each_layer_wins_over_the_ones_before_it(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path / "home"), "OTEL_A": "shell", "PATH": "/bin"}
    managed = tmp_path / "managed.json"
    settings(user_file(environ), OTEL_A="user", OTEL_B="user")
    project = settings(tmp_path / ".claude" / "settings.json", OTEL_B="project", OTEL_C="project")
    local = settings(tmp_path / ".claude" / "settings.local.json", OTEL_C="local", OTEL_D="local")
    settings(managed, OTEL_D="managed")

    layers = read_layers(environ, tmp_path, managed)

    assert in_force(layers) == {
        "OTEL_A": Setting("user", str(user_file(environ))),
        "OTEL_B": Setting("project", project),
        "OTEL_C": Setting("local", local),
        "OTEL_D": Setting("managed", str(managed)),
    }
    assert replaced(layers, "OTEL_A") == [Setting("shell", SHELL)]


def test_the_same_value_elsewhere_replaces_nothing(tmp_path: Path) -> None:
    managed = tmp_path / "managed.json"
    settings(managed, OTEL_A="1")
    assert replaced(read_layers({"OTEL_A": "1"}, tmp_path / "x", managed), "OTEL_A") == []


def test_a_variable_names_another_folder_for_the_users_settings() -> None:
    assert user_file({"CLAUDE_CONFIG_DIR": "/c", "HOME": "/h"}) == Path("/c/settings.json")
    assert user_file({"HOME": "/h"}) == Path("/h/.claude/settings.json")


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_each_platform_has_its_managed_settings(platform: str) -> None:
    assert managed_file(platform).name == "managed-settings.json"


def test_a_file_that_cannot_be_read_is_a_trouble_and_sets_nothing(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text("{")
    layer = read_layer(path)
    assert (layer.environment, "no JSON" in layer.trouble) == ({}, True)
    assert read_layer(tmp_path).trouble == "Is a directory"


def test_variables_of_one_signal_are_told_since_they_win(tmp_path: Path) -> None:
    environ = {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://x", "OTEL_LOGS_EXPORTER": "otlp"}
    (sentence,) = for_one_signal(read_layers(environ, tmp_path, tmp_path / "none.json"))
    assert sentence.startswith("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT of the shell wins")


def test_what_other_layers_say_differently_is_told_with_who_wins(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path / "home"), "OTEL_RESOURCE_ATTRIBUTES": "a=1", "OTEL_B": "1"}
    local = settings(
        tmp_path / ".claude" / "settings.local.json", OTEL_RESOURCE_ATTRIBUTES="team=x"
    )
    layers = read_layers(environ, tmp_path, tmp_path / "none.json")
    wanted = {"OTEL_RESOURCE_ATTRIBUTES": "member=alex", "OTEL_B": "1"}
    name, whole = "OTEL_RESOURCE_ATTRIBUTES", "attributes are not joined"
    assert conflicts(layers, user_file(environ), wanted) == [
        f"{name} of the shell no longer counts: this file wins; {whole}",
        f"{name} of {local} wins over this file; {whole}",
    ]
