"""Metrics to test with: real data points read with plain JSON, and requests made of made-up ones.

Captures are read here with ``json``, the OTLP classes and ``Decimal`` alone, so that what the
bridge makes of them is compared with something it had no part in.
"""

import gzip
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from bridge.model.requests import Encoding, ExportRequest, Signal
from bridge.model.scores import PendingScore
from tests.pipeline import (
    CAPTURES,
    IDLE_MS,
    Assembly,
    Json,
    Logged,
    Pipeline,
    Seen,
    batch,
    capture_notes,
    explode,
    pipeline,
    plain_json,
    result,
)

NS_PER_MS = 1_000_000
SCOPE = {"name": "com.anthropic.claude_code", "version": "2.1.330"}
RESOURCE = {
    "attributes": [
        {"key": "service.name", "value": {"stringValue": "claude-code"}},
        {"key": "service.version", "value": {"stringValue": "2.1.330"}},
        {"key": "member", "value": {"stringValue": "alex"}},
    ]
}
DELTA, CUMULATIVE = 1, 2

START_MS = 1_795_400_000_000
"""2026-11-23 02:13:20 UTC: when what is made up here begins."""
SESSION = "5e551000-0000-4000-8000-000000000001"
MANY = 100_000


# --- data points of captures ---------------------------------------------------------------------


@dataclass(frozen=True)
class Metered:
    """One data point of a capture."""

    metric: str
    cumulative: bool
    start_ns: int
    time_ns: int
    value: Decimal
    attributes: Json = field(hash=False)

    @property
    def session(self) -> str | None:
        """The session it names."""
        found = self.attributes.get("session.id")
        return None if found is None else str(found)


def capture_points(capture: str) -> list[Metered]:
    """Every data point of a capture that was accepted, in order."""
    return [
        point
        for request in all_requests(capture)
        if request.signal is Signal.METRICS
        for point in _points(request)
    ]


def totals_by_hand(
    points: Iterable[Metered], metric: str, **wanted: str
) -> dict[str | None, Decimal]:
    """Session → total of a metric over all its points with these attributes.

    Of a cumulative series the last value of each start counts, of any other the sum.
    """
    sums: defaultdict[str | None, Decimal] = defaultdict(Decimal)
    latest: dict[object, Metered] = {}
    for point in points:
        if point.metric != metric or not wanted.items() <= point.attributes.items():
            continue
        if not point.cumulative:
            sums[point.session] += point.value
            continue
        series = (json.dumps(point.attributes, sort_keys=True), point.start_ns)
        if series not in latest or latest[series].time_ns < point.time_ns:
            latest[series] = point
    for point in latest.values():
        sums[point.session] += point.value
    return dict(sums)


def all_requests(capture: str, *, refused_too: bool = False) -> list[ExportRequest]:
    """The logs and metrics requests of a capture as they came, without those answered 503."""
    return [
        _export(capture, entry)
        for entry in capture_notes(capture)["requests"]
        if entry["signal"] != "traces" and (refused_too or "answered" not in entry)
    ]


def _export(capture: str, entry: Json) -> ExportRequest:
    name = entry["file"]
    bare = ExportRequest(
        signal=Signal(entry["signal"]),
        encoding=Encoding.JSON if ".json" in name else Encoding.PROTOBUF,
        body=(CAPTURES / capture / name).read_bytes(),
        gzipped=name.endswith(".gz"),
        records=0,
        received_at_ms=round(entry["received_at"] * 1000),
    )
    count = _count(bare)
    return arriving(bare, bare.received_at_ms, records=count)


def _count(request: ExportRequest) -> int:
    if request.signal is Signal.LOGS:
        return len(explode(request))
    return len(list(_points(request)))


def _points(request: ExportRequest) -> Iterator[Metered]:
    for _, metric, data, point in _walk(_document(request)):
        (value,) = (point[kind] for kind in ("asDouble", "asInt") if kind in point)
        yield Metered(
            metric=metric["name"],
            cumulative=data["aggregationTemporality"] in {2, "AGGREGATION_TEMPORALITY_CUMULATIVE"},
            start_ns=int(point["startTimeUnixNano"]),
            time_ns=int(point["timeUnixNano"]),
            value=Decimal(str(value)),
            attributes={p["key"]: plain_json(p["value"]) for p in point["attributes"]},
        )


def _document(request: ExportRequest) -> Any:
    body = gzip.decompress(request.body) if request.gzipped else request.body
    if request.encoding is Encoding.JSON:
        return json.loads(body, parse_float=Decimal)
    return MessageToDict(ExportMetricsServiceRequest.FromString(body))


def _walk(document: Any) -> Iterator[tuple[Json, Json, Json, Json]]:
    for around in document["resourceMetrics"]:
        for scope_metrics in around["scopeMetrics"]:
            for metric in scope_metrics["metrics"]:
                for point in metric["sum"]["dataPoints"]:
                    yield around, metric, metric["sum"], point


def exploded(request: ExportRequest) -> list[ExportRequest]:
    """The data points of a JSON metrics request, each in a request of its own."""
    return [
        replaced(
            request,
            {
                "resourceMetrics": [
                    {
                        "resource": around["resource"],
                        "scopeMetrics": [
                            {
                                "scope": around["scopeMetrics"][0]["scope"],
                                "metrics": [metric | {"sum": data | {"dataPoints": [point]}}],
                            }
                        ],
                    }
                ]
            },
        )
        for around, metric, data, point in _walk(json.loads(request.body))
    ]


def replaced(request: ExportRequest, document: Json, records: int = 1) -> ExportRequest:
    """The same request with another JSON document."""
    return ExportRequest(
        signal=request.signal,
        encoding=Encoding.JSON,
        body=json.dumps(document).encode(),
        gzipped=False,
        records=records,
        received_at_ms=request.received_at_ms,
    )


def arriving(request: ExportRequest, at_ms: int, *, records: int | None = None) -> ExportRequest:
    """The same request at another time."""
    return ExportRequest(
        signal=request.signal,
        encoding=request.encoding,
        body=request.body,
        gzipped=request.gzipped,
        records=request.records if records is None else records,
        received_at_ms=at_ms,
    )


# --- made-up metrics and events ------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Sum:
    """One data point of a sum; times are seconds after ``START_MS``."""

    metric: str
    value: float
    start_s: float = 0
    time_s: float = 60
    temporality: int = DELTA
    as_int: bool = False
    session: str | None = SESSION
    attributes: dict[str, str] = field(default_factory=dict)

    def later(self, seconds: float) -> "Sum":
        """The same for a later window."""
        return replace(self, start_s=self.start_s + seconds, time_s=self.time_s + seconds)


def lines(added: float, **fields: Any) -> Sum:
    """So many lines added."""
    kind = {"type": fields.pop("type", "added")}
    return Sum(metric="claude_code.lines_of_code.count", value=added, attributes=kind, **fields)


def active(seconds: float, **fields: Any) -> Sum:
    """So many seconds of active time."""
    return Sum(
        metric="claude_code.active_time.total", value=seconds, attributes={"type": "cli"}, **fields
    )


def cost(usd: float, **fields: Any) -> Sum:
    """So many dollars."""
    attributes = {"model": "claude-opus-5-5"}
    return Sum(metric="claude_code.cost.usage", value=usd, attributes=attributes, **fields)


def metrics_request(*points: Sum, at_s: float | None = None) -> ExportRequest:
    """One JSON export request; it arrives with its last point unless told otherwise."""
    document = {
        "resourceMetrics": [
            {
                "resource": RESOURCE,
                "scopeMetrics": [{"scope": SCOPE, "metrics": [_metric(point) for point in points]}],
            }
        ]
    }
    return ExportRequest(
        signal=Signal.METRICS,
        encoding=Encoding.JSON,
        body=json.dumps(document).encode(),
        gzipped=False,
        records=len(points),
        received_at_ms=ms(max(p.time_s for p in points) if at_s is None else at_s),
    )


def _metric(point: Sum) -> Json:
    session = {} if point.session is None else {"session.id": point.session}
    value = {"asInt": str(int(point.value))} if point.as_int else {"asDouble": point.value}
    data_point = {
        "attributes": _pairs({"user.id": "u1"} | session | point.attributes),
        "startTimeUnixNano": str(ms(point.start_s) * NS_PER_MS),
        "timeUnixNano": str(ms(point.time_s) * NS_PER_MS),
        **value,
    }
    data = {"aggregationTemporality": point.temporality, "dataPoints": [data_point]}
    return {"name": point.metric, "sum": data | {"isMonotonic": True}}


def ms(seconds: float) -> int:
    """Unix milliseconds of so many seconds after ``START_MS``."""
    return START_MS + round(seconds * 1000)


def a_log(name: str, at_s: float, sequence: int, **attributes: Any) -> Logged:
    """One log record; ``session`` and ``prompt`` name where it belongs."""
    session, prompt = attributes.pop("session", SESSION), attributes.pop("prompt", "p1")
    told = {"session.id": session, "prompt.id": prompt}
    common = {"user.id": "u1", "event.name": name, "event.sequence": sequence}
    time_ns = str(ms(at_s) * NS_PER_MS)
    record = {
        "timeUnixNano": time_ns,
        "observedTimeUnixNano": time_ns,
        "body": {"stringValue": f"claude_code.{name}"},
        "attributes": _pairs(common | {k: v for k, v in told.items() if v} | attributes),
    }
    return Logged(RESOURCE, SCOPE, record, ms(at_s))


def a_prompt(at_s: float, sequence: int, **attributes: Any) -> Logged:
    """A prompt."""
    return a_log("user_prompt", at_s, sequence, prompt_length=5, **attributes)


def a_request(at_s: float, sequence: int, usd: float | None = 0.001, **attributes: Any) -> Logged:
    """A model request that cost so much, or does not say what it cost."""
    priced = {} if usd is None else {"cost_usd": usd}
    asked = {"model": "claude-opus-5-5", "request_id": f"req_{at_s}", "duration_ms": 100}
    tokens = {"input_tokens": 10, "output_tokens": 20}
    return a_log("api_request", at_s, sequence, **asked, **tokens, **priced, **attributes)


def logs_request(*records: Logged, at_s: float | None = None) -> ExportRequest:
    """One export request of these records."""
    return batch(records, None if at_s is None else ms(at_s))


def _pairs(attributes: Json) -> list[Json]:
    return [{"key": key, "value": _any(value)} for key, value in attributes.items()]


def _any(value: object) -> Json:
    if isinstance(value, int):
        return {"intValue": value}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}


# --- what becomes of them ------------------------------------------------------------------------


@dataclass(frozen=True)
class Sessions:
    """What became of some requests: all spans, and the latest value of every score."""

    assembly: Assembly
    scores: list[PendingScore]
    saved: bytes

    @property
    def summaries(self) -> list[list[Seen]]:
        """The traces of summaries in order of start, the root of each first."""
        return [spans for spans in self.assembly.traces.values() if is_summary(spans[0])]

    @property
    def summary(self) -> list[Seen]:
        """The only one."""
        (only,) = self.summaries
        return only

    @property
    def session_scores(self) -> dict[tuple[str | None, str], float]:
        """Session and name → value."""
        found = [pending.score for pending in self.scores]
        return {(s.session_id, s.name): s.value for s in found if s.session_id is not None}

    @property
    def told(self) -> dict[str, float]:
        """Name → value of the scores of the only session."""
        assert len({session for session, _ in self.session_scores}) <= 1
        return {name: value for (_, name), value in self.session_scores.items()}


def is_summary(span: Seen) -> bool:
    """Whether a span's trace is a session's summary."""
    return str(span.attributes["langfuse.trace.name"]).endswith(" session")


def counted(summary: Sequence[Seen]) -> dict[str, int]:
    """Counter → value, of the children of a summary."""
    return {span.name: span.usage[span.name] for span in summary[1:]}


def outcome(made: Pipeline, now_ms: int) -> Sessions:
    """What a pipeline holds by now; all scores are claimed by that."""
    scores = made.ledger.claim_scores(now_ms, MANY)
    return Sessions(result(made), scores, session_rows(made))


def session_rows(made: Pipeline) -> bytes:
    """The rows that people read at a terminal, but for when they were saved."""
    with closing(sqlite3.connect(made.config.ledger_path)) as connection:
        query = "SELECT session_id, numbers FROM sessions ORDER BY session_id"
        return repr(connection.execute(query).fetchall()).encode()


def assembled(requests: Sequence[ExportRequest], **settings: Any) -> Sessions:
    """Post requests at their time of arrival, wait until everything has ended."""
    with pipeline(**settings) as made:
        end_ms = play(made, requests)
        made.finish(end_ms)
        return outcome(made, end_ms + 10 * IDLE_MS)


def play(made: Pipeline, requests: Sequence[ExportRequest]) -> int:
    """Post requests at their time of arrival; returns the time of the last."""
    now_ms = requests[0].received_at_ms
    for request in requests:
        if request.received_at_ms > now_ms:
            made.wait(now_ms, request.received_at_ms)
            now_ms = request.received_at_ms
        made.post(request)
        made.work(now_ms)
    return now_ms
