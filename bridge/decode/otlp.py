"""The two encodings of an OTLP logs request, read alike: bytes → raw log records.

Leaves to ``claude_code`` what the records mean.
"""

import zlib
from collections.abc import Iterator
from typing import Any

import msgspec
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from bridge.decode.attributes import Value
from bridge.decode.values import (
    document,
    json_attributes,
    json_dict,
    json_integer,
    json_list,
    json_string,
    proto_attributes,
    proto_message,
)
from bridge.errors import UndecodableError
from bridge.model.requests import Encoding, ExportRequest


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
    message = proto_message(ExportLogsServiceRequest, body)
    for resource_logs in message.resource_logs:
        resource = proto_attributes(resource_logs.resource.attributes)
        for scope_logs in resource_logs.scope_logs:
            for record in scope_logs.log_records:
                yield RawLog(
                    resource=resource,
                    scope_name=scope_logs.scope.name,
                    scope_version=scope_logs.scope.version,
                    time_unix_ns=record.time_unix_nano or record.observed_time_unix_nano,
                    event_name=record.event_name,
                    body=record.body.string_value or None,
                    attributes=proto_attributes(record.attributes),
                    trace_id=record.trace_id.hex() or None,
                    span_id=record.span_id.hex() or None,
                )


def _from_json(body: bytes) -> Iterator[RawLog]:
    export = document(body)
    for resource_logs in json_list(export, "resourceLogs", "resource_logs"):
        resource = json_attributes(json_dict(resource_logs, "resource"))
        for scope_logs in json_list(resource_logs, "scopeLogs", "scope_logs"):
            scope = json_dict(scope_logs, "scope")
            for record in json_list(scope_logs, "logRecords", "log_records"):
                yield _json_record(record, resource, scope)


def _json_record(record: Any, resource: dict[str, Value], scope: dict[str, Any]) -> RawLog:  # noqa: ANN401 - JSON
    if not isinstance(record, dict):
        record = {}
    body = json_dict(record, "body").get("stringValue")
    return RawLog(
        resource=resource,
        scope_name=json_string(scope, "name"),
        scope_version=json_string(scope, "version"),
        time_unix_ns=json_integer(record.get("timeUnixNano"))
        or json_integer(record.get("observedTimeUnixNano"))
        or 0,
        event_name=json_string(record, "eventName"),
        body=body if isinstance(body, str) and body else None,
        attributes=json_attributes(record),
        trace_id=json_string(record, "traceId").lower() or None,
        span_id=json_string(record, "spanId").lower() or None,
    )
