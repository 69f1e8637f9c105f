"""Both encodings of a traces request are read alike."""

import base64
import gzip
import json
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bridge.decode.otlp_spans import PARENT_IS_REMOTE, STATUS_ERROR, RawSpan, raw_spans
from bridge.errors import UndecodableError
from bridge.model.requests import Encoding, ExportRequest, Signal
from tests.recordings import JSON, Body, capture, captures

TRACE, SPAN, PARENT = "0123456789abcdef0123456789abcdef", "0123456789abcdef", "fedcba9876543210"
T0_NS = 1_795_000_000_000_000_000


@pytest.mark.parametrize("name", captures())
def test_a_capture_reads_the_same_in_both_encodings(name: str) -> None:
    for body in _of_traces(name):
        document = json.loads(body.plain)
        as_json = _read(body.plain, Encoding.JSON)

        assert as_json == _read(_protobuf(document), Encoding.PROTOBUF)
        assert as_json == _read(gzip.compress(_protobuf(document)), Encoding.PROTOBUF, gzipped=True)
        assert len(as_json) == sum(
            len(scope["spans"])
            for resource in document["resourceSpans"]
            for scope in resource["scopeSpans"]
        )


def test_a_recorded_protobuf_body_has_ids_times_and_events() -> None:
    bodies = [body for body in capture("2.1.330/a-grpc-full") if body.signal == "traces"]
    spans = [span for body in bodies for span in _read(body.plain, Encoding.PROTOBUF)]
    root = next(span for span in spans if span.name == "claude_code.interaction")
    (request,) = (span for span in spans if span.name == "claude_code.llm_request")

    assert root.parent_span_id is None
    assert (request.trace_id, request.parent_span_id) == (root.trace_id, root.span_id)
    assert len(root.trace_id or "") == 32
    assert root.start_unix_ns <= request.start_unix_ns < request.end_unix_ns <= root.end_unix_ns
    assert [event.name for event in request.events] == ["gen_ai.request.attempt"]
    assert request.start_unix_ns <= request.events[0].time_unix_ns <= request.end_unix_ns
    assert (root.scope_name, root.scope_version) == ("com.anthropic.claude_code.tracing", "1.0.0")
    assert root.resource["service.version"] == "2.1.330"


@pytest.mark.parametrize("encoding", Encoding)
def test_everything_a_span_says_is_read(encoding: Encoding) -> None:
    (span,) = _read_span(
        {
            "traceId": TRACE,
            "spanId": SPAN,
            "parentSpanId": PARENT,
            "name": "a",
            "startTimeUnixNano": str(T0_NS),
            "endTimeUnixNano": str(T0_NS + 5),
            "status": {"code": STATUS_ERROR, "message": "broken"},
            "flags": 0x300,
            "attributes": [{"key": "k", "value": {"intValue": "5"}}],
            "events": [
                {"name": "e", "timeUnixNano": str(T0_NS + 1)},
                {"name": "f", "attributes": [{"key": "x", "value": {"boolValue": False}}]},
            ],
        },
        encoding,
    )

    assert (span.trace_id, span.span_id, span.parent_span_id) == (TRACE, SPAN, PARENT)
    assert (span.name, span.start_unix_ns, span.end_unix_ns) == ("a", T0_NS, T0_NS + 5)
    assert (span.status_code, span.status_message) == (STATUS_ERROR, "broken")
    assert span.flags & PARENT_IS_REMOTE
    assert span.attributes == {"k": 5}
    assert [(e.name, e.time_unix_ns, e.attributes) for e in span.events] == [
        ("e", T0_NS + 1, {}),
        ("f", 0, {"x": False}),
    ]


@pytest.mark.parametrize("encoding", Encoding)
def test_what_is_missing_reads_as_absent(encoding: Encoding) -> None:
    (span,) = _read_span({}, encoding)

    assert (span.trace_id, span.span_id, span.parent_span_id) == (None, None, None)
    assert (span.name, span.status_message, span.scope_name) == ("", "", "")
    assert (span.start_unix_ns, span.end_unix_ns, span.status_code, span.flags) == (0, 0, 0, 0)
    assert (span.attributes, span.events, span.resource) == ({}, (), {})


def test_upper_case_ids_are_the_same_ids() -> None:
    ids = {"traceId": TRACE.upper(), "spanId": SPAN.upper(), "parentSpanId": PARENT.upper()}
    (span,) = _read_span(ids, Encoding.JSON)

    assert (span.trace_id, span.span_id, span.parent_span_id) == (TRACE, SPAN, PARENT)


def test_an_empty_parent_id_is_none() -> None:
    (span,) = _read_span({"parentSpanId": ""}, Encoding.JSON)

    assert span.parent_span_id is None


@pytest.mark.parametrize(
    "span",
    [
        "a string",
        None,
        {"status": 5, "events": "none", "attributes": {"a": 1}},
        {"status": {"code": "STATUS_CODE_OK"}, "flags": "many", "events": [None, 7]},
        {"traceId": 5, "name": ["a"], "startTimeUnixNano": "soon", "somethingNew": {"a": [1]}},
    ],
)
def test_unknown_fields_and_wrong_shapes_do_no_harm(span: object) -> None:
    (read,) = _read_span(span, Encoding.JSON)

    assert (read.trace_id, read.status_code, read.flags, read.start_unix_ns) == (None, 0, 0, 0)


@pytest.mark.parametrize(
    ("body", "encoding"), [(b"\xff\xff", Encoding.PROTOBUF), (b"{", Encoding.JSON)]
)
def test_a_body_that_is_no_request_is_undecodable(body: bytes, encoding: Encoding) -> None:
    with pytest.raises(UndecodableError):
        _read(body, encoding)


def _of_traces(name: str) -> list[Body]:
    return [body for body in capture(name) if body.signal == "traces" and body.content_type == JSON]


def _read_span(span: object, encoding: Encoding) -> list[RawSpan]:
    document = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    if encoding is Encoding.JSON:
        return _read(json.dumps(document).encode(), encoding)
    return _read(_protobuf(document), encoding)


def _read(body: bytes, encoding: Encoding, *, gzipped: bool = False) -> list[RawSpan]:
    request = ExportRequest(
        signal=Signal.TRACES,
        encoding=encoding,
        body=body,
        gzipped=gzipped,
        records=1,
        received_at_ms=0,
    )
    return list(raw_spans(request))


def _protobuf(document: Any) -> bytes:
    """The same request in protobuf, whose own JSON form writes ids in base64."""
    message = ParseDict(_with_base64_ids(document), ExportTraceServiceRequest())
    return bytes(message.SerializeToString())


def _with_base64_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_base64_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64encode(bytes.fromhex(item)).decode()
        if key in {"traceId", "spanId", "parentSpanId"}
        else _with_base64_ids(item)
        for key, item in value.items()
    }
