"""Spans of other programs are kept whole, in both encodings."""

import gzip
import json
from typing import Any

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from bridge.decode.content import ContentPolicy
from bridge.decode.foreign import foreign_spans
from bridge.decode.records import Decoder, Foreign
from bridge.errors import UndecodableError
from bridge.model.events import Record
from bridge.model.requests import Encoding, ExportRequest, Signal
from tests.golden.fused.signals import to_json

TRACE, SPAN, PARENT = "0123456789abcdef0123456789abcdef", "0123456789abcdef", "fedcba9876543210"
T0_NS = 1_795_000_000_000_000_000


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("gzipped", [False, True])
def test_nothing_of_a_span_is_lost(encoding: Encoding, gzipped: bool) -> None:
    export = an_export()
    (span,) = foreign_spans(_request(export, encoding, gzipped=gzipped))

    assert span is not None
    around = export.resource_spans[0]
    assert Span.FromString(span.span) == around.scope_spans[0].spans[0]
    assert Resource.FromString(span.resource) == around.resource
    assert span.scope == around.scope_spans[0].scope.SerializeToString()
    assert (span.trace_id, span.span_id, span.name) == (TRACE, SPAN, "handle")
    assert (span.start_ms, span.end_ms) == (T0_NS // 10**6, T0_NS // 10**6 + 5)
    assert span.attributes == {"service.name": "ci", "member": "alex"}
    assert not span.is_root


@pytest.mark.parametrize("encoding", Encoding)
def test_what_the_senders_token_fixes_stands_in_place_of_what_the_client_says(
    encoding: Encoding,
) -> None:
    export = an_export()
    own = export.resource_spans[0].scope_spans[0].spans[0]
    own.attributes.add(key="member").value.string_value = "boss"
    request = msgspec.structs.replace(_request(export, encoding), fixed={"member": "ada"})

    (span,) = foreign_spans(request)

    assert span is not None
    assert span.attributes == {"service.name": "ci", "member": "ada"}
    assert span.fixed == {"member": "ada"}
    resource = Resource.FromString(span.resource)
    told = [(pair.key, pair.value.string_value) for pair in resource.attributes]
    assert told == [("service.name", "ci"), ("member", "ada")]
    assert "member" not in {pair.key for pair in Span.FromString(span.span).attributes}


def test_both_encodings_keep_the_same_bytes() -> None:
    export = an_export()

    assert list(foreign_spans(_request(export, Encoding.JSON))) == list(
        foreign_spans(_request(export, Encoding.PROTOBUF))
    )


def test_the_longer_names_of_the_containers_are_read_too() -> None:
    export = an_export()
    body = to_json(export).replace(b"resourceSpans", b"resource_spans")
    request = _raw(body.replace(b"scopeSpans", b"scope_spans"), Encoding.JSON)

    assert list(foreign_spans(request)) == list(foreign_spans(_request(export, Encoding.JSON)))


@pytest.mark.parametrize(
    ("told", "session"),
    [
        ({"session.id": "s1", "gen_ai.conversation.id": "c1"}, "s1"),
        ({"gen_ai.conversation.id": "c1"}, "c1"),
        ({}, None),
    ],
)
def test_its_session_is_the_one_it_names(told: dict[str, str], session: str | None) -> None:
    (span,) = foreign_spans(_request(an_export(told), Encoding.PROTOBUF))

    assert span is not None
    assert span.session_id == session


def test_a_span_without_ids_is_none_and_keeps_its_place() -> None:
    export = an_export()
    export.resource_spans[0].scope_spans[0].spans.insert(0, Span(name="lost"))

    assert [span and span.name for span in foreign_spans(_request(export, Encoding.JSON))] == [
        None,
        "handle",
    ]


@pytest.mark.parametrize("encoding", Encoding)
def test_what_is_no_export_is_said_to_be_none(encoding: Encoding) -> None:
    request = _raw(b'{"resourceSpans": 3' if encoding is Encoding.JSON else b"\xff\xff", encoding)

    with pytest.raises(UndecodableError):
        list(foreign_spans(request))


def test_a_span_whose_ids_are_not_hex_is_said_to_be_unreadable() -> None:
    document = json.loads(to_json(an_export()))
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] = "no hex"

    (found,) = foreign_spans(_raw(json.dumps(document).encode(), Encoding.JSON))

    assert isinstance(found, UndecodableError)


@pytest.mark.parametrize("encoding", Encoding)
def test_in_a_mixture_each_span_is_read_as_what_it_is(encoding: Encoding) -> None:
    found = _decoded(_mixture(), encoding, keeps_foreign=True)

    assert [type(item) for item in found] == [Foreign, Record, Foreign]
    names = [item.span and item.span.name for item in found if isinstance(item, Foreign)]
    assert names == ["handle", "other"]


@pytest.mark.parametrize("encoding", Encoding)
def test_spans_that_are_not_passed_on_are_not_kept(encoding: Encoding) -> None:
    found = _decoded(_mixture(), encoding, keeps_foreign=False)

    assert [type(item) for item in found] == [Foreign, Record, Foreign]
    assert [item.span for item in found if isinstance(item, Foreign)] == [None, None]


def an_export(told: dict[str, str] | None = None) -> ExportTraceServiceRequest:
    """One span of another program with all that a span can have."""
    export = ExportTraceServiceRequest()
    around = export.resource_spans.add(schema_url="https://example.org/resource")
    _attribute(around.resource, "service.name", "ci")
    _attribute(around.resource, "member", "alex")
    scope_spans = around.scope_spans.add()
    scope_spans.scope.name, scope_spans.scope.version = "ci.pipeline", "7"
    span = scope_spans.spans.add(
        trace_id=bytes.fromhex(TRACE),
        span_id=bytes.fromhex(SPAN),
        parent_span_id=bytes.fromhex(PARENT),
        trace_state="vendor=1",
        name="handle",
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=T0_NS,
        end_time_unix_nano=T0_NS + 5_000_001,
        flags=257,
        dropped_attributes_count=3,
    )
    span.attributes.add(key="count").value.int_value = 2**53 + 1
    span.attributes.add(key="raw").value.bytes_value = b"\x00\xff"
    span.attributes.add(key="many").value.array_value.values.add().double_value = 0.1
    span.events.add(name="tick", time_unix_nano=T0_NS + 1)
    span.links.add(trace_id=bytes.fromhex(TRACE[::-1]), span_id=bytes.fromhex(PARENT))
    span.status.code, span.status.message = Status.STATUS_CODE_ERROR, "boom"
    for key, value in (told or {}).items():
        _attribute(span, key, value)
    return export


def _mixture() -> ExportTraceServiceRequest:
    export = an_export()
    own = export.resource_spans.add().scope_spans.add()
    own.scope.name = "com.anthropic.claude_code.tracing"
    own.spans.add(
        trace_id=bytes.fromhex(TRACE),
        span_id=bytes.fromhex(PARENT),
        name="claude_code.tool",
        start_time_unix_nano=T0_NS,
        end_time_unix_nano=T0_NS,
    )
    other = export.resource_spans.add().scope_spans.add()
    other.scope.name = "sdk.app"
    other.spans.add(trace_id=bytes.fromhex(TRACE), span_id=bytes.fromhex(SPAN[::-1]), name="other")
    return export


def _decoded(
    export: ExportTraceServiceRequest, encoding: Encoding, *, keeps_foreign: bool
) -> list[Any]:
    decoder = Decoder(
        policy=ContentPolicy.FULL, tag_attributes=frozenset(), keeps_foreign=keeps_foreign
    )
    return list(decoder.decode(_request(export, encoding)))


def _attribute(holder: Any, key: str, value: str) -> None:
    holder.attributes.add(key=key).value.string_value = value


def _request(
    export: ExportTraceServiceRequest, encoding: Encoding, *, gzipped: bool = False
) -> ExportRequest:
    body = to_json(export) if encoding is Encoding.JSON else export.SerializeToString()
    return _raw(gzip.compress(body) if gzipped else body, encoding, gzipped=gzipped)


def _raw(body: bytes, encoding: Encoding, *, gzipped: bool = False) -> ExportRequest:
    return ExportRequest(
        signal=Signal.TRACES,
        encoding=encoding,
        body=body,
        gzipped=gzipped,
        records=1,
        received_at_ms=T0_NS // 10**6,
    )
