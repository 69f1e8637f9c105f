"""Every capture gives exactly the observations that were reviewed and kept."""

import pytest

from tests.golden.document import GOLDEN, golden_path, golden_text
from tests.golden.kept import differences
from tests.pipeline import ALL_CAPTURES


@pytest.mark.parametrize("capture", ALL_CAPTURES)
def test_a_capture_gives_the_observations_that_were_reviewed(capture: str) -> None:
    diff = differences(golden_path(capture), golden_text(capture))

    assert not diff, "\n".join(
        [f"{capture} (python -m tests.golden.refresh if this is right):", *diff]
    )


def test_there_is_a_golden_file_for_every_capture_and_no_other() -> None:
    kept = {str(path.relative_to(GOLDEN).with_suffix("")) for path in GOLDEN.glob("[0-9]*/*.json")}

    assert kept == set(ALL_CAPTURES)
