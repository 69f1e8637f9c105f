"""The table of sessions: one row each, drawn for a terminal or as lines with tabs when piped."""

from collections.abc import Sequence
from datetime import tzinfo
from typing import Literal

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from bridge.model.views import SessionSummary
from bridge.terminal import formats

COLUMNS = (
    "start",
    "user",
    "session",
    "model",
    "prompts",
    "duration",
    "cost",
    "tools",
    "tokens",
    "errors",
    "active",
    "lines",
    "commits",
    "prs",
)
NUMBERS = {"prompts", "duration", "cost", "tools", "errors", "active", "lines", "commits", "prs"}
LEFT_OUT_FIRST = (
    *("prs", "commits", "lines", "active", "model", "duration", "tools", "errors", "tokens"),
    *("user", "prompts"),
)
"""What a narrow terminal goes without, in this order: whose it is and what it cost stay longest."""
GAP = 2
NOT_TOLD = "-"
STYLES = {"start": "dim", "user": "bold", "model": "cyan", "cost": "green"}


def sessions_table(
    sessions: Sequence[SessionSummary], zone: tzinfo | None = None, *, width: int
) -> Table:
    """The table for a terminal; session ids are as short as ``show`` can tell them apart.

    Columns that do not fit into ``width`` letters are left out: folded into one letter a line, no
    column could be read. Kinds of tokens go before any column.
    """
    shorts = formats.short_ids([session.session_id for session in sessions])
    rows = [dict(zip(COLUMNS, _cells(session, zone), strict=True)) for session in sessions]
    for session, row in zip(sessions, rows, strict=True):
        row["session"] = formats.line(shorts[session.session_id])
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    columns = _fitting(rows, width)
    for name in columns:
        table.add_column(name, justify=_justify(name), style=STYLES.get(name), overflow="fold")
    for session, row in zip(sessions, rows, strict=True):
        styles = {"errors": "bold red" if session.errors else "dim"}
        table.add_row(*(Text(row[name], style=styles.get(name, "")) for name in columns))
    return table


def left_out(table: Table) -> list[str]:
    """The columns that had no room in the table."""
    there = {column.header for column in table.columns}
    return [name for name in COLUMNS if name not in there]


def _fitting(rows: list[dict[str, str]], width: int) -> list[str]:
    """The columns that fit; shortens the rows' tokens where they do not."""
    columns = list(COLUMNS)
    if _needed(rows, columns) > width:
        for row in rows:
            row["tokens"] = row["tokens"].partition(" (")[0]
    for name in LEFT_OUT_FIRST:
        if _needed(rows, columns) <= width:
            break
        columns.remove(name)
    return columns


def _needed(rows: list[dict[str, str]], columns: list[str]) -> int:
    widest = (max(cell_len(text) for text in (name, *(r[name] for r in rows))) for name in columns)
    return sum(widest) + GAP * (len(columns) - 1)


def sessions_lines(sessions: Sequence[SessionSummary], zone: tzinfo | None = None) -> list[str]:
    """A header and a line for each session, columns separated by tabs, nothing shortened."""
    return ["\t".join(COLUMNS), *("\t".join(_cells(session, zone)) for session in sessions)]


def _justify(name: str) -> Literal["left", "right"]:
    return "right" if name in NUMBERS else "left"


def _cells(session: SessionSummary, zone: tzinfo | None) -> tuple[str, ...]:
    """One cell for each of ``COLUMNS``; none of them holds a tab or a line break."""
    return (
        formats.local_time(session.started_ms, zone),
        formats.line(session.user_id or NOT_TOLD),
        formats.line(session.session_id),
        formats.line(", ".join(session.models) or NOT_TOLD),
        f"{session.prompts:,}{f' ({session.live} live)' if session.live else ''}",
        formats.duration(session.ended_ms - session.started_ms),
        formats.cost(session.cost_picousd),
        f"{session.tools:,}",
        formats.tokens(session.tokens),
        f"{session.errors:,}",
        NOT_TOLD if session.active_ms is None else formats.duration(session.active_ms),
        _lines(session),
        _count(session.commits),
        _count(session.pull_requests),
    )


def _lines(session: SessionSummary) -> str:
    told = (session.lines_added, session.lines_removed)
    if told == (None, None):
        return NOT_TOLD
    return formats.changed_lines(told[0] or 0, told[1] or 0)


def _count(number: int | None) -> str:
    return NOT_TOLD if number is None else f"{number:,}"
