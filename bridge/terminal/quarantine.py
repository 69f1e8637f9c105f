"""The table of what was set aside, and one of it in full; contents only where asked for."""

import json
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Final

from rich.table import Table
from rich.text import Text

from bridge.model.views import SetAside
from bridge.terminal import formats

COLUMNS: Final = ("id", "time", "signal", "records", "ending", "bytes", "reason")
NUMBERS: Final = {"records", "bytes"}
NOT_TOLD: Final = "-"


def quarantine_table(items: Sequence[SetAside], zone: tzinfo | None = None) -> Table:
    """The table for a terminal."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in COLUMNS:
        justify = "right" if name in NUMBERS else "left"
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]  # one of the two
    for item in items:
        table.add_row(*(Text(cell) for cell in _cells(item, zone)))
    return table


def quarantine_lines(items: Sequence[SetAside], zone: tzinfo | None = None) -> list[str]:
    """A header and a line for each, columns separated by tabs, nothing shortened."""
    return ["\t".join(COLUMNS), *("\t".join(_cells(item, zone)) for item in items)]


def quarantine_record(item: SetAside) -> dict[str, object]:
    """One of it as a JSON object."""
    return {
        "id": item.id,
        "time": formats.iso_time(item.at_ms),
        "at_ms": item.at_ms,
        "ending": item.ending.value,
        "signal": item.signal,
        "records": item.records,
        "position": item.position,
        "record_index": item.record_index,
        "size_bytes": item.size_bytes,
        "reason": item.reason,
    }


def detail_lines(item: SetAside) -> list[str]:
    """One of it, a line for each fact."""
    facts = quarantine_record(item)
    return [f"{name}: {formats.line(str(value))}" for name, value in facts.items() if value != ""]


def content_lines(content: Mapping[str, object]) -> list[str]:
    """Decoded bytes as JSON. Escaped, so that nothing in them can steer a terminal."""
    return json.dumps(content, indent=2, ensure_ascii=True).splitlines()


def _cells(item: SetAside, zone: tzinfo | None) -> tuple[str, ...]:
    return (
        item.id,
        formats.local_time(item.at_ms, zone),
        item.signal or NOT_TOLD,
        f"{item.records:,}" if item.records else NOT_TOLD,
        item.ending.value,
        f"{item.size_bytes:,}",
        formats.line(item.reason) or NOT_TOLD,
    )
