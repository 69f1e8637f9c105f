"""Recorded bodies, and what their records say, read without any of the bridge's own decoding."""

import functools
import gzip
import json
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

CAPTURES = Path(__file__).parent / "captures"
JSON = "application/json"
PROTOBUF = "application/x-protobuf"
MESSAGES: dict[str, type[Message]] = {
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "traces": ExportTraceServiceRequest,
}
USAGE_KEYS = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "input_cached_tokens",
    "cache_creation_tokens": "input_cache_creation",
}
"""The client's names → Langfuse's."""
TWELVE_DECIMALS = Decimal("1e-12")


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """One recorded export request as it was posted."""

    name: str
    signal: str
    content_type: str
    gzipped: bool
    data: bytes

    @property
    def headers(self) -> dict[str, str]:
        encoding = {"Content-Encoding": "gzip"} if self.gzipped else {}
        return {"Content-Type": self.content_type, **encoding}

    @property
    def plain(self) -> bytes:
        return gzip.decompress(self.data) if self.gzipped else self.data

    @property
    def parsed(self) -> dict[str, Any]:
        """As OTLP/JSON, whatever it came as; ids of a protobuf body are base64."""
        if self.content_type == JSON:
            return dict(json.loads(self.plain))
        message = MESSAGES[self.signal]()
        message.ParseFromString(self.plain)
        return MessageToDict(message)


@functools.cache
def capture(name: str) -> tuple[Body, ...]:
    """The bodies of a capture such as ``2.1.330/e-subagent`` in their order.

    Left out are those that the recording endpoint refused: the client sent them again.
    """
    folder = CAPTURES / name
    requests = json.loads((folder / "capture.json").read_bytes())["requests"]
    return tuple(_body(folder, request) for request in requests if "answered" not in request)


def captures() -> list[str]:
    """The names of all captures."""
    return sorted(
        str(path.parent.relative_to(CAPTURES)) for path in CAPTURES.glob("*/*/capture.json")
    )


def _body(folder: Path, request: dict[str, Any]) -> Body:
    file = request["file"]
    return Body(
        name=f"{folder.parent.name}/{folder.name}/{file}",
        signal=request["signal"],
        content_type=JSON if ".json" in file else PROTOBUF,
        gzipped=file.endswith(".gz"),
        data=(folder / file).read_bytes(),
    )


def as_session(bodies: Iterable[Body], number: int) -> list[Body]:
    """The same bodies from another session: a UUID is as long as any other, in every encoding."""
    bodies = list(bodies)
    others = {
        session.encode(): str(uuid.uuid5(uuid.UUID(session), str(number))).encode()
        for session in sessions(bodies)
    }
    return [_with(body, others) for body in bodies]


def _with(body: Body, others: dict[bytes, bytes]) -> Body:
    plain = body.plain
    for session, other in others.items():
        plain = plain.replace(session, other)
    return replace(body, data=gzip.compress(plain, mtime=0) if body.gzipped else plain)


def as_protobuf(body: Body) -> Body:
    """Log records of an OTLP/JSON body in the other encoding; protobuf's own has ids in base64."""
    request: dict[str, Any] = json.loads(body.plain)
    message = ExportLogsServiceRequest()
    ids = [
        (record.pop("traceId", ""), record.pop("spanId", ""))
        for resource in request["resourceLogs"]
        for scope in resource["scopeLogs"]
        for record in scope["logRecords"]
    ]
    ParseDict(request, message)
    written = message.resource_logs[0].scope_logs[0].log_records
    for record, (trace_id, span_id) in zip(written, ids, strict=True):
        record.trace_id, record.span_id = bytes.fromhex(trace_id), bytes.fromhex(span_id)
    return replace(body, content_type=PROTOBUF, gzipped=False, data=message.SerializeToString())


# ------------------------------------------------------------------------------- what they say


def records(bodies: Iterable[Body]) -> Iterator[dict[str, Any]]:
    """The attributes of every log record, numbers and texts as they are written."""
    for body in bodies:
        for scope in _scopes(body) if body.signal == "logs" else ():
            for record in scope["logRecords"]:
                yield {each["key"]: _value(each["value"]) for each in record["attributes"]}


def count(bodies: Iterable[Body]) -> Counter[str]:
    """Signal → log records, data points or spans."""
    counts: Counter[str] = Counter()
    for body in bodies:
        counts[body.signal] += sum(map(_count_in_scope, _scopes(body)))
    return counts


def sessions(bodies: Iterable[Body]) -> list[str]:
    """Ids of the sessions that log records name."""
    return sorted({record["session.id"] for record in records(bodies) if "session.id" in record})


def cost_usd(bodies: Iterable[Body]) -> dict[str | None, Decimal]:
    """Session → sum over its api_requests; None for those that name none."""
    sums: defaultdict[str | None, Decimal] = defaultdict(Decimal)
    for record in _requests(bodies):
        sums[record.get("session.id")] += _cost_usd(record)
    return dict(sums)


def usage(bodies: Iterable[Body]) -> dict[str | None, dict[str, int]]:
    """Session → Langfuse usage key → tokens, zeros left out; likewise."""
    sums: defaultdict[str | None, Counter[str]] = defaultdict(Counter)
    for record in _requests(bodies):
        tokens = {theirs: int(record.get(ours, 0)) for ours, theirs in USAGE_KEYS.items()}
        sums[record.get("session.id")].update(tokens)
    return {session: dict(+tokens) for session, tokens in sums.items()}


def texts(bodies: Iterable[Body], min_chars: int) -> set[str]:
    """What people and models wrote: every text long enough that only chance could repeat it."""
    named = {"prompt", "response", "tool_input", "tool_parameters", "error", "body"}
    found = {
        str(value) for record in records(bodies) for key, value in record.items() if key in named
    }
    return {text for text in found if len(text) >= min_chars}


def _requests(bodies: Iterable[Body]) -> Iterator[dict[str, Any]]:
    return (record for record in records(bodies) if record.get("event.name") == "api_request")


def _cost_usd(record: dict[str, Any]) -> Decimal:
    if "cost_usd_micros" in record:
        return Decimal(record["cost_usd_micros"]).scaleb(-6)
    return Decimal(str(record["cost_usd"])).quantize(TWELVE_DECIMALS)


def _scopes(body: Body) -> Iterator[dict[str, Any]]:
    of_resources = {"logs": "resourceLogs", "metrics": "resourceMetrics", "traces": "resourceSpans"}
    of_scopes = {"logs": "scopeLogs", "metrics": "scopeMetrics", "traces": "scopeSpans"}
    for resource in body.parsed.get(of_resources[body.signal], []):
        yield from resource.get(of_scopes[body.signal], [])


def _count_in_scope(scope: dict[str, Any]) -> int:
    points = sum(
        len(kind["dataPoints"])
        for metric in scope.get("metrics", [])
        for kind in metric.values()
        if isinstance(kind, dict)
    )
    return points + len(scope.get("logRecords", [])) + len(scope.get("spans", []))


def _value(value: dict[str, Any]) -> Any:
    return next(iter(value.values()), None)
