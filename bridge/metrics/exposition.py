"""Numbers as Prometheus' text, by the families that there are.

``prometheus_client`` writes the text; the numbers are read anew at every scrape, so none of its
own counters are used. Importing this module imports it: a receiver that is never scraped need not.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from bridge.metrics.families import BY_NAME, PREFIX, Family, Kind
from bridge.metrics.spread import ANSWER_S, BATCH_SPANS, DELIVERY_S, LE, cumulative

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

BOUNDS: Final = {
    "answer_seconds": ANSWER_S,
    "delivery_seconds": DELIVERY_S,
    "delivery_batch_spans": BATCH_SPANS,
}

Sample = tuple[str, Mapping[str, str], float]
"""(name of a family, labels, value); of a histogram one for each bucket and its sum."""


def text(samples: Iterable[Sample]) -> bytes:
    """The body of ``/metrics``; what belongs to no family is left out."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Samples(samples))
    return generate_latest(registry)


class _Samples(Collector):
    """One scrape."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._found: dict[str, list[tuple[Mapping[str, str], float]]] = {}
        for name, labels, value in samples:
            self._found.setdefault(name, []).append((labels, value))

    def describe(self) -> Iterable[Metric]:
        """Nothing: with it the registry would collect once only to see the names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every family that has a sample, in the order of the table."""
        for family in BY_NAME.values():
            if family.name in self._found:
                yield _metric(family, self._found[family.name])


Values = list[tuple[Mapping[str, str], float]]


def _metric(family: Family, values: Values) -> Metric:
    if family.kind is Kind.HISTOGRAM:
        return _histogram(family, values)
    kind = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    names = sorted({name for labels, _ in values for name in labels})
    metric: CounterMetricFamily | GaugeMetricFamily = kind(
        PREFIX + family.name, family.help, labels=names
    )
    for labels, value in values:
        metric.add_metric([labels.get(name, "") for name in names], value * family.unit)
    return metric


def _histogram(family: Family, values: Values) -> Metric:
    metric = HistogramMetricFamily(PREFIX + family.name, family.help, labels=family.labels)
    spreads: dict[tuple[str, ...], dict[str, int]] = {}
    for labels, value in values:
        key = tuple(labels.get(name, "") for name in family.labels)
        spreads.setdefault(key, {})[labels[LE]] = int(value)
    for key, counts in spreads.items():
        buckets, total = cumulative(counts, BOUNDS[family.name])
        metric.add_metric(key, buckets, total)
    return metric
