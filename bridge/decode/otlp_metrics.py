"""The two encodings of an OTLP metrics request, read alike: bytes → raw data points.

A histogram or summary becomes two points, ``<name>.count`` and ``<name>.sum``: Claude Code sends
none, and sums of any other are all that a session total can use.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, NumberDataPoint

from bridge.decode.attributes import Value, decimal
from bridge.decode.envelope import json_scopes, proto_scopes
from bridge.decode.values import (
    json_attributes,
    json_dict,
    json_integer,
    json_list,
    json_string,
    json_unix_ns,
    proto_attributes,
)
from bridge.model.measures import Temporality
from bridge.model.requests import Encoding, ExportRequest

_TEMPORALITIES = {1: Temporality.DELTA, 2: Temporality.CUMULATIVE}
_SUMMED = ("histogram", "exponential_histogram", "summary")
_SUMMED_JSON = ("histogram", "exponentialHistogram", "summary")


class RawPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One data point as it stands in the request, with its resource and scope.

    Attributes:
        value: An int stays one; None when the point has none.
        is_second_half: It is the sum of a distribution whose count has gone before.
    """

    resource: dict[str, Value]
    scope_name: str
    scope_version: str
    name: str
    temporality: Temporality
    start_unix_ns: int
    time_unix_ns: int
    value: float | None
    attributes: dict[str, Value]
    is_second_half: bool = False


def raw_points(request: ExportRequest) -> Iterator[RawPoint]:
    """Every data point of a metrics request, in order.

    Raises:
        UndecodableError: The body is not an ExportMetricsServiceRequest.
    """
    if request.encoding is Encoding.JSON:
        for place, scope_metrics in json_scopes(request, "metrics"):
            for metric in json_list(scope_metrics, "metrics"):
                yield from (RawPoint(**place, **point) for point in _json_points(metric))
    else:
        for place, scope_metrics in proto_scopes(request, ExportMetricsServiceRequest, "metrics"):
            for metric in scope_metrics.metrics:
                yield from (RawPoint(**place, **point) for point in _proto_points(metric))


def _proto_points(metric: Metric) -> Iterator[dict[str, Any]]:
    kind = metric.WhichOneof("data")
    if kind in _SUMMED:
        yield from _proto_summed(metric, getattr(metric, kind))
        return
    data = metric.sum if kind == "sum" else metric.gauge
    temporality = (
        _TEMPORALITIES.get(metric.sum.aggregation_temporality, Temporality.GAUGE)
        if kind == "sum"
        else Temporality.GAUGE
    )
    for point in data.data_points:
        yield _proto_point(metric.name, point, temporality) | {"value": _proto_number(point)}


def _proto_number(point: NumberDataPoint) -> float | None:
    kind = point.WhichOneof("value")
    return None if kind is None else getattr(point, kind)


def _proto_summed(metric: Metric, data: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - three alike
    temporality = _TEMPORALITIES.get(
        getattr(data, "aggregation_temporality", 2), Temporality.CUMULATIVE
    )
    for point in data.data_points:
        for field in ("count", "sum"):
            told = {"value": getattr(point, field), "is_second_half": field == "sum"}
            yield _proto_point(f"{metric.name}.{field}", point, temporality) | told


def _proto_point(name: str, point: Any, temporality: Temporality) -> dict[str, Any]:  # noqa: ANN401 - all points alike
    return {
        "name": name,
        "temporality": temporality,
        "start_unix_ns": point.start_time_unix_nano,
        "time_unix_ns": point.time_unix_nano,
        "attributes": proto_attributes(point.attributes),
    }


def _json_points(metric: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - JSON
    for kind in ("sum", "gauge", *_SUMMED_JSON):
        data = json_dict(metric, kind)
        number = 2 if kind == "summary" else json_integer(data.get("aggregationTemporality")) or 0
        temporality = _TEMPORALITIES.get(number, Temporality.GAUGE)
        for told in json_list(data, "dataPoints"):
            point = told if isinstance(told, dict) else {}
            common = _json_point(point, temporality)
            name = json_string(metric, "name")
            if kind in _SUMMED_JSON:
                yield common | {"name": f"{name}.count", "value": _number(point.get("count"))}
                total = {"value": _number(point.get("sum")), "is_second_half": True}
                yield common | {"name": f"{name}.sum"} | total
            else:
                yield common | {"name": name, "value": _json_number(point)}


def _json_point(point: dict[str, Any], temporality: Temporality) -> dict[str, Any]:
    return {
        "temporality": temporality,
        "start_unix_ns": json_unix_ns(point.get("startTimeUnixNano")),
        "time_unix_ns": json_unix_ns(point.get("timeUnixNano")),
        "attributes": json_attributes(point),
    }


def _json_number(point: dict[str, Any]) -> float | None:
    value = point.get("asDouble")
    return json_integer(point.get("asInt")) if value is None else _number(value)


def _number(value: object) -> float | None:
    """A number, also as the string that protobuf's JSON form writes for 64 bits."""
    number = decimal(value)
    return None if number is None else float(number)
