"""Bytes → fields: the two encodings of an OTLP logs request, read alike, give raw log records.

Leaves to ``claude_code`` what the records mean, to ``layouts`` what need not be read again.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope

from bridge.decode.attributes import Value
from bridge.decode.envelope import inflated, json_scopes
from bridge.decode.layouts import AttributeReader, Head, Told, attributes_behind
from bridge.decode.patterns import FIRST_OF_EVENT, Pattern
from bridge.decode.values import (
    SPAN_ID_BYTES,
    TRACE_ID_BYTES,
    hex_id,
    json_dict,
    json_id,
    json_list,
    json_pairs,
    json_string,
    json_unix_ns,
    proto_pair,
)
from bridge.errors import UndecodableError
from bridge.model.requests import Encoding, ExportRequest
from bridge.protowire import LogsRequest, Resource

_JSON = Encoding.JSON  # looking it up by its class is slow


class WholeLog(msgspec.Struct, frozen=True, kw_only=True):
    """One log record with all its attributes, its resource and scope, as it stands in the request.

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


class RawLog(msgspec.Struct, frozen=True, gc=False):
    """The same with the attributes apart that many records begin with.

    Attributes:
        pattern: What is known of the record's own attributes: their names, and some values.
        values: All values of these, in the order of ``pattern.names``.
    """

    head: Head
    pattern: Pattern
    values: list[Value]
    time_unix_ns: int
    event_name: str
    body: str | None
    trace_id: str | None
    span_id: str | None

    @property
    def attributes(self) -> dict[str, Value]:
        """All attributes, in the record's order."""
        own = dict(zip(self.pattern.names, self.values, strict=True))
        return self.head.attributes | {name: own[name] for name in self.pattern.order}

    @property
    def whole(self) -> WholeLog:
        """All that is known of it."""
        return WholeLog(
            resource=self.head.resource,
            scope_name=self.head.scope_name,
            scope_version=self.head.scope_version,
            time_unix_ns=self.time_unix_ns,
            event_name=self.event_name,
            body=self.body,
            attributes=self.attributes,
            trace_id=self.trace_id,
            span_id=self.span_id,
        )


def apart(log: WholeLog) -> RawLog:
    """A record whose head is its own: no other has it, until somebody finds that it is the same."""
    place = Head(resource=log.resource, scope_name=log.scope_name, scope_version=log.scope_version)
    names = list(log.attributes)
    end = names.index(FIRST_OF_EVENT) if FIRST_OF_EVENT in names else 0
    pairs = list(log.attributes.items())
    head = place.with_attributes(dict(pairs[:end]))
    return RawLog(
        *attributes_behind(head, dict(pairs[end:]), len(pairs) - end),
        log.time_unix_ns,
        log.event_name,
        log.body,
        log.trace_id,
        log.span_id,
    )


class LogReader:
    """Reads logs requests; remembers what many records share.

    Args:
        fleeting: Attributes whose value is nearly always new.
        recurring: Attributes whose value comes again, but only among a few records.
        names_alone: Whether bodies need not be read where an attribute tells the event's name.
    """

    def __init__(
        self,
        fleeting: frozenset[str] = frozenset(),
        recurring: frozenset[str] = frozenset(),
        *,
        names_alone: bool = False,
    ) -> None:
        self._attributes = AttributeReader(proto_pair, fleeting, recurring)
        self._names_alone = names_alone

    def read(self, request: ExportRequest) -> Iterable[RawLog]:
        """Every log record of a logs request, in order.

        Raises:
            UndecodableError: The body is not an ExportLogsServiceRequest.
        """
        return (self._json if request.encoding is _JSON else self._proto)(request)

    def _proto(self, request: ExportRequest) -> list[RawLog]:
        raws: list[RawLog] = []
        try:
            for of_resource in LogsRequest.FromString(inflated(request)).resource_logs:
                for of_scope in of_resource.scope_logs:
                    place = self._proto_place(of_resource.resource, of_scope.scope, request.fixed)
                    self._add_proto_records(raws, place, of_scope.log_records)
        except DecodeError as error:
            raise UndecodableError(f"the body is not protobuf: {error}") from error
        return raws

    def _add_proto_records(self, raws: list[RawLog], place: Head, records: Any) -> None:  # noqa: ANN401 - its class is made at run time
        head, of_head = place, 0
        read, is_name_enough = self._attributes.read, self._names_alone
        for record in records:
            fields = record.attributes[:]
            if not of_head or fields[:of_head] != head.fields:
                head = self._attributes.head(place, fields)
                of_head = len(head.fields)
            behind, pattern, values = read(head, fields[of_head:])
            trace_id, span_id = record.trace_id, record.span_id
            has_name = is_name_enough and pattern.event_name
            raw = RawLog(
                behind,
                pattern,
                values,
                record.time_unix_nano or record.observed_time_unix_nano,
                "" if has_name else record.event_name,
                None if has_name else _text(record.body),
                hex_id(trace_id.hex(), TRACE_ID_BYTES) if trace_id else None,
                hex_id(span_id.hex(), SPAN_ID_BYTES) if span_id else None,
            )
            raws.append(raw)

    def _proto_place(self, resource: bytes, scope: bytes, fixed: dict[str, str]) -> Head:
        """Where these come from, under what the sender's token says."""
        key = resource, scope, *fixed.items()
        size_bytes = len(resource) + len(scope)
        return self._attributes.place(key, size_bytes, partial(_place, resource, scope, fixed))

    def _json(self, request: ExportRequest) -> Iterator[RawLog]:
        for around, scope_logs in json_scopes(request, "logs"):
            place = head = self._json_place(request.fixed, **around)
            for each in json_list(scope_logs, "logRecords", "log_records"):
                record = each if isinstance(each, dict) else {}
                fields = json_list(record, "attributes")
                of_head = len(head.fields)
                if not of_head or fields[:of_head] != head.fields:
                    head = self._json_head(place, fields)
                    of_head = len(head.fields)
                own = json_pairs(fields[of_head:])
                yield _json_record(record, attributes_behind(head, own, len(own)))

    def _json_place(
        self,
        fixed: dict[str, str],
        resource: dict[str, Value],
        scope_name: str,
        scope_version: str,
    ) -> Head:
        make = partial(Head, resource=resource, scope_name=scope_name, scope_version=scope_version)
        has_numbers = not all(isinstance(value, str) for value in resource.values())
        # Numbers of different kinds can be equal; as they are written they are not.
        told = (repr(resource),) if has_numbers else resource.items()
        key = *told, scope_name, scope_version, *fixed.items()
        return self._attributes.place(key, len(str(key)), make)

    def _json_head(self, place: Head, fields: list[Any]) -> Head:
        """The head that these attributes begin with, where all of them are plain strings."""
        told: dict[str, str] = {}
        for at, field in enumerate(fields):
            match field:
                case {"key": "event.name"}:
                    return self._attributes.head_of_strings(place, fields[:at], told)
                case {"key": str(name), "value": {"stringValue": str(text), **more}, **rest}:
                    if more or rest:
                        return place
                    told[name] = text
                case _:
                    return place
        return place


def _json_record(record: dict[str, Any], told: Told) -> RawLog:
    body = json_dict(record, "body").get("stringValue")
    return RawLog(
        *told,
        json_unix_ns(record.get("timeUnixNano"))
        or json_unix_ns(record.get("observedTimeUnixNano")),
        json_string(record, "eventName"),
        body if isinstance(body, str) and body else None,
        json_id(record, "traceId", TRACE_ID_BYTES),
        json_id(record, "spanId", SPAN_ID_BYTES),
    )


def _place(resource: bytes, scope: bytes, fixed: dict[str, str]) -> Head:
    pairs = map(proto_pair, Resource.FromString(resource).attributes)
    message = InstrumentationScope.FromString(scope)
    return Head(
        resource=dict(pairs) | fixed, scope_name=message.name, scope_version=message.version
    )


def _text(body: bytes) -> str | None:
    return AnyValue.FromString(body).string_value or None if body else None
