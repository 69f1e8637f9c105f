"""Both encodings of a logs request are read alike."""

import gzip
import json

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from bridge.decode.otlp import LogReader, WholeLog
from bridge.errors import UndecodableError
from bridge.model.requests import Encoding, ExportRequest, Signal
from tests.builders import T0_MS, a_record
from tests.pipeline import ALL_CAPTURES, Json, batch, capture_records

TRACE, SPAN = "0123456789abcdef0123456789abcdef", "0123456789abcdef"


def test_ids_are_hex_in_json_and_bytes_in_protobuf() -> None:
    record = a_record("user_prompt", 0, span=(TRACE, SPAN))

    for encoding in Encoding:
        (raw,) = raw_logs(batch([record], encoding=encoding))
        assert (raw.trace_id, raw.span_id) == (TRACE, SPAN)


def test_upper_case_ids_are_the_same_ids() -> None:
    assert _read_json(_document(traceId=TRACE.upper(), spanId=SPAN.upper())).trace_id == TRACE


@pytest.mark.parametrize("capture", ALL_CAPTURES)
def test_a_capture_reads_the_same_in_both_encodings(capture: str) -> None:
    records = capture_records(capture)

    as_json = raw_logs(batch(records))

    assert as_json == raw_logs(batch(records, ints_as_strings=True))
    assert as_json == raw_logs(batch(records, encoding=Encoding.PROTOBUF))
    assert as_json == raw_logs(batch(records, encoding=Encoding.PROTOBUF, gzipped=True))
    assert len(as_json) == len(records)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"intValue": 5}, 5),
        ({"intValue": "5"}, 5),
        ({"intValue": "five"}, None),
        ({"boolValue": False}, False),
        ({"stringValue": ""}, ""),
        ({"doubleValue": 0.5}, 0.5),
        ({"arrayValue": {"values": [{"intValue": 1}, {"stringValue": "a"}]}}, [1, "a"]),
        ({"arrayValue": {}}, []),
        ({"kvlistValue": {"values": [{"key": "a", "value": {"intValue": 1}}]}}, {"a": 1}),
        ({"kvlistValue": {"values": [{"key": 5}, "x", {"key": "a"}]}}, {"a": None}),
        ({"somethingNew": 5}, None),
        ({"somethingNew": 5, "intValue": 6}, 6),
        ({}, None),
        (None, None),
        ("plain", None),
    ],
)
def test_every_kind_of_json_value_is_read(value: object, expected: object) -> None:
    attributes = [{"key": "a", "value": value}]

    assert _read_json(_document(attributes=attributes)).attributes == {"a": expected}


def test_a_whole_double_stays_a_double_in_both_encodings() -> None:
    """JavaScript writes the double 5 as ``5``, which must not become an int on the way."""
    written = _read_json(_document(attributes=[{"key": "a", "value": {"doubleValue": 5}}]))
    message = ExportLogsServiceRequest()
    record = message.resource_logs.add().scope_logs.add().log_records.add()
    record.attributes.add(key="a").value.double_value = 5
    (binary,) = raw_logs(_request(message.SerializeToString(), Encoding.PROTOBUF))

    assert repr(written.attributes) == repr(binary.attributes) == "{'a': 5.0}"


def test_nested_values_are_read_in_both_encodings() -> None:
    message = ExportLogsServiceRequest()
    record = message.resource_logs.add().scope_logs.add().log_records.add()
    pair = record.attributes.add(key="a").value.kvlist_value.values.add(key="b")
    pair.value.array_value.values.add().int_value = 1
    inner = {"key": "b", "value": {"arrayValue": {"values": [{"intValue": 1}]}}}
    attributes = [{"key": "a", "value": {"kvlistValue": {"values": [inner]}}}]

    (binary,) = raw_logs(_request(message.SerializeToString(), Encoding.PROTOBUF))

    assert binary.attributes == {"a": {"b": [1]}}
    assert _read_json(_document(attributes=attributes)).attributes == binary.attributes


def test_bytes_are_base64_in_both_encodings() -> None:
    """As OTLP/JSON writes them."""
    message = ExportLogsServiceRequest()
    record = message.resource_logs.add().scope_logs.add().log_records.add()
    record.attributes.add(key="a").value.bytes_value = b"\0\1\2"
    attributes = [{"key": "a", "value": {"bytesValue": "AAEC"}}]

    (binary,) = raw_logs(_request(message.SerializeToString(), Encoding.PROTOBUF))

    assert binary.attributes == {"a": "AAEC"}
    assert _read_json(_document(attributes=attributes)).attributes == binary.attributes


def test_deep_nesting_ends_somewhere() -> None:
    value: Json = {"intValue": 1}
    for _ in range(80):
        value = {"arrayValue": {"values": [value]}}

    read = _read_json(_document(attributes=[{"key": "a", "value": value}])).attributes["a"]

    assert str(read).count("[") < 40


def test_half_a_surrogate_pair_is_replaced() -> None:
    """JavaScript cuts strings between the halves of an emoji and writes the half it has."""
    document = json.dumps(_document(body={"stringValue": "X"})).replace("X", "cut \\ud83d")

    (raw,) = raw_logs(_request(document.encode()))

    assert raw.body == "cut ?"
    raw.body.encode()


def test_unknown_fields_and_missing_ones_do_no_harm() -> None:
    raw = _read_json({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"later": 1}]}], "x": []}]})

    assert raw == WholeLog(
        resource={},
        scope_name="",
        scope_version="",
        time_unix_ns=0,
        event_name="",
        body=None,
        attributes={},
        trace_id=None,
        span_id=None,
    )


def test_times_are_strings_or_numbers_and_fall_back_to_the_time_of_observation() -> None:
    assert _read_json(_document(timeUnixNano="5")).time_unix_ns == 5
    assert _read_json(_document(timeUnixNano=5)).time_unix_ns == 5
    assert _read_json(_document(timeUnixNano="0", observedTimeUnixNano="7")).time_unix_ns == 7
    assert _read_json(_document()).time_unix_ns == 0


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (Encoding.JSON, b"{"),
        (Encoding.JSON, b"\xff\xfe"),
        (Encoding.PROTOBUF, b"\xff\xff\xff"),
        (Encoding.PROTOBUF, b'{"resourceLogs": []}'),
    ],
)
def test_a_body_that_is_not_what_it_claims_cannot_be_decoded(
    encoding: Encoding, body: bytes
) -> None:
    with pytest.raises(UndecodableError, match="the body is not"):
        raw_logs(_request(body, encoding))


def test_a_damaged_gzip_body_cannot_be_decoded() -> None:
    body = gzip.compress(b"{}")[:-4]

    with pytest.raises(UndecodableError, match="gzip"):
        raw_logs(_request(body, gzipped=True))


@pytest.mark.parametrize("body", [b"null", b"[]", b'"a"', b'{"resourceLogs": 5}', b"{}"])
def test_json_of_another_shape_has_no_records(body: bytes) -> None:
    assert raw_logs(_request(body)) == []


def test_fields_may_be_written_with_underscores() -> None:
    record = {"attributes": []}
    body = {"resource_logs": [{"scope_logs": [{"log_records": [record]}]}]}

    assert len(raw_logs(_request(json.dumps(body).encode()))) == 1


def test_a_builder_record_carries_its_time() -> None:
    (raw,) = raw_logs(batch([a_record("x", 5)]))

    assert raw.time_unix_ns == (T0_MS + 5) * 1_000_000


def raw_logs(request: ExportRequest) -> list[WholeLog]:
    return [raw.whole for raw in LogReader().read(request)]


def _document(**record: object) -> Json:
    return {"resourceLogs": [{"scopeLogs": [{"scope": {}, "logRecords": [record]}]}]}


def _read_json(document: Json) -> WholeLog:
    (raw,) = raw_logs(_request(json.dumps(document).encode()))
    return raw


def _request(
    body: bytes, encoding: Encoding = Encoding.JSON, *, gzipped: bool = False
) -> ExportRequest:
    return ExportRequest(
        signal=Signal.LOGS,
        encoding=encoding,
        body=body,
        gzipped=gzipped,
        records=1,
        received_at_ms=T0_MS,
    )
