import io
from pathlib import Path

from rich.console import Console

from bridge.config import LoadedConfig, load
from bridge.terminal.settings import settings_lines, settings_record, settings_table

KEYS = {"LANGFUSE_PUBLIC_KEY": "pk-lf-1", "LANGFUSE_SECRET_KEY": "sk-lf-planted"}


def loaded() -> LoadedConfig:
    return load({"port": "0"}, {**KEYS, "BRIDGE_PROT": "1"}, Path("/srv"))


def test_settings_say_their_value_and_where_it_was_set() -> None:
    lines = settings_lines(loaded())
    assert lines[:6] == [
        "setting\tvalue\tsource",
        "langfuse_base_url\thttps://cloud.langfuse.com\tdefault",
        "langfuse_public_key\tpk-lf-1\tLANGFUSE_PUBLIC_KEY",
        "langfuse_secret_key\t********\tLANGFUSE_SECRET_KEY",
        "host\t127.0.0.1\tdefault",
        "port\t0\t--port",
    ]
    assert "tags\tmember,department,team.id:team,cost_center\tdefault" in lines
    assert "settle_s\t3\tdefault" in lines


def test_the_record_has_the_warnings_and_no_secret() -> None:
    record = settings_record(loaded())
    assert record["warnings"] == ["BRIDGE_PROT: is not a setting; did you mean BRIDGE_PORT?"]
    assert record["delivers"] is True
    assert "planted" not in str(record)


def test_the_table_has_every_line_and_no_secret() -> None:
    console = Console(file=io.StringIO(), record=True, width=200)
    console.print(settings_table(loaded()))
    text = console.export_text()
    assert len(text.splitlines()) == len(settings_lines(loaded()))
    assert "planted" not in text
