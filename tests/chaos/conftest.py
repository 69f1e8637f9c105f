"""What the chaos tests share: where their figures go, and the table at the end of a run."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.figures import Figure, print_table, save
from tests.chaos.langfuse import LastingLangfuse
from tests.chaos.scale import IS_FULL, SEED

FIGURES = pytest.StashKey[list[Figure]]()
KEPT = Path(__file__).parents[2] / "build" / "chaos.json"


@pytest.fixture
def langfuse(tmp_path: Path) -> Iterator[LastingLangfuse]:
    with LastingLangfuse(tmp_path) as langfuse:
        yield langfuse


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[Figure], None]:
    """Takes the figures of a scenario, which has lasted since the call before."""
    figures = request.config.stash.setdefault(FIGURES, [])
    began_s = time.monotonic()

    def keep(figure: Figure) -> None:
        nonlocal began_s
        took_s = round(time.monotonic() - began_s, 1)
        began_s = time.monotonic()
        figures.append(replace(figure, seed=SEED, full=IS_FULL, took_s=took_s))
        if IS_FULL:
            save(figures, KEPT)  # at once: a full run is long, and may be broken off

    return keep


def pytest_terminal_summary(config: pytest.Config) -> None:
    """The figures, and how to repeat the run."""
    figures = config.stash.get(FIGURES, [])
    if not figures:
        return
    took_s = sum(figure.took_s for figure in figures)
    sys.stdout.write(f"\nCHAOS_SEED={SEED}, {'full' if IS_FULL else 'short'}, {took_s:.0f} s\n")
    print_table(figures, sys.stdout)
    if IS_FULL:
        sys.stdout.write(f"kept in {KEPT}\n")
