"""The table people read, the JSON that is kept, and on what machine it was."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figure import Figure
from benchmarks.peers import ROTEL
from benchmarks.pipeline import has_valgrind

PACKAGES = ("aiohttp", "grpcio", "langfuse", "msgspec", "opentelemetry-sdk", "orjson", "protobuf")
MIB = 1024**2
PLAIN_WIDTH = 160
COLOURS = {"stretch": "green", "ok": "green", "misses": "red"}


def machine() -> Mapping[str, object]:
    """What the figures depend on besides the code."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MIB,
        "kernel": platform.release(),
        "load_1_min": os.getloadavg()[0],
        "python": platform.python_version(),
        "valgrind": has_valgrind(),
        "packages": {name: metadata.version(name) for name in PACKAGES} | {"rotel": ROTEL},
        "commit": _commit(),
    }


def show(figures: Sequence[Figure], about: Mapping[str, object]) -> None:
    """Print the table, as plain text where nobody looks at a terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH)
    table = Table("#", "what", "value", "gate", "stretch", "", "noise", "made of")
    for figure in figures:
        table.add_row(
            str(figure.number),
            figure.what,
            f"{_number(figure.value)} {figure.unit}",
            _number(figure.gate),
            _number(figure.stretch),
            f"[{COLOURS[figure.verdict]}]{figure.verdict}[/]",
            _noise(figure),
            figure.detail,
        )
    console.print(table)
    console.print(
        f"{about['processor']}, {about['cores']} cores, load {about['load_1_min']:.1f} at the"
        f" start; Python {about['python']}; noise is the spread of the rounds.",
        highlight=False,
    )


def markdown(figures: Sequence[Figure]) -> str:
    """The table of ``docs/PERFORMANCE.md``."""
    rows = [
        f"| {each.number} | {each.what} | {_number(each.value)} {each.unit} | {_number(each.gate)}"
        f" | {_number(each.stretch)} | {each.verdict} | {_noise(each)} | {each.detail} |"
        for each in figures
    ]
    head = "| # | What | Value | Gate | Stretch | | Noise | Made of |"
    return "\n".join([head, "| --- | --- | --- | --- | --- | --- | --- | --- |", *rows, ""])


def write(path: Path, figures: Sequence[Figure], about: Mapping[str, object]) -> None:
    """The same as JSON, with the value of every round, and as Markdown beside it."""
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        **about,
        "figures": [_figure(each) for each in figures],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
    path.with_suffix(".md").write_text(markdown(figures))


def _figure(figure: Figure) -> dict[str, object]:
    made = {"value": figure.value, "noise": figure.spread, "verdict": figure.verdict}
    return asdict(figure) | made


def _noise(figure: Figure) -> str:
    return f"{figure.spread:.0%}" if len(figure.rounds) > 1 else "one round"


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    """With ``+`` where files differ from it."""
    command = ["git", "describe", "--always", "--dirty=+"]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=Path(__file__).parent
    )
    return done.stdout.strip() or "unknown"
