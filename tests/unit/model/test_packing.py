"""What is kept comes back as it was, however large its numbers."""

import pytest

from bridge.correlate.series import SeriesTotal
from bridge.model.packing import pack, unpacker


@pytest.mark.parametrize("total", [0, 2**64 - 1, 2**64, -(2**63) - 1, 10**30])
def test_totals_of_any_size_come_back(total: int) -> None:
    kept = SeriesTotal(delta_pico=total, windows=[(1, 2, total)], counters={5: (6, total)})

    assert unpacker(SeriesTotal)(pack(kept)) == kept
