"""Observations ↔ OTLP bytes.

A span is encoded once, when its observation is finished, and those bytes are what every attempt
sends: Langfuse v4 keeps a row per received span and collapses a repetition only when trace, id and
start are the same. All span attributes are ``langfuse.*``: Langfuse reads meaning into bare names
such as ``model`` or ``input``. What stands around spans is written by ``exporting``.
"""

import struct
from binascii import unhexlify
from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import product
from typing import Final, TypeVar

import msgspec
import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bridge.langfuse.exporting import encode_export
from bridge.model.observations import (
    PICO_PER_USD,
    Level,
    MetadataValue,
    Observation,
    ObservationKind,
    Scalar,
    TraceFacts,
)
from bridge.protowire import (
    AttributeWriter,
    fixed64,
    forget_older_half,
    present,
    sized,
)

__all__ = ["SpanEncoder", "decode_span", "encode_export", "encode_span", "usd_text"]

NS_PER_MS = 1_000_000
KEPT_TRACES: Final = 512
KEPT_FIELDS: Final = 1_024
LEAST_SHORT_PICOUSD: Final = 10**8
MOST_SHORT_PICOUSD: Final = 10**15
"""Between them a cost's decimal digits are those of the nearest floating-point number."""
WORD_CHARS: Final = 24
"""Up to here metadata is words that come again; ids are longer."""
IDS_OF_TURN: Final = 2
"""So many of the last keys of a trace's metadata differ between the turns of a session."""

_ATTRIBUTES: Final = b"\x4a"
_INTERNAL: Final = b"\x30\x01"
"""``kind``: SPAN_KIND_INTERNAL."""
_FAILED: Final = b"\x18\x02"
"""``code`` of a status: STATUS_CODE_ERROR."""
_OK: Final = b"\x7a\x00"
"""A status that says nothing."""
_SPAN_ID: Final = b"\x12\x08"
_TIMES: Final = struct.Struct("<cQcQ").pack
_dumps, _SORTED = orjson.dumps, orjson.OPT_SORT_KEYS
_ERROR: Final = Level.ERROR
"""Looking a member up in its class costs as much as all else that is asked of a level."""

_OBSERVATION = "langfuse.observation."
_METADATA = "langfuse.observation.metadata."
_TRACE_METADATA = "langfuse.trace.metadata."
_APP_ROOT: Final = (("langfuse.internal.is_app_root", True),)


_Facts = tuple[str, str | None, str | None, tuple[str, ...], str | None, str | None, str | None]
_Pairs = tuple[tuple[str, MetadataValue], ...]
_STRINGS: Final = {str}
"""The types of values that are remembered: ``1 == True``, but they are not written the same."""


class SpanEncoder:
    """Observations → OTLP ``Span`` messages.

    What many spans repeat is written once: names, the ids of traces and parents, and all that a
    trace's facts say, which is half of each span, for as long as those are the same object.
    """

    def __init__(self) -> None:
        self._trace_ids = _Written[str](lambda digits: sized(b"\x0a", unhexlify(digits)))
        self._parent_ids = _Written[str](lambda digits: present(b"\x22", unhexlify(digits)))
        self._names = _Written[str](lambda name: present(b"\x2a", name.encode()) + _INTERNAL)
        self._attributes = AttributeWriter(_ATTRIBUTES)
        self._metadata = AttributeWriter(_ATTRIBUTES, _METADATA, remembered_chars=WORD_CHARS)
        self._trace_metadata = AttributeWriter(_ATTRIBUTES, _TRACE_METADATA)
        self._traces: dict[int, tuple[TraceFacts, bytes]] = {}
        self._shared = _Written[_Facts](self._written_facts)
        self._shared_metadata = _Written[_Pairs](self._trace_metadata.write)
        own = AttributeWriter(_ATTRIBUTES, _OBSERVATION)
        self._types = {
            (kind, level): own.write((("type", kind.value), ("level", level.value)))
            for kind, level in product(ObservationKind, Level)
        }
        self._models = _Written[str](lambda model: own.write((("model.name", model),)))
        self._status_message, self._input, self._output = map(
            own.text, ("status_message", "input", "output")
        )
        self._usage, self._cost, self._first_token = map(
            own.text, ("usage_details", "cost_details", "completion_start_time")
        )
        parameters = own.text("model.parameters")
        self._parameters = _Written[bytes](lambda text: parameters[len(text)] + text)

    def encode(self, observation: Observation) -> bytes:
        """One span: the bytes that ``Span`` of opentelemetry-proto would give.

        What nearly every span has is written here, since each call costs as much as three fields.
        """
        start_ms, end_ms, trace = observation.start_ms, observation.end_ms, observation.trace
        known = self._traces.get(id(trace))
        fields = [
            self._trace_ids[observation.trace_id],
            _SPAN_ID,
            unhexlify(observation.id),
            self._parent_ids[observation.parent_id or ""],
            self._names[observation.name],
            _TIMES(b"\x39", start_ms * NS_PER_MS, b"\x41", end_ms * NS_PER_MS)
            if start_ms and end_ms
            else _times(start_ms, end_ms),
            self._types[observation.kind, observation.level],
        ]
        if (message := observation.status_message) is not None:
            text = message.encode()
            fields += self._status_message[len(text)], text
        if (asked := observation.input) is not None:
            text = asked.encode()
            fields += self._input[len(text)], text
        if (answered := observation.output) is not None:
            text = answered.encode()
            fields += self._output[len(text)], text
        if (
            observation.usage is not None
            or observation.model is not None
            or observation.model_parameters is not None
            or observation.cost_picousd is not None
            or observation.completion_start_ms is not None
        ):
            self._add_request(fields, observation)
        if observation.is_app_root:
            fields.append(self._attributes.write(_APP_ROOT))
        self._metadata.add(fields, observation.metadata.items())
        fields += (
            known[1] if known is not None and known[0] is trace else self._trace(trace),
            _OK if observation.level is not _ERROR else _failed(observation.status_message or ""),
        )
        return b"".join(fields)

    def _add_request(self, fields: list[bytes], observation: Observation) -> None:
        """What only generations have, but for the usage, which counters have too."""
        if (model := observation.model) is not None:
            fields.append(self._models[model])
        if (parameters := observation.model_parameters) is not None:
            fields.append(self._parameters[_dumps(parameters, None, _SORTED)])
        if (usage := observation.usage) is not None:
            text = _dumps(usage, None, _SORTED)
            fields += self._usage[len(text)], text
        if (cost_picousd := observation.cost_picousd) is not None:
            text = _cost_details(cost_picousd)
            fields += self._cost[len(text)], text
        if (first_token_ms := observation.completion_start_ms) is not None:
            text = _iso(first_token_ms)
            fields += self._first_token[len(text)], text

    def _trace(self, trace: TraceFacts) -> bytes:
        """What a trace's facts say, to be remembered for as long as they are the same object."""
        if len(self._traces) >= KEPT_TRACES:
            forget_older_half(self._traces)
        written = self._written(trace)
        self._traces[id(trace)] = (trace, written)
        return written

    def _written(self, trace: TraceFacts) -> bytes:
        """What a trace's facts say; nearly all of it is the same for all turns of a session."""
        pairs = tuple(trace.metadata.items())
        shared = self._shared[
            trace.name,
            trace.session_id,
            trace.user_id,
            trace.tags,
            trace.version,
            trace.release,
            trace.environment,
        ]
        if set(map(type, trace.metadata.values())) != _STRINGS:
            return shared + self._trace_metadata.write(pairs)
        ids = self._trace_metadata.write(pairs[-IDS_OF_TURN:])
        return shared + self._shared_metadata[pairs[:-IDS_OF_TURN]] + ids

    def _written_facts(self, facts: _Facts) -> bytes:
        """A trace's name, session, user, tags, version, release and environment."""
        name, session_id, user_id, tags, version, release, environment = facts
        return self._attributes.write(
            (
                ("langfuse.trace.name", name),
                ("langfuse.session.id", session_id),
                ("langfuse.user.id", user_id),
                ("langfuse.trace.tags", list(tags)),
                ("langfuse.version", version),
                ("langfuse.release", release),
                ("langfuse.environment", environment),
            )
        )


_Told = TypeVar("_Told", bound=Hashable)


class _Written(dict[_Told, bytes]):
    """Texts → the field that is written for them, as far as they are remembered."""

    def __init__(self, write: Callable[[_Told], bytes]) -> None:
        self._write: Callable[[_Told], bytes] = write

    def __missing__(self, told: _Told) -> bytes:
        if len(self) >= KEPT_FIELDS:
            forget_older_half(self)
        written = self[told] = self._write(told)
        return written


def _times(start_ms: int, end_ms: int) -> bytes:
    """Start and end where one of them may be 0, and is left out then."""
    return fixed64(b"\x39", start_ms * NS_PER_MS) + fixed64(b"\x41", end_ms * NS_PER_MS)


def _failed(message: str) -> bytes:
    return sized(b"\x7a", present(b"\x12", message.encode()) + _FAILED)


def encode_span(observation: Observation) -> bytes:
    """One OTLP ``Span`` message, for those who write few."""
    return SpanEncoder().encode(observation)


def decode_span(span: bytes, service_name: str, service_version: str | None) -> Observation:
    """What ``encode_span`` was given, for people who read the local store."""
    message = Span.FromString(span)
    attributes = {pair.key: _plain(pair.value) for pair in message.attributes}
    cost = _json(attributes, "cost_details").get("total")
    completion = _text(attributes, f"{_OBSERVATION}completion_start_time")
    return Observation(
        trace_id=message.trace_id.hex(),
        id=message.span_id.hex(),
        parent_id=message.parent_span_id.hex() or None,
        kind=ObservationKind(str(attributes[f"{_OBSERVATION}type"])),
        name=message.name,
        start_ms=message.start_time_unix_nano // NS_PER_MS,
        end_ms=message.end_time_unix_nano // NS_PER_MS,
        trace=_trace_facts(attributes, service_name, service_version),
        level=Level(str(attributes[f"{_OBSERVATION}level"])),
        status_message=_text(attributes, f"{_OBSERVATION}status_message"),
        input=_text(attributes, f"{_OBSERVATION}input"),
        output=_text(attributes, f"{_OBSERVATION}output"),
        model=_text(attributes, f"{_OBSERVATION}model.name"),
        model_parameters=msgspec.convert(_json(attributes, "model.parameters"), dict[str, str])
        or None,
        usage=msgspec.convert(_json(attributes, "usage_details"), dict[str, int]) or None,
        cost_picousd=None if cost is None else _picousd(cost),
        completion_start_ms=_ms(completion) if completion else None,
        is_app_root=attributes.get("langfuse.internal.is_app_root") is True,
        metadata=_below(_METADATA, attributes),
    )


def _trace_facts(
    attributes: dict[str, MetadataValue], service_name: str, service_version: str | None
) -> TraceFacts:
    tags = attributes.get("langfuse.trace.tags")
    return TraceFacts(
        name=_text(attributes, "langfuse.trace.name") or "",
        session_id=_text(attributes, "langfuse.session.id"),
        user_id=_text(attributes, "langfuse.user.id"),
        tags=tuple(str(tag) for tag in tags) if isinstance(tags, list) else (),
        metadata=_below(_TRACE_METADATA, attributes),
        version=_text(attributes, "langfuse.version"),
        release=_text(attributes, "langfuse.release"),
        environment=_text(attributes, "langfuse.environment"),
        service_name=service_name,
        service_version=service_version,
    )


def _cost_details(cost_picousd: int) -> bytes:
    """Langfuse reads the total and nothing else; without a ``total`` key there is no cost.

    The shortest text of a floating-point number is that of the decimal number it was made from, up
    to fifteen digits; others, and those it would write with an exponent or ``.0``, are written out.
    """
    if LEAST_SHORT_PICOUSD <= cost_picousd < MOST_SHORT_PICOUSD and cost_picousd % PICO_PER_USD:
        return _dumps({"total": cost_picousd / PICO_PER_USD})
    return f'{{"total":{usd_text(cost_picousd)}}}'.encode()


def usd_text(cost_picousd: int) -> str:
    """Picodollars as a plain decimal number of US dollars: 3086000000 → ``0.003086``."""
    whole, rest = divmod(cost_picousd, PICO_PER_USD)
    return f"{whole}.{str(PICO_PER_USD + rest)[1:].rstrip('0')}" if rest else str(whole)


def _picousd(usd: object) -> int:
    return int((Decimal(str(usd)) * PICO_PER_USD).to_integral_value())


def _iso(unix_ms: int) -> bytes:
    moment = datetime.fromtimestamp(unix_ms // 1000, UTC).replace(microsecond=unix_ms % 1000 * 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()


def _ms(iso: str) -> int:
    return round(datetime.fromisoformat(iso).timestamp() * 1000)


def _json(attributes: dict[str, MetadataValue], name: str) -> dict[str, object]:
    found = attributes.get(_OBSERVATION + name)
    document = orjson.loads(found) if isinstance(found, str) else {}
    return document if isinstance(document, dict) else {}


def _text(attributes: dict[str, MetadataValue], name: str) -> str | None:
    value = attributes.get(name)
    return value if isinstance(value, str) else None


def _below(prefix: str, attributes: dict[str, MetadataValue]) -> dict[str, MetadataValue]:
    return {k[len(prefix) :]: v for k, v in attributes.items() if k.startswith(prefix)}


def _plain(value: AnyValue) -> MetadataValue:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_scalar(item) for item in value.array_value.values]
    return _scalar(value)


def _scalar(value: AnyValue) -> Scalar:
    scalar: Scalar = getattr(value, value.WhichOneof("value") or "string_value")
    return scalar
