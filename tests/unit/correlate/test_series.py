"""The total of one series: deltas once each, counters by their latest value, gauges as they are."""

from itertools import permutations

import msgspec
import pytest

from bridge.correlate.series import KEPT_WINDOWS, SeriesTotal, fold
from bridge.model.measures import MetricPoint, Temporality

DELTA, CUMULATIVE, GAUGE = Temporality.DELTA, Temporality.CUMULATIVE, Temporality.GAUGE


def a_point(
    value: int, start: int, time: int, temporality: Temporality = Temporality.DELTA
) -> MetricPoint:
    return MetricPoint(
        session_id="s",
        conversation="s",
        measure="lines",
        attributes=(),
        temporality=temporality,
        start_ms=start,
        time_ms=time,
        value_pico=value,
    )


def folded(*points: MetricPoint) -> SeriesTotal:
    total = SeriesTotal()
    for point in points:
        fold(total, point)
    return total


def test_deltas_add_up() -> None:
    total = folded(a_point(3, 0, 10), a_point(4, 10, 20), a_point(0, 20, 30))
    assert total.total_pico == 7


def test_a_repeated_delta_counts_once_and_is_known_as_a_repetition() -> None:
    total = folded(a_point(3, 0, 10))
    assert fold(total, a_point(4, 10, 20))
    assert not fold(total, a_point(3, 0, 10))
    assert total.total_pico == 7


def test_a_counter_counts_its_latest_value() -> None:
    total = folded(a_point(3, 0, 10, CUMULATIVE), a_point(8, 0, 20, CUMULATIVE))
    assert total.total_pico == 8


def test_an_older_point_of_a_counter_changes_nothing() -> None:
    total = folded(a_point(8, 0, 20, CUMULATIVE), a_point(3, 0, 10, CUMULATIVE))
    assert total.total_pico == 8


def test_a_counter_that_starts_anew_adds_to_what_it_had() -> None:
    """A restart of the client, or another process of the same session: both have a new start."""
    first = [a_point(3, 0, 10, CUMULATIVE), a_point(8, 0, 20, CUMULATIVE)]
    second = [a_point(1, 30, 40, CUMULATIVE), a_point(2, 30, 50, CUMULATIVE)]
    for order in permutations([*first, *second]):
        assert folded(*order).total_pico == 10


def test_two_processes_side_by_side_both_count() -> None:
    theirs = [a_point(5, 3, 13), a_point(6, 13, 23)]
    ours = [a_point(1, 0, 10), a_point(2, 10, 20)]
    for order in permutations([*theirs, *ours]):
        assert folded(*order).total_pico == 14


def test_two_processes_that_began_in_the_same_millisecond_differ_by_their_values() -> None:
    assert folded(a_point(1, 0, 10), a_point(2, 0, 10)).total_pico == 3


def test_mixed_temporality_is_summed() -> None:
    """A person changed the setting between two starts of one session."""
    points = [a_point(3, 0, 10), a_point(8, 30, 40, CUMULATIVE), a_point(9, 30, 50, CUMULATIVE)]
    for order in permutations(points):
        assert folded(*order).total_pico == 12


def test_a_gauge_is_its_latest_value() -> None:
    points = [a_point(9, 0, 10, GAUGE), a_point(-2, 0, 20, GAUGE)]
    for order in permutations(points):
        assert folded(*order).total_pico == -2


@pytest.mark.parametrize("temporality", [CUMULATIVE, GAUGE])
def test_the_same_latest_point_is_a_repetition(temporality: Temporality) -> None:
    total = folded(a_point(3, 0, 10, temporality))
    assert not fold(total, a_point(3, 0, 10, temporality))


def test_of_two_values_of_one_moment_the_larger_counts_in_any_order() -> None:
    points = [a_point(3, 0, 10, CUMULATIVE), a_point(4, 0, 10, CUMULATIVE)]
    for order in permutations(points):
        assert folded(*order).total_pico == 4


def test_old_windows_are_forgotten_one_by_one_and_known_together() -> None:
    windows = [a_point(1, start, start + 10) for start in range(0, 10_000, 10)]
    total = folded(*windows)
    assert total.total_pico == 1_000
    assert len(total.windows) == KEPT_WINDOWS
    assert total.covered == [(0, 10_000 - 10 * KEPT_WINDOWS)]
    assert not any(fold(total, window) for window in windows)
    assert total.total_pico == 1_000


def test_a_pause_between_windows_stays_open_for_what_comes_late() -> None:
    early = [a_point(1, start, start + 10) for start in range(0, 100, 10)]
    later = [a_point(1, start, start + 10) for start in range(1_000, 2_000, 10)]
    total = folded(*early, *later)
    assert fold(total, a_point(1, 500, 510))
    assert total.total_pico == 111


def test_a_window_behind_the_kept_ones_still_counts_once() -> None:
    recent = [
        a_point(1, start, start + 10) for start in range(1_000, 1_000 + 10 * KEPT_WINDOWS, 10)
    ]
    total = folded(*recent)
    assert [fold(total, a_point(5, 0, 10)) for _ in range(3)] == [True, False, False]
    assert total.total_pico == KEPT_WINDOWS + 5


def test_what_was_saved_goes_on_as_it_was() -> None:
    total = folded(
        *(a_point(1, start, start + 10) for start in range(0, 1_000, 10)),
        a_point(3, 0, 10, CUMULATIVE),
        a_point(4, 0, 10, GAUGE),
    )
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(total), type=SeriesTotal)
    assert again == total
    assert not fold(again, a_point(1, 990, 1_000))
    assert not fold(again, a_point(3, 0, 10, CUMULATIVE))
    assert not fold(again, a_point(4, 0, 10, GAUGE))
