"""The two encodings of an OTLP logs request, read alike: bytes → raw log records.

Leaves to ``claude_code`` what the records mean.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from bridge.decode.attributes import Value
from bridge.decode.envelope import json_scopes, proto_scopes
from bridge.decode.values import (
    json_attributes,
    json_dict,
    json_integer,
    json_list,
    json_string,
    proto_attributes,
)
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


def raw_logs(request: ExportRequest) -> Iterator[RawLog]:
    """Every log record of a logs request, in order.

    Raises:
        UndecodableError: The body is not an ExportLogsServiceRequest.
    """
    if request.encoding is Encoding.JSON:
        for place, scope_logs in json_scopes(request, "logs"):
            for record in json_list(scope_logs, "logRecords", "log_records"):
                yield RawLog(**place, **_json_record(record if isinstance(record, dict) else {}))
    else:
        for place, scope_logs in proto_scopes(request, ExportLogsServiceRequest, "logs"):
            for record in scope_logs.log_records:
                yield RawLog(**place, **_proto_record(record))


def _proto_record(record: LogRecord) -> dict[str, Any]:
    return {
        "time_unix_ns": record.time_unix_nano or record.observed_time_unix_nano,
        "event_name": record.event_name,
        "body": record.body.string_value or None,
        "attributes": proto_attributes(record.attributes),
        "trace_id": record.trace_id.hex() or None,
        "span_id": record.span_id.hex() or None,
    }


def _json_record(record: dict[str, Any]) -> dict[str, Any]:
    body = json_dict(record, "body").get("stringValue")
    return {
        "time_unix_ns": json_integer(record.get("timeUnixNano"))
        or json_integer(record.get("observedTimeUnixNano"))
        or 0,
        "event_name": json_string(record, "eventName"),
        "body": body if isinstance(body, str) and body else None,
        "attributes": json_attributes(record),
        "trace_id": json_string(record, "traceId").lower() or None,
        "span_id": json_string(record, "spanId").lower() or None,
    }
