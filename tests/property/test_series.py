"""Folding is a matter of what was measured, never of how often or in which order it came."""

import random
from collections import defaultdict
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.correlate.series import KEPT_WINDOWS, SeriesTotal, fold
from bridge.model.measures import MetricPoint, Temporality
from tests.property.examples import randoms

MAX_WINDOWS_LATE = 20
"""A client gives a window up after ten seconds; even at one window a second that is fewer."""

same_examples = settings(derandomize=True, deadline=None, max_examples=200)

values = st.integers(min_value=0, max_value=10**18)
moments = st.integers(min_value=0, max_value=500)


def a_point(temporality: Temporality, start: int, lasts: int, value: int) -> MetricPoint:
    return MetricPoint(
        session_id="s",
        conversation="s",
        measure="m",
        attributes=(),
        temporality=temporality,
        start_ms=start,
        time_ms=start + lasts,
        value_pico=value,
    )


points = st.builds(a_point, st.sampled_from(Temporality), moments, moments, values)
mixtures = st.lists(points, min_size=1, max_size=KEPT_WINDOWS)


def folded(points: Sequence[MetricPoint]) -> SeriesTotal:
    total = SeriesTotal()
    for point in points:
        fold(total, point)
    return total


def total_by_hand(points: Sequence[MetricPoint]) -> int:
    deltas, gauges = set(), []
    counters = defaultdict(list)
    for point in points:
        where = (point.start_ms, point.time_ms, point.value_pico)
        if point.temporality is Temporality.DELTA:
            deltas.add(where)
        elif point.temporality is Temporality.CUMULATIVE:
            counters[point.start_ms].append(where[1:])
        else:
            gauges.append(where[1:])
    latest = [max(each)[1] for each in counters.values()]
    return sum(value for *_, value in deltas) + sum(latest) + (max(gauges)[1] if gauges else 0)


@same_examples
@given(mixtures)
def test_any_mixture_has_the_total_that_was_counted_by_hand(points: list[MetricPoint]) -> None:
    assert folded(points).total_pico == total_by_hand(points)


@same_examples
@given(mixtures, randoms)
def test_any_order_and_any_repetition_give_the_same(
    points: list[MetricPoint], rng: random.Random
) -> None:
    again = [*points, *(rng.choice(points) for _ in range(len(points)))]
    rng.shuffle(again)

    assert folded(again) == folded(points)


@same_examples
@given(mixtures, randoms)
def test_folding_all_of_it_again_changes_nothing(
    points: list[MetricPoint], rng: random.Random
) -> None:
    total = folded(points)
    before = total.total_pico
    rng.shuffle(points)
    for point in points:
        fold(total, point)
        assert total.total_pico == before


@same_examples
@given(st.lists(values, min_size=KEPT_WINDOWS, max_size=5 * KEPT_WINDOWS), randoms)
def test_a_long_session_of_windows_that_come_late_and_twice_loses_none(
    values: list[int], rng: random.Random
) -> None:
    windows = [
        a_point(Temporality.DELTA, place * 10, 10, value) for place, value in enumerate(values)
    ]
    arrivals = [
        (place + rng.uniform(0, MAX_WINDOWS_LATE), window)
        for place, window in enumerate(windows)
        for _ in range(rng.choice([1, 1, 2]))
    ]
    arrivals.sort(key=lambda arrival: arrival[0])

    total = folded([window for _, window in arrivals])

    assert total.total_pico == sum(values)


@same_examples
@given(st.lists(values, min_size=KEPT_WINDOWS, max_size=2 * KEPT_WINDOWS), randoms)
def test_two_processes_of_one_session_add_up_for_hours(
    values: list[int], rng: random.Random
) -> None:
    """The windows of one overlap those of the other; each comes within a few of its time."""
    windows = [
        a_point(Temporality.DELTA, place * 10 + shift, 10, value)
        for place, value in enumerate(values)
        for shift in (0, rng.randint(1, 9))
    ]
    arrivals = [(window.time_ms + rng.uniform(0, 100), window) for window in windows]
    arrivals.sort(key=lambda arrival: arrival[0])

    total = folded([window for _, window in arrivals])

    assert total.total_pico == 2 * sum(values)
