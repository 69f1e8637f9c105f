"""A body in pieces says what it says whole, and is refused where the official classes refuse it."""

import json
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bridge.errors import UndecodableError
from bridge.model.requests import Encoding, Signal
from bridge.otlp import documents, wire
from bridge.receive import records
from bridge.receive.records import COUNTERS
from tests.property.examples import few

UNCUT = 1 << 30
KINDS = {
    Signal.LOGS: ExportLogsServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
    Signal.TRACES: ExportTraceServiceRequest,
}
ITEMS = {Signal.LOGS: "logs", Signal.METRICS: "metrics", Signal.TRACES: "spans"}
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
ATTRIBUTES = st.lists(
    st.builds(lambda key, value: {"key": key, "value": {"stringValue": value}}, TEXTS, TEXTS),
    max_size=3,
)
RECORDS = st.builds(lambda a, t: {"attributes": a, "eventName": t}, ATTRIBUTES, TEXTS)
SPANS = st.builds(lambda a, t: {"attributes": a, "name": t}, ATTRIBUTES, TEXTS)
POINTS = st.lists(st.builds(lambda a: {"attributes": a}, ATTRIBUTES), max_size=4)
METRICS = st.builds(
    lambda name, kind, points: {"name": name, kind: {"dataPoints": points}},
    TEXTS,
    st.sampled_from(["sum", "gauge", "histogram", "exponentialHistogram", "summary"]),
    POINTS,
)


def exports(signal: Signal) -> st.SearchStrategy[dict[str, Any]]:
    """OTLP/JSON documents of a signal."""
    around, inside, name = {
        Signal.LOGS: ("Logs", RECORDS, "logRecords"),
        Signal.METRICS: ("Metrics", METRICS, "metrics"),
        Signal.TRACES: ("Spans", SPANS, "spans"),
    }[signal]
    scopes = st.builds(
        lambda scope, items: {"scope": {"name": scope}, name: items},
        TEXTS,
        st.lists(inside, max_size=4),
    )
    resources = st.builds(
        lambda attributes, found: {"resource": {"attributes": attributes}, f"scope{around}": found},
        ATTRIBUTES,
        st.lists(scopes, max_size=3),
    )
    return st.builds(lambda found: {f"resource{around}": found}, st.lists(resources, max_size=3))


def protobuf(signal: Signal, document: dict[str, Any]) -> bytes:
    from google.protobuf.json_format import ParseDict  # noqa: PLC0415  beside its only use

    return ParseDict(document, KINDS[signal]()).SerializeToString()


def told(signal: Signal, message: Message) -> Iterator[tuple[str, ...]]:
    """Every record with all that stands around it."""
    kind = ITEMS[signal]
    item = {"logs": "log_records"}.get(kind, kind)
    for of_resource in getattr(message, f"resource_{kind}"):
        for of_scope in getattr(of_resource, f"scope_{kind}"):
            place = (repr(of_resource.resource), repr(of_scope.scope))
            for each in getattr(of_scope, item):
                yield from ((*place, *record) for record in _records(each))


def _records(item: Any) -> Iterator[tuple[str, ...]]:
    if not hasattr(item, "WhichOneof") or item.DESCRIPTOR.name != "Metric":
        yield (repr(item),)
        return
    kind = item.WhichOneof("data")
    for point in getattr(item, kind).data_points if kind else ():
        yield (item.name, kind, repr(point))


def outcome(signal: Signal, bodies: Iterator[bytes]) -> int | None:
    """How many records the official classes find; None where they, or the walk, refuse."""
    try:
        return sum(COUNTERS[Encoding.PROTOBUF, signal](body) for body in bodies)
    except (DecodeError, UndecodableError):
        return None


@pytest.mark.parametrize("signal", list(Signal))
@given(data=st.data(), piece_bytes=st.integers(1, 200))
@few(60)
def test_pieces_of_protobuf_hold_the_same_records_in_order(
    signal: Signal, data: st.DataObject, piece_bytes: int
) -> None:
    body = protobuf(signal, data.draw(exports(signal)))
    whole = KINDS[signal].FromString(body)
    parts = [
        KINDS[signal].FromString(piece) for piece in wire.pieces(signal, body, piece_bytes, UNCUT)
    ]
    assert [r for part in parts for r in told(signal, part)] == list(told(signal, whole))


@pytest.mark.parametrize("signal", list(Signal))
@given(data=st.data(), piece_bytes=st.integers(1, 200))
@few(60)
def test_pieces_of_json_hold_the_same_records_in_order(
    signal: Signal, data: st.DataObject, piece_bytes: int
) -> None:
    document = data.draw(exports(signal))
    body = json.dumps(document).encode()
    whole = KINDS[signal].FromString(protobuf(signal, document))
    parts = [
        KINDS[signal].FromString(protobuf(signal, json.loads(piece)))
        for piece in documents.pieces(signal, body, piece_bytes, UNCUT)
    ]
    assert [r for part in parts for r in told(signal, part)] == list(told(signal, whole))


@pytest.mark.parametrize("signal", list(Signal))
@given(data=st.data(), piece_bytes=st.integers(1, 60))
@few(200)
def test_damaged_protobuf_is_counted_or_refused_as_the_official_classes_do(
    signal: Signal, data: st.DataObject, piece_bytes: int
) -> None:
    body = bytearray(protobuf(signal, data.draw(exports(signal))))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    damaged = bytes(body)
    assert outcome(signal, wire.pieces(signal, damaged, piece_bytes, UNCUT)) == outcome(
        signal, iter([damaged])
    )


@pytest.mark.parametrize("signal", list(Signal))
@given(data=st.data(), run_bytes=st.integers(0, 200))
@few(200)
def test_damaged_runs_of_resources_are_counted_or_refused_as_they_are_together(
    signal: Signal, data: st.DataObject, run_bytes: int
) -> None:
    body = bytearray(protobuf(signal, data.draw(exports(signal))))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    whole = bytes(body)
    assert b"".join(records.runs(whole, run_bytes)) == whole
    assert outcome(signal, records.runs(whole, run_bytes)) == outcome(signal, iter([whole]))


@given(junk=st.binary(max_size=60), piece_bytes=st.integers(1, 20))
@few(200)
def test_junk_is_counted_or_refused_as_the_official_classes_do(
    junk: bytes, piece_bytes: int
) -> None:
    for signal in Signal:
        whole = outcome(signal, iter([junk]))
        assert outcome(signal, wire.pieces(signal, junk, piece_bytes, UNCUT)) == whole


@given(text=TEXTS, most_bytes=st.integers(30, 60), times=st.integers(1, 40))
@few(60)
def test_long_strings_are_cut_and_marked_alike_in_both_encodings(
    text: str, most_bytes: int, times: int
) -> None:
    document = {
        "resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": text * times}}]}]}]
    }
    (from_protobuf,) = wire.pieces(Signal.LOGS, protobuf(Signal.LOGS, document), 1, most_bytes)
    plain = json.dumps(document, ensure_ascii=False).encode()
    (from_json,) = documents.pieces(Signal.LOGS, plain, 1, most_bytes)
    for found in (
        MessageToDict(ExportLogsServiceRequest.FromString(from_protobuf)),
        json.loads(from_json),
    ):
        body = found["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["body"]
        kept, cut, _ = body.get("stringValue", "").partition("… [cut")
        assert (text * times).startswith(kept)
        assert cut or kept == text * times
        assert len(kept.encode()) <= most_bytes
