"""The documents say what the code does: every setting, every command, every default."""

import re
import tomllib
from pathlib import Path

import pytest

from bridge.cli.commands import COMMANDS
from bridge.config import Config, example_file, load, settings_table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
EXAMPLE = (ROOT / "config" / "bridge.example.toml").read_text()


def test_the_settings_table_of_the_readme_is_the_one_written_from_the_fields() -> None:
    start, end = "<!-- settings:start -->", "<!-- settings:end -->"
    assert README.split(start)[1].split(end)[0].strip() == settings_table()


def test_the_example_file_is_the_one_written_from_the_fields() -> None:
    # To renew it: langfuse-bridge check-config --example > config/bridge.example.toml
    assert example_file() == EXAMPLE


def test_the_example_file_loads_unchanged_and_changes_nothing(tmp_path: Path) -> None:
    loaded = load({"config": ROOT / "config" / "bridge.example.toml"}, {}, tmp_path)
    assert loaded.config == Config()
    assert set(loaded.sources.values()) == {"default"}


def test_the_example_file_with_every_setting_uncommented_still_changes_nothing(
    tmp_path: Path,
) -> None:
    text = re.sub(r"^#(?=\w+ = )", "", EXAMPLE, flags=re.MULTILINE)
    (tmp_path / "all.toml").write_text(text)
    assert list(tomllib.loads(text)) == list(Config.model_fields)
    assert load({"config": "all.toml"}, {}, tmp_path).config == Config()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_names_the_command(command: str) -> None:
    assert f"langfuse-bridge {command}" in README


@pytest.mark.parametrize("target", ["demo", "test", "run"])
def test_the_readme_names_the_make_target_and_the_makefile_has_it(target: str) -> None:
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
