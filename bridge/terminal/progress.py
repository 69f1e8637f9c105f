"""How sending goes: a bar on a terminal, a line for each file when piped, records for --json."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bridge.terminal import formats
from bridge.terminal.sending import Sent, Summary


@contextmanager
def progress_bar(console: Console, total: int) -> Iterator[Callable[[Sent], None]]:
    """A bar that moves with each call of what it yields; refused requests are printed above it."""
    columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("sending", total=total)

        def advance(sent: Sent) -> None:
            if not sent.accepted:
                console.print(sent_line(sent), style="red", markup=False, highlight=False)
            bar.advance(task)

        yield advance


def sent_line(sent: Sent) -> str:
    """File, ending and attempts with tabs between them, and the reason where there is one."""
    attempts = formats.plural(sent.attempts, "attempt")
    cells = (str(sent.request.file), sent.ending, attempts, formats.line(sent.reason))
    return "\t".join(cell for cell in cells if cell)


def summary_line(summary: Summary) -> str:
    """``3 requests sent: 2 accepted, 1 refused (400: 1)``, and what was not sent."""
    refused = sum(summary.refused.values())
    by_status = ", ".join(f"{ending}: {count}" for ending, count in summary.refused.items())
    told = (
        f"{formats.plural(summary.sent, 'request')} sent: {summary.accepted:,} accepted",
        f"{refused:,} refused ({by_status})" if refused else "0 refused",
        *([f"{summary.unsent:,} not sent"] if summary.unsent else []),
    )
    return ", ".join(told)


def summary_record(summary: Summary, results: Sequence[Sent]) -> dict[str, object]:
    """The summary and each file as plain data; ``status`` is null when nobody answered."""
    return {
        "sent": summary.sent,
        "accepted": summary.accepted,
        "refused": dict(summary.refused),
        "unsent": summary.unsent,
        "accepted_records": None,
        "files": [
            {
                "file": str(sent.request.file),
                "status": sent.status,
                "attempts": sent.attempts,
                "reason": sent.reason or None,
            }
            for sent in results
        ],
    }
