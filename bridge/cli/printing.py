"""Where words go: results to stdout, everything said about them to stderr; and the exit codes."""

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bridge.cli.arguments import PROG

if TYPE_CHECKING:
    from rich.console import Console

OK, FAILED, USAGE = 0, 1, 2


def on_terminal() -> bool:
    """Whether a person reads stdout directly; elsewhere there are no colours and no boxes."""
    return sys.stdout.isatty()


def console() -> "Console":
    """Rich's console on stdout."""
    from rich.console import Console  # noqa: PLC0415  --help needs no rich

    return Console(file=sys.stdout, highlight=False)


def print_lines(lines: Iterable[str]) -> None:
    """Each line to stdout, at once."""
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


def print_json(record: object) -> None:
    """One JSON document to stdout."""
    print_lines([json.dumps(record, indent=2, ensure_ascii=False)])


def tell(text: str) -> None:
    """A remark to stderr."""
    sys.stderr.write(f"{text}\n")


def fail(text: str) -> int:
    """Why the command failed, to stderr; returns its exit code."""
    tell(f"{PROG}: {text}")
    return FAILED
