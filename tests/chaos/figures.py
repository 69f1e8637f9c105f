"""What a run of the chaos tests came to: as a table for people, and as JSON that is kept."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table

PLAIN_WIDTH = 240
COLUMNS = ("scenario", "rounds", "records", "lost", "duplicated", "resent")
TITLES = (*COLUMNS, "longest answer", "peak memory", "disk", "took", "besides")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One scenario of a run. Sizes in MiB of 2²⁰ bytes.

    Attributes:
        lost: Records answered 200 that are not in Langfuse.
        duplicated: Spans that Langfuse would add up twice.
        resent: Exports repeated byte for byte, which Langfuse collapses.
        longest_answer_ms: From the first attempt of a client to its 200.
        memory_mib: The most all processes had at one moment, shared pages counted once.
        besides: What is of interest in this scenario alone.
    """

    scenario: str
    rounds: int = 1
    records: int = 0
    lost: int = 0
    duplicated: int = 0
    resent: int = 0
    longest_answer_ms: int | None = None
    memory_mib: int | None = None
    disk_mib: int | None = None
    besides: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    full: bool = False
    took_s: float = 0.0

    def cells(self) -> tuple[str, ...]:
        """One line of the table."""
        counts = (str(getattr(self, column)) for column in COLUMNS)
        besides = ", ".join(f"{name} {value:g}" for name, value in self.besides.items())
        sizes = (_with_unit(size, "MiB") for size in (self.memory_mib, self.disk_mib))
        return (
            *counts,
            _with_unit(self.longest_answer_ms, "ms"),
            *sizes,
            f"{self.took_s:.0f} s",
            besides,
        )


def _with_unit(value: int | None, unit: str) -> str:
    return "" if value is None else f"{value} {unit}"


def print_table(figures: Iterable[Figure], stream: TextIO) -> None:
    """With lines on a terminal; elsewhere one line each, whatever its length."""
    on_terminal = stream.isatty()
    console = Console(file=stream, highlight=False, width=None if on_terminal else PLAIN_WIDTH)
    table = Table(*TITLES, box=None if not on_terminal else Table().box)
    for figure in figures:
        table.add_row(*figure.cells())
    console.print(table)


def save(figures: Sequence[Figure], path: Path) -> None:
    """Write a run's figures; those of scenarios that did not run this time stay."""
    known = json.loads(path.read_text()) if path.exists() else []
    ran = {figure.scenario for figure in figures}
    kept = [row for row in known if row["scenario"] not in ran]
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([*kept, *map(asdict, figures)], indent=2) + "\n")
