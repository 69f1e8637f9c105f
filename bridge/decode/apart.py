"""Single records out of an export request, each as a request of its own.

A record stays under its resource and scope and in its encoding, and nothing of it is read, so that
what cannot be read now is whole for whoever tries again.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec
import orjson
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from bridge.decode.envelope import inflated
from bridge.decode.values import document, json_dict, json_list, proto_message
from bridge.errors import UndecodableError
from bridge.model.requests import Encoding, ExportRequest, Signal

Json: TypeAlias = Any

KINDS: Mapping[Signal, type[Message]] = {
    Signal.LOGS: ExportLogsServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
    Signal.TRACES: ExportTraceServiceRequest,
}
_PLURALS = {Signal.LOGS: "logs", Signal.METRICS: "metrics", Signal.TRACES: "spans"}
_ITEMS = {
    Signal.LOGS: ("log_records", "logRecords"),
    Signal.METRICS: ("metrics", "metrics"),
    Signal.TRACES: ("spans", "spans"),
}
_POINTS = ("sum", "gauge", "histogram", "exponentialHistogram", "summary")


def single_records(request: ExportRequest, wanted: Collection[int]) -> Iterator[ExportRequest]:
    """The log records, spans or data points at these places, in the request's order.

    Places are counted as ``ExportRequest.records`` counts, from 0.

    Raises:
        UndecodableError: The body as a whole cannot be read, or a record not be written again.
    """
    is_json = request.encoding is Encoding.JSON
    found = enumerate(_json_items(request) if is_json else _proto_items(request))
    body = _json_body if is_json else _proto_body
    for place, around in found:
        if place in wanted:
            single = body(request.signal, *around)
            yield msgspec.structs.replace(request, body=single, gzipped=False, records=1)


def _proto_items(request: ExportRequest) -> Iterator[tuple[Any, ...]]:
    """Resource, scope and item of each record; a data point's item is its metric, and the point."""
    plural = _PLURALS[request.signal]
    export = proto_message(KINDS[request.signal], inflated(request))
    for of_resource in getattr(export, f"resource_{plural}"):
        for of_scope in getattr(of_resource, f"scope_{plural}"):
            for item in getattr(of_scope, _ITEMS[request.signal][0]):
                yield from ((of_resource, of_scope, *each) for each in _proto_points(item))


def _proto_points(item: Message) -> Iterator[tuple[Message, Message | None]]:
    """A metric without its points and each of these; any other item as it is."""
    if not isinstance(item, Metric):
        yield item, None
        return
    kind = item.WhichOneof("data")
    if kind is None:
        return
    points = list(getattr(item, kind).data_points)
    shell = Metric()
    shell.CopyFrom(item)
    del getattr(shell, kind).data_points[:]
    yield from ((shell, point) for point in points)


def _proto_body(
    signal: Signal, of_resource: Json, of_scope: Json, item: Message, point: Message | None
) -> bytes:
    plural = _PLURALS[signal]
    export: Any = KINDS[signal]()
    resource = getattr(export, f"resource_{plural}").add(schema_url=of_resource.schema_url)
    resource.resource.CopyFrom(of_resource.resource)
    scope = getattr(resource, f"scope_{plural}").add(schema_url=of_scope.schema_url)
    scope.scope.CopyFrom(of_scope.scope)
    kept = getattr(scope, _ITEMS[signal][0]).add()
    kept.CopyFrom(item)
    if point is not None:
        getattr(kept, kept.WhichOneof("data")).data_points.append(point)
    body: bytes = export.SerializeToString()
    return body


def _json_items(request: ExportRequest) -> Iterator[tuple[Json, ...]]:
    plural, (snake_items, camel_items) = _PLURALS[request.signal], _ITEMS[request.signal]
    camel = plural.capitalize()
    export = document(inflated(request))
    for of_resource in json_list(export, f"resource{camel}", f"resource_{plural}"):
        for of_scope in json_list(of_resource, f"scope{camel}", f"scope_{plural}"):
            for item in json_list(of_scope, camel_items, snake_items):
                if request.signal is Signal.METRICS:
                    yield from ((of_resource, of_scope, each) for each in _json_points(item))
                else:
                    yield of_resource, of_scope, item


def _json_points(metric: Json) -> Iterator[Json]:
    """Metrics of one point each."""
    for kind in _POINTS:
        data = json_dict(metric, kind)
        for point in json_list(data, "dataPoints"):
            around = {key: value for key, value in metric.items() if key not in _POINTS}
            yield around | {kind: data | {"dataPoints": [point]}}


def _json_body(signal: Signal, of_resource: Json, of_scope: Json, item: Json) -> bytes:
    camel = _PLURALS[signal].capitalize()
    scope = _around(of_scope, "scope") | {_ITEMS[signal][1]: [item]}
    resource = _around(of_resource, "resource") | {f"scope{camel}": [scope]}
    return _written({f"resource{camel}": [resource]})


def _written(export: dict[str, Json]) -> bytes:
    """As orjson writes it; it reads four times as deep as it writes, so json does the rest."""
    try:
        return orjson.dumps(export)
    except orjson.JSONEncodeError:
        pass
    try:
        return json.dumps(export).encode()
    except (ValueError, RecursionError) as error:
        raise UndecodableError("it is nested too deeply to be taken apart") from error


def _around(holder: dict[str, Json], name: str) -> dict[str, Json]:
    return {key: holder[key] for key in (name, "schemaUrl") if key in holder}
