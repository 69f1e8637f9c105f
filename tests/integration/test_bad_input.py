"""Whatever a client sends ends clamped, marked and delivered, or in quarantine; nothing is lost."""

import json
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bridge.errors import UndecodableError
from bridge.langfuse.limits import MAX_TEXT_BYTES
from bridge.langfuse.wire import encode_export
from bridge.model.requests import Encoding, ExportRequest, Signal
from bridge.receive import records
from tests.builders import RESOURCE, SESSION, T0_MS, a_prompt, a_record, a_request, an_answer
from tests.fakes import read_export, violations_of
from tests.measurements import lines, metrics_request, replaced
from tests.pipeline import Assembly, Json, Logged, Pipeline, Seen, assemble, batch, pipeline
from tests.requests import with_body

ABSURD_TIMES = {
    "zero": 0,
    "negative": -1,
    "year 1": -62_135_596_800_000_000_000,
    "year 9999": 253_402_300_799_000_000_000,
    "beyond int64": 2**63 + 1,
    "beyond uint64": 2**70,
    "milliseconds": T0_MS,
    "no number": "soon",
    "a boolean": True,
    "a fraction": 1.5,
}
ABSURD_NUMBERS = [
    -1,
    "-1",
    "NaN",
    "Infinity",
    "-Infinity",
    1e308,
    "1e308",
    "1e999999999",
    "12abc",
    "١٢",
    "1_000",
    True,
    [],
    2**80,
    "9" * 10_000,
]


def post(made: Pipeline, request: ExportRequest) -> None:
    """As the receiver does: count, and keep."""
    counted = records.count(request.signal, request.encoding, request.body)
    assert counted == request.records
    made.post(request)


def sound(requests: list[ExportRequest], **settings: Any) -> Assembly:
    """Assemble requests; every record has ended, and Langfuse would object to no span."""
    for request in requests:
        assert records.count(request.signal, request.encoding, request.body) == request.records
    made = assemble(requests, **settings)
    assert made.held == 0
    assert made.accepted == sum(made.outcomes.values())
    return made


def of_one(record: Logged, **settings: Any) -> Seen:
    """The observation of a record in a prompt with an answer; all of it arrives."""
    made = sound([batch([a_prompt(0), record, an_answer(500, "req_x")])], **settings)
    assert "quarantined" not in made.outcomes
    return next(span for span in made.of_prompts if span.type == "generation")


def timed(record: Logged, time_ns: object) -> Logged:
    written = (
        str(time_ns) if isinstance(time_ns, int) and not isinstance(time_ns, bool) else time_ns
    )
    times: Json = {"timeUnixNano": written, "observedTimeUnixNano": written}
    return Logged(record.resource, record.scope, record.record | times, record.at_ms)


@pytest.mark.parametrize("time_ns", ABSURD_TIMES.values(), ids=ABSURD_TIMES)
def test_a_time_that_cannot_be_true_becomes_the_time_of_arrival(time_ns: object) -> None:
    made = sound([batch([a_prompt(0), timed(a_request(300), time_ns)], T0_MS + 400)])

    (generation,) = [span for span in made.of_prompts if span.type == "generation"]
    assert generation.end_ns == (T0_MS + 400) * 1_000_000
    told = generation.metadata.get("bridge.time_unix_ns")
    if isinstance(time_ns, int) and not isinstance(time_ns, bool) and 0 < time_ns < 2**64:
        assert generation.metadata["bridge.clamped"] == ["time"]
        assert told == str(time_ns)


def test_the_observed_time_stands_for_a_missing_one() -> None:
    record = a_request(300)
    alone = {k: v for k, v in record.record.items() if k != "timeUnixNano"}
    made = sound([batch([a_prompt(0), Logged(record.resource, record.scope, alone, T0_MS + 300)])])

    (generation,) = [span for span in made.of_prompts if span.type == "generation"]
    assert generation.end_ns == (T0_MS + 300) * 1_000_000


@pytest.mark.parametrize("value", ABSURD_NUMBERS, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize(
    "name", ["cost_usd", "input_tokens", "duration_ms", "ttft_ms", "event.sequence"]
)
def test_a_number_that_is_none_is_left_out_or_cut_and_marked(name: str, value: Any) -> None:
    more = {name: value} | ({"cost_usd_micros": None} if name == "cost_usd" else {})
    try:
        record = a_request(300, more=more)
    except ValueError:
        pytest.skip("the builder writes no such number")
    generation = of_one(record)

    assert name in generation.metadata["bridge.clamped"]
    assert generation.end_ns - generation.start_ns <= 7 * 86_400 * 10**9


@pytest.mark.parametrize(
    "told",
    ["s" * 1_000_000, "line\nbreak", "a\0b", "\u2028"],
    ids=["1 MB", "newline", "NUL", "separator"],
)
def test_a_session_id_is_made_fit_and_stays_apart_from_others(told: str) -> None:
    one = [a_prompt(0, session=told), a_request(300, session=told)]
    other = [a_prompt(1000, session=f"{told}!", prompt="p2")]
    made = sound([batch([*one, *other])])

    sessions = {span.attributes["langfuse.session.id"] for span in made.of_prompts}
    assert len(sessions) == 2
    assert all(len(each) <= 200 and each.isprintable() for each in sessions)
    (generation,) = [span for span in made.of_prompts if span.type == "generation"]
    assert generation.metadata["bridge.clamped"] == ["session.id"]


def test_an_empty_session_id_is_none() -> None:
    made = sound([batch([a_prompt(0, session=""), a_request(300, session="")])])

    assert all("langfuse.session.id" not in span.attributes for span in made.of_prompts)


@pytest.mark.parametrize("name", ["", "e" * 1_000_000, "a\nb", "__proto__"])
def test_an_event_of_any_name_is_shown(name: str) -> None:
    record = a_record("x", 300, {"event.name": name, "note": "kept"})
    bare = {k: v for k, v in record.record.items() if k != "body"}
    made = sound([batch([a_prompt(0), Logged(record.resource, record.scope, bare, record.at_ms)])])

    (event,) = [span for span in made.of_prompts if span.type == "event"]
    assert 0 < len(event.name) <= 200
    assert event.metadata["note"] == "kept"


def test_a_text_of_10_mb_is_cut_and_marked() -> None:
    made = sound([batch([a_prompt(0, "é" * 5_000_000), a_request(300), an_answer(301)])])

    (root,) = [span for span in made.of_prompts if span.parent_id is None]
    assert root.input is not None
    assert MAX_TEXT_BYTES / 10 < len(root.input.encode()) <= MAX_TEXT_BYTES + 3
    assert root.input.endswith("… [cut: it had 30000000 bytes]")  # as it was written in the body


def test_keys_that_langfuse_drops_are_kept_under_another_name() -> None:
    odd = {"__proto__": "a", "x.constructor.y": "b", "prototype": "c", "": "d", "k" * 5000: "e"}
    generation = of_one(a_request(300, more=odd))

    assert generation.metadata["__proto___"] == "a"
    assert generation.metadata["x.constructor_.y"] == "b"
    assert generation.metadata["prototype_"] == "c"
    assert "metadata" in generation.metadata["bridge.clamped"]
    assert all(0 < len(key) <= 200 for key in generation.metadata)


def test_100_000_attributes_are_cut_to_what_an_observation_can_hold() -> None:
    many = {f"attribute {number}": "x" * 50 for number in range(100_000)}
    generation = of_one(a_request(300, more=many))

    assert 100 < len(generation.metadata) <= 510
    assert "metadata" in generation.metadata["bridge.clamped"]


def test_the_last_of_several_attributes_of_one_name_counts() -> None:
    record = a_request(300)
    twice = [
        *record.record["attributes"],
        *a_request(300, more={"cost_usd_micros": 7}).record["attributes"],
    ]
    whole = Logged(
        record.resource, record.scope, record.record | {"attributes": twice}, record.at_ms
    )

    assert of_one(whole).attributes["langfuse.observation.cost_details"] == '{"total":0.000007}'


@pytest.mark.parametrize("depth", [40, 150, 10_000])
@pytest.mark.parametrize("kind", ["arrayValue", "kvlistValue"])
def test_deep_values_are_cut_or_refused(depth: int, kind: str) -> None:
    opening = '{"arrayValue":{"values":[' if kind == "arrayValue" else (
        '{"kvlistValue":{"values":[{"key":"k","value":'
    )  # fmt: skip
    closing = "]}}" if kind == "arrayValue" else "}]}}"
    value = opening * depth + '{"stringValue":"deep"}' + closing * depth
    request = batch([a_prompt(0), a_request(300)])
    deep = request.body.replace(
        b'"attributes": [', f'"attributes": [{{"key":"deep","value":{value}}},'.encode(), 1
    )
    try:
        counted = records.count(Signal.LOGS, Encoding.JSON, deep)
    except UndecodableError:
        assert depth > 100
        return
    made = sound([replaced(request, json.loads(deep), counted)] if depth < 200 else [request])
    assert "quarantined" not in made.outcomes


def test_half_a_surrogate_pair_and_nul_are_replaced() -> None:
    request = batch([a_prompt(0, "cut here"), a_request(300)])
    body = request.body.replace(b"cut here", rb"cut\ud83d here\u0000")
    made = sound([with_body(request, body)])

    (root,) = [span for span in made.of_prompts if span.parent_id is None]
    assert root.input is not None
    assert root.input.startswith("cut")
    assert "\0" not in root.input


def test_text_that_is_not_utf_8_is_refused_in_both_encodings() -> None:
    for encoding in Encoding:
        body = batch([a_prompt(0, "marker")], encoding=encoding).body.replace(
            b"marker", b"mar\xff\xfer"
        )
        with pytest.raises(Exception, match="not an export request"):
            records.count(Signal.LOGS, encoding, body)


@pytest.mark.parametrize(
    "told", ["abc", "0" * 32, "g" * 32, "a" * 1000, 7, None], ids=lambda told: repr(told)[:8]
)
@pytest.mark.parametrize("join", [False, True])
def test_trace_ids_of_any_form_join_what_belongs_together(told: Any, join: bool) -> None:
    record = a_request(300)
    traced = Logged(record.resource, record.scope, record.record | {"traceId": told}, record.at_ms)
    prompt = a_prompt(0)
    asked = Logged(prompt.resource, prompt.scope, prompt.record | {"traceId": told}, prompt.at_ms)
    made = sound([batch([asked, traced])], join_traces=join)

    assert "quarantined" not in made.outcomes
    assert len({span.trace_id for span in made.of_prompts}) == 1
    assert all(len(span.trace_id) == 32 for span in made.of_prompts)


def span_request(*spans: Json) -> ExportRequest:
    document = {
        "resourceSpans": [
            {
                "scopeSpans": [
                    {"scope": {"name": "com.anthropic.claude_code.tracing"}, "spans": spans}
                ]
            }
        ]
    }
    return ExportRequest(
        signal=Signal.TRACES,
        encoding=Encoding.JSON,
        body=json.dumps(document).encode(),
        gzipped=False,
        records=len(spans),
        received_at_ms=T0_MS,
    )


def a_span(**fields: Any) -> Json:
    told: Json = {
        "traceId": "5" * 32,
        "spanId": "7" * 16,
        "name": "claude_code.llm_request",
        "startTimeUnixNano": str((T0_MS - 100) * 10**6),
        "endTimeUnixNano": str(T0_MS * 10**6),
        "attributes": [{"key": "session.id", "value": {"stringValue": SESSION}}],
    }
    return told | fields


@pytest.mark.parametrize(
    "fields",
    [
        {"traceId": "abc"},
        {"spanId": "not hex, not eight bytes"},
        {"endTimeUnixNano": str((T0_MS - 200) * 10**6)},
        {"startTimeUnixNano": "0", "endTimeUnixNano": "0"},
        {"startTimeUnixNano": str(2**64 - 1)},
        {"endTimeUnixNano": str(T0_MS)},
        {"startTimeUnixNano": None, "endTimeUnixNano": []},
        {"attributes": {}, "events": [None, 7], "status": []},
        {"name": "n" * 100_000},
    ],
    ids=["trace id", "span id", "end first", "zero", "2554", "ms", "null", "shapes", "long name"],
)
def test_a_span_of_any_form_is_shown_with_sound_times(fields: Json) -> None:
    made = sound([span_request(a_span(**fields))])

    assert "quarantined" not in made.outcomes
    for span in made.of_prompts:
        assert 1_577_836_800 * 10**9 <= span.start_ns <= span.end_ns <= (T0_MS + 86_400_000) * 10**6


def test_a_span_without_ids_is_quarantined_alone() -> None:
    made = sound([span_request(a_span(), a_span(spanId=""), a_span(spanId="8" * 16))])

    assert made.outcomes["quarantined"] == 1


@pytest.mark.parametrize("point", [None, 7, "x", [], {}], ids=repr)
def test_a_data_point_that_is_no_object_is_quarantined_alone(point: Any) -> None:
    request = metrics_request(lines(1), lines(2))
    document = json.loads(request.body)
    points = document["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"]["dataPoints"]
    points[0] = point
    made = assemble([replaced(request, document, 2)])

    assert made.outcomes == {"quarantined": 1, "session_total": 1}


def test_a_session_of_more_tokens_than_64_bits_of_picounits_goes_on() -> None:
    """19 million, which a day of work reads from the cache."""
    made = assemble([metrics_request(lines(3e14), lines(4e14), lines(5e14))])

    assert made.outcomes == {"session_total": 3}
    assert made.held == 0


@pytest.mark.parametrize("time_ns", [0, 1, 2**63, 2**64 - 1])
def test_metric_points_of_absurd_times_count_and_make_no_absurd_summary(time_ns: int) -> None:
    request = metrics_request(lines(5))
    document = json.loads(request.body)
    metric = document["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]
    metric["sum"]["dataPoints"][0] |= {"timeUnixNano": str(time_ns), "startTimeUnixNano": "-5"}
    made = assemble([replaced(request, document, 1)])

    assert made.outcomes == {"session_total": 1}
    summaries = [span for span in made.spans if span.parent_id is None]
    assert all(abs(s.end_ns // 10**6 - request.received_at_ms) < 2 * 86_400_000 for s in summaries)


def test_another_programs_span_that_cannot_be_read_whole_stops_no_other() -> None:
    good = a_span()
    request = span_request(
        good, a_span(startTimeUnixNano="-5"), {"spanId": "zz", "traceId": 5}, good
    )
    body = request.body.replace(b"com.anthropic.claude_code.tracing", b"another")
    made = sound([with_body(request, body)], forward_other_spans=True)

    assert made.outcomes == {"forwarded": 1, "duplicate": 1, "quarantined": 2}


def test_what_comes_out_of_all_this_is_what_langfuse_takes() -> None:
    odd = [
        timed(a_request(300, f"r{number}", more={"cost_usd": value, "output_tokens": value}), value)
        for number, value in enumerate([0, 2**63, -1])
    ]
    resource = RESOURCE | {"deployment.environment": "Bad ENV!" * 50, "member": "m" * 5000}
    with pipeline() as made:
        post(made, batch([a_prompt(0, resource=resource), *odd]))
        made.work(T0_MS)
        made.finish(T0_MS)
        export = ExportTraceServiceRequest.FromString(
            encode_export(made.ledger.claim(10**9, 10**6))
        )
    spans = read_export(export, 1)
    assert len(spans) > 3
    assert [violation for span in spans for violation in violations_of(span)] == []


def test_protobuf_nested_as_deep_as_it_may_be_is_taken() -> None:
    export = ExportLogsServiceRequest.FromString(
        batch([a_prompt(0), a_request(300)], encoding=Encoding.PROTOBUF).body
    )
    record = export.resource_logs[0].scope_logs[0].log_records[1]
    value = record.attributes.add(key="deep").value
    for _ in range(40):
        value = value.array_value.values.add()
    value.string_value = "deep"
    made = sound([with_body(batch([a_prompt(0), a_request(300)], encoding=Encoding.PROTOBUF),
                                export.SerializeToString())])  # fmt: skip

    assert "quarantined" not in made.outcomes
