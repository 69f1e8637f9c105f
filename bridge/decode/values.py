"""AnyValues of both encodings, and lenient reading of OTLP/JSON documents.

OTLP/JSON is read with orjson and not with protobuf's JSON parser: that one takes hex ids for
base64 and refuses unknown fields. What has the wrong shape reads as absent.
"""

import base64
import hashlib
import json
import re
import sys
from collections.abc import Iterable
from typing import Any, TypeVar

import orjson
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from bridge.decode.attributes import Value
from bridge.errors import UndecodableError

M = TypeVar("M", bound=Message)

TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8
UINT64 = 2**64
MAX_INT_CHARS = 100
_INTEGER = re.compile(r"[+-]?[0-9]+")
_HEX = re.compile(r"[0-9a-f]+")

MAX_DEPTH = 32
"""Nesting of AnyValue beyond this is replaced by None; the client sends flat attributes."""


def proto_message(kind: type[M], body: bytes) -> M:
    """The protobuf message in a body.

    Raises:
        UndecodableError: It is none.
    """
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise UndecodableError(f"the body is not protobuf: {error}") from error


def proto_attributes(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    """Attributes of a protobuf message."""
    return {pair.key: pair.value.string_value or _value(pair.value, 0) for pair in pairs}


def proto_pair(field: bytes) -> tuple[str, Value]:
    """The attribute in a KeyValue message, its name as the one object that is compared fastest.

    Raises:
        DecodeError: It is none.
    """
    pair = KeyValue.FromString(field)
    return sys.intern(pair.key), pair.value.string_value or _value(pair.value, 0)


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
    return base64.b64encode(plain).decode() if isinstance(plain, bytes) else plain


def document(body: bytes) -> Any:  # noqa: ANN401 - JSON
    """The JSON document in a body.

    Raises:
        UndecodableError: It is none.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        # JavaScript writes half a surrogate pair where it cut a string; only json reads that.
        lenient = json.dumps(json.loads(body), ensure_ascii=False)
        return orjson.loads(lenient.encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise UndecodableError("the body is not JSON") from error


def json_attributes(holder: dict[str, Any]) -> dict[str, Value]:
    """Attributes of a JSON object."""
    return json_pairs(json_list(holder, "attributes"))


def json_pairs(pairs: list[Any]) -> dict[str, Value]:
    """The attributes in a list of JSON objects, of two with the same key the later one."""
    told: dict[str, Value] = {}
    for pair in pairs:
        if isinstance(pair, dict) and isinstance(key := pair.get("key"), str):
            value: Any = pair.get("value")
            is_plain = type(value) is dict and len(value) == 1 and "stringValue" in value
            text = value["stringValue"] if is_plain else None  # nearly all are, without a call
            told[key] = text if type(text) is str else _json_value(value, 0)
    return told


def _json_value(value: Any, depth: int) -> Value:  # noqa: ANN401 - JSON
    if not isinstance(value, dict) or depth > MAX_DEPTH:
        return None
    if len(value) == 1 and isinstance(text := value.get("stringValue"), str):
        return text  # nearly all are
    for kind, plain in value.items():
        match kind:
            case "stringValue" | "boolValue" | "bytesValue" | "doubleValue" | "intValue":
                return _json_scalar(kind, plain)
            case "arrayValue":
                return [_json_value(item, depth + 1) for item in json_list(plain, "values")]
            case "kvlistValue":
                return {
                    pair["key"]: _json_value(pair.get("value"), depth + 1)
                    for pair in json_list(plain, "values")
                    if isinstance(pair, dict) and isinstance(pair.get("key"), str)
                }
            case _:
                continue
    return None


def _json_scalar(kind: str, plain: object) -> Value:
    """A scalar as protobuf would give it: JavaScript writes the double 5.0 as ``5``."""
    if kind == "intValue":  # beyond 64 bits it is read as a double
        return plain if isinstance(plain, float) else json_integer(plain)
    if kind == "doubleValue":
        return _double(plain)
    return plain if isinstance(plain, (str, bool)) else None


def _double(plain: object) -> float | None:
    """A double; protobuf's JSON form writes those that JSON has no number for as text."""
    if plain in ("NaN", "Infinity", "-Infinity"):
        return float(str(plain))
    try:
        is_number = isinstance(plain, int | float) and not isinstance(plain, bool)
        return float(plain) if is_number else None  # type: ignore[arg-type]  # it is a number here
    except OverflowError:
        return None


def json_list(holder: Any, *names: str) -> list[Any]:  # noqa: ANN401 - JSON
    """The list under the first of these names that is one."""
    for name in names:
        value = holder.get(name) if isinstance(holder, dict) else None
        if isinstance(value, list):
            return value
    return []


def json_dict(holder: Any, name: str) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """The object of that name."""
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if isinstance(value, dict) else {}


def json_string(holder: dict[str, Any], name: str) -> str:
    """The string of that name; "" when there is none."""
    value = holder.get(name)
    return value if isinstance(value, str) else ""


def json_integer(value: Any) -> int | None:  # noqa: ANN401 - JSON
    """An int written as number or string; the client writes intValue as a number."""
    if isinstance(value, str):
        return int(value) if len(value) <= MAX_INT_CHARS and _INTEGER.fullmatch(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def json_unix_ns(value: Any) -> int:  # noqa: ANN401 - JSON
    """A time in nanoseconds; 0 when there is none that protobuf could carry."""
    told = json_integer(value) or 0
    return told if 0 < told < UINT64 else 0


def json_id(holder: dict[str, Any], name: str, size_bytes: int) -> str | None:
    """The hex id of that name, as ``hex_id`` gives it."""
    return hex_id(json_string(holder, name).lower(), size_bytes)


def hex_id(told: str, size_bytes: int) -> str | None:
    """An id as lower-case hex of its proper length; None when it is unset, which all zeros are.

    One of another length, or of other characters, becomes a digest of itself: the same wherever it
    is named, so that what it joins stays joined.
    """
    if not told.strip("0"):
        return None
    if len(told) == 2 * size_bytes and _HEX.fullmatch(told):
        return told
    return hashlib.blake2b(told.encode(), digest_size=size_bytes).hexdigest()
