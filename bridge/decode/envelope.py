"""The way down to the items of an export request, the same for all signals and both encodings.

Leaves the items themselves to ``otlp``, ``otlp_metrics`` and ``otlp_spans``.
"""

import sys
from collections.abc import Iterator
from typing import Any, TypedDict

from google.protobuf.message import Message

from bridge.decode.attributes import Value
from bridge.decode.values import (
    document,
    json_attributes,
    json_dict,
    json_list,
    json_string,
    proto_attributes,
    proto_message,
)
from bridge.errors import UndecodableError
from bridge.model.requests import ExportRequest
from bridge.otlp.inflating import inflate


class Place(TypedDict):
    """Where an item stands: its resource's attributes, and its scope, "" where unset.

    What the sender's token fixes is the resource's, in place of what the client says there.
    """

    resource: dict[str, Value]
    scope_name: str
    scope_version: str


def proto_scopes(
    request: ExportRequest, kind: type[Message], signal: str
) -> Iterator[tuple[Place, Any]]:
    """Every scope of a protobuf request, in order: its place, and the message with its items.

    ``signal`` is ``logs``, ``metrics`` or ``spans``, as in ``resource_logs`` and ``scope_logs``.

    Raises:
        UndecodableError: The body is not a request of that kind.
    """
    message = proto_message(kind, inflated(request))
    for of_resource in getattr(message, f"resource_{signal}"):
        resource = proto_attributes(of_resource.resource.attributes) | request.fixed
        for of_scope in getattr(of_resource, f"scope_{signal}"):
            scope = of_scope.scope
            place = Place(resource=resource, scope_name=scope.name, scope_version=scope.version)
            yield place, of_scope


def json_scopes(request: ExportRequest, signal: str) -> Iterator[tuple[Place, Any]]:
    """Every scope of a JSON request, as ``proto_scopes`` gives them; both spellings are read.

    Raises:
        UndecodableError: The body is not JSON.
    """
    export, camel = document(inflated(request)), signal.capitalize()
    for of_resource in json_list(export, f"resource{camel}", f"resource_{signal}"):
        resource = json_attributes(json_dict(of_resource, "resource")) | request.fixed
        for of_scope in json_list(of_resource, f"scope{camel}", f"scope_{signal}"):
            scope = json_dict(of_scope, "scope")
            place = Place(
                resource=resource,
                scope_name=json_string(scope, "name"),
                scope_version=json_string(scope, "version"),
            )
            yield place, of_scope


def inflated(request: ExportRequest) -> bytes:
    """The body without its gzip layer.

    Raises:
        UndecodableError: It is not gzip; the receiver checks this, so the file was damaged.
    """
    if not request.gzipped:
        return request.body
    try:
        return inflate(request.body, sys.maxsize)
    except UndecodableError as error:
        raise UndecodableError(f"the body is not gzip: {error}") from error
