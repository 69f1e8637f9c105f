"""The configuration reads the same in a process that it was handed to."""

import subprocess
import sys
from pathlib import Path

from bridge.app.handed import hand_over, take_over
from bridge.config import Config

DERIVED = [name for name, kind in vars(Config).items() if isinstance(kind, property)]


def a_config(**settings: object) -> Config:
    keys = {"langfuse_public_key": "pk", "langfuse_secret_key": "sk-planted"}
    return Config.model_validate(keys | {"data_dir": Path("/somewhere"), **settings})


def test_every_setting_and_what_is_derived_from_it_is_handed_over() -> None:
    config = a_config(tags="member,team.id:team", content="metadata", group_by="member")
    taken = take_over(hand_over(take_over(hand_over(config))))
    for name in {*Config.model_fields, *DERIVED} - {"langfuse_secret_key", "tags"}:
        assert getattr(taken, name) == getattr(config, name), name
    assert [(tag.attribute, tag.key) for tag in taken.tags] == list(map(tuple, config.tags))
    assert taken.langfuse_secret_key is not None
    assert taken.langfuse_secret_key.get_secret_value() == "sk-planted"


def test_secret_is_masked_where_it_is_printed() -> None:
    assert "planted" not in repr(take_over(hand_over(a_config())))


def test_processes_of_the_daemon_import_nothing_that_only_checks_settings_or_draws() -> None:
    for module in ("supervisor", "receiver", "worker"):
        found = subprocess.run(
            [sys.executable, "-c", IMPORT.format(module)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.split() == [], module


IMPORT = """
import sys
sys.modules["rich"] = None
import bridge.app.{}
print(*(name for name in ("pydantic", "tomllib", "platformdirs", "bridge.terminal")
        if name in sys.modules))
"""
