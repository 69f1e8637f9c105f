"""How many records a body holds, by looking through it without taking it apart.

Responsible for: log records, data points and spans in both encodings, and that a body has the
shape of its Export…ServiceRequest down to them.
Left to others: inflating (``request``), everything the records say (``decode``).

This runs in the process that owes clients an answer, so it builds as little as it can.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Final, TypeVar

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bridge.errors import UndecodableError
from bridge.model.requests import Encoding, Signal
from bridge.otlp.pieces import pieces
from bridge.otlp.wire import check_utf8

JSON: Final = Encoding.JSON
"""For every post: to look a member up by its class takes as long as a call."""

SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")

SMALL_BYTES: Final = 64 * 1024
RUN_BYTES: Final = 32 * 1024
"""A larger body is read in runs of resources. What is built of all of it would be taken from the
system and given back for every body, which costs as much as building it, and to read each resource
alone costs more around it. A gateway's body has many resources, each of a few records."""

RESOURCE: Final = 0x0A
"""The tag of field 1, which in all three requests is a list of resources with what they sent."""
MORE: Final = 0x80
"""The bit of a length's byte that says that another follows."""
LENGTH_BYTES: Final = 4
"""Of a resource, the most that is looked for: 256 MiB, more than any body has."""

Request = TypeVar("Request")
Item = TypeVar("Item")


def count(signal: Signal, encoding: Encoding, body: bytes) -> int:
    """Count log records, data points or spans in an inflated body.

    Raises:
        UndecodableError: It is not the signal's Export…ServiceRequest in that encoding.
    """
    counter = COUNTERS[encoding, signal]
    try:
        # Of JSON msgspec builds next to nothing.
        if encoding is JSON or len(body) <= SMALL_BYTES:
            return counter(body)
        return sum(map(counter, chain.from_iterable(map(runs, pieces(signal, encoding, body)))))
    # RecursionError: msgspec follows nesting on the interpreter's stack and ends where that does.
    except (DecodeError, msgspec.DecodeError, UndecodableError, RecursionError) as error:
        raise UndecodableError(f"not an export request for {signal} in {encoding}") from error


def runs(body: bytes, run_bytes: int = RUN_BYTES) -> Iterator[bytes]:
    """A request as requests that each have some whole resources of it, about ``run_bytes``.

    What is not plainly a resource is in the last, with all that is behind it.
    """
    begin = 0
    for end in _ends(body):
        if end - begin >= run_bytes:
            yield body[begin:end]
            begin = end
    yield body[begin:]


def _ends(body: bytes) -> Iterator[int]:
    """Where each resource ends, as far as there is nothing else."""
    at = 0
    while at < len(body) and body[at] == RESOURCE:
        at = _end(body, at + 1)
        if not 0 < at <= len(body):
            return
        yield at


def _end(body: bytes, at: int) -> int:
    """Where the field ends whose length is at ``at``; 0 where none is."""
    size_bytes = 0
    for place, byte in enumerate(body[at : at + LENGTH_BYTES]):
        size_bytes |= (byte & 0x7F) << 7 * place
        if byte < MORE:
            return at + place + 1 + size_bytes
    return 0


def _count_logs(body: bytes) -> int:
    message = ExportLogsServiceRequest.FromString(body)
    return sum(
        len(scope.log_records)
        for resource in message.resource_logs
        for scope in resource.scope_logs
    )


def _count_metrics(body: bytes) -> int:
    message = ExportMetricsServiceRequest.FromString(body)
    return sum(
        len(getattr(metric, kind).data_points)
        for resource in message.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if (kind := metric.WhichOneof("data")) is not None
    )


def _count_traces(body: bytes) -> int:
    message = ExportTraceServiceRequest.FromString(body)
    return sum(
        len(scope.spans) for resource in message.resource_spans for scope in resource.scope_spans
    )


# The shape of OTLP/JSON down to its records. msgspec checks these fields, builds nothing for the
# rest and still validates it as JSON: 13 MB in 6 ms, where building objects for everything, as
# orjson has to, takes 400 ms, and the answers to all other clients wait meanwhile.


class _Json(msgspec.Struct, rename="camel", gc=False):
    """Any object: unknown fields are looked over. JSON null stands for "left out"."""


# Some exporters write the longer names with underscores; those count where the others are not.


class _ScopeLogs(_Json):
    log_records: list[_Json] | None = None
    underscored: list[_Json] | None = msgspec.field(default=None, name="log_records")


class _ResourceLogs(_Json):
    scope_logs: list[_ScopeLogs] | None = None
    underscored: list[_ScopeLogs] | None = msgspec.field(default=None, name="scope_logs")


class _LogsRequest(_Json):
    resource_logs: list[_ResourceLogs] | None = None
    underscored: list[_ResourceLogs] | None = msgspec.field(default=None, name="resource_logs")


class _Data(_Json):
    data_points: list[_Json] | None = None


class _Metric(_Json):
    gauge: _Data | None = None
    sum: _Data | None = None
    histogram: _Data | None = None
    exponential_histogram: _Data | None = None
    summary: _Data | None = None


class _ScopeMetrics(_Json):
    metrics: list[_Metric] | None = None


class _ResourceMetrics(_Json):
    scope_metrics: list[_ScopeMetrics] | None = None
    underscored: list[_ScopeMetrics] | None = msgspec.field(default=None, name="scope_metrics")


class _MetricsRequest(_Json):
    resource_metrics: list[_ResourceMetrics] | None = None
    underscored: list[_ResourceMetrics] | None = msgspec.field(
        default=None, name="resource_metrics"
    )


class _ScopeSpans(_Json):
    spans: list[_Json] | None = None


class _ResourceSpans(_Json):
    scope_spans: list[_ScopeSpans] | None = None
    underscored: list[_ScopeSpans] | None = msgspec.field(default=None, name="scope_spans")


class _TracesRequest(_Json):
    resource_spans: list[_ResourceSpans] | None = None
    underscored: list[_ResourceSpans] | None = msgspec.field(default=None, name="resource_spans")


_LOGS_DECODER = msgspec.json.Decoder(_LogsRequest)
_METRICS_DECODER = msgspec.json.Decoder(_MetricsRequest)
_TRACES_DECODER = msgspec.json.Decoder(_TracesRequest)


def _count_logs_json(body: bytes) -> int:
    request = _decode_json(_LOGS_DECODER, body)
    return sum(
        len(_listed(scope.log_records, scope.underscored))
        for resource in _listed(request.resource_logs, request.underscored)
        for scope in _listed(resource.scope_logs, resource.underscored)
    )


def _count_metrics_json(body: bytes) -> int:
    request = _decode_json(_METRICS_DECODER, body)
    return sum(
        len(data.data_points or ())
        for resource in _listed(request.resource_metrics, request.underscored)
        for scope in _listed(resource.scope_metrics, resource.underscored)
        for metric in scope.metrics or ()
        for data in _data(metric)
    )


def _data(metric: _Metric) -> Iterable[_Data]:
    kinds = (
        metric.gauge,
        metric.sum,
        metric.histogram,
        metric.exponential_histogram,
        metric.summary,
    )
    return filter(None, kinds)


def _count_traces_json(body: bytes) -> int:
    request = _decode_json(_TRACES_DECODER, body)
    return sum(
        len(scope.spans or ())
        for resource in _listed(request.resource_spans, request.underscored)
        for scope in _listed(resource.scope_spans, resource.underscored)
    )


def _listed(camel: list[Item] | None, underscored: list[Item] | None) -> list[Item]:
    return (underscored or []) if camel is None else camel


def _decode_json(decoder: msgspec.json.Decoder[Request], body: bytes) -> Request:
    r"""Decode what is UTF-8 and JSON.

    JavaScript cuts strings between the halves of a surrogate pair and writes such a half as an
    escape of its own. A strict parser refuses the whole batch for it, so escaped halves, which
    matter nothing here, are looked at as ``\ufffd``.
    """
    check_utf8(memoryview(body))  # msgspec does not look at the characters of what it skips
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return decoder.decode(SURROGATE_ESCAPE.sub(rb"\\ufffd", body))


COUNTERS: Final[Mapping[tuple[Encoding, Signal], Callable[[bytes], int]]] = {
    (Encoding.PROTOBUF, Signal.LOGS): _count_logs,
    (Encoding.PROTOBUF, Signal.METRICS): _count_metrics,
    (Encoding.PROTOBUF, Signal.TRACES): _count_traces,
    (Encoding.JSON, Signal.LOGS): _count_logs_json,
    (Encoding.JSON, Signal.METRICS): _count_metrics_json,
    (Encoding.JSON, Signal.TRACES): _count_traces_json,
}
