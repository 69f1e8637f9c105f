"""Golden files: comparing what is made now with what was reviewed, and writing it anew."""

import difflib
import logging
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

MAX_DIFF_LINES = 80


def differences(path: Path, made: str) -> list[str]:
    """The first lines of the difference between a kept document and the one made now."""
    kept = path.read_text(encoding="utf-8").splitlines()
    diff = difflib.unified_diff(kept, made.splitlines(), "kept", "made", lineterm="", n=4)
    return list(diff)[:MAX_DIFF_LINES]


def refresh(
    captures: Iterable[str], path_of: Callable[[str], Path], text_of: Callable[[str], str]
) -> None:
    """Write the documents of these captures and say which have changed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    for capture in captures:
        path, text = path_of(capture), text_of(capture)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"changed: {path}\n")
