"""The pipeline behind the receiver, driven offline on real files with a clock of our own.

Requests go into a real inbox, a real assembler turns them into a real ledger, and what would be
sent to Langfuse is read back from the span bytes with the OTLP classes alone. Nothing here uses
the bridge's own readers of spans or log records, so that those are checked as well.
"""

import gzip
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bridge.app.assembler import Assembler
from bridge.app.reading import ledger_reader
from bridge.config import Config
from bridge.correlate.saved import Bounds
from bridge.model.delivery import PendingSpan
from bridge.model.requests import Encoding, ExportRequest, Signal
from bridge.store.inbox import Inbox
from bridge.store.inbox_reader import InboxReader
from bridge.store.ledger import Ledger
from bridge.store.reader import LedgerReader, LedgerTotals

CAPTURES = Path(__file__).parent / "captures"
ALL_CAPTURES = sorted(
    f"{path.parent.parent.name}/{path.parent.name}" for path in CAPTURES.glob("*/*/capture.json")
)

SETTLE_MS = 3_000
QUIET_MS = 30_000
IDLE_MS = 1_800_000
"""The defaults of the settings of these names."""

EVERYTHING = 2**40
NS_PER_MS = 1_000_000

Json = dict[str, Any]


# --- what was posted -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Logged:
    """One log record of a capture in OTLP/JSON, with what stands around it, and when it came."""

    resource: Json
    scope: Json
    record: Json
    at_ms: int

    @property
    def attributes(self) -> Json:
        """Attribute → plain value."""
        return {pair["key"]: plain_json(pair["value"]) for pair in self.record["attributes"]}

    @property
    def name(self) -> str:
        """The event's name without prefix."""
        return str(self.attributes["event.name"])


def capture_notes(capture: str) -> Json:
    """``capture.json``: how a capture was made."""
    notes: Json = json.loads((CAPTURES / capture / "capture.json").read_bytes())
    return notes


def capture_requests(capture: str, *, refused_too: bool = False) -> list[ExportRequest]:
    """The logs requests of a capture as they came.

    Those answered with 503 were never accepted and came again, so they are left out.
    """
    folder = CAPTURES / capture
    return [
        _export(folder / entry["file"], round(entry["received_at"] * 1000))
        for entry in capture_notes(capture)["requests"]
        if entry["signal"] == "logs" and (refused_too or "answered" not in entry)
    ]


def capture_records(capture: str, *, refused_too: bool = False) -> list[Logged]:
    """Every log record of a capture in the order of arrival."""
    requests = capture_requests(capture, refused_too=refused_too)
    return [record for request in requests for record in explode(request)]


def explode(request: ExportRequest) -> list[Logged]:
    """A request's records, one by one."""
    body = gzip.decompress(request.body) if request.gzipped else request.body
    document = json.loads(body) if request.encoding is Encoding.JSON else _to_json(body)
    return [
        Logged(around.get("resource", {}), scope_logs["scope"], record, request.received_at_ms)
        for around in document["resourceLogs"]
        for scope_logs in around["scopeLogs"]
        for record in scope_logs["logRecords"]
    ]


def batch(
    records: Sequence[Logged],
    at_ms: int | None = None,
    *,
    encoding: Encoding = Encoding.JSON,
    gzipped: bool = False,
    ints_as_strings: bool = False,
) -> ExportRequest:
    """One export request of these records; neighbours of one resource share it."""
    document = {"resourceLogs": list(_grouped(records))}
    if encoding is Encoding.PROTOBUF:
        body = _to_protobuf(document)
    else:
        body = json.dumps(_with_string_ints(document) if ints_as_strings else document).encode()
    return ExportRequest(
        signal=Signal.LOGS,
        encoding=encoding,
        body=gzip.compress(body, 1) if gzipped else body,
        gzipped=gzipped,
        records=len(records),
        received_at_ms=max(r.at_ms for r in records) if at_ms is None else at_ms,
    )


def plain_json(value: Json) -> Any:
    """The plain value of an OTLP/JSON AnyValue."""
    ((kind, plain),) = value.items()
    if kind == "arrayValue":
        return [plain_json(item) for item in plain.get("values", [])]
    return int(plain) if kind == "intValue" else plain


def _export(path: Path, at_ms: int) -> ExportRequest:
    request = ExportRequest(
        signal=Signal.LOGS,
        encoding=Encoding.JSON if ".json" in path.name else Encoding.PROTOBUF,
        body=path.read_bytes(),
        gzipped=path.suffix == ".gz",
        records=0,
        received_at_ms=at_ms,
    )
    return _counted(request)


def _counted(request: ExportRequest) -> ExportRequest:
    return ExportRequest(
        signal=request.signal,
        encoding=request.encoding,
        body=request.body,
        gzipped=request.gzipped,
        records=len(explode(request)),
        received_at_ms=request.received_at_ms,
    )


def _grouped(records: Iterable[Logged]) -> Iterator[Json]:
    group: list[Logged] = []
    for record in records:
        if group and (group[0].resource, group[0].scope) != (record.resource, record.scope):
            yield _resource_logs(group)
            group = []
        group.append(record)
    if group:
        yield _resource_logs(group)


def _resource_logs(group: list[Logged]) -> Json:
    records = [record.record for record in group]
    scope_logs = {"scope": group[0].scope, "logRecords": records}
    return {"resource": group[0].resource, "scopeLogs": [scope_logs]}


def _with_string_ints(value: Any) -> Any:
    """``intValue`` as protobuf's own JSON writes it."""
    if isinstance(value, list):
        return [_with_string_ints(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: str(item) if key == "intValue" else _with_string_ints(item)
        for key, item in value.items()
    }


def _to_json(body: bytes) -> Json:
    message = ExportLogsServiceRequest.FromString(body)
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": [_pair(a) for a in around.resource.attributes]},
                "scopeLogs": [
                    {
                        "scope": {"name": logs.scope.name, "version": logs.scope.version},
                        "logRecords": [_record(record) for record in logs.log_records],
                    }
                    for logs in around.scope_logs
                ],
            }
            for around in message.resource_logs
        ]
    }


def _record(record: Any) -> Json:
    found = {
        "timeUnixNano": str(record.time_unix_nano),
        "observedTimeUnixNano": str(record.observed_time_unix_nano),
        "body": _any(record.body),
        "attributes": [_pair(pair) for pair in record.attributes],
    }
    if record.trace_id:
        found |= {"traceId": record.trace_id.hex(), "spanId": record.span_id.hex()}
    return found


def _pair(pair: KeyValue) -> Json:
    return {"key": pair.key, "value": _any(pair.value)}


_KINDS = {
    "string_value": "stringValue",
    "bool_value": "boolValue",
    "int_value": "intValue",
    "double_value": "doubleValue",
}


def _any(value: AnyValue) -> Json:
    kind = value.WhichOneof("value") or "string_value"
    if kind == "array_value":
        return {"arrayValue": {"values": [_any(item) for item in value.array_value.values]}}
    return {_KINDS[kind]: getattr(value, kind)}


def _to_protobuf(document: Json) -> bytes:
    message = ExportLogsServiceRequest()
    for around in document["resourceLogs"]:
        resource_logs = message.resource_logs.add()
        _fill(resource_logs.resource.attributes, around["resource"].get("attributes", []))
        for logs in around["scopeLogs"]:
            scope_logs = resource_logs.scope_logs.add()
            scope_logs.scope.name = logs["scope"]["name"]
            scope_logs.scope.version = logs["scope"].get("version", "")
            for record in logs["logRecords"]:
                _fill_record(scope_logs.log_records.add(), record)
    return message.SerializeToString()


def _fill_record(target: Any, record: Json) -> None:
    target.time_unix_nano = int(record["timeUnixNano"])
    target.observed_time_unix_nano = int(record["observedTimeUnixNano"])
    target.body.string_value = record["body"]["stringValue"]
    target.trace_id = bytes.fromhex(record.get("traceId", ""))
    target.span_id = bytes.fromhex(record.get("spanId", ""))
    _fill(target.attributes, record["attributes"])


def _fill(target: Any, pairs: Iterable[Json]) -> None:
    for pair in pairs:
        _fill_any(target.add(key=pair["key"]).value, pair["value"])


def _fill_any(target: Any, value: Json) -> None:
    if not value:  # unset
        return
    ((kind, plain),) = value.items()
    if kind == "arrayValue":
        target.array_value.SetInParent()
        for item in plain.get("values", []):
            _fill_any(target.array_value.values.add(), item)
        return
    name = next(ours for ours, theirs in _KINDS.items() if theirs == kind)
    setattr(target, name, int(plain) if kind == "intValue" else plain)


# --- what would be sent --------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """One span as Langfuse would read it."""

    span: bytes
    service: tuple[str, str | None]
    trace_id: str
    id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int
    failed: bool
    attributes: Json = field(hash=False)

    @property
    def start_ms(self) -> int:
        """Langfuse keeps milliseconds."""
        return self.start_ns // NS_PER_MS

    @property
    def end_ms(self) -> int:
        """Langfuse keeps milliseconds."""
        return self.end_ns // NS_PER_MS

    @property
    def type(self) -> str:
        """The observation's type."""
        return str(self.attributes["langfuse.observation.type"])

    @property
    def level(self) -> str:
        """The observation's level."""
        return str(self.attributes["langfuse.observation.level"])

    @property
    def status(self) -> str | None:
        """The observation's status message."""
        return self._text("status_message")

    @property
    def input(self) -> str | None:
        """The observation's input."""
        return self._text("input")

    @property
    def output(self) -> str | None:
        """The observation's output."""
        return self._text("output")

    @property
    def usage(self) -> dict[str, int]:
        """Usage key → tokens; empty when none was told."""
        text = self._text("usage_details")
        return json.loads(text) if text else {}

    @property
    def cost(self) -> Decimal | None:
        """US dollars to the last digit, None when none was told."""
        text = self._text("cost_details")
        return json.loads(text, parse_float=Decimal, parse_int=Decimal)["total"] if text else None

    @property
    def metadata(self) -> Json:
        """The observation's own metadata."""
        return below("langfuse.observation.metadata.", self.attributes)

    @property
    def trace_facts(self) -> Json:
        """Everything that is said of the trace and not of the observation."""
        return {
            key: value
            for key, value in self.attributes.items()
            if not key.startswith("langfuse.observation.")
        }

    def _text(self, name: str) -> str | None:
        value = self.attributes.get(f"langfuse.observation.{name}")
        assert value is None or isinstance(value, str), (name, value)
        return value


def below(prefix: str, attributes: Json) -> Json:
    """The attributes below a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in attributes.items() if k.startswith(prefix)}


def read_span(pending: PendingSpan) -> Seen:
    """Span bytes, read with the OTLP classes alone."""
    span = Span.FromString(pending.span)
    keys = [pair.key for pair in span.attributes]
    assert len(keys) == len(set(keys)), f"an attribute stands twice on {span.name}: {keys}"
    assert (len(span.trace_id), len(span.span_id)) == (16, 8)
    return Seen(
        span=pending.span,
        service=(pending.service_name, pending.service_version),
        trace_id=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex() or None,
        name=span.name,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        failed=span.status.code == span.status.STATUS_CODE_ERROR,
        attributes={pair.key: _plain(pair.value) for pair in span.attributes},
    )


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    assert kind in {"string_value", "bool_value", "int_value", "double_value"}, kind
    return getattr(value, kind)


# --- the pipeline itself -------------------------------------------------------------------------


class Pipeline:
    """A data folder, and whatever works on it. Time passes only when told to."""

    def __init__(self, folder: Path, *, bounds: Bounds | None = None, **settings: Any) -> None:
        self.bounds = bounds
        self.config = Config.model_validate({"data_dir": folder} | settings)
        self.inbox = Inbox(folder / "inbox.db")
        self.reader = InboxReader(folder / "inbox.db")
        self.ledger = Ledger(self.config.ledger_path)
        self.assembler = Assembler(self.config, self.reader, self.ledger, self.bounds)

    def post(self, *requests: ExportRequest) -> None:
        """Commit requests to the inbox, as the receiver does before it answers 200."""
        self.inbox.append(requests)

    def step(self, now_ms: int) -> int:
        """One step of the assembler."""
        return self.assembler.step(now_ms)

    def work(self, now_ms: int) -> None:
        """Step until the inbox is read to its end, and look once at what is due then."""
        while self.step(now_ms):
            pass

    def wait(self, from_ms: int, until_ms: int) -> None:
        """Let time pass, with a look every second for as long as something is to be seen."""
        ticks = range(from_ms + 1000, min(until_ms, from_ms + QUIET_MS + 5_000), 1000)
        for now_ms in [*ticks, until_ms]:
            self.work(now_ms)

    def finish(self, now_ms: int) -> None:
        """Let so much time pass that nothing is held any more."""
        for end_ms in (now_ms + QUIET_MS + 10_000, now_ms + IDLE_MS + 1, now_ms + 3 * IDLE_MS):
            self.wait(now_ms, end_ms)
            now_ms = end_ms

    def restart(self) -> None:
        """A new process over the same files."""
        self.close()
        self.reader = InboxReader(self.config.data_dir / "inbox.db")
        self.ledger = Ledger(self.config.ledger_path)
        self.assembler = Assembler(self.config, self.reader, self.ledger, self.bounds)

    def spans(self) -> list[Seen]:
        """What waits for Langfuse, in the order of assembly."""
        return [read_span(pending) for pending in self.ledger.claim(EVERYTHING, EVERYTHING)]

    def outcomes(self) -> dict[str, int]:
        """Record outcomes that are not zero."""
        return {name: count for name, count in self.local_totals().outcomes.items() if count}

    def accepted(self) -> int:
        """Records ever posted."""
        return self.reader.totals().accepted

    def held(self) -> int:
        """Records posted that have not ended: in the inbox still, or in the ledger's live turns."""
        totals = self.local_totals()
        waiting = self.reader.read(totals.watermark, Signal.LOGS, EVERYTHING, EVERYTHING)
        return totals.live_records + sum(entry.request.records for entry in waiting)

    def local_view(self) -> LedgerReader:
        """What people at a terminal look through; to be closed by the caller."""
        return ledger_reader(self.config)

    def close(self) -> None:
        """Close the files."""
        self.inbox.close()
        self.reader.close()
        self.ledger.close()

    def local_totals(self) -> LedgerTotals:
        """What ``/healthz`` reads of the ledger."""
        view = self.local_view()
        try:
            return view.totals()
        finally:
            view.close()


@contextmanager
def pipeline(**settings: Any) -> Iterator[Pipeline]:
    """A pipeline in a folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="langfuse-bridge-pipeline-"))
    made = Pipeline(folder, **settings)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder)


@dataclass(frozen=True)
class Assembly:
    """What became of some requests."""

    spans: list[Seen]
    outcomes: dict[str, int]
    accepted: int
    held: int

    @property
    def traces(self) -> dict[str, list[Seen]]:
        """Trace id → spans, traces and spans in the order in which they start."""
        return by_trace(self.spans)

    @property
    def of_prompts(self) -> list[Seen]:
        """The spans of prompts, without the summaries of sessions."""
        return of_prompts(self.spans)

    @property
    def sent(self) -> dict[str, bytes]:
        """Span id → bytes."""
        return {span.id: span.span for span in self.spans}


def of_prompts(spans: Iterable[Seen]) -> list[Seen]:
    """The spans of prompts, without the summaries of sessions."""
    name = "langfuse.trace.name"
    return [span for span in spans if not span.attributes[name].endswith(" session")]


def by_trace(spans: Iterable[Seen]) -> dict[str, list[Seen]]:
    """Trace id → spans, traces and spans in the order in which they start."""
    found: dict[str, list[Seen]] = {}
    for span in sorted(spans, key=lambda s: (s.start_ns, s.parent_id is not None)):
        found.setdefault(span.trace_id, []).append(span)
    return found


def assemble(requests: Sequence[ExportRequest], **settings: Any) -> Assembly:
    """Post requests at their time of arrival and wait until everything has ended.

    Args:
        requests: In order of arrival.
        settings: Of the configuration, where they are not the defaults.
    """
    with pipeline(**settings) as made:
        now_ms = requests[0].received_at_ms
        for request in requests:
            if request.received_at_ms > now_ms:
                made.wait(now_ms, request.received_at_ms)
                now_ms = request.received_at_ms
            made.post(request)
            made.work(now_ms)
        made.finish(now_ms)
        return result(made)


def result(made: Pipeline) -> Assembly:
    """What a pipeline holds by now."""
    return Assembly(
        spans=made.spans(), outcomes=made.outcomes(), accepted=made.accepted(), held=made.held()
    )


def assemble_capture(capture: str, **settings: Any) -> Assembly:
    """Assemble a capture as it came."""
    return assemble(capture_requests(capture), **settings)
