"""Metric points of both encodings become the bridge's measures, whatever they are."""

import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from bridge.decode.content import ContentPolicy
from bridge.decode.records import Decoded, Decoder, Foreign, Unreadable
from bridge.errors import UndecodableError
from bridge.model.events import Record
from bridge.model.measures import PICO, Measure, Measurement, MetricPoint, Temporality
from bridge.model.requests import Encoding, ExportRequest, Signal
from tests.measurements import (
    SESSION,
    START_MS,
    Sum,
    a_prompt,
    all_requests,
    lines,
    logs_request,
    metrics_request,
    ms,
    replaced,
)

NS = 1_000_000


def decoded(request: ExportRequest) -> list[Decoded]:
    policy = ContentPolicy.FULL
    tags = frozenset({"member", "department", "team.id", "cost_center"})
    return list(Decoder(policy=policy, tag_attributes=tags).decode(request))


def points(request: ExportRequest) -> list[MetricPoint]:
    found = decoded(request)
    assert all(isinstance(each, Measurement) for each in found), found
    return [each.point for each in found if isinstance(each, Measurement)]


def in_both_encodings(*metrics: Metric) -> list[ExportRequest]:
    """The same metrics as protobuf and as the JSON that OTLP makes of it."""
    message = ExportMetricsServiceRequest()
    scope = message.resource_metrics.add().scope_metrics.add()
    scope.scope.name = "com.anthropic.claude_code"
    scope.metrics.extend(metrics)
    text = json.dumps(MessageToDict(message, use_integers_for_enums=True)).encode()
    return [
        _request(Encoding.PROTOBUF, message.SerializeToString()),
        _request(Encoding.JSON, text),
    ]


def _request(encoding: Encoding, body: bytes) -> ExportRequest:
    return ExportRequest(
        signal=Signal.METRICS,
        encoding=encoding,
        body=body,
        gzipped=False,
        records=1,
        received_at_ms=ms(99),
    )


def window(point: Any) -> Any:
    point.start_time_unix_nano, point.time_unix_nano = ms(0) * NS, ms(60) * NS
    return point


def a_sum(name: str = "claude_code.commit.count", temporality: int = 1, **value: Any) -> Metric:
    metric = Metric(name=name)
    metric.sum.aggregation_temporality = temporality  # type: ignore[assignment]
    window(metric.sum.data_points.add(**value))
    return metric


@pytest.mark.parametrize(
    ("metric", "measure"),
    [
        ("session.count", Measure.SESSIONS),
        ("cost.usage", Measure.COST_USD),
        ("token.usage", Measure.TOKENS),
        ("active_time.total", Measure.ACTIVE_S),
        ("lines_of_code.count", Measure.LINES),
        ("commit.count", Measure.COMMITS),
        ("pull_request.count", Measure.PULL_REQUESTS),
        ("code_edit_tool.decision", Measure.EDIT_DECISIONS),
    ],
)
def test_every_metric_of_the_client_becomes_its_measure(metric: str, measure: Measure) -> None:
    (point,) = points(metrics_request(Sum(metric=f"claude_code.{metric}", value=2.5)))
    assert point == MetricPoint(
        session_id=SESSION,
        conversation=SESSION,
        measure=measure.value,
        attributes=(),
        temporality=Temporality.DELTA,
        start_ms=START_MS,
        time_ms=START_MS + 60_000,
        value_pico=5 * PICO // 2,
    )


def test_an_attribute_of_the_resource_does_not_hide_the_points_own_of_that_name() -> None:
    """With ``type`` in OTEL_RESOURCE_ATTRIBUTES, lines added and removed were one series."""
    requests = [metrics_request(lines(3)), metrics_request(lines(3, type="removed"))]
    told = {"key": "type", "value": {"stringValue": "contractor"}}
    for request in requests:
        document = json.loads(request.body)
        document["resourceMetrics"][0]["resource"]["attributes"].append(told)
        (point,) = points(replaced(request, document))
        assert dict(point.attributes)["type"] in {"added", "removed"}


def test_a_metric_nobody_knows_is_kept_under_its_own_name_with_all_its_attributes() -> None:
    attributes = {"flavour": "sour", "session.kind": "x"}
    metric = Sum(metric="claude_code.naps.count", value=3, attributes=attributes)
    (point,) = points(metrics_request(metric))
    assert point.measure == "naps.count"
    assert point.attributes == (("flavour", "sour"), ("session.kind", "x"))
    assert point.series == "naps.count\0flavour=sour\0session.kind=x"


def test_who_it_was_does_not_tell_series_apart() -> None:
    identity = {"user.email": "a@example.org", "terminal.type": "xterm", "member": "Alex"}
    plain, told = lines(1), lines(1)
    told.attributes.update(identity)
    (first,), (second,) = points(metrics_request(plain)), points(metrics_request(told))
    assert first.series == second.series == "lines\0type=added"


def test_token_types_have_the_names_that_the_events_tokens_have() -> None:
    kinds = ["input", "output", "cacheRead", "cacheCreation", "thinking"]
    made = [
        Sum(metric="claude_code.token.usage", value=1, attributes={"type": kind}) for kind in kinds
    ]
    assert [point.attributes for point in points(metrics_request(*made))] == [
        (("type", name),)
        for name in ["input", "output", "input_cached_tokens", "input_cache_creation", "thinking"]
    ]


@pytest.mark.parametrize("encoding", [0, 1], ids=["protobuf", "json"])
def test_whole_and_broken_numbers_are_exact(encoding: int) -> None:
    largest = 1_000_000_000_000_000
    metrics = [
        a_sum(as_int=7),
        a_sum(as_double=7.0),
        a_sum(as_double=0.000946),
        a_sum(as_int=largest),
        a_sum(as_int=0),
    ]
    request = in_both_encodings(*metrics)[encoding]
    assert [point.value_pico for point in points(request)] == [
        7 * PICO,
        7 * PICO,
        946_000_000,
        largest * PICO,
        0,
    ]


def test_many_tokens_lose_none_in_either_encoding() -> None:
    """A double holds them; their picounits it would not."""
    for request in in_both_encodings(a_sum(as_int=123_456_789), a_sum(as_double=123_456_789.0)):
        assert [point.value_pico for point in points(request)] == [123_456_789 * PICO] * 2


@pytest.mark.parametrize(
    ("number", "temporality"),
    [(1, Temporality.DELTA), (2, Temporality.CUMULATIVE), (0, Temporality.GAUGE)],
    ids=["delta", "cumulative", "not said"],
)
def test_a_sum_says_how_it_adds_up(number: int, temporality: Temporality) -> None:
    for request in in_both_encodings(a_sum(temporality=number, as_double=1)):
        assert [point.temporality for point in points(request)] == [temporality]


def test_a_gauge_is_the_value_of_its_moment() -> None:
    metric = Metric(name="claude_code.mood")
    window(metric.gauge.data_points.add(as_double=-0.5))
    for request in in_both_encodings(metric):
        (point,) = points(request)
        assert (point.measure, point.temporality) == ("mood", Temporality.GAUGE)
        assert point.value_pico == -PICO // 2


@pytest.mark.parametrize("kind", ["histogram", "exponential_histogram", "summary"])
def test_a_distribution_is_kept_as_count_and_sum(kind: str) -> None:
    metric = Metric(name="claude_code.latency")
    data = getattr(metric, kind)
    if kind != "summary":
        data.aggregation_temporality = 1
    point = window(data.data_points.add(count=3))
    point.sum = 4.5
    expected = Temporality.CUMULATIVE if kind == "summary" else Temporality.DELTA
    for request in in_both_encodings(metric):
        assert [(p.measure, p.value_pico, p.temporality) for p in points(request)] == [
            ("latency.count", 3 * PICO, expected),
            ("latency.sum", 9 * PICO // 2, expected),
        ]


def test_both_encodings_of_a_capture_give_the_same_series() -> None:
    """Recorded one after the other: times and durations differ, what is measured does not."""
    told = [
        {
            (point.series, point.temporality)
            for request in all_requests(f"2.1.330/{capture}")
            if request.signal is Signal.METRICS
            for point in points(request)
        }
        for capture in ("a-json-full", "a-pb-full", "a-pb-gzip")
    ]
    assert told[0]
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"asDouble": "NaN"},
        {"asDouble": "Infinity"},
        {"asDouble": 1e16},
        {"asInt": "many"},
        {"asDouble": {}},
    ],
    ids=["none", "no number", "infinite", "too large", "text", "object"],
)
def test_a_point_without_a_usable_value_stops_no_other(value: dict[str, object]) -> None:
    request = metrics_request(lines(1), lines(2))
    document = json.loads(request.body)
    metric = document["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]
    (point,) = metric["sum"]["dataPoints"]
    del point["asDouble"]
    point.update(value)

    unreadable, other = decoded(replaced(request, document, 2))

    assert isinstance(unreadable, Unreadable)
    assert unreadable.reason == "a metric point without a usable value"
    assert isinstance(other, Measurement)


def test_a_point_without_a_time_is_of_its_arrival() -> None:
    request = metrics_request(lines(1), at_s=99)
    document = json.loads(request.body)
    metric = document["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]
    del metric["sum"]["dataPoints"][0]["timeUnixNano"]

    (point,) = points(replaced(request, document))

    assert point.time_ms == ms(99)


def test_metrics_of_another_program_are_left_alone() -> None:
    request = metrics_request(lines(1))
    document = json.loads(request.body)
    document["resourceMetrics"][0]["scopeMetrics"][0]["scope"]["name"] = "my.app"
    assert decoded(replaced(request, document)) == [Foreign("my.app")]


@pytest.mark.parametrize("encoding", list(Encoding), ids=["protobuf", "json"])
def test_a_body_that_is_no_metrics_request_is_undecodable(encoding: Encoding) -> None:
    with pytest.raises(UndecodableError):
        decoded(_request(encoding, b"\xff\xffno"))


@pytest.mark.parametrize(
    "document",
    [{}, {"resourceMetrics": 3}, {"resourceMetrics": [{"scopeMetrics": [{"metrics": [3]}]}]}],
    ids=["empty", "number", "odd metric"],
)
def test_a_document_of_another_shape_has_no_points(document: dict[str, Any]) -> None:
    assert decoded(replaced(metrics_request(lines(1)), document)) == []


def test_points_and_events_of_a_client_that_hides_its_sessions_are_of_one_installation() -> None:
    (measured,) = decoded(metrics_request(lines(1, session=None)))
    (event,) = decoded(logs_request(a_prompt(0, 1, session=None)))
    assert isinstance(measured, Measurement)
    assert isinstance(event, Record)
    assert measured.point.session_id is None
    assert measured.point.conversation == event.event.conversation
    assert measured.point.conversation.startswith("user:u1:")
    assert measured.origin == event.origin
