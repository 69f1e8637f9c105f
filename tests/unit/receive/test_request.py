"""Which requests are accepted, which are refused, and why."""

import gzip
import json
import zlib

import pytest
from multidict import CIMultiDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bridge.model.requests import Encoding, Signal
from bridge.otlp.inflating import MAX_MEMBERS
from bridge.receive.request import (
    MAX_JSON_DEPTH,
    Head,
    Refusal,
    RefusedError,
    check_head,
    count_records,
    encoding_of,
)

JSON = {"Content-Type": "application/json"}
LIMIT_BYTES = 10_000


def head(signal: Signal = Signal.LOGS, encoding: Encoding = Encoding.JSON) -> Head:
    return Head(signal=signal, encoding=encoding, gzipped=False)


def refusal_of_head(path: str, method: str, headers: dict[str, str]) -> Refusal:
    with pytest.raises(RefusedError) as refused:
        check_head(path, method, CIMultiDict(headers))
    return refused.value.refusal


def refusal_of_body(body: bytes, of: Head) -> Refusal:
    with pytest.raises(RefusedError) as refused:
        count_records(of, body, LIMIT_BYTES)
    return refused.value.refusal


@pytest.mark.parametrize(
    ("path", "signal"),
    [
        ("/v1/logs", Signal.LOGS),
        ("/v1/metrics", Signal.METRICS),
        ("/v1/traces", Signal.TRACES),
        ("/v1/logs/", Signal.LOGS),
        ("//v1/logs", Signal.LOGS),
        ("/otlp/v1/logs", Signal.LOGS),
        ("/a/deeper/prefix/v1/traces/", Signal.TRACES),
        ("/v1/metrics/v1/logs", Signal.LOGS),
    ],
)
def test_path_names_the_signal_below_any_prefix(path: str, signal: Signal) -> None:
    assert check_head(path, "POST", JSON).signal is signal


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("application/json", Encoding.JSON),
        ("application/json; charset=utf-8", Encoding.JSON),
        ("Application/JSON;charset=UTF-8", Encoding.JSON),
        ("application/x-protobuf", Encoding.PROTOBUF),
        ("application/x-protobuf; messageType=x", Encoding.PROTOBUF),
        ("application/protobuf", None),
        ("text/plain", None),
        ("", None),
    ],
)
def test_content_type_names_the_encoding_whatever_its_parameters(
    content_type: str, encoding: Encoding | None
) -> None:
    assert encoding_of({"Content-Type": content_type}) is encoding


@pytest.mark.parametrize(
    ("coding", "gzipped"), [("gzip", True), (" GZIP ", True), ("identity", False), ("", False)]
)
def test_content_encoding_is_gzip_or_identity(coding: str, gzipped: bool) -> None:
    headers = {**JSON, "Content-Encoding": coding}
    assert check_head("/v1/logs", "POST", headers).gzipped is gzipped


@pytest.mark.parametrize(
    ("path", "method", "headers", "refusal"),
    [
        ("/", "POST", JSON, Refusal.NOT_FOUND),
        ("/v1/profiles", "POST", JSON, Refusal.NOT_FOUND),
        ("/v1/logs/x", "POST", JSON, Refusal.NOT_FOUND),
        ("/otlpv1/logs", "POST", JSON, Refusal.NOT_FOUND),
        ("/v1/logs\n", "POST", JSON, Refusal.NOT_FOUND),
        ("/v1/logs", "GET", JSON, Refusal.METHOD),
        ("/v1/logs", "PUT", JSON, Refusal.METHOD),
        ("/v1/logs", "POST", {}, Refusal.CONTENT_TYPE),
        ("/v1/logs", "POST", {"Content-Type": "text/plain"}, Refusal.CONTENT_TYPE),
        ("/v1/logs", "POST", {**JSON, "Content-Encoding": "br"}, Refusal.CONTENT_ENCODING),
        ("/v1/logs", "POST", {**JSON, "Content-Encoding": "gzip, gzip"}, Refusal.CONTENT_ENCODING),
    ],
)
def test_head_is_refused_by_name(
    path: str, method: str, headers: dict[str, str], refusal: Refusal
) -> None:
    assert refusal_of_head(path, method, headers) is refusal


def a_point(kind: str) -> dict[str, object]:
    return {"name": "n", kind: {"dataPoints": [{"asInt": 1}, {"asInt": "2"}]}}


METRICS = [
    a_point(kind) for kind in ("gauge", "sum", "histogram", "exponentialHistogram", "summary")
]


@pytest.mark.parametrize(
    ("signal", "request_json", "records"),
    [
        (Signal.LOGS, {}, 0),
        (Signal.LOGS, {"resourceLogs": None}, 0),
        (Signal.LOGS, {"resourceLogs": [{"scopeLogs": [{"logRecords": [{}, {}]}, {}]}, {}]}, 2),
        (Signal.LOGS, {"resourceSpans": [], "later": {"unknown": [1]}}, 0),
        (Signal.TRACES, {"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "a"}]}]}]}, 1),
        (Signal.METRICS, {"resourceMetrics": [{"scopeMetrics": [{"metrics": METRICS}]}]}, 10),
        (Signal.METRICS, {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{}]}]}]}, 0),
    ],
)
def test_json_records_are_counted(signal: Signal, request_json: object, records: int) -> None:
    assert count_records(head(signal), json.dumps(request_json).encode(), LIMIT_BYTES) == records


@pytest.mark.parametrize(
    "record",
    [
        '{"body":{"intValue":1},"traceId":"00ff","later":[{}]}',
        '{"body":{"intValue":"1"},"timeUnixNano":"1"}',
        r'{"body":{"stringValue":"cut in a pair \ud83d"}}',
        r'{"body":{"stringValue":"\\ud83d \ude00"}}',
        '{"body":{"stringValue":"😀"}}',
    ],
    ids=["number", "string", "half a pair", "half a pair and a backslash", "not ascii"],
)
def test_json_record_is_counted_however_the_client_writes_it(record: str) -> None:
    body = f'{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}'
    assert count_records(head(), body.encode(), LIMIT_BYTES) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{} {}",
        b'{"a":NaN}',
        b'{"a":"\xff"}',
        b'{"resourceLogs":{}}',
        b'{"resourceLogs":[1]}',
        b'{"resourceLogs":[{"scopeLogs":"x"}]}',
        b'{"resourceLogs":[{"scopeLogs":[{"logRecords":{}}]}]}',
        b'{"resourceLogs":[{"scopeLogs":[{"logRecords":["x"]}]}]}',
    ],
)
def test_json_of_another_shape_is_malformed(body: bytes) -> None:
    assert refusal_of_body(body, head()) is Refusal.MALFORMED


@pytest.mark.parametrize(
    ("signal", "body"),
    [
        (Signal.METRICS, b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"sum":[]}]}]}]}'),
        (Signal.TRACES, b'{"resourceSpans":[{"scopeSpans":[{"spans":[null]}]}]}'),
    ],
)
def test_other_signals_of_another_shape_are_malformed(signal: Signal, body: bytes) -> None:
    assert refusal_of_body(body, head(signal)) is Refusal.MALFORMED


def test_protobuf_records_are_counted() -> None:
    logs, metrics, traces = (
        ExportLogsServiceRequest(),
        ExportMetricsServiceRequest(),
        ExportTraceServiceRequest(),
    )
    for _ in range(2):
        logs.resource_logs.add().scope_logs.add().log_records.add()
        traces.resource_spans.add().scope_spans.add().spans.add()
        scope = metrics.resource_metrics.add().scope_metrics.add()
        scope.metrics.add().sum.data_points.add()
        scope.metrics.add().gauge.data_points.add()
        scope.metrics.add().histogram.data_points.add()
        scope.metrics.add().exponential_histogram.data_points.add()
        scope.metrics.add().summary.data_points.add()
        scope.metrics.add()
    counts = {
        signal: count_records(
            head(signal, Encoding.PROTOBUF), message.SerializeToString(), LIMIT_BYTES
        )
        for signal, message in zip(Signal, (logs, metrics, traces), strict=True)
    }
    assert counts == {Signal.LOGS: 2, Signal.METRICS: 10, Signal.TRACES: 2}


def test_empty_protobuf_body_is_an_empty_request() -> None:
    assert count_records(head(encoding=Encoding.PROTOBUF), b"", LIMIT_BYTES) == 0


@pytest.mark.parametrize("signal", list(Signal))
def test_bytes_that_are_no_protobuf_are_malformed(signal: Signal) -> None:
    assert refusal_of_body(b"\xff\xff", head(signal, Encoding.PROTOBUF)) is Refusal.MALFORMED


GZIPPED = Head(signal=Signal.LOGS, encoding=Encoding.JSON, gzipped=True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        gzip.compress(b"{}")[:-1],
        gzip.compress(b"{}") + b"behind",
        zlib.compress(b"{}"),
        gzip.compress(b"") * MAX_MEMBERS + gzip.compress(b"{}"),
    ],
    ids=["empty", "plain", "cut short", "trailing bytes", "zlib", "too many members"],
)
def test_body_that_is_not_gzip_is_refused(body: bytes) -> None:
    assert refusal_of_body(body, GZIPPED) is Refusal.NOT_GZIP


def test_bomb_is_too_large() -> None:
    bomb = gzip.compress(b" " * 10 * LIMIT_BYTES)
    assert refusal_of_body(bomb, GZIPPED) is Refusal.TOO_LARGE


def test_body_beyond_the_limit_is_too_large_before_it_is_looked_at() -> None:
    assert refusal_of_body(b"x" * (LIMIT_BYTES + 1), head()) is Refusal.TOO_LARGE


def test_refusal_repeats_nothing_of_the_request() -> None:
    with pytest.raises(RefusedError) as of_body:
        count_records(head(), b'{"resourceLogs":"hunter2"}', LIMIT_BYTES)
    with pytest.raises(RefusedError) as of_head:
        check_head("/v1/logs", "POST", {"Content-Type": "hunter2"})
    assert "hunter2" not in f"{of_body.value} {of_head.value}"


def nested_attribute(levels: int) -> bytes:
    """A log record whose attribute is an AnyValue in so many others, in JSON."""
    value = b'{"arrayValue":{"values":[' * levels + b'{"intValue":1}' + b"]}}" * levels
    record = b'{"attributes":[{"key":"k","value":' + value + b"}]}"
    return b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[' + record + b"]}]}]}"


def test_json_is_refused_where_it_is_nested_too_deeply() -> None:
    assert count_records(head(), nested_attribute(MAX_JSON_DEPTH // 3 - 5), LIMIT_BYTES) == 1
    assert refusal_of_body(nested_attribute(MAX_JSON_DEPTH // 3), head()) is Refusal.TOO_DEEP
    assert refusal_of_body(b'{"a":' + b"[" * 4_000, head()) is Refusal.TOO_DEEP


def a_field(number: int, content: bytes) -> bytes:
    """A field of protobuf with a length, which the message classes would not nest so deeply."""
    low, high = len(content) & 127 | 128, len(content) >> 7
    return bytes((number << 3 | 2, low, high)) + content


def nested_protobuf(levels: int) -> bytes:
    value = b"\x18\x01"
    for _ in range(levels):
        value = a_field(5, a_field(1, value))  # AnyValue.array_value, ArrayValue.values
    attribute = a_field(1, b"k") + a_field(2, value)
    return a_field(1, a_field(2, a_field(2, a_field(6, attribute))))


def test_all_that_protobuf_lets_through_may_be_said_in_json() -> None:
    protobuf = head(encoding=Encoding.PROTOBUF)
    assert count_records(protobuf, nested_protobuf(46), LIMIT_BYTES) == 1
    assert refusal_of_body(nested_protobuf(48), protobuf) is Refusal.MALFORMED
    assert count_records(head(), nested_attribute(48), LIMIT_BYTES) == 1


def test_the_number_of_records_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.receive.request.MAX_RECORDS", 2)
    body = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[%b]}]}]}'
    assert count_records(head(), body % b"{},{}", LIMIT_BYTES) == 2
    assert refusal_of_body(body % b"{},{},{}", head()) is Refusal.TOO_MANY_RECORDS
