"""All three signals of a capture: as they came, taken apart, and put together anew.

Spans are read and written here with the OTLP classes alone, so that the bridge's own readers are
checked as well. A capture's spans stay bytes, in which nothing of them is lost.
"""

import base64
import gzip
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bridge.model.requests import Encoding, ExportRequest, Signal
from tests.measurements import all_requests
from tests.pipeline import (
    ALL_CAPTURES,
    CAPTURES,
    Assembly,
    Json,
    Logged,
    assemble,
    batch,
    capture_notes,
    explode,
)

SPAN_SETTLE_MS = 15_000
"""The default of ``span_settle_s``."""

IDS = ("traceId", "spanId", "parentSpanId")

FUSED = [
    capture
    for capture in ALL_CAPTURES
    if {"logs", "metrics", "traces"}
    <= {entry["signal"] for entry in capture_notes(capture)["requests"]}
]
"""The captures that have all three signals."""


@dataclass(frozen=True)
class Spanned:
    """One span of a capture with what stands around it, all as OTLP messages, and when it came."""

    resource: bytes
    scope: bytes
    span: bytes
    at_ms: int

    @property
    def message(self) -> Span:
        """The span."""
        return Span.FromString(self.span)

    @property
    def name(self) -> str:
        """The span's name without the client's prefix."""
        return self.message.name.removeprefix("claude_code.")

    @property
    def attributes(self) -> Json:
        """Attribute → plain value."""
        return {pair.key: plain(pair.value) for pair in self.message.attributes}


def plain(value: Any) -> Any:
    """The plain value of an OTLP ``AnyValue``."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    return None if kind is None else getattr(value, kind)


# --- captures ------------------------------------------------------------------------------------


def requests_of(capture: str, *signals: Signal) -> list[ExportRequest]:
    """The requests of these signals (of all when none is named) in the order of their arrival."""
    wanted = signals or tuple(Signal)
    found = [*all_requests(capture), *_traces_requests(capture)]
    return sorted(
        (request for request in found if request.signal in wanted),
        key=lambda request: request.received_at_ms,
    )


def assemble_fused(capture: str, *signals: Signal, **settings: Any) -> Assembly:
    """Assemble these signals of a capture as they came."""
    return assemble(requests_of(capture, *signals), **settings)


def capture_spans(capture: str) -> list[Spanned]:
    """Every span of a capture in the order of arrival."""
    return [
        span for request in requests_of(capture, Signal.TRACES) for span in explode_spans(request)
    ]


def _traces_requests(capture: str) -> list[ExportRequest]:
    folder = CAPTURES / capture
    return [
        counted(
            ExportRequest(
                signal=Signal.TRACES,
                encoding=Encoding.JSON if ".json" in entry["file"] else Encoding.PROTOBUF,
                body=(folder / entry["file"]).read_bytes(),
                gzipped=entry["file"].endswith(".gz"),
                records=0,
                received_at_ms=round(entry["received_at"] * 1000),
            )
        )
        for entry in capture_notes(capture)["requests"]
        if entry["signal"] == "traces" and "answered" not in entry
    ]


def counted(request: ExportRequest) -> ExportRequest:
    """A traces request that says how many spans it has."""
    return msgspec.structs.replace(request, records=len(explode_spans(request)))


# --- spans, one by one and together --------------------------------------------------------------


def explode_spans(request: ExportRequest) -> list[Spanned]:
    """A request's spans, one by one."""
    return [
        Spanned(
            around.resource.SerializeToString(deterministic=True),
            scope_spans.scope.SerializeToString(deterministic=True),
            span.SerializeToString(deterministic=True),
            request.received_at_ms,
        )
        for around in export_of(request).resource_spans
        for scope_spans in around.scope_spans
        for span in scope_spans.spans
    ]


def export_of(request: ExportRequest) -> ExportTraceServiceRequest:
    """The message in a traces request of either encoding."""
    body = gzip.decompress(request.body) if request.gzipped else request.body
    if request.encoding is Encoding.PROTOBUF:
        return ExportTraceServiceRequest.FromString(body)
    document = _with_ids(json.loads(body), lambda text: base64.b64encode(bytes.fromhex(text)))
    return json_format.ParseDict(document, ExportTraceServiceRequest())


def span_batch(
    spans: Sequence[Spanned],
    at_ms: int | None = None,
    *,
    encoding: Encoding = Encoding.PROTOBUF,
    gzipped: bool = False,
) -> ExportRequest:
    """One export request of these spans."""
    export = ExportTraceServiceRequest()
    for each in spans:
        around = export.resource_spans.add(resource=Resource.FromString(each.resource))
        scope_spans = around.scope_spans.add(scope=InstrumentationScope.FromString(each.scope))
        scope_spans.spans.append(each.message)
    body = export.SerializeToString() if encoding is Encoding.PROTOBUF else to_json(export)
    return ExportRequest(
        signal=Signal.TRACES,
        encoding=encoding,
        body=gzip.compress(body, 1) if gzipped else body,
        gzipped=gzipped,
        records=len(spans),
        received_at_ms=max(span.at_ms for span in spans) if at_ms is None else at_ms,
    )


def to_json(export: ExportTraceServiceRequest) -> bytes:
    """OTLP/JSON, whose ids are hex where protobuf's own JSON has base64."""
    document = json_format.MessageToDict(export, use_integers_for_enums=True)
    return json.dumps(_with_ids(document, lambda text: base64.b64decode(text).hex())).encode()


def _with_ids(value: Any, turned: Any) -> Any:
    if isinstance(value, list):
        return [_with_ids(item, turned) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _text(turned(item)) if key in IDS else _with_ids(item, turned)
        for key, item in value.items()
    }


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


# --- another way -------------------------------------------------------------------------------


Item = Logged | Spanned


def items_of(requests: Iterable[ExportRequest]) -> list[Item]:
    """Every log record and span of these requests, in order; metrics are left out."""
    found: list[Item] = []
    for request in requests:
        if request.signal is Signal.LOGS:
            found += explode(request)
        elif request.signal is Signal.TRACES:
            found += explode_spans(request)
    return found


def batched(items: Sequence[Item], rng: random.Random, at_ms: int) -> list[ExportRequest]:
    """The items in this order, cut anywhere, each cut as one request of either signal."""
    marks = sorted(rng.sample(range(1, len(items)), rng.randrange(min(10, len(items)))))
    requests = []
    for low, high in zip([0, *marks], [*marks, len(items)], strict=True):
        logs = [item for item in items[low:high] if isinstance(item, Logged)]
        spans = [item for item in items[low:high] if isinstance(item, Spanned)]
        encoding, gzipped = rng.choice(list(Encoding)), rng.random() < 0.3
        halves = [batch(logs, at_ms, encoding=encoding, gzipped=gzipped)] if logs else []
        if spans:
            halves.append(span_batch(spans, at_ms, encoding=encoding, gzipped=gzipped))
        rng.shuffle(halves)
        requests += halves
    return requests


def spread(
    requests: Sequence[ExportRequest], rng: random.Random, start_ms: int, within_ms: int
) -> list[ExportRequest]:
    """In this order, at any times within so many milliseconds."""
    times_ms = sorted(start_ms + rng.randrange(within_ms) for _ in requests)
    return [
        msgspec.structs.replace(request, received_at_ms=at_ms)
        for request, at_ms in zip(requests, times_ms, strict=True)
    ]
