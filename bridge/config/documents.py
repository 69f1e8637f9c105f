"""The settings as documents: the example file and the table in the README.

Both are written from the fields of ``settings``, and a test compares, so that they stay true.
"""

import json
import textwrap

from pydantic.fields import FieldInfo

from bridge.config.loading import variables
from bridge.config.settings import Config
from bridge.config.values import Tag, Unit

WIDTH = 96
EXAMPLE_HEAD = """\
# Settings of langfuse-bridge, each with its default.
# Copy this file to config/bridge.toml and remove the # before what you change.
# An environment variable wins over this file, a command-line option over both.
# An empty value means the default; only tags may be empty.
"""
TABLE_HEAD = ("Setting", "Environment variable", "Default", "Unit", "Meaning")


def example_file() -> str:
    """The text of ``config/bridge.example.toml``: every setting as a comment with its default."""
    return "\n".join((EXAMPLE_HEAD, *(_entry(*item) for item in Config.model_fields.items())))


def settings_table() -> str:
    """A Markdown table of all settings, for the README."""
    rows = (TABLE_HEAD, ("---",) * len(TABLE_HEAD), *map(_row, Config.model_fields.items()))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _entry(setting: str, info: FieldInfo) -> str:
    about = f"{info.description} {_unit(info)}".strip()
    lines = [f"# {line}" for line in textwrap.wrap(about, WIDTH)]
    lines.append(f"# Environment: {' or '.join(variables(setting))}")
    return "\n".join((*lines, f"#{setting} = {_default(info)}", ""))


def _row(item: tuple[str, FieldInfo]) -> tuple[str, ...]:
    setting, info = item
    names = ", ".join(f"`{name}`" for name in variables(setting))
    default = _default(info)
    shown = "" if default == '""' else f"`{default.strip(chr(34))}`"
    return f"`{setting}`", names, shown, _unit_name(info), info.description or ""


def _unit(info: FieldInfo) -> str:
    name = _unit_name(info)
    return f"In {name}; fractions are allowed." if name else ""


def _unit_name(info: FieldInfo) -> str:
    return next((mark.name for mark in info.metadata if isinstance(mark, Unit)), "")


def _default(info: FieldInfo) -> str:
    """The default as TOML; empty where it is found out at the start."""
    value = info.default if info.default_factory is None else None
    if isinstance(value, tuple):
        return json.dumps(",".join(map(written_tag, value))) if value else json.dumps([])
    if isinstance(value, bool):
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, int | float) else json.dumps(str(value or ""))


def written_tag(tag: Tag) -> str:
    """A tag rule as the user writes it."""
    return tag.attribute if tag.attribute == tag.key else f"{tag.attribute}:{tag.key}"
