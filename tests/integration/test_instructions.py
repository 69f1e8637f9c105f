"""The pipeline stage does not become dearer unnoticed.

Instructions are counted and not seconds: their number is the same whatever else the machine does.
``make bench`` measures everything else.
"""

import sys
from pathlib import Path

import pytest

from benchmarks import corpus, pipeline

MOST_PER_RECORD = 850_000
"""A tenth above what was counted last: lower it with every gain. Other versions of Python take
other numbers of instructions for the same."""
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
