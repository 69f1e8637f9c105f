"""Neither the pipeline nor a POST becomes dearer unnoticed.

Instructions are counted and not seconds: their number is the same whatever else the machine does.
``make bench`` measures everything else.
"""

import sys
from pathlib import Path

import pytest

from benchmarks import corpus, pipeline, receiving

MOST_PER_RECORD = 290_000
"""A tenth above what was counted last: lower it with every gain. Other versions of Python take
other numbers of instructions for the same."""
MOST_PER_POST = 500_000
"""Of about five records. A fifth above what was counted last, since it depends a little on how many
posts share a commit."""
COUNTED_WITH = (3, 11)


@pytest.mark.timeout(300)
@pytest.mark.skipif(not pipeline.has_valgrind(), reason="valgrind is not installed")
@pytest.mark.skipif(
    sys.version_info[:2] != COUNTED_WITH, reason="the bound was counted with another Python"
)
def test_a_record_takes_no_more_instructions_than_before(tmp_path: Path) -> None:
    small, large = corpus.make(tmp_path, 300), corpus.make(tmp_path, 1_000)

    instructions = pipeline.counted("all", small, large)

    assert instructions < MOST_PER_RECORD


@pytest.mark.timeout(300)
@pytest.mark.skipif(not pipeline.has_valgrind(), reason="valgrind is not installed")
@pytest.mark.skipif(
    sys.version_info[:2] != COUNTED_WITH, reason="the bound was counted with another Python"
)
def test_a_post_takes_no_more_instructions_than_before(tmp_path: Path) -> None:
    spent = receiving.per_post("client", tmp_path, counted=True)

    assert 0 < spent.instructions < MOST_PER_POST
