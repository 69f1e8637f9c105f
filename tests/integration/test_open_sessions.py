"""Memory does not grow with the number of sessions, and a start does not read those that are open.

Each measurement is taken in a process of its own, by ``tests/open_sessions.py``.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.open_sessions import WARM

ROOT = Path(__file__).parents[2]
MOST_KIB = 0.5
"""For a session; what is open without being held costs none, so this is room for noise."""
MOST_START_S = 0.5
"""A start that reads 10,000 sessions takes several times as long, even on a fast machine."""


@pytest.mark.timeout(300)
def test_ten_thousand_open_sessions_take_no_memory_each_and_do_not_hold_up_a_start(
    tmp_path: Path,
) -> None:
    found = _measured("open", tmp_path, 10_000)

    assert found["live_records"] == 3 * (WARM + 10_000)
    assert found["kib_per_session"] < MOST_KIB, found
    assert found["start_s"] < MOST_START_S, found


@pytest.mark.timeout(300)
def test_a_flood_of_unknown_sessions_takes_no_memory_each(tmp_path: Path) -> None:
    found = _measured("unknown", tmp_path, 10_000)

    assert found["live_records"] == WARM + 10_000
    assert found["kib_per_session"] < MOST_KIB / 4, found


def _measured(kind: str, folder: Path, count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.open_sessions", kind, str(folder), str(count)]
    done = subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
