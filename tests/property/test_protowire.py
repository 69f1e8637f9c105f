"""What is written by hand is, byte for byte, what the official classes write; reading likewise."""

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from bridge.langfuse import wire
from bridge.model.delivery import PendingSpan
from bridge.protowire import (
    Attribute,
    AttributeWriter,
    Key,
    LogsRequest,
    fixed64,
    present,
    sized,
    varint,
)
from tests.property.examples import few

texts = st.one_of(st.text(max_size=20), st.integers(100, 20_000).map(lambda size: "ü" * size))
scalars = st.one_of(texts, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats())
pairs = st.lists(
    st.tuples(texts, st.one_of(st.none(), scalars, st.lists(scalars, max_size=4))), max_size=6
)


def official(value: Attribute) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case _:
            return AnyValue(array_value=ArrayValue(values=map(official, value)))


@few(300)
@given(pairs)
def test_attributes_are_those_of_the_official_classes(
    attributes: list[tuple[str, Attribute | None]],
) -> None:
    expected = Resource(
        attributes=[
            KeyValue(key=key, value=official(value))
            for key, value in attributes
            if value is not None
        ]
    )

    assert AttributeWriter(b"\x0a").write(attributes) == expected.SerializeToString()


@few(300)
@given(st.lists(pairs, max_size=3), st.integers(0, 30))
def test_attributes_that_come_again_are_written_as_before(
    records: list[list[tuple[str, Attribute | None]]], remembered_chars: int
) -> None:
    writer = AttributeWriter(b"\x0a", "of.", remembered_chars=remembered_chars)

    for attributes in [*records, *records]:
        prefixed = [(f"of.{key}", value) for key, value in attributes]
        assert writer.write(attributes) == AttributeWriter(b"\x0a").write(prefixed)


@few(300)
@given(
    st.binary(max_size=300),
    st.binary(max_size=300),
    texts,
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
)
def test_fields_are_those_of_the_official_classes(
    trace_id: bytes, parent_id: bytes, name: str, start_ns: int, dropped: int
) -> None:
    dropped %= 2**32
    expected = Span(
        trace_id=trace_id,
        parent_span_id=parent_id,
        name=name,
        start_time_unix_nano=start_ns,
        dropped_attributes_count=dropped,
        status=Status(),
    )

    written = (
        present(b"\x0a", trace_id)
        + present(b"\x22", parent_id)
        + present(b"\x2a", name.encode())
        + fixed64(b"\x39", start_ns)
        + (b"\x50" + varint(dropped) if dropped else b"")
        + sized(b"\x7a", b"")
    )

    assert written == expected.SerializeToString()


def key_values(attributes: list[tuple[str, Attribute | None]]) -> list[KeyValue]:
    return [
        KeyValue(key=key) if value is None else KeyValue(key=key, value=official(value))
        for key, value in attributes
    ]


@few(200)
@given(st.lists(pairs, min_size=1, max_size=3), st.integers(0, 2**64 - 1), texts)
def test_a_logs_request_is_read_as_by_the_official_class(
    records: list[list[tuple[str, Attribute | None]]], time_ns: int, name: str
) -> None:
    official_request = ExportLogsServiceRequest(
        resource_logs=[
            ResourceLogs(
                resource=Resource(attributes=key_values(records[0])),
                scope_logs=[
                    ScopeLogs(
                        scope=InstrumentationScope(name=name),
                        log_records=[
                            LogRecord(
                                time_unix_nano=time_ns,
                                event_name=name,
                                body=AnyValue(string_value=name),
                                attributes=key_values(attributes),
                                trace_id=b"t" * 16,
                                span_id=b"s" * 8,
                            )
                            for attributes in records
                        ],
                    )
                ],
            )
        ]
    )

    shadow = LogsRequest.FromString(official_request.SerializeToString())

    # Written again the bytes are the same: no field has another number or type.
    assert shadow.SerializeToString() == official_request.SerializeToString()
    (of_resource,) = shadow.resource_logs
    (of_scope,) = of_resource.scope_logs
    assert [record.time_unix_nano for record in of_scope.log_records] == [time_ns] * len(records)
    assert {record.event_name for record in of_scope.log_records} == {name}


spans = st.builds(
    PendingSpan,
    position=st.just(1),
    span=texts.map(lambda name: Span(name=name, trace_id=b"t" * 16).SerializeToString()),
    service_name=st.sampled_from(["claude-code", "other", ""]),
    service_version=st.sampled_from([None, "2.1.330", ""]),
)


@few(100)
@given(st.lists(spans, max_size=8))
def test_an_export_is_one_the_official_classes_read(batch: list[PendingSpan]) -> None:
    export = wire.encode_export(batch)

    message = ExportTraceServiceRequest.FromString(export)
    found = [
        span
        for of_resource in message.resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    ]
    assert message.SerializeToString(deterministic=True) == export
    assert [span.SerializeToString() for span in found] == [each.span for each in batch]


sizes = st.integers(0, 300) | st.integers(16_250, 16_600) | st.integers(2_097_100, 2_097_400)


@few(200)
@given(st.sampled_from(["a", "event.name", "k" * 130]), sizes)
def test_what_begins_a_string_of_a_key_is_known_by_its_size(name: str, text_bytes: int) -> None:
    key, text = Key(name), "x" * text_bytes
    (message,) = key_values([(name, text)])
    field = message.SerializeToString()

    for size_bytes in (len(field), len(field) + 1):
        begin = key.begin(size_bytes)
        rest = size_bytes - len(begin)
        told = KeyValue.FromString(begin + b"x" * rest) if rest >= 0 else None
        assert told is None or (told.key, told.value.string_value) == (name, "x" * rest)
    assert key.begin(len(field)) + text.encode() == field
