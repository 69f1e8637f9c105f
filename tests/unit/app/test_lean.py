import subprocess
from pathlib import Path

import pytest

from bridge.app import lean


@pytest.mark.parametrize("planted", ["random.py", "bridge/__init__.py"])
def test_modules_of_the_folder_it_is_started_in_are_not_taken_for_ours(
    planted: str, tmp_path: Path
) -> None:
    file = tmp_path / planted
    file.parent.mkdir(exist_ok=True)
    file.write_text("raise SystemExit('planted')")

    ended = subprocess.run(
        lean.command("tempfile"), cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "")
