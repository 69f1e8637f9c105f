"""``python -m tests.golden.fused.refresh [CAPTURE …]`` writes the golden files anew."""

import logging
import sys

import structlog

from tests.golden.fused.document import golden_path, golden_text
from tests.golden.fused.signals import FUSED


def main(captures: list[str]) -> None:
    """Write the documents of these captures, or of all, and say which have changed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    for capture in captures or FUSED:
        path, text = golden_path(capture), golden_text(capture)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"changed: {path}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
