"""How a process of the daemon is started: small, since it is there for months.

``python -m bridge.app.lean MODULE ARGUMENT…`` runs a module as its own program would run, without
what it only might use. ``command`` and ``environment`` are how to start one.
"""

import os
import runpy
import sys
from collections.abc import Mapping
from typing import Final

MALLOC: Final = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 21),
}
"""glibc keeps what threads have freed, in up to eight arenas for each core: a large body would stay
with the process for good. Setting one threshold fixes the other too, at 128 KiB: then each copy of
a body of 512 records was mapped, faulted in and unmapped, a tenth of what its POST cost. What the
user sets wins."""


def command(module: str, *arguments: object) -> list[str]:
    """The command line that runs a module lean.

    With ``-P``: the folder in which somebody started the bridge may hold a ``random.py`` of theirs.
    """
    return [sys.executable, "-P", "-m", "bridge.app.lean", module, *map(str, arguments)]


def environment() -> Mapping[str, str]:
    """The environment to run it in."""
    return MALLOC | os.environ


def main() -> None:
    """Run the module that the first argument names."""
    # structlog imports rich where there is one, for tracebacks that are never written: 5 MB.
    sys.modules["rich"] = None  # type: ignore[assignment]  # which makes its import fail
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
