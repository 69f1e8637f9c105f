# ruff: noqa: INP001 - a script, no package
"""Draws docs/demo.svg, the picture in the README: what `langfuse-bridge demo` shows on a terminal.

Run `.venv/bin/python docs/make_pictures.py` after a change that shows in the demo; a test compares
what the picture says with what the demo prints. How it looks is left to ``bridge.terminal``.
"""

import io
import re
from datetime import UTC
from pathlib import Path

from rich.console import Console

from bridge.app.demo import demo
from bridge.terminal.traces import trace_tree

PICTURE = Path(__file__).parent / "demo.svg"
COLUMNS = 124
"""Wide enough for the longest line below the heading, narrow enough to be read in a browser."""

WEB_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""Rich links to one; a picture in a README should fetch nothing."""


def draw() -> str:
    """The demo's traces as SVG, the same on every machine."""
    console = Console(file=io.StringIO(), record=True, width=COLUMNS, force_terminal=True)
    for view in demo({}):
        console.print(trace_tree(view, zone=UTC))
    drawn = console.export_svg(title="make demo", unique_id="demo")
    return WEB_FONT.sub("", drawn).replace("Fira Code, monospace", "monospace")


if __name__ == "__main__":
    PICTURE.write_text(draw())
