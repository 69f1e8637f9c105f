"""The two encodings of an OTLP logs request, read alike: bytes → raw log records.

Leaves to ``claude_code`` what the records mean.
"""

import functools
from collections.abc import Iterator
from typing import Any

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope

from bridge.decode.attributes import Value
from bridge.decode.envelope import inflated, json_scopes
from bridge.decode.values import (
    SPAN_ID_BYTES,
    TRACE_ID_BYTES,
    hex_id,
    json_attributes,
    json_dict,
    json_id,
    json_list,
    json_string,
    json_unix_ns,
    proto_pair,
)
from bridge.errors import UndecodableError
from bridge.model.requests import Encoding, ExportRequest
from bridge.protowire import AttributeReader, LogsRequest, Resource

KEPT = 1_024
"""Resources and scopes remembered: one for each client version and installation."""

_attributes = AttributeReader(proto_pair)


class RawLog(msgspec.Struct, frozen=True, kw_only=True):
    """One log record as it stands in the request, with its resource and scope.

    Attributes:
        time_unix_ns: ``timeUnixNano``, else ``observedTimeUnixNano``, else 0; below 2^64.
        body: The body when it is a string; Claude Code puts the event's full name there.
        trace_id: Lower-case hex of its proper length, None when unset; likewise the span id.
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
        yield from _proto_logs(request)


def _proto_logs(request: ExportRequest) -> Iterator[RawLog]:
    try:
        message = LogsRequest.FromString(inflated(request))
        fixed = tuple(request.fixed.items())
        for of_resource in message.resource_logs:
            resource = _resource(of_resource.resource, fixed)
            for of_scope in of_resource.scope_logs:
                name, version = _scope(of_scope.scope)
                for record in of_scope.log_records:
                    yield _proto_record(resource, name, version, record)
    except DecodeError as error:
        raise UndecodableError(f"the body is not protobuf: {error}") from error


@functools.lru_cache(maxsize=KEPT)
def _resource(resource: bytes, fixed: tuple[tuple[str, str], ...]) -> dict[str, Value]:
    """The attributes of a Resource message, under what the sender's token says.

    One dict for all requests of an installation.
    """
    return _attributes.read(Resource.FromString(resource).attributes) | dict(fixed)


@functools.lru_cache(maxsize=KEPT)
def _scope(scope: bytes) -> tuple[str, str]:
    message = InstrumentationScope.FromString(scope)
    return message.name, message.version


@functools.lru_cache(maxsize=KEPT)
def _body(body: bytes) -> str | None:
    return AnyValue.FromString(body).string_value or None


def _proto_record(
    resource: dict[str, Value],
    scope_name: str,
    scope_version: str,
    record: Any,  # noqa: ANN401 - its class is made at run time
) -> RawLog:
    body = record.body
    return RawLog(
        resource=resource,
        scope_name=scope_name,
        scope_version=scope_version,
        time_unix_ns=record.time_unix_nano or record.observed_time_unix_nano,
        event_name=record.event_name,
        body=_body(body) if body else None,
        attributes=_attributes.read(record.attributes),
        trace_id=hex_id(record.trace_id.hex(), TRACE_ID_BYTES),
        span_id=hex_id(record.span_id.hex(), SPAN_ID_BYTES),
    )


def _json_record(record: dict[str, Any]) -> dict[str, Any]:
    body = json_dict(record, "body").get("stringValue")
    return {
        "time_unix_ns": json_unix_ns(record.get("timeUnixNano"))
        or json_unix_ns(record.get("observedTimeUnixNano")),
        "event_name": json_string(record, "eventName"),
        "body": body if isinstance(body, str) and body else None,
        "attributes": json_attributes(record),
        "trace_id": json_id(record, "traceId", TRACE_ID_BYTES),
        "span_id": json_id(record, "spanId", SPAN_ID_BYTES),
    }
