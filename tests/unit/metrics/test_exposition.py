"""Samples become the text that Prometheus reads."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.metrics import exposition
from bridge.metrics.families import BY_NAME, FAMILIES, Kind
from bridge.metrics.spread import ANSWER_S, Spread


def test_a_cost_is_shown_in_dollars_and_a_time_in_seconds() -> None:
    text = exposition.text([("cost_usd", {}, 3 * 10**12), ("active_seconds", {}, 1500)]).decode()
    assert "langfuse_bridge_cost_usd_total 3.0\n" in text
    assert "langfuse_bridge_active_seconds_total 1.5\n" in text


def test_series_of_one_metric_may_have_different_labels() -> None:
    text = exposition.text([("tokens", {"team": "a"}, 1), ("tokens", {"model": "m"}, 2)])
    (family,) = text_string_to_metric_families(text.decode())
    labels = [{k: v for k, v in sample.labels.items() if v} for sample in family.samples]
    assert labels == [{"team": "a"}, {"model": "m"}]


def test_what_is_no_metric_of_ours_is_left_out() -> None:
    assert exposition.text([("nobody_knows", {}, 1)]) == b""


@pytest.mark.parametrize("value", [0.0, 0.001, 0.0011, 4.0, 60.0])
def test_a_value_is_in_every_bucket_that_reaches_it(value: float) -> None:
    spread = Spread(ANSWER_S)
    spread.note(value)
    samples = [
        ("answer_seconds", {"protocol": "http", "le": bucket}, n)
        for bucket, n in spread.counts().items()
    ]
    (family,) = text_string_to_metric_families(exposition.text(samples).decode())
    buckets = {s.labels["le"]: s.value for s in family.samples if s.name.endswith("_bucket")}
    assert buckets == {str(bound): float(value <= bound) for bound in (*ANSWER_S,)} | {"+Inf": 1.0}
    (total,) = [s.value for s in family.samples if s.name.endswith("_sum")]
    assert total == value


def test_each_family_is_named_once_and_each_histogram_has_buckets() -> None:
    assert len(BY_NAME) == len(FAMILIES)
    assert {f.name for f in FAMILIES if f.kind is Kind.HISTOGRAM} == set(exposition.BOUNDS)
