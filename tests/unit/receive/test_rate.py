"""The token bucket: how many requests pass, and when to come again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.receive.rate import BURST_S, Bucket, take

NOW_MS = 1_790_000_000_000


def passed(times_ms: list[int], per_s: float) -> list[int]:
    """The times of those that were let through."""
    bucket: Bucket | None = None
    through = []
    for at_ms in times_ms:
        bucket, wait_s = take(bucket, at_ms, per_s)
        if not wait_s:
            through.append(at_ms)
    return through


def test_ten_seconds_worth_pass_at_once_and_no_more() -> None:
    assert len(passed([NOW_MS] * 100, per_s=2)) == 20


def test_a_slow_rate_lets_one_pass_all_the_same() -> None:
    assert len(passed([NOW_MS] * 3, per_s=0.01)) == 1


def test_who_was_refused_passes_after_the_time_that_was_named() -> None:
    bucket, _ = take(Bucket(0, NOW_MS), NOW_MS, per_s=0.3)
    bucket, wait_s = take(bucket, NOW_MS + 100, per_s=0.3)
    assert wait_s == 4
    assert take(bucket, NOW_MS + 100 + wait_s * 1000, per_s=0.3)[1] == 0


@pytest.mark.parametrize("jump_ms", [-3_600_000, 3_600_000])
def test_a_clock_that_jumps_shuts_nobody_out(jump_ms: int) -> None:
    bucket, wait_s = take(Bucket(0, NOW_MS), NOW_MS + jump_ms, per_s=2)
    assert wait_s <= 1
    assert take(bucket, NOW_MS + jump_ms + 1000, per_s=2)[1] == 0


@given(
    steps=st.lists(st.integers(min_value=0, max_value=5_000), max_size=200),
    per_s=st.floats(min_value=0.05, max_value=50),
)
def test_no_more_pass_than_the_rate_and_a_burst(steps: list[int], per_s: float) -> None:
    times = [NOW_MS + sum(steps[: index + 1]) for index in range(len(steps))]
    through = passed(times, per_s)
    if through:
        most = max(BURST_S * per_s, 1) + per_s * (through[-1] - through[0]) / 1000
        assert len(through) <= most + 1e-6
