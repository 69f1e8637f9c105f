"""The two encodings of an OTLP logs request, read alike: bytes → raw log records.

Leaves to ``claude_code`` what the records mean. OTLP/JSON is read with orjson and not with
protobuf's JSON parser: that one takes hex ids for base64 and refuses unknown fields.
"""

import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from bridge.decode.attributes import Value
from bridge.errors import UndecodableError
from bridge.model.requests import Encoding, ExportRequest

MAX_DEPTH = 32
"""Nesting of AnyValue beyond this is replaced by None; the client sends flat attributes."""


class RawLog(msgspec.Struct, frozen=True, kw_only=True):
    """One log record as it stands in the request, with its resource and scope.

    Attributes:
        time_unix_ns: ``timeUnixNano``, else ``observedTimeUnixNano``, else 0.
        body: The body when it is a string; Claude Code puts the event's full name there.
        trace_id: Lower-case hex, None when unset.
    """

    resource: dict[str, Value]
    scope_name: str
    scope_version: str
    time_unix_ns: int
    event_name: str
    body: str | None
    attributes: dict[str, Value]
    trace_id: str | None
    span_id: str | None


def inflated(request: ExportRequest) -> bytes:
    """The body without its gzip layer.

    Raises:
        UndecodableError: It is not gzip; the receiver checks this, so the file was damaged.
    """
    if not request.gzipped:
        return request.body
    try:
        return zlib.decompress(request.body, wbits=31)
    except zlib.error as error:
        raise UndecodableError(f"the body is not gzip: {error}") from error


def raw_logs(request: ExportRequest) -> Iterator[RawLog]:
    """Every log record of a logs request, in order.

    Raises:
        UndecodableError: The body is not an ExportLogsServiceRequest.
    """
    body = inflated(request)
    if request.encoding is Encoding.JSON:
        yield from _from_json(body)
    else:
        yield from _from_protobuf(body)


def _from_protobuf(body: bytes) -> Iterator[RawLog]:
    try:
        message = ExportLogsServiceRequest.FromString(body)
    except DecodeError as error:
        raise UndecodableError(f"the body is not protobuf: {error}") from error
    for resource_logs in message.resource_logs:
        resource = _attributes(resource_logs.resource.attributes)
        for scope_logs in resource_logs.scope_logs:
            for record in scope_logs.log_records:
                yield RawLog(
                    resource=resource,
                    scope_name=scope_logs.scope.name,
                    scope_version=scope_logs.scope.version,
                    time_unix_ns=record.time_unix_nano or record.observed_time_unix_nano,
                    event_name=record.event_name,
                    body=record.body.string_value or None,
                    attributes=_attributes(record.attributes),
                    trace_id=record.trace_id.hex() or None,
                    span_id=record.span_id.hex() or None,
                )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    return {pair.key: pair.value.string_value or _value(pair.value, 0) for pair in pairs}


def _value(value: AnyValue, depth: int) -> Value:
    kind = value.WhichOneof("value")
    if kind is None or depth > MAX_DEPTH:
        return None
    if kind == "array_value":
        return [_value(item, depth + 1) for item in value.array_value.values]
    if kind == "kvlist_value":
        pairs = value.kvlist_value.values
        return {pair.key: _value(pair.value, depth + 1) for pair in pairs}
    plain: Value = getattr(value, kind)
    return plain


def _from_json(body: bytes) -> Iterator[RawLog]:
    document = _document(body)
    for resource_logs in _list(document, "resourceLogs", "resource_logs"):
        resource = _json_attributes(_dict(resource_logs, "resource"))
        for scope_logs in _list(resource_logs, "scopeLogs", "scope_logs"):
            scope = _dict(scope_logs, "scope")
            for record in _list(scope_logs, "logRecords", "log_records"):
                yield _json_record(record, resource, scope)


def _document(body: bytes) -> Any:  # noqa: ANN401 - JSON
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        # JavaScript writes half a surrogate pair where it cut a string; only json reads that.
        lenient = json.dumps(json.loads(body), ensure_ascii=False)
    except ValueError as error:
        raise UndecodableError(f"the body is not JSON: {error}") from error
    return orjson.loads(lenient.encode("utf-8", "replace"))


def _json_record(record: Any, resource: dict[str, Value], scope: dict[str, Any]) -> RawLog:  # noqa: ANN401 - JSON
    if not isinstance(record, dict):
        record = {}
    body = _dict(record, "body").get("stringValue")
    return RawLog(
        resource=resource,
        scope_name=_string(scope, "name"),
        scope_version=_string(scope, "version"),
        time_unix_ns=_integer(record.get("timeUnixNano"))
        or _integer(record.get("observedTimeUnixNano"))
        or 0,
        event_name=_string(record, "eventName"),
        body=body if isinstance(body, str) and body else None,
        attributes=_json_attributes(record),
        trace_id=_string(record, "traceId").lower() or None,
        span_id=_string(record, "spanId").lower() or None,
    )


def _json_attributes(holder: dict[str, Any]) -> dict[str, Value]:
    return {
        pair["key"]: _json_value(pair.get("value"), 0)
        for pair in _list(holder, "attributes")
        if isinstance(pair, dict) and isinstance(pair.get("key"), str)
    }


def _json_value(value: Any, depth: int) -> Value:  # noqa: ANN401 - JSON
    if not isinstance(value, dict) or depth > MAX_DEPTH:
        return None
    for kind, plain in value.items():
        match kind:
            case "stringValue" | "boolValue" | "doubleValue" | "bytesValue":
                return plain if isinstance(plain, str | bool | int | float) else None
            case "intValue":
                return _integer(plain)
            case "arrayValue":
                return [_json_value(item, depth + 1) for item in _list(plain, "values")]
            case "kvlistValue":
                return {
                    pair["key"]: _json_value(pair.get("value"), depth + 1)
                    for pair in _list(plain, "values")
                    if isinstance(pair, dict) and isinstance(pair.get("key"), str)
                }
            case _:
                continue
    return None


def _list(holder: Any, *names: str) -> list[Any]:  # noqa: ANN401 - JSON
    for name in names:
        value = holder.get(name) if isinstance(holder, dict) else None
        if isinstance(value, list):
            return value
    return []


def _dict(holder: Any, name: str) -> dict[str, Any]:  # noqa: ANN401 - JSON
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if isinstance(value, dict) else {}


def _string(holder: dict[str, Any], name: str) -> str:
    value = holder.get(name)
    return value if isinstance(value, str) else ""


def _integer(value: Any) -> int | None:  # noqa: ANN401 - JSON
    """An int written as number or string; the client writes intValue as a number."""
    try:
        return int(value) if isinstance(value, int | str) else None
    except ValueError:
        return None
