"""Every capture gives exactly the observations that were reviewed and kept."""

import difflib

import pytest

from tests.golden.document import GOLDEN, golden_path, golden_text
from tests.pipeline import ALL_CAPTURES

MAX_DIFF_LINES = 80


@pytest.mark.parametrize("capture", ALL_CAPTURES)
def test_a_capture_gives_the_observations_that_were_reviewed(capture: str) -> None:
    kept = golden_path(capture).read_text(encoding="utf-8").splitlines()
    made = golden_text(capture).splitlines()

    diff = list(difflib.unified_diff(kept, made, "kept", "made", lineterm="", n=4))

    assert not diff, "\n".join(
        [f"{capture} (python -m tests.golden.refresh if this is right):", *diff[:MAX_DIFF_LINES]]
    )


def test_there_is_a_golden_file_for_every_capture_and_no_other() -> None:
    kept = {str(path.relative_to(GOLDEN).with_suffix("")) for path in GOLDEN.glob("[0-9]*/*.json")}

    assert kept == set(ALL_CAPTURES)
