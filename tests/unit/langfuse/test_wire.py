"""Observations ↔ OTLP bytes, checked against the OTLP classes and the Langfuse SDK's names."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langfuse._client.attributes import LangfuseOtelSpanAttributes
from msgspec.structs import replace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bridge.langfuse import wire
from bridge.model.delivery import PendingSpan
from bridge.model.observations import Level, Observation, ObservationKind, TraceFacts
from tests.pipeline import ALL_CAPTURES, Seen, assemble_capture, below, read_span

TRACE, SPAN, PARENT = "0123456789abcdef" * 2, "1123456789abcdef", "2123456789abcdef"

NOT_OF_THE_SDK = {"langfuse.observation.metadata", "langfuse.trace.metadata"}

texts = st.text(max_size=20)
scalars = st.one_of(
    texts,
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
)
metadata = st.dictionaries(
    st.text(min_size=1, max_size=10), st.one_of(scalars, st.lists(scalars, max_size=3)), max_size=4
)
maybe = st.one_of(st.none(), texts)
times_ms = st.integers(1, 4_000_000_000_000)
observations = st.builds(
    Observation,
    trace_id=st.just(TRACE),
    id=st.just(SPAN),
    parent_id=st.sampled_from([None, PARENT]),
    kind=st.sampled_from(ObservationKind),
    name=texts,
    start_ms=times_ms,
    end_ms=times_ms,
    trace=st.builds(
        TraceFacts,
        name=texts,
        session_id=maybe,
        user_id=maybe,
        tags=st.lists(texts, max_size=4).map(tuple),
        metadata=metadata,
        version=maybe,
        release=maybe,
        environment=maybe,
        service_name=st.just("claude-code"),
        service_version=st.just("2.1.330"),
    ),
    level=st.sampled_from(Level),
    status_message=maybe,
    input=maybe,
    output=maybe,
    model=maybe,
    model_parameters=st.one_of(st.none(), st.dictionaries(texts, texts, min_size=1, max_size=2)),
    usage=st.one_of(
        st.none(), st.dictionaries(texts, st.integers(0, 2**53), min_size=1, max_size=4)
    ),
    cost_picousd=st.one_of(st.none(), st.integers(0, 10**15)),
    completion_start_ms=st.one_of(st.none(), times_ms),
    metadata=metadata,
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(observations)
def test_what_is_encoded_is_decoded_again(observation: Observation) -> None:
    span = wire.encode_span(observation)

    assert wire.decode_span(span, "claude-code", "2.1.330") == observation


@settings(derandomize=True, deadline=None, max_examples=150)
@given(observations)
def test_a_span_is_written_as_the_official_class_writes_it(observation: Observation) -> None:
    span = wire.encode_span(observation)

    assert Span.FromString(span).SerializeToString(deterministic=True) == span


@given(st.lists(observations, max_size=4), st.integers(1, 4))
def test_what_was_written_before_changes_no_span(batch: list[Observation], kept: int) -> None:
    again = [replace(each, trace=replace(each.trace)) for each in batch]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "KEPT_FIELDS", kept)
        patch.setattr(wire, "KEPT_TRACES", kept)
        encoder = wire.SpanEncoder()
        for observation in (*batch, *again):
            assert encoder.encode(observation) == wire.encode_span(observation)


@pytest.mark.parametrize("field", ["metadata", "trace"])
def test_values_that_are_equal_and_of_other_types_are_told_apart(field: str) -> None:
    encoder = wire.SpanEncoder()
    told: tuple[dict[str, Any], ...] = ({"a": 1}, {"a": True}, {"a": 1.0}, {"a": "1"}, {"a": [1]})
    for metadata in told * 2:
        whole = metadata | {"b": metadata["a"], "c": "c", "prompt_id": "p"}
        observation = _observation()
        of_trace = replace(observation.trace, metadata=whole)
        made = replace(observation, **{field: whole if field == "metadata" else of_trace})

        assert repr(_read_back(encoder.encode(made))) == repr(made)


def test_turns_of_a_session_have_its_metadata_and_their_own_ids() -> None:
    encoder = wire.SpanEncoder()
    session = {"member": "Alex", "department": "research", "user.id": "u"}
    for ids in ({"prompt_id": "1"}, {"prompt_id": "2"}, {"prompt_id": "2", "otel_trace_id": "3"}):
        observation = _observation()
        made = replace(observation, trace=replace(observation.trace, metadata=session | ids))

        assert _read_back(encoder.encode(made)) == made


def test_the_same_observation_is_the_same_bytes() -> None:
    one = _observation(metadata={"a": 1, "b": "x"}, usage={"input": 1, "output": 2})
    other = _observation(metadata={"a": 1, "b": "x"}, usage={"output": 2, "input": 1})

    assert wire.encode_span(one) == wire.encode_span(other)


def test_every_field_stands_where_langfuse_reads_it() -> None:
    seen = _seen(
        _observation(
            parent_id=PARENT,
            level=Level.WARNING,
            status_message="careful",
            input="in",
            output="out",
            model="m",
            model_parameters={"speed": "fast"},
            usage={"output": 2, "input": 1},
            cost_picousd=3_086_000_000,
            completion_start_ms=1_795_000_000_123,
            metadata={"n": 1, "b": True, "f": 0.5, "l": ["a", 2]},
        )
    )

    assert (seen.trace_id, seen.id, seen.parent_id, seen.name) == (TRACE, SPAN, PARENT, "n")
    assert (seen.start_ns, seen.end_ns) == (1_000_000_000, 2_000_000_000)
    assert seen.attributes == {
        "langfuse.observation.type": "generation",
        "langfuse.observation.level": "WARNING",
        "langfuse.observation.status_message": "careful",
        "langfuse.observation.input": "in",
        "langfuse.observation.output": "out",
        "langfuse.observation.model.name": "m",
        "langfuse.observation.model.parameters": '{"speed":"fast"}',
        "langfuse.observation.usage_details": '{"input":1,"output":2}',
        "langfuse.observation.cost_details": '{"total":0.003086}',
        "langfuse.observation.completion_start_time": "2026-11-18T11:06:40.123Z",
        "langfuse.observation.metadata.n": 1,
        "langfuse.observation.metadata.b": True,
        "langfuse.observation.metadata.f": 0.5,
        "langfuse.observation.metadata.l": ["a", 2],
        "langfuse.trace.name": "claude-code",
        "langfuse.session.id": "s",
        "langfuse.user.id": "alex",
        "langfuse.trace.tags": ["member:alex", "claude-code"],
        "langfuse.version": "2.1.330",
        "langfuse.release": "engineering",
        "langfuse.environment": "prod",
        "langfuse.trace.metadata.member": "Alex",
    }


def test_what_is_not_known_is_not_said() -> None:
    seen = _seen(_observation())

    assert below("langfuse.observation.", seen.attributes) == {
        "type": "generation",
        "level": "DEFAULT",
    }


def test_only_errors_have_a_failed_otel_status() -> None:
    failed = {level: _seen(_observation(level=level)).failed for level in Level}

    assert failed == {
        Level.DEBUG: False,
        Level.DEFAULT: False,
        Level.WARNING: False,
        Level.ERROR: True,
    }


@pytest.mark.parametrize(
    ("picousd", "expected"),
    [
        (0, "0"),
        (1, "0.000000000001"),
        (3_086_000_000, "0.003086"),
        (1_000_000_000_000, "1"),
        (10_000_000_000_000, "10"),
        (12_500_000_000_000, "12.5"),
        (999_999_999_999_999_999, "999999.999999999999"),
    ],
)
def test_costs_are_plain_decimal_numbers(picousd: int, expected: str) -> None:
    assert wire.usd_text(picousd) == expected
    assert json.loads(expected) is not None


@settings(derandomize=True, deadline=None, max_examples=500)
@given(st.integers(0, 17), st.integers(0, 2**53), st.integers(0, 12))
def test_a_cost_is_written_as_its_decimal_number(digits: int, number: int, zeros: int) -> None:
    cost_picousd = number % 10**digits * 10**zeros

    span = wire.encode_span(_observation(cost_picousd=cost_picousd))

    assert b'{"total":%s}' % wire.usd_text(cost_picousd).encode() in span


def test_the_resource_says_service_and_version_and_the_scope_keeps_metadata_clean() -> None:
    request = ExportTraceServiceRequest.FromString(
        wire.encode_export([_pending(1), _pending(2, "foo"), _pending(3, "foo", None)])
    )

    resources = [
        {pair.key: pair.value.string_value for pair in r.resource.attributes}
        for r in request.resource_spans
    ]
    scopes = {s.scope.name for r in request.resource_spans for s in r.scope_spans}
    assert resources == [
        {"service.name": "claude-code", "service.version": "2.1.330"},
        {"service.name": "foo", "service.version": "2.1.330"},
        {"service.name": "foo"},
    ]
    assert scopes == {"langfuse-sdk/langfuse-bridge"}


def test_spans_are_exported_with_the_bytes_they_were_kept_with() -> None:
    pending = [_pending(position) for position in range(3)]

    request = ExportTraceServiceRequest.FromString(wire.encode_export(pending))

    spans = request.resource_spans[0].scope_spans[0].spans
    assert [span.SerializeToString(deterministic=True) for span in spans] == [
        item.span for item in pending
    ]


@pytest.mark.parametrize("capture", ALL_CAPTURES)
def test_the_sdk_has_the_names_that_are_sent(capture: str) -> None:
    """The installed SDK's constants are the cross-check for names that no server corrects."""
    known = {
        value
        for name, value in vars(LangfuseOtelSpanAttributes).items()
        if not name.startswith("_") and isinstance(value, str)
    }
    sdk_names = known | {"langfuse.session.id", "langfuse.user.id"}

    for span in assemble_capture(capture).spans:
        for key in span.attributes:
            metadata_of = [prefix for prefix in NOT_OF_THE_SDK if key.startswith(f"{prefix}.")]
            assert metadata_of or key in sdk_names, key


def _observation(**fields: Any) -> Observation:
    told: dict[str, Any] = {
        "trace_id": TRACE,
        "id": SPAN,
        "parent_id": None,
        "kind": ObservationKind.GENERATION,
        "name": "n",
        "start_ms": 1000,
        "end_ms": 2000,
        "trace": TraceFacts(
            name="claude-code",
            session_id="s",
            user_id="alex",
            tags=("member:alex", "claude-code"),
            metadata={"member": "Alex"},
            version="2.1.330",
            release="engineering",
            environment="prod",
            service_name="claude-code",
            service_version="2.1.330",
        ),
    }
    return Observation(**(told | fields))


def _pending(
    position: int, name: str = "claude-code", version: str | None = "2.1.330"
) -> PendingSpan:
    return PendingSpan(
        position=position,
        span=wire.encode_span(_observation(id=f"{position:016x}")),
        service_name=name,
        service_version=version,
    )


def _read_back(span: bytes) -> Observation:
    return wire.decode_span(span, "claude-code", "2.1.330")


def _seen(observation: Observation) -> Seen:
    span = wire.encode_span(observation)
    return read_span(
        PendingSpan(position=1, span=span, service_name="claude-code", service_version=None)
    )
