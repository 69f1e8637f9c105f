"""The settings in force as rows: name, value with secrets masked, and where it was set."""

from pydantic import SecretStr
from rich.table import Table
from rich.text import Text

from bridge.config import MASK, LoadedConfig, Tag, written_tag
from bridge.model.tokens import Token
from bridge.terminal import formats

COLUMNS = ("setting", "value", "source")


def settings_rows(loaded: LoadedConfig) -> list[tuple[str, str, str]]:
    """One row of ``COLUMNS`` for each setting."""
    return [
        (name, formats.line(_shown(getattr(loaded.config, name))), formats.line(source))
        for name, source in loaded.sources.items()
    ]


def settings_table(loaded: LoadedConfig) -> Table:
    """The rows for a terminal; what is not a default stands out."""
    table = Table(*COLUMNS, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, value, source in settings_rows(loaded):
        style = "dim" if source == "default" else "bold"
        table.add_row(Text(name), Text(value, style=style), Text(source, style="dim"))
    return table


def settings_lines(loaded: LoadedConfig) -> list[str]:
    """A header and a line for each setting, columns separated by tabs."""
    return ["\t".join(row) for row in (COLUMNS, *settings_rows(loaded))]


def settings_record(loaded: LoadedConfig) -> dict[str, object]:
    """The rows, what else was noticed, and whether there are keys to deliver with."""
    return {
        "settings": [dict(zip(COLUMNS, row, strict=True)) for row in settings_rows(loaded)],
        "warnings": list(loaded.warnings),
        "delivers": loaded.config.delivers,
    }


def _item(item: Tag | Token) -> str:
    return f"{item.name}:{MASK}" if isinstance(item, Token) else written_tag(item)


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, tuple):
        return ",".join(map(_item, value))
    return f"{value:g}" if isinstance(value, float) else str("" if value is None else value)
