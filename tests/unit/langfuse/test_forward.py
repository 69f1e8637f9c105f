"""Spans of other programs reach Langfuse as they came, but for tags and session."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from bridge.langfuse import wire
from bridge.langfuse.forward import forwarded
from bridge.langfuse.trace import TraceSettings
from bridge.model.delivery import PendingSpan
from bridge.model.foreign import ForeignSpan
from bridge.model.requests import Encoding, ExportRequest, Signal
from tests.golden.fused.signals import plain, requests_of, to_json
from tests.pipeline import EVERYTHING, Pipeline, pipeline

TRACE, SPAN = bytes(range(16)), bytes(range(8))
T0_MS = 1_795_000_000_000
SETTINGS = TraceSettings(tags=(("member", "member"), ("team.id", "team")))
TAGS = ["member:alex"]


def test_it_gains_the_tags_of_its_resource_and_its_session() -> None:
    sent = forwarded(_foreign(_span()), SETTINGS)
    span = Span.FromString(sent.span)

    added = span.attributes[-2:]
    assert {pair.key: plain(pair.value) for pair in added} == {
        "langfuse.trace.tags": TAGS,
        "langfuse.session.id": "s1",
    }
    del span.attributes[-2:]
    assert span == _span()


def test_its_own_tags_and_session_are_left_to_it() -> None:
    own = {"langfuse.trace.tags": "mine", "langfuse.session.id": "mine"}
    span = _span(own)

    assert Span.FromString(forwarded(_foreign(span), SETTINGS).span) == span


CLAIMS = {
    "langfuse.trace.tags": "department:sales",
    "langfuse.tags": "department:sales",
    "langfuse.user.id": "boss",
    "user.id": "boss",
    "langfuse.release": "sales",
    "langfuse.trace.metadata": '{"department": "sales"}',
    "langfuse.trace.metadata.department": "sales",
    "langfuse.session.id": "mine",
}


def test_what_its_senders_token_fixes_is_not_left_to_it() -> None:
    fixed = {"member": "Ada", "department": "research"}
    foreign = msgspec.structs.replace(
        _foreign(_span(CLAIMS)), attributes={"service.name": "ci"} | fixed, fixed=fixed
    )
    settings = TraceSettings(tags=(("department", "department"),), group_by="department")

    span = Span.FromString(forwarded(foreign, settings).span)

    assert {pair.key: plain(pair.value) for pair in span.attributes} == {
        "http.route": "/orders",
        "langfuse.session.id": "mine",
        "langfuse.trace.tags": ["department:research"],
        "langfuse.user.id": "Ada",
        "langfuse.release": "research",
    }


def test_what_a_token_does_not_fix_stays_its_own() -> None:
    foreign = msgspec.structs.replace(_foreign(_span(CLAIMS)), fixed={"room": "7"})

    span = Span.FromString(forwarded(foreign, SETTINGS).span)

    kept = {key: value for key, value in CLAIMS.items() if key != "langfuse.trace.metadata"}
    assert {pair.key: plain(pair.value) for pair in span.attributes} == {
        "http.route": "/orders"
    } | kept


def test_without_tags_and_session_nothing_is_added() -> None:
    span = _span()
    sent = forwarded(_foreign(span, session=None, member=None), SETTINGS)

    assert Span.FromString(sent.span) == span


def test_resource_and_scope_are_its_own() -> None:
    foreign = _foreign(_span())
    envelope = ResourceSpans.FromString(forwarded(foreign, SETTINGS).envelope)

    assert envelope.resource.SerializeToString() == foreign.resource
    assert envelope.scope_spans[0].scope.SerializeToString() == foreign.scope
    assert len(envelope.scope_spans) == 1
    assert not envelope.scope_spans[0].spans


# --- through the whole pipeline ------------------------------------------------------------------


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("gzipped", [False, True])
def test_a_batch_holds_each_span_under_its_own_resource_and_scope(
    encoding: Encoding, gzipped: bool
) -> None:
    with _assembled(_mixture(encoding, gzipped=gzipped), forward_other_spans=True) as made:
        export = _export(made)

    found = {
        (around.resource.attributes[0].value.string_value, scope.scope.name): len(scope.spans)
        for around in export.resource_spans
        for scope in around.scope_spans
    }
    assert found[("ci", "ci.pipeline")] == 1
    assert found[("app", "sdk.app")] == 1
    assert found[("claude-code", "langfuse-sdk/langfuse-bridge")] > 1


@pytest.mark.parametrize("encoding", Encoding)
def test_spans_of_a_mixture_end_as_what_they_are(encoding: Encoding) -> None:
    with _assembled(_mixture(encoding), forward_other_spans=True) as made:
        assert made.outcomes().get("forwarded") == 2
        assert "other_scope" not in made.outcomes()
        assert made.accepted() == sum(made.outcomes().values())


def test_spans_that_are_not_wanted_are_counted_and_not_kept() -> None:
    with _assembled(_mixture(Encoding.JSON), forward_other_spans=False) as made:
        assert made.outcomes()["other_scope"] == 2
        assert {scope for scope, _ in _sent(made)} == {"langfuse-sdk/langfuse-bridge"}


def test_the_metadata_policy_lets_none_of_them_through() -> None:
    """Nothing is known of what their attributes quote."""
    settings = {"forward_other_spans": True, "content": "metadata"}
    with _assembled(_mixture(Encoding.JSON), **settings) as made:
        assert made.outcomes()["other_scope"] == 2
        assert {scope for scope, _ in _sent(made)} == {"langfuse-sdk/langfuse-bridge"}


def test_a_span_that_comes_twice_is_sent_once() -> None:
    request = _mixture(Encoding.PROTOBUF)
    with _assembled(request, request, forward_other_spans=True) as made:
        names = [name for scope, name in _sent(made) if scope == "ci.pipeline"]

        assert names == ["handle"]
        assert made.outcomes()["forwarded"] == 2
        assert made.accepted() == sum(made.outcomes().values())


def test_the_local_view_shows_the_client_alone() -> None:
    with (
        _assembled(_mixture(Encoding.JSON), forward_other_spans=True) as with_others,
        _assembled(_mixture(Encoding.JSON), forward_other_spans=False) as without,
    ):
        assert _shown(with_others) == _shown(without)
        assert _shown(without)


def _shown(made: Pipeline) -> list[str]:
    view = made.local_view()
    try:
        return [each.id for trace in view.find("") for each in trace.observations]
    finally:
        view.close()


@contextmanager
def _assembled(*requests: ExportRequest, **settings: Any) -> Iterator[Pipeline]:
    with pipeline(**settings) as made:
        for request in requests:
            made.post(request)
            made.work(request.received_at_ms)
        made.finish(requests[-1].received_at_ms)
        yield made


def _pending(made: Pipeline) -> list[PendingSpan]:
    return list(made.ledger.claim(EVERYTHING, EVERYTHING))


def _export(made: Pipeline) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest.FromString(wire.encode_export(_pending(made)))


def _sent(made: Pipeline) -> list[tuple[str, str]]:
    return [
        (scope.scope.name, span.name)
        for around in _export(made).resource_spans
        for scope in around.scope_spans
        for span in scope.spans
    ]


def _mixture(encoding: Encoding, *, gzipped: bool = False) -> ExportRequest:
    """The spans of a capture between two of other programs, in one request."""
    (own,) = requests_of("2.1.330/a-pb-full", Signal.TRACES)
    export = ExportTraceServiceRequest()
    export.resource_spans.append(_around("ci", "ci.pipeline", _span()))
    export.MergeFromString(own.body)
    other = _span()
    other.span_id, other.name = bytes(reversed(SPAN)), "other"
    export.resource_spans.append(_around("app", "sdk.app", other))
    body = to_json(export) if encoding is Encoding.JSON else export.SerializeToString()
    return ExportRequest(
        signal=Signal.TRACES,
        encoding=encoding,
        body=gzip.compress(body) if gzipped else body,
        gzipped=gzipped,
        records=own.records + 2,
        received_at_ms=own.received_at_ms,
    )


def _around(service: str, scope: str, span: Span) -> ResourceSpans:
    around = ResourceSpans(resource=_resource(service))
    scope_spans = around.scope_spans.add()
    scope_spans.scope.name = scope
    scope_spans.spans.append(span)
    return around


def _resource(service: str) -> Resource:
    resource = Resource()
    resource.attributes.add(key="service.name").value.string_value = service
    resource.attributes.add(key="member").value.string_value = "alex"
    return resource


def _span(told: dict[str, str] | None = None) -> Span:
    span = Span(
        trace_id=TRACE,
        span_id=SPAN,
        name="handle",
        start_time_unix_nano=T0_MS * 10**6,
        end_time_unix_nano=T0_MS * 10**6 + 1,
        trace_state="a=1",
    )
    span.attributes.add(key="http.route").value.string_value = "/orders"
    for key, value in (told or {}).items():
        span.attributes.add(key=key).value.string_value = value
    return span


def _foreign(span: Span, *, session: str | None = "s1", member: str | None = "Alex") -> ForeignSpan:
    around = _around("ci", "ci.pipeline", span)
    return ForeignSpan(
        trace_id=TRACE.hex(),
        span_id=SPAN.hex(),
        session_id=session,
        name=span.name,
        start_ms=T0_MS,
        end_ms=T0_MS,
        is_root=True,
        span=span.SerializeToString(),
        resource=around.resource.SerializeToString(),
        scope=around.scope_spans[0].scope.SerializeToString(),
        attributes={"service.name": "ci"} | ({"member": member} if member else {}),
    )
