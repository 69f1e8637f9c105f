"""The total of one series of a metric, folded point by point.

Folding the same points again, in any order, changes nothing: a delta counts once per window, a
cumulative counter counts its latest value once per start (a new start is a restarted counter, or
another process of the same session).
"""

import msgspec

from bridge.model.measures import MetricPoint, Temporality

KEPT_WINDOWS = 64
"""Windows remembered exactly; at the client's default of one a minute more than an hour, while it
gives up repeating after ten seconds. Older ones are kept as the stretches they cover together."""

Window = tuple[int, int, int]
Stretch = tuple[int, int]


class SeriesTotal(msgspec.Struct, kw_only=True, array_like=True, gc=False):
    """One series.

    Attributes:
        delta_pico: Sum of the windows.
        windows: (start, end, value) of the latest, sorted.
        covered: (start, end) of what older windows cover, sorted, not touching.
        counters: Start of a counter → (time, value) of its latest point.
        gauge: (time, value) of the latest point of a gauge.
    """

    delta_pico: int = 0
    windows: list[Window] = []
    covered: list[Stretch] = []
    counters: dict[int, tuple[int, int]] = {}
    gauge: tuple[int, int] | None = None

    @property
    def total_pico(self) -> int:
        """The series' total, whatever mixture of points it came from."""
        counted = sum(value for _, value in self.counters.values())
        return self.delta_pico + counted + (self.gauge[1] if self.gauge else 0)


def fold(series: SeriesTotal, point: MetricPoint) -> bool:
    """Take a point in; False if it had been taken in before."""
    match point.temporality:
        case Temporality.DELTA:
            return _fold_delta(series, (point.start_ms, point.time_ms, point.value_pico))
        case Temporality.CUMULATIVE:
            return _fold_cumulative(series, point)
        case Temporality.GAUGE:
            return _fold_gauge(series, (point.time_ms, point.value_pico))


def _fold_delta(series: SeriesTotal, window: Window) -> bool:
    start, end, value = window
    if window in series.windows or any(a <= start and end <= b for a, b in series.covered):
        return False
    series.windows = sorted([*series.windows, window], key=lambda w: (w[1], w))
    series.delta_pico += value
    while len(series.windows) > KEPT_WINDOWS:
        oldest = series.windows.pop(0)
        series.covered = _united([*series.covered, oldest[:2]])
    return True


def _fold_cumulative(series: SeriesTotal, point: MetricPoint) -> bool:
    """The latest point of a counter; at the same moment the larger, for these only grow."""
    known = series.counters.get(point.start_ms)
    latest = (point.time_ms, point.value_pico)
    if known is None or latest > known:
        series.counters[point.start_ms] = latest
    return known != latest


def _fold_gauge(series: SeriesTotal, latest: tuple[int, int]) -> bool:
    known = series.gauge
    if known is None or latest > known:
        series.gauge = latest
    return known != latest


def _united(stretches: list[Stretch]) -> list[Stretch]:
    united: list[Stretch] = []
    for start, end in sorted(stretches):
        if united and start <= united[-1][1]:
            united[-1] = (united[-1][0], max(end, united[-1][1]))
        else:
            united.append((start, end))
    return united
