"""The command ``provision``: one row for each dashboard and tile, and what else there is to say."""

from collections import Counter
from collections.abc import Iterator

import msgspec
from rich.table import Table
from rich.text import Text

from bridge.model.provisioned import Provisioned, Step, TileOutcome
from bridge.terminal import formats

COLUMNS = ("dashboard", "tile", "outcome", "note")
WHOLE = "-"
"""In place of a tile: the dashboard itself."""
STYLES = {
    TileOutcome.CREATED: "green",
    TileOutcome.UPDATED: "yellow",
    TileOutcome.REMOVED: "red",
    TileOutcome.SKIPPED: "dim",
    TileOutcome.KEPT: "dim",
}


def steps_table(done: Provisioned) -> Table:
    """The rows for a terminal; what changes stands out."""
    table = Table(*COLUMNS, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for step in done.steps:
        style = "bold" if step.tile is None else ""
        dashboard, tile, outcome, note = _cells(step, dry_run=done.dry_run)
        table.add_row(
            Text(dashboard, style=style),
            Text(tile, style=style),
            Text(outcome, style=STYLES[step.outcome]),
            Text(note, style="dim"),
        )
    return table


def steps_lines(done: Provisioned) -> list[str]:
    """A header and a line for each row, columns separated by tabs."""
    rows = [_cells(step, dry_run=done.dry_run) for step in done.steps]
    return ["\t".join(row) for row in (COLUMNS, *rows)]


def record(done: Provisioned) -> dict[str, object]:
    """All of it, for machines."""
    found: dict[str, object] = msgspec.to_builtins(done)
    return found


def remarks(done: Provisioned) -> Iterator[str]:
    """The tiles by outcome in one line, then where to look."""
    counts = Counter(step.outcome for step in done.steps if step.tile is not None)
    parts = [f"{counts[each]} {each.value}" for each in TileOutcome if counts[each]]
    yield f"tiles: {', '.join(parts)}; {_writes(done)}"
    yield from (f"{formats.line(link.name)}: {link.url}" for link in done.links)


def _writes(done: Provisioned) -> str:
    if done.dry_run:
        return f"{formats.plural(done.writes, 'change')} would be written, none was"
    return f"{formats.plural(done.writes, 'change')} written" if done.writes else "nothing to write"


def _cells(step: Step, *, dry_run: bool) -> tuple[str, str, str, str]:
    changes = step.outcome not in {TileOutcome.KEPT, TileOutcome.SKIPPED}
    would = "would be " if dry_run and changes else ""
    tile = WHOLE if step.tile is None else formats.line(step.tile)
    return formats.line(step.dashboard), tile, f"{would}{step.outcome.value}", step.note
