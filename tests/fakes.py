"""Doubles that object: a Langfuse over real HTTP, an outbox in memory, a clock and a sleep.

``FakeLangfuse`` behaves as a Langfuse 4.16 was seen to (events_only mode), and is stricter: what
the real one would store and show wrongly is recorded as a violation. Nothing is deduplicated: a
span sent twice is there twice. It runs inside a test as an async context manager, or on its own::

    python tests/fakes.py --port 0 --dump received.jsonl

which prints its address, and appends each received span to the file before it answers.
"""

import argparse
import asyncio
import base64
import gzip
import json
import os
import re
import signal
import ssl
import sys
import zlib
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar

from aiohttp import encode_basic_auth, web
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bridge.clock import Clock, SystemClock
from bridge.model.delivery import LangfuseState, PendingSpan
from bridge.model.scores import PendingScore
from tests import read_back
from tests.dashboards import DashboardStore

SESSION = "langfuse.session.id"
TYPE = "langfuse.observation.type"
TAGS = "langfuse.trace.tags"
USAGE = "langfuse.observation.usage_details"
COST = "langfuse.observation.cost_details"
MODEL = "langfuse.observation.model.name"
LEVEL = "langfuse.observation.level"

TYPES = frozenset(
    {
        "agent",
        "chain",
        "embedding",
        "evaluator",
        "event",
        "generation",
        "guardrail",
        "retriever",
        "span",
        "tool",
    }
)
LEVELS = frozenset({"DEBUG", "DEFAULT", "WARNING", "ERROR"})
TRACE_LEVEL = frozenset(
    {
        SESSION,
        "langfuse.user.id",
        "langfuse.version",
        "langfuse.release",
        "langfuse.environment",
    }
)
TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8
NEWEST_INGESTION_VERSION = 4
FIRST_VERSION_WITH_SCORE_ARRAYS = (4, 59, 0)
MAX_SCORE_BYTES = 1024 * 1024
MAX_INGESTION_BYTES = 4_500_000
MAX_TEXT_SCORE_CHARS = 500
MAX_ID_CHARS = 800
MOST_SCORES_IN_ARRAY = 100
MOST_CONFIGS_PER_PAGE = 100
SPAN_IDS = ("traceId", "spanId", "parentSpanId")

SpanKey = tuple[str, str]
ScoreKey = tuple[str, str, str]
"""Id, name and UTC date: what Langfuse knows a score by."""


# ---------------------------------------------------------------------------- what was received


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedSpan:
    """One span as it came. Attribute values are Python's; JSON strings stay strings.

    Attributes:
        parent_id: None for a root.
        raw: The ``Span`` message.
        export: The number of the request that brought it, from 1.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    raw: bytes
    resource: dict[str, Any]
    scope: str
    export: int

    @property
    def key(self) -> SpanKey:
        return self.trace_id, self.span_id

    @property
    def start_ms(self) -> int:
        return self.start_ns // 1_000_000

    @property
    def end_ms(self) -> int:
        return self.end_ns // 1_000_000

    @property
    def kind(self) -> str | None:
        return self.attributes.get(TYPE)

    @property
    def session_id(self) -> str | None:
        return self.attributes.get(SESSION)

    def to_json(self) -> dict[str, Any]:
        """Readable, and enough for ``read_span``."""
        return {
            "export": self.export,
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "parent_id": self.parent_id,
            "name": self.name,
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
            "attributes": self.attributes,
            "resource": self.resource,
            "scope": self.scope,
            "raw": base64.b64encode(self.raw).decode(),
        }


def value_of(value: AnyValue) -> Any:
    """An OTLP value as Python's; None where none is set."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return attributes_of(value.kvlist_value.values)
    return None if kind is None else getattr(value, kind)


def attributes_of(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {attribute.key: value_of(attribute.value) for attribute in attributes}


def read_span(raw: bytes, resource: dict[str, Any], scope: str, export: int) -> ReceivedSpan:
    span = Span.FromString(raw)
    return ReceivedSpan(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex() or None,
        name=span.name,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=attributes_of(span.attributes),
        raw=raw,
        resource=resource,
        scope=scope,
        export=export,
    )


def read_export(request: ExportTraceServiceRequest, export: int) -> list[ReceivedSpan]:
    return [
        read_span(
            span.SerializeToString(),
            attributes_of(spans_of_resource.resource.attributes),
            spans_of_scope.scope.name,
            export,
        )
        for spans_of_resource in request.resource_spans
        for spans_of_scope in spans_of_resource.scope_spans
        for span in spans_of_scope.spans
    ]


class ReceivedSpans:
    """Every span received, in order, and what is wrong with them.

    Attributes:
        spans: Nothing is ever taken out or merged.
        violations: A sentence for each thing wrong with a single span; ``problems`` adds what
            only shows over a whole trace.
    """

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        self.violations: list[str] = []

    @classmethod
    def from_dump(cls, path: Path) -> "ReceivedSpans":
        """What a double that ran as a process wrote with ``--dump``."""
        received = ReceivedSpans()
        for line in path.read_text().splitlines():
            row = json.loads(line)
            raw = base64.b64decode(row["raw"])
            received.add([read_span(raw, row["resource"], row["scope"], row["export"])])
        return received

    def add(self, spans: Sequence[ReceivedSpan]) -> None:
        self.spans.extend(spans)
        for span in spans:
            self.violations.extend(violations_of(span))

    def by_trace(self) -> dict[str, list[ReceivedSpan]]:
        """Trace id → its spans in order of start."""
        traces: defaultdict[str, list[ReceivedSpan]] = defaultdict(list)
        for span in sorted(self.spans, key=lambda span: (span.start_ns, span.span_id)):
            traces[span.trace_id].append(span)
        return dict(traces)

    def duplicates(self) -> list[SpanKey]:
        """The (trace id, span id) of spans received more than once, even within one request."""
        times = Counter(span.key for span in self.spans)
        return [key for key, count in times.items() if count > 1]

    def assert_no_duplicates(self) -> None:
        assert self.duplicates() == [], f"received more than once: {self.duplicates()}"

    def orphans(self) -> list[SpanKey]:
        """Spans whose parent never came."""
        known = {span.key for span in self.spans}
        return [
            span.key
            for span in self.spans
            if span.parent_id and (span.trace_id, span.parent_id) not in known
        ]

    def problems(self) -> list[str]:
        """All violations, those of whole traces included."""
        of_traces = [
            sentence
            for trace_id, spans in self.by_trace().items()
            for sentence in violations_of_trace(trace_id, spans)
        ]
        return self.violations + of_traces

    def check(self) -> None:
        """Fail with every sentence unless all that was received is sound."""
        problems = self.problems()
        assert not problems, "\n".join(problems)

    def generation_cost_usd(self, session_id: str) -> Decimal:
        """Sum over every generation received: a duplicate counts twice, as it does in Langfuse."""
        return sum(
            (
                Decimal(number_object(span.attributes[COST])["total"])
                for span in self._generations(session_id)
                if COST in span.attributes
            ),
            Decimal(0),
        )

    def usage(self, session_id: str) -> dict[str, int]:
        """Usage key → sum over every generation received."""
        sums: Counter[str] = Counter()
        for span in self._generations(session_id):
            usage = number_object(span.attributes.get(USAGE, "{}"))
            sums.update({key: int(value) for key, value in usage.items()})
        return dict(sums)

    def _generations(self, session_id: str) -> Iterator[ReceivedSpan]:
        return (
            span
            for span in self.spans
            if span.kind == "generation" and span.session_id == session_id
        )


# ----------------------------------------------------------------------------- what is not sound


def number_object(text: Any) -> dict[str, Any]:
    """A JSON object whose numbers are exact: ``int`` or ``Decimal``.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not a JSON string")  # noqa: TRY004 - one kind of failure
    found = json.loads(text, parse_float=Decimal, parse_constant=_no_constant)
    if not isinstance(found, dict):
        raise ValueError(f"{text} is not a JSON object")  # noqa: TRY004 - likewise
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def violations_of(span: ReceivedSpan) -> list[str]:
    """One sentence for each thing wrong with ``span``."""
    rules = (_identity, _times, _attributes, _observation, _numbers, _placement, _around)
    return [
        f"span {span.span_id} ({span.name}) of trace {span.trace_id}: {sentence}"
        for rule in rules
        for sentence in rule(span)
    ]


def _identity(span: ReceivedSpan) -> Iterator[str]:
    if not span.name:
        yield "it has no name"
    for what, value, size_bytes in (
        ("trace id", span.trace_id, TRACE_ID_BYTES),
        ("span id", span.span_id, SPAN_ID_BYTES),
        ("parent id", span.parent_id, SPAN_ID_BYTES),
    ):
        if value is None:
            continue
        if len(value) != 2 * size_bytes:
            yield f"its {what} is not {size_bytes} bytes long"
        if not value.strip("0"):
            yield f"its {what} is all zero"
    if span.parent_id == span.span_id:
        yield "it is its own parent"


def _times(span: ReceivedSpan) -> Iterator[str]:
    if not span.start_ns:
        yield "it has no start"
    if not span.end_ns:
        yield "it has no end"
    elif span.end_ns < span.start_ns:
        yield "it ends before it starts"


def _attributes(span: ReceivedSpan) -> Iterator[str]:
    keys = Counter(attribute.key for attribute in Span.FromString(span.raw).attributes)
    for key, count in keys.items():
        if not key.startswith("langfuse."):
            yield f"attribute {key} is not Langfuse's, and might be interpreted"
        if count > 1:
            yield f"attribute {key} is there {count} times"
        if span.attributes[key] is None or isinstance(span.attributes[key], (dict, bytes)):
            yield f"attribute {key} has a value that Langfuse does not decode"


def _observation(span: ReceivedSpan) -> Iterator[str]:
    if span.kind not in TYPES:
        yield f"its observation type {span.kind!r} is not one of Langfuse's, in lower case"
    if span.attributes.get(LEVEL, "DEFAULT") not in LEVELS:
        yield f"its level {span.attributes[LEVEL]!r} is not one of Langfuse's"
    tags = span.attributes.get(TAGS, [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        yield "its tags are not an array of strings"


def _numbers(span: ReceivedSpan) -> Iterator[str]:
    for key, types, description in (
        (USAGE, int, "a whole number that is not negative"),
        (COST, (int, Decimal), "a number that is not negative"),
    ):
        try:
            values = number_object(span.attributes.get(key, "{}"))
        except ValueError as error:
            yield f"its {key} is no JSON object: {error}"
            continue
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, types) or value < 0:
                yield f"its {key} has {name} = {value!r}, which is not {description}"
        if key == COST and key in span.attributes and "total" not in values:
            yield f"its {COST} has no total, so Langfuse shows no cost at all"


def _placement(span: ReceivedSpan) -> Iterator[str]:
    if span.kind == "generation":
        if MODEL in span.attributes and USAGE not in span.attributes:
            yield "it has a model and no usage, so Langfuse would estimate tokens and cost"
        return
    for key in (COST, MODEL):
        if key in span.attributes:
            yield f"it has {key} and is no generation"
    if USAGE in span.attributes and not _is_counter(span):
        yield f"it has {USAGE} and is neither a generation nor a counter with a total of 0"


def _is_counter(span: ReceivedSpan) -> bool:
    """Numbers of their own in an event or span; the total of 0 keeps them out of token sums."""
    try:
        return (
            span.kind in {"event", "span"}
            and number_object(span.attributes[USAGE]).get("total") == 0
        )
    except ValueError:
        return False


def _around(span: ReceivedSpan) -> Iterator[str]:
    for key in sorted(span.resource.keys() - {"service.name", "service.version"}):
        yield f"resource attribute {key} is copied into the metadata of every observation"
    if not span.scope.startswith("langfuse-sdk"):
        yield f"scope {span.scope!r} makes Langfuse copy all attributes into the metadata"


def violations_of_trace(trace_id: str, spans: Sequence[ReceivedSpan]) -> Iterator[str]:
    """One sentence for each thing wrong with all spans of a trace taken together."""
    roots = {span.span_id for span in spans if span.parent_id is None}
    if len(roots) > 1:
        yield f"trace {trace_id} has {len(roots)} roots: {sorted(roots)}"
    for key in sorted({key for span in spans for key in span.attributes if _is_trace_level(key)}):
        values = {json.dumps(span.attributes.get(key)) for span in spans}
        if len(values) > 1:
            yield f"trace {trace_id}: its spans disagree on {key}: {sorted(values)}"


def _is_trace_level(key: str) -> bool:
    return key in TRACE_LEVEL or key.startswith("langfuse.trace.")


# ------------------------------------------------------------------------ what the server answers


class Refused(Exception):  # noqa: N818 - an answer, not an error of ours
    """The double answers 400 with these words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A scripted answer.

    Attributes:
        status: With a 2xx the export is stored as usual (or refused with 400, if it is bad).
        after: The answer waits for it.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = '{"message":"scripted"}'
    content_type: str = "application/json"
    after: asyncio.Event | None = None


Trouble = Literal["close", "hang", "lose_answer", "break_answer"]
"""What else can happen to an export.

``close``         the connection is closed while the body is read; nothing is stored
``hang``          no answer until ``release`` is set, then 500; nothing is stored (Redis away)
``lose_answer``   it is stored, and the connection closed before an answer: the ambiguous failure
``break_answer``  it is stored, and the connection breaks in the body of the 200
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One POST to the OTLP route, however it ended. ``status`` None: no answer was given."""

    number: int
    headers: Mapping[str, str]
    body: bytes
    status: int | None


def parse_export(headers: Mapping[str, str], body: bytes) -> ExportTraceServiceRequest:
    """Check one OTLP POST as the server does, in its order.

    Raises:
        Refused: With the server's words.
    """
    if "gzip" in headers.get("Content-Encoding", ""):
        body = _inflate(body)
    content_type = headers.get("Content-Type", "").lower()
    if "application/x-protobuf" in content_type:
        request = _parse_protobuf(body)
    elif "application/json" in content_type:
        request = _parse_json(body)
    else:
        raise Refused("Invalid content type")
    _require_ids(request)
    _require_version(headers)
    return request


def _inflate(body: bytes) -> bytes:
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error) as error:
        raise Refused("Failed to decompress request body") from error


def _parse_protobuf(body: bytes) -> ExportTraceServiceRequest:
    try:
        return ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise Refused("Failed to parse OTel Protobuf Trace") from error


def _parse_json(body: bytes) -> ExportTraceServiceRequest:
    try:
        message = json.loads(body or b"{}")
        for span in _json_spans(message):
            span.update({key: _base64_id(span[key]) for key in SPAN_IDS if key in span})
            span.pop("links", None)  # Langfuse ignores them, and their ids are hex too
        return ParseDict(message, ExportTraceServiceRequest(), ignore_unknown_fields=True)
    except (ValueError, TypeError, AttributeError, ParseError) as error:
        raise Refused("Failed to parse OTel JSON Trace") from error


def _json_spans(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for of_resource in message.get("resourceSpans", []):
        for of_scope in of_resource.get("scopeSpans", []):
            yield from of_scope.get("spans", [])


def _base64_id(value: Any) -> str:
    """OTLP/JSON has ids in hex, protobuf's own JSON in base64. What is no text becomes missing."""
    if not isinstance(value, str):
        return ""
    return base64.b64encode(bytes.fromhex(value)).decode()


def _require_ids(request: ExportTraceServiceRequest) -> None:
    spans = [
        span
        for of_resource in request.resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    ]
    bad = sum(not span.trace_id or not span.span_id for span in spans)
    if bad:
        raise Refused(_entire_export(bad, len(spans)))


def _entire_export(bad: int, total: int) -> str:
    return (
        f"Invalid OTLP trace export: {bad} of {total} span(s) have a missing or malformed "
        "traceId/spanId. The entire export was rejected and no spans were ingested."
    )


def _require_version(headers: Mapping[str, str]) -> None:
    version = headers.get("x-langfuse-ingestion-version")
    if version is None:
        return
    number = re.match(r"\s*[+-]?\d+", version)
    if number is None or int(number[0]) > NEWEST_INGESTION_VERSION:
        raise Refused(
            f'Unsupported x-langfuse-ingestion-version: "{version}". Maximum supported: "4".'
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to a route other than OTLP's. ``status`` None: no answer was given so far."""

    route: str
    method: str
    headers: Mapping[str, str]
    body: bytes
    status: int | None
    arrived_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreUpdate:
    """One score as it was taken.

    Attributes:
        route: ``scores`` or ``ingestion``.
        score: The score's own fields.
        timestamp: The score's own or its envelope's; None where neither has one.
        event_id: The envelope's.
    """

    route: str
    score: dict[str, Any]
    timestamp: str | None
    event_id: str | None
    arrived_ms: int

    @property
    def key(self) -> ScoreKey:
        return self.score["id"], self.score["name"], self.moment.date().isoformat()

    @property
    def moment(self) -> datetime:
        if self.timestamp is None:
            return datetime.fromtimestamp(self.arrived_ms / 1000, UTC)
        return datetime.fromisoformat(self.timestamp).astimezone(UTC)

    def repeats(self, other: "ScoreUpdate") -> bool:
        """Whether it is the same, byte for byte as far as JSON has bytes."""
        mine = (self.route, self.event_id, self.timestamp, json.dumps(self.score))
        return mine == (other.route, other.event_id, other.timestamp, json.dumps(other.score))


@dataclass(slots=True, kw_only=True)
class ScoreRefusal:
    """How often more a score is refused, and in which words."""

    status: int
    message: str
    times: int


def violations_of_update(update: ScoreUpdate, earlier: Sequence[ScoreUpdate]) -> Iterator[str]:
    """One sentence for each thing the server takes and then stores or shows wrongly.

    Args:
        update: What came.
        earlier: All updates with its id that came before.
    """
    if "configId" in update.score:
        yield "it names a config, so a value that does not fit is lost without a word"
    if not earlier:
        return
    last = earlier[-1]
    if update.key != last.key:
        yield f"it was {last.key} and is now {update.key}: there are two of it"
    if _subject(update.score) != _subject(last.score):
        yield "it belongs to something else now"
    if update.route == last.route and not update.repeats(last):
        yield from _violations_of_order(update, last, earlier)


def _violations_of_order(
    update: ScoreUpdate, last: ScoreUpdate, earlier: Sequence[ScoreUpdate]
) -> Iterator[str]:
    if update.route == "scores":
        if update.timestamp != last.timestamp:
            yield "its timestamp has changed"
        return
    if update.moment <= last.moment:
        yield "its envelope is not later than the one before, so the older value may win"
    if update.event_id in {it.event_id for it in earlier}:
        yield "its event id was used before, so it may be taken for processed"


def _subject(score: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(score.get(key) for key in ("traceId", "sessionId", "datasetRunId"))


def score_problem(score: Any) -> str | None:
    """Why the server would not take this score; None if it would."""
    if not isinstance(score, dict):
        return "Invalid request data: expected an object"
    return (
        _score_field_problem(score)
        or _score_subject_problem(score)
        or _score_value_problem(score.get("dataType"), score.get("value"))
    )


def _score_field_problem(score: dict[str, Any]) -> str | None:
    if not isinstance(score.get("name"), str) or not score["name"]:
        return "Invalid request data: name is required"
    score_id = score.get("id", "")
    if not isinstance(score_id, str) or len(score_id) > MAX_ID_CHARS:
        return "Invalid request data: id"
    if "timestamp" in score and not is_moment(score["timestamp"]):
        return "Invalid request data: timestamp is no ISO datetime with an offset"
    return None


def _score_subject_problem(score: dict[str, Any]) -> str | None:
    subjects = [key for key in ("traceId", "sessionId", "datasetRunId") if score.get(key)]
    if len(subjects) != 1:
        return "Provide exactly one of traceId, sessionId or datasetRunId"
    if score.get("observationId") and "traceId" not in subjects:
        return "observationId requires traceId"
    return None


def _score_value_problem(data_type: Any, value: Any) -> str | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    fits = {
        None: is_number or isinstance(value, str),
        "NUMERIC": is_number,
        "BOOLEAN": is_number and value in (0, 1),
        "CATEGORICAL": isinstance(value, str),
        "TEXT": isinstance(value, str) and 0 < len(value) <= MAX_TEXT_SCORE_CHARS,
    }
    return None if fits.get(data_type) else f"Invalid value {value!r} for data type {data_type}"


def is_moment(text: Any) -> bool:
    """Whether it is an ISO 8601 datetime with an offset."""
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except (TypeError, ValueError):
        return False


class FakeLangfuse(ReceivedSpans):
    """A Langfuse on 127.0.0.1; see the module. ``async with FakeLangfuse() as langfuse``.

    Args:
        version: Below 4.59.0 the scores route takes no arrays.
        public_key: The only one it knows.
        secret_key: Likewise.
        port: 0 takes a free one.
        path: What the base URL carries behind the port, such as ``/langfuse``.
        dump: Received spans are appended to it as JSON lines, on disk before the answer.
        clock: For when scores arrived.

    Attributes:
        url: The base URL, known from the start on.
        exports: Every POST to the OTLP route in order, refused ones included.
        requests: POSTs to the OTLP route whose body has been read, answered or not.
        probes: How often the projects were asked for.
        scores: Every score taken, in order, updates included; those of the ingestion route have
            the envelope's ``timestamp``.
        score_updates: The same with how and when they came.
        names_rejected_scores: Whether the errors of the scores route have the scores' ids.
        score_configs: Every one created, or put there by a test, in order.
        calls: Every request to the routes of scores, score configs and health, in order.
        dashboards: What is behind the routes of dashboards and widgets, its violations included;
            None is a server without them.
        deleted_traces: Ids of traces that were deleted, in order.
        accepts_keys: Set to False, all keys are unknown, as after a deletion.
        release: Ends the scripted ``hang``.
    """

    def __init__(
        self,
        *,
        version: str = "4.16.0",
        public_key: str = "pk-lf-test",
        secret_key: str = "sk-lf-test",  # noqa: S107 - a double's
        port: int = 0,
        path: str = "",
        dump: Path | None = None,
        clock: Clock | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__()
        self.url = ""
        self.version = version
        self.public_key = public_key
        self.secret_key = secret_key
        self.exports: list[Export] = []
        self._exports_before = _exports_in(dump)
        self.requests = 0
        self.probes = 0
        self.scores: list[dict[str, Any]] = []
        self.score_updates: list[ScoreUpdate] = []
        self.names_rejected_scores = False
        self.score_configs: list[dict[str, Any]] = []
        self.calls: list[Call] = []
        self.dashboards: DashboardStore | None = DashboardStore()
        self.deleted_traces: list[str] = []
        self.accepts_keys = True
        self.release = asyncio.Event()
        self._port = port
        self._path = path
        self._ssl_context = ssl_context
        self._dump = dump
        self._script: deque[Reply | Trouble] = deque()
        self._rejected_span_ids: set[str] = set()
        self._clock = clock or SystemClock()
        self._route_scripts: defaultdict[str, deque[Reply | Trouble]] = defaultdict(deque)
        self._score_refusals: dict[str, ScoreRefusal] = {}
        self._updates_by_id: defaultdict[str, list[ScoreUpdate]] = defaultdict(list)
        self._changed = asyncio.Condition()
        self._closing = asyncio.Event()
        self._runner = web.AppRunner(self._app(), auto_decompress=False, access_log=None)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._ssl_context)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        scheme = "https" if self._ssl_context else "http"
        self.url = f"{scheme}://{host}:{port}{self._path}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        await self._runner.cleanup()

    def script(self, *answers: int | Reply | Trouble) -> None:
        """What the next POSTs to the OTLP route get, one each; then it answers by itself again."""
        self._script.extend(Reply(status=it) if isinstance(it, int) else it for it in answers)

    def reject_span(self, span_id: str) -> None:
        """From now on any export with this span is refused as a whole with 400."""
        self._rejected_span_ids.add(span_id)

    def script_route(self, route: str, *answers: int | Reply | Trouble) -> None:
        """As ``script``; ``route`` as in ``Call``: ``scores``, ``dashboards`` and so on."""
        replies = (Reply(status=it) if isinstance(it, int) else it for it in answers)
        self._route_scripts[route].extend(replies)

    def reject_score(
        self, score_id: str, *, status: int = 400, message: str = "rejected", times: int = 1_000_000
    ) -> None:
        """The next times this score comes it is refused alone, on either route."""
        refusal = ScoreRefusal(status=status, message=message, times=times)
        self._score_refusals[score_id] = refusal

    def calls_to(self, route: str) -> list[Call]:
        return [call for call in self.calls if call.route == route]

    def updates_of(self, score_id: str) -> list[ScoreUpdate]:
        return list(self._updates_by_id.get(score_id, ()))

    def kept_scores(self) -> dict[ScoreKey, dict[str, Any]]:
        """What people see: one score per key; an update keeps what it does not have itself."""
        kept: dict[ScoreKey, dict[str, Any]] = {}
        for update in self.score_updates:
            first = {"timestamp": update.timestamp}
            kept[update.key] = {**first, **kept.get(update.key, {}), **update.score}
        return kept

    async def wait_for_scores(self, n_scores: int, timeout_s: float = 10.0) -> None:
        """Until at least ``n_scores`` were taken, updates and repetitions included."""
        await self._until(lambda: len(self.scores) >= n_scores, timeout_s)

    async def wait_for_calls(self, route: str, n_calls: int, timeout_s: float = 10.0) -> None:
        """Until at least ``n_calls`` were read on ``route``, even if they wait for their answer."""
        await self._until(lambda: len(self.calls_to(route)) >= n_calls, timeout_s)

    async def wait_for(self, n_spans: int, timeout_s: float = 10.0) -> None:
        """Until at least ``n_spans`` were received; fails after ``timeout_s``."""
        await self._until(lambda: len(self.spans) >= n_spans, timeout_s)

    async def wait_for_exports(self, n_exports: int, timeout_s: float = 10.0) -> None:
        """Until at least ``n_exports`` POSTs came to the OTLP route, however they ended."""
        await self._until(lambda: len(self.exports) >= n_exports, timeout_s)

    async def wait_for_requests(self, n_requests: int, timeout_s: float = 10.0) -> None:
        """Until at least ``n_requests`` POSTs were read, even if they wait for their answer."""
        await self._until(lambda: self.requests >= n_requests, timeout_s)

    async def _until(self, reached: Callable[[], bool], timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(reached)
        except TimeoutError:
            raise AssertionError(
                f"after {timeout_s} s: {len(self.spans)} spans in {len(self.exports)} exports, "
                f"{len(self.scores)} scores, {len(self.calls)} other calls"
            ) from None

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=1024**3)
        public = f"{self._path}/api/public"
        app.router.add_post(f"{public}/otel/v1/traces", self._traces)
        app.router.add_post(f"{public}/otel/v1/metrics", self._metrics)
        app.router.add_get(f"{public}/projects", self._projects, allow_head=False)
        app.router.add_get(f"{public}/v2/observations", self._observations, allow_head=False)
        app.router.add_get(f"{public}/traces", self._no_traces, allow_head=False)
        app.router.add_delete(f"{public}/traces/{{trace_id}}", self._delete_trace)
        app.router.add_get(f"{public}/health", self._health, allow_head=False)
        app.router.add_post(f"{public}/scores", self._post_scores)
        app.router.add_post(f"{public}/ingestion", self._ingestion)
        app.router.add_get(f"{public}/score-configs", self._score_configs, allow_head=False)
        app.router.add_post(f"{public}/score-configs", self._score_configs)
        app.router.add_route("*", f"{public}/unstable/{{route:.+}}", self._unstable)
        return app

    # ------------------------------------------------------------------------------------ OTLP

    async def _traces(self, request: web.Request) -> web.StreamResponse:
        scripted = self._script.popleft() if self._script else Reply(status=200)
        if scripted == "close":
            return await self._close(request, await request.content.readany())
        body = await request.read()
        self.requests += 1
        await self._notify()
        match scripted:
            case Reply() as reply:
                return await self._reply(request, body, reply)
            case "hang":
                await self._record(request, body, None)
                await self._event(self.release)
                return web.json_response({"message": "Internal Server Error"}, status=500)
            case "lose_answer":
                await self._take(request, body)
                return _cut(request)
            case "break_answer":
                await self._take(request, body)
                return await _break_off(request)

    async def _close(self, request: web.Request, body: bytes) -> web.StreamResponse:
        await self._record(request, body, None)
        return _cut(request)

    async def _reply(self, request: web.Request, body: bytes, reply: Reply) -> web.Response:
        if reply.after is not None:
            await self._event(reply.after)
        if reply.status == 200:
            return await self._take(request, body)
        await self._record(request, body, reply.status)
        return _scripted(reply)

    async def _take(self, request: web.Request, body: bytes) -> web.Response:
        """Answer as Langfuse does: check, store, and 200 with a body that is not OTLP's."""
        if not self._knows(request):
            await self._record(request, body, 401)
            return _unauthorized()
        try:
            export = parse_export(request.headers, body)
            spans = read_export(export, self._next_export)
            self._refuse_rejected(spans)
        except Refused as refusal:
            await self._record(request, body, 400)
            return web.json_response({"error": str(refusal)}, status=400)
        self.add(spans)
        self._write(spans)
        await self._record(request, body, 200)
        return web.json_response(_job(spans))

    @property
    def _next_export(self) -> int:
        return self._exports_before + len(self.exports) + 1

    def _refuse_rejected(self, spans: Sequence[ReceivedSpan]) -> None:
        bad = sum(span.span_id in self._rejected_span_ids for span in spans)
        if bad:
            raise Refused(_entire_export(bad, len(spans)))

    def _write(self, spans: Sequence[ReceivedSpan]) -> None:
        if self._dump is None:
            return
        with self._dump.open("a") as file:
            file.writelines(json.dumps(span.to_json()) + "\n" for span in spans)
            file.flush()
            os.fsync(file.fileno())

    async def _record(self, request: web.Request, body: bytes, status: int | None) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        number = self._next_export
        self.exports.append(Export(number=number, headers=headers, body=body, status=status))
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _event(self, event: asyncio.Event) -> None:
        """Wait for ``event``, or for the end of the test."""
        waiting = {asyncio.create_task(event.wait()), asyncio.create_task(self._closing.wait())}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()

    async def _metrics(self, request: web.Request) -> web.Response:
        """Langfuse takes metrics and forgets them."""
        return web.json_response({}) if self._knows(request) else _unauthorized()

    # ----------------------------------------------------------------------------------- others

    def _knows(self, request: web.Request) -> bool:
        expected = encode_basic_auth(self.public_key, self.secret_key)
        return self.accepts_keys and request.headers.get("Authorization") == expected

    async def _health(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "health", self._say_version)

    def _say_version(self, request: web.Request, _body: bytes) -> web.Response:
        if "Authorization" in request.headers:
            self.violations.append("the keys were sent where nobody asks for them")
        return web.json_response({"status": "OK", "version": self.version})

    async def _projects(self, request: web.Request) -> web.Response:
        self.probes += 1
        if not self._knows(request):
            return _unauthorized()
        project = {
            "id": "project-1",
            "name": "test",
            "organization": {"id": "organization-1", "name": "test"},
            "metadata": {},
        }
        return web.json_response({"data": [project]})

    # ---------------------------------------------------------------------------------- reading

    async def _observations(self, request: web.Request) -> web.StreamResponse:
        """As 4.16.0 answers: the newest first, nothing merged, and deleted traces left out."""
        if not self._knows(request):
            return _unauthorized()
        try:
            page = read_back.page(self._rows(), request.query)
        except ValueError as error:
            return _bad_request(str(error))
        return web.json_response(page)

    def _rows(self) -> Iterator[dict[str, Any]]:
        spans = (span for span in self.spans if span.trace_id not in self.deleted_traces)
        return (
            read_back.row(span.trace_id, span.span_id, span.parent_id, span.name, span.attributes)
            | {"startTime": read_back.moment(span.start_ms)}
            | {"endTime": read_back.moment(span.end_ms)}
            for span in spans
        )

    async def _no_traces(self, request: web.Request) -> web.StreamResponse:
        """In ``events_only`` what was there before v4 cannot be read."""
        if not self._knows(request):
            return _unauthorized()
        return web.json_response({"message": read_back.EVENTS_ONLY}, status=404)

    async def _delete_trace(self, request: web.Request) -> web.StreamResponse:
        if not self._knows(request):
            return _unauthorized()
        self.deleted_traces.append(request.match_info["trace_id"])
        return web.json_response({"message": "Trace deleted successfully"})

    # ----------------------------------------------------------------------------------- scores

    async def _answer(
        self,
        request: web.Request,
        route: str,
        take: Callable[[web.Request, bytes], web.Response],
    ) -> web.StreamResponse:
        """What is scripted for ``route``, or what ``take`` makes of the request."""
        body = await request.read()
        number = await self._arrive(request, route, body)
        script = self._route_scripts[route]
        match script.popleft() if script else Reply(status=200):
            case Reply(status=status, after=after) as reply:
                if after is not None:
                    await self._event(after)
                response = take(request, body) if status == 200 else _scripted(reply)
                return await self._answered(number, response)
            case "close":
                return _cut(request)
            case "hang":
                await self._event(self.release)
                return web.json_response({"message": "Internal Server Error"}, status=500)
            case "lose_answer":
                take(request, body)
                return _cut(request)
            case "break_answer":
                response = await self._answered(number, take(request, body))
                return await _break_off(request, response.status)

    async def _arrive(self, request: web.Request, route: str, body: bytes) -> int:
        call = Call(
            route=route,
            method=request.method,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
            status=None,
            arrived_ms=self._clock.now_ms(),
        )
        self.calls.append(call)
        await self._notify()
        return len(self.calls) - 1

    async def _answered(self, number: int, response: web.Response) -> web.Response:
        self.calls[number] = replace(self.calls[number], status=response.status)
        await self._notify()
        return response

    async def _post_scores(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "scores", self._take_scores_body)

    def _take_scores_body(self, request: web.Request, body: bytes) -> web.Response:
        if not self._knows(request):
            return _unauthorized()
        if len(body) > MAX_SCORE_BYTES:
            return web.Response(status=413, text="Body exceeded 1mb limit")
        try:
            return self._take_scores(json.loads(body, parse_constant=_no_constant))
        except ValueError:
            return _bad_request("Invalid JSON")

    def _take_scores(self, body: Any) -> web.Response:
        if isinstance(body, list):
            return self._take_score_array(body)
        problem = score_problem(body)
        if problem:
            return _bad_request(problem)
        return web.json_response({"id": self._keep_score(body)})

    def _take_score_array(self, scores: list[Any]) -> web.Response:
        version = tuple(int(part) for part in self.version.split("."))
        if version < FIRST_VERSION_WITH_SCORE_ARRAYS:
            return _bad_request("Invalid request data: expected an object, received an array")
        if len(scores) > MOST_SCORES_IN_ARRAY:
            self.violations.append(f"an array of {len(scores)} scores is more than one may have")
        errors = [error for score in scores if (error := self._score_error(score))]
        if not errors:
            return web.json_response({"message": "Accepted"}, status=202)
        counts = {"accepted": len(scores) - len(errors), "rejected": len(errors)}
        return web.json_response({**counts, "errors": errors}, status=207)

    def _score_error(self, score: Any) -> dict[str, Any] | None:
        """What the 207 of the scores route says of ``score``; None: it was taken."""
        problem = score_problem(score)
        if problem is None:
            refusal = self._refusal_of(score)
            problem = refusal and refusal[1]
        if problem is None:
            self._keep_score(score)
            return None
        named = {"id": score.get("id")} if self.names_rejected_scores else {}
        return {"message": problem, **named}

    def _refusal_of(self, score: dict[str, Any]) -> tuple[int, str] | None:
        refusal = self._score_refusals.get(score.get("id", ""))
        if refusal is None or not refusal.times:
            return None
        refusal.times -= 1
        return refusal.status, refusal.message

    def _keep_score(self, score: dict[str, Any], event: dict[str, Any] | None = None) -> str:
        kept = {"id": f"score-{len(self.scores) + 1}", **score}
        update = ScoreUpdate(
            route="ingestion" if event else "scores",
            score={key: value for key, value in kept.items() if key != "timestamp"},
            timestamp=(event or kept).get("timestamp"),
            event_id=event["id"] if event else None,
            arrived_ms=self._clock.now_ms(),
        )
        for sentence in violations_of_update(update, self.updates_of(kept["id"])):
            self.violations.append(f"score {kept['id']} ({kept['name']}): {sentence}")
        self.score_updates.append(update)
        self._updates_by_id[kept["id"]].append(update)
        self.scores.append({**kept, "timestamp": event["timestamp"]} if event else kept)
        return str(kept["id"])

    async def _ingestion(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "ingestion", self._take_ingestion_body)

    def _take_ingestion_body(self, request: web.Request, body: bytes) -> web.Response:
        if not self._knows(request):
            unknown = {"error": "UnauthorizedError", "message": "Invalid credentials"}
            return web.json_response(unknown, status=401)
        if len(body) > MAX_INGESTION_BYTES:
            return web.Response(status=413, text="Body exceeded 4.5mb limit")
        try:
            batch = json.loads(body, parse_constant=_no_constant)["batch"]
        except (ValueError, TypeError, KeyError):
            return _bad_request("Invalid request data")
        return self._take_batch(batch)

    def _take_batch(self, batch: list[Any]) -> web.Response:
        """Langfuse v4 takes scores and SDK logs here, each event judged by itself."""
        successes, errors = [], []
        for event in batch:
            problem = self._event_problem(event)
            if problem is None:
                successes.append({"id": event["id"], "status": 201})
            else:
                status, message = problem
                refused = {"id": event.get("id"), "status": status, "message": message}
                errors.append({**refused, "error": "InvalidRequestError"})
        return web.json_response({"successes": successes, "errors": errors}, status=207)

    def _event_problem(self, event: dict[str, Any]) -> tuple[int, str] | None:
        """Status and words of a refusal; None: the event was taken."""
        if event.get("type") == "sdk-log":
            return None
        if event.get("type") != "score-create":
            return 400, "Event type not accepted"
        if not event.get("id") or not is_moment(event.get("timestamp")):
            return 400, "Invalid request data: id and timestamp are required"
        problem = score_problem(event.get("body"))
        if problem is not None:
            return 400, problem
        refusal = self._refusal_of(event["body"])
        if refusal is None:
            self._keep_score(event["body"], event)
        return refusal

    # ---------------------------------------------------------------------------- score configs

    async def _score_configs(self, request: web.Request) -> web.StreamResponse:
        take = self._list_configs if request.method == "GET" else self._create_config
        return await self._answer(request, "score-configs", take)

    def _list_configs(self, request: web.Request, _body: bytes) -> web.Response:
        if not self._knows(request):
            return _unauthorized()
        page, limit = (int(request.query.get(key, it)) for key, it in (("page", 1), ("limit", 50)))
        if page < 1 or not 1 <= limit <= MOST_CONFIGS_PER_PAGE:
            return _bad_request("Invalid request data")
        total = len(self.score_configs)
        meta = {"totalItems": total, "totalPages": -(-total // limit)}
        shown = self.score_configs[(page - 1) * limit : page * limit]
        return web.json_response({"data": shown, "meta": {"page": page, "limit": limit, **meta}})

    def _create_config(self, request: web.Request, body: bytes) -> web.Response:
        """A name that is there already is taken as well, and then there are two for good."""
        if not self._knows(request):
            return _unauthorized()
        given = json.loads(body)
        if not given.get("name") or given.get("dataType") not in {"NUMERIC", "BOOLEAN"}:
            return _bad_request("Invalid request data")
        if given["name"] in {config["name"] for config in self.score_configs}:
            self.violations.append(f"there are two score configs named {given['name']}")
        if {"minValue", "maxValue"} & given.keys():
            self.violations.append(f"score config {given['name']} has bounds")
        config = {"id": f"config-{len(self.score_configs) + 1}", "isArchived": False, **given}
        self.score_configs.append(config)
        return web.json_response(config)

    # ------------------------------------------------------------------------------- dashboards

    async def _unstable(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "dashboards", self._take_unstable)

    def _take_unstable(self, request: web.Request, body: bytes) -> web.Response:
        if self.dashboards is None:
            return web.Response(status=404, text="<html></html>", content_type="text/html")
        if not self._knows(request):
            return _unauthorized()
        route = request.match_info["route"]
        status, answer = self.dashboards.answer(request.method, route, request.query, body)
        return web.json_response(answer, status=status)


def _exports_in(dump: Path | None) -> int:
    """The number of the last export in a dump: a double that is started again goes on counting."""
    if dump is None or not dump.exists():
        return 0
    lines = dump.read_text().splitlines()
    return int(json.loads(lines[-1])["export"]) if lines else 0


def _job(spans: Sequence[ReceivedSpan]) -> dict[str, Any]:
    """The queue's job, which is what Langfuse answers; an empty object where there is nothing."""
    if not spans:
        return {}
    return {"name": "otel-ingestion-job", "data": {"payload": {"data": {}}}, "opts": {}}


def _bad_request(words: str) -> web.Response:
    return web.json_response({"message": words, "error": "InvalidRequestError"}, status=400)


def _unauthorized() -> web.Response:
    words = "Invalid credentials. Confirm that you've configured the correct host."
    return web.json_response({"message": words}, status=401)


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _scripted(reply: Reply) -> web.Response:
    return web.Response(
        status=reply.status,
        headers=reply.headers,
        text=reply.body,
        content_type=reply.content_type,
    )


async def _break_off(request: web.Request, status: int = 200) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers={"Content-Type": "application/json"})
    response.content_length = 100
    await response.prepare(request)
    await response.write(b'{"name":')
    if request.transport is not None:
        request.transport.close()
    return response


# ------------------------------------------------------------------------------- smaller doubles


Key = TypeVar("Key", int, str)
Pending = TypeVar("Pending")


class Waiting(Generic[Key, Pending]):
    """What is pending, and waiting for more or for none of it."""

    def __init__(self) -> None:
        self.pending: dict[Key, Pending] = {}
        self._changed = asyncio.Condition()

    async def wait_for_work(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self.pending))

    async def wait_until_settled(self, timeout_s: float = 10.0) -> None:
        """Until nothing is pending; fails after ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: not self.pending)
        except TimeoutError:
            raise AssertionError(f"still pending: {sorted(self.pending)}") from None

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class MemoryOutbox(Waiting[int, PendingSpan]):
    """An outbox that keeps the protocol and objects to who does not.

    Attributes:
        delivered_at_ms: Position → when.
        reasons: Position → why it was rejected.
        notes: What was said of Langfuse, in order.
    """

    def __init__(self, spans: Iterable[PendingSpan] = ()) -> None:
        super().__init__()
        self.delivered_at_ms: dict[int, int] = {}
        self.reasons: dict[int, str] = {}
        self.notes: list[tuple[LangfuseState, str]] = []
        self._put(spans)

    async def add(self, *spans: PendingSpan) -> None:
        """More becomes pending; wakes ``wait_for_work``."""
        self._put(spans)
        await self._notify()

    def _put(self, spans: Iterable[PendingSpan]) -> None:
        for span in spans:
            assert span.position not in self.pending, f"{span.position} is pending already"
            self._assert_not_ended(span.position)
            self.pending[span.position] = span

    async def claim(self, max_bytes: int, max_spans: int) -> list[PendingSpan]:
        assert max_bytes > 0
        assert max_spans > 0
        claimed: list[PendingSpan] = []
        size_bytes = 0
        for position in sorted(self.pending)[:max_spans]:
            size_bytes += len(self.pending[position].span)
            if claimed and size_bytes > max_bytes:
                break
            claimed.append(self.pending[position])
        return claimed

    async def delivered(self, positions: Sequence[int], at_ms: int) -> None:
        assert positions, "nothing was delivered"
        for position in positions:
            self._end(position)
            self.delivered_at_ms[position] = at_ms
        await self._notify()

    async def rejected(self, position: int, reason: str, at_ms: int) -> None:
        assert at_ms > 0
        assert reason, "a person wants to know why"
        self._end(position)
        self.reasons[position] = reason
        await self._notify()

    async def note(self, state: LangfuseState, reason: str) -> None:
        assert reason, "a person wants to know why"
        assert (state, reason) not in self.notes[-1:], "nothing has changed"
        self.notes.append((state, reason))
        await self._notify()

    def states(self) -> list[LangfuseState]:
        return [state for state, _ in self.notes]

    def _end(self, position: int) -> None:
        self._assert_not_ended(position)
        assert position in self.pending, f"{position} was never pending"
        del self.pending[position]

    def _assert_not_ended(self, position: int) -> None:
        ended = self.delivered_at_ms.keys() | self.reasons.keys()
        assert position not in ended, f"{position} has ended before"


class MemoryScoreOutbox(Waiting[str, PendingScore]):
    """As ``MemoryOutbox``, for scores. Everything in it is due at once.

    Attributes:
        pending: Score id → the revision that waits.
        delivered: What was delivered and when, in order.
        rejected: What was rejected and why, in order.
    """

    def __init__(self, *scores: PendingScore) -> None:
        super().__init__()
        self.delivered: list[tuple[PendingScore, int]] = []
        self.rejected: list[tuple[PendingScore, str]] = []
        self._put(scores)

    async def add(self, *scores: PendingScore) -> None:
        """More becomes due; wakes ``wait_for_work``."""
        self._put(scores)
        await self._notify()

    def _put(self, scores: Iterable[PendingScore]) -> None:
        for pending in scores:
            assert pending.score.id not in self.pending, "one revision at a time"
            self.pending[pending.score.id] = pending

    async def claim_scores(self, now_ms: int, limit: int) -> list[PendingScore]:
        assert now_ms > 0
        assert limit > 0
        return list(self.pending.values())[:limit]

    async def scores_delivered(self, sent: Sequence[PendingScore], at_ms: int) -> None:
        assert sent, "nothing was delivered"
        for pending in sent:
            self._end(pending)
            self.delivered.append((pending, at_ms))
        await self._notify()

    async def score_rejected(self, pending: PendingScore, reason: str, at_ms: int) -> None:
        assert at_ms > 0
        assert reason, "a person wants to know why"
        self._end(pending)
        self.rejected.append((pending, reason))
        await self._notify()

    def _end(self, pending: PendingScore) -> None:
        assert self.pending.get(pending.score.id) == pending, f"{pending} was not pending"
        del self.pending[pending.score.id]


class FakeClock:
    """Stands still until told otherwise."""

    def __init__(self, now_ms: int = 1_790_000_000_000) -> None:
        self.time_ms = now_ms

    def now_ms(self) -> int:
        return self.time_ms


class FakeSleep:
    """Sleeps no time at all and remembers for how long. ``on_wait`` is called with the n-th wait.

    Attributes:
        waits_s: Every wait so far, in order.
    """

    def __init__(self, on_wait: Callable[[int], None] = lambda _number: None) -> None:
        self.waits_s: list[float] = []
        self._on_wait = on_wait

    async def __call__(self, seconds: float) -> None:
        self.waits_s.append(seconds)
        self._on_wait(len(self.waits_s))
        await asyncio.sleep(0)


# ------------------------------------------------------------------------------- as a process


def arguments() -> argparse.Namespace:
    """What ``FakeLangfuse`` takes, from the command line."""
    parser = argparse.ArgumentParser(description="A strict Langfuse double on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--dump", type=Path, help="append received spans here as JSON lines")
    parser.add_argument("--version", default="4.16.0")
    parser.add_argument("--public-key", default="pk-lf-test")
    parser.add_argument("--secret-key", default="sk-lf-test")
    return parser.parse_args()


async def serve(double: FakeLangfuse) -> None:
    """Print its address and answer until a signal comes."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with double as langfuse:
        sys.stdout.write(f"listening on {langfuse.url}\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(serve(FakeLangfuse(**vars(arguments()))))
