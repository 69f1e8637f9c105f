"""Ages grow by what has passed, whatever somebody sets the clock to."""

import hypothesis.strategies as st
from hypothesis import given

from bridge.clock import CATCH_UP, SteadyTime, steady_ms

MINUTE_MS = 60_000
YEAR_MS = 365 * 86_400_000
NOW_MS = 1_790_000_000_000

TIMES = st.integers(min_value=0, max_value=2**45)
ELAPSED = st.integers(min_value=0, max_value=YEAR_MS)


@given(TIMES, TIMES, ELAPSED)
def test_it_never_goes_back_or_slower_than_time_and_ahead_only_in_steps(
    last_ms: int, wall_ms: int, elapsed_ms: int
) -> None:
    gained_ms = steady_ms(last_ms, wall_ms, elapsed_ms) - last_ms
    assert elapsed_ms <= gained_ms <= CATCH_UP * elapsed_ms


def test_it_is_the_clock_as_long_as_nobody_sets_that() -> None:
    assert steady_ms(NOW_MS, NOW_MS + MINUTE_MS, MINUTE_MS) == NOW_MS + MINUTE_MS


def test_a_clock_a_year_ahead_for_a_minute_costs_minutes() -> None:
    ahead_ms = steady_ms(NOW_MS, NOW_MS + YEAR_MS, MINUTE_MS)
    assert ahead_ms - NOW_MS == CATCH_UP * MINUTE_MS
    back_ms = steady_ms(ahead_ms, NOW_MS + 2 * MINUTE_MS, MINUTE_MS)
    assert back_ms == ahead_ms + MINUTE_MS


def test_a_clock_set_back_a_year_keeps_nothing_for_a_year() -> None:
    assert steady_ms(NOW_MS, NOW_MS - YEAR_MS, MINUTE_MS) == NOW_MS + MINUTE_MS


def test_a_restart_goes_on_where_it_was_and_catches_up_with_the_clock() -> None:
    seconds = iter([0.0, 0.001, 3600.0])
    steady = SteadyTime(lambda: next(seconds))
    assert steady.at(NOW_MS + YEAR_MS, NOW_MS) == NOW_MS
    assert steady.at(NOW_MS + YEAR_MS, NOW_MS) == NOW_MS + CATCH_UP
    assert steady.at(NOW_MS + MINUTE_MS * 60, NOW_MS) >= NOW_MS + MINUTE_MS * 60


def test_a_new_ledger_begins_with_the_clock() -> None:
    assert SteadyTime(lambda: 0.0).at(NOW_MS, None) == NOW_MS
