"""The table of sessions: one row each, drawn for a terminal or as lines with tabs when piped."""

from collections.abc import Sequence
from datetime import tzinfo
from typing import Literal

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
NOT_TOLD = "-"
STYLES = {"start": "dim", "user": "bold", "model": "cyan", "cost": "green"}


def sessions_table(sessions: Sequence[SessionSummary], zone: tzinfo | None = None) -> Table:
    """The table for a terminal; session ids are as short as ``show`` can tell them apart."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in COLUMNS:
        table.add_column(name, justify=_justify(name), style=STYLES.get(name), overflow="fold")
    shorts = formats.short_ids([session.session_id for session in sessions])
    for session in sessions:
        cells = dict(zip(COLUMNS, _cells(session, zone), strict=True))
        cells["session"] = formats.line(shorts[session.session_id])
        styles = {"errors": "bold red" if session.errors else "dim"}
        table.add_row(*(Text(cell, style=styles.get(name, "")) for name, cell in cells.items()))
    return table


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
