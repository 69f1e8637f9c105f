"""A log record, read by its sender and its shape → one of our events."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import orjson

from bridge.decode.attributes import MAX_COUNT, Value, count, identifier, text
from bridge.decode.claude_code.clamping import clamped_in_log
from bridge.decode.claude_code.events import AGENT_SOURCE, agent_type, kind_of
from bridge.decode.claude_code.names import KEY_ATTRIBUTES, PREFIX
from bridge.decode.claude_code.senders import KEY_BYTES, Sender
from bridge.decode.claude_code.shapes import NAME, SOURCE, Log, Shape
from bridge.decode.moments import AHEAD_MS, EARLIEST_MS, NS_PER_MS, is_plausible
from bridge.decode.otlp import RawLog
from bridge.decode.picking import Row
from bridge.model.events import AnyEvent
from bridge.model.observations import MetadataValue

_NOTHING: dict[str, MetadataValue] = {}
_BACKSLASH, _DELETE = 0x5C, 0x7F
"""As numbers: looking for bytes in bytes raises an error within."""


def shape_of(raw: RawLog, sender: Sender) -> Shape:
    """How a record is to be read; remembered if it depends on nothing but its pattern."""
    told = text(raw.pattern.event_name or raw.attributes.get(NAME)) or raw.body or raw.event_name
    name = identifier(told.removeprefix(PREFIX)) or "unnamed"
    kind, is_plain = kind_of(name), identifier(told) == told
    shape = Shape(name, kind, sender.head.names, raw.pattern, sender.hidden, is_plain=is_plain)
    if raw.pattern.event_name:
        sender.shapes.remember(raw.pattern, shape)
    return shape


def decode(
    raw: RawLog, sender: Sender, shape: Shape, received_at_ms: int, twins: dict[bytes, int]
) -> tuple[AnyEvent, dict[str, MetadataValue]]:
    """One log record → one event, and what to say of values that could not be taken as told.

    Args:
        raw: A record that ``recognises`` accepts.
        sender: Who it is from.
        shape: How it is to be read.
        received_at_ms: When it reached us, Unix milliseconds; stands for a time that cannot be.
        twins: How often the request had each record that has no number; changed.
    """
    row: Row = sender.row + raw.values
    time_ms = raw.time_unix_ns // NS_PER_MS
    is_plain = EARLIEST_MS <= time_ms <= received_at_ms + AHEAD_MS
    if not is_plain and not (is_plain := is_plausible(time_ms, received_at_ms)):
        time_ms = received_at_ms
    ids: Sequence[str] = shape.ids(row)
    sequence, counts = row[shape.sequence], shape.counts.plain(row)
    key = None
    if type(sequence) is int and 0 <= sequence <= MAX_COUNT:
        key = _key(raw, sender, shape, row, ids)
    if key is None:
        key, is_plain = _key_among(twins, raw, shape.name), False
        ids, sequence = _identifiers(ids), count(sequence)
    if counts is None:
        counts, is_plain = shape.counts.all(row), False
    log = Log(
        shape.name,
        key,
        sender.session_id,
        sender.conversation,
        ids[0] or None,
        time_ms,
        sequence,
        shape.shown(row) if shape.all_shown is None else shape.all_shown.copy(),
        ids,
        counts,
        shape.values(row) if shape.values else (),
        shape.told_by(row) if shape.told is None else shape.told,
        {},
    )
    source = ids[SOURCE]
    if raw.trace_id or raw.span_id or shape.agent or (source and source.startswith(AGENT_SOURCE)):
        log.rare = _whereabouts(raw, shape, row, source)
    event = shape.build(log)
    if log.rare:
        event = msgspec.structs.replace(event, **log.rare)
    is_plain = is_plain and shape.is_plain and sender.is_plain
    if is_plain and (not shape.has_others or shape.are_others_plain(row)):
        return event, _NOTHING
    return event, clamped_in_log(raw.attributes, raw.time_unix_ns, received_at_ms)


def _key(raw: RawLog, sender: Sender, shape: Shape, row: Row, ids: Sequence[str]) -> bytes | None:
    """The ``record_key`` of a numbered record; None where its ids are not plain.

    JSON that is ASCII and had nothing to escape has plain ids only.
    """
    prompt_id, request_id, call_id = ids[0], ids[1], ids[2]
    if not (type(prompt_id) is str and type(request_id) is str and type(call_id) is str):
        return None
    number, ns = str(row[shape.sequence]), raw.time_unix_ns
    own = prompt_id or None, number, request_id or None, call_id or None, ns, shape.name
    told = orjson.dumps(own)
    is_short = len(told) <= shape.room_in_key
    has_only_plain = is_short and told.isascii() and _BACKSLASH not in told and _DELETE not in told
    if not (has_only_plain or shape.are_ids_plain(row)):
        return None
    key = sender.key.copy()
    key.update(told[1:])
    return key.digest()


def _key_among(twins: dict[bytes, int], raw: RawLog, name: str) -> bytes:
    """The ``record_key`` of a record among those of its request."""
    key = record_key(raw, name, 0)
    before = twins.get(key, 0)
    twins[key] = before + 1
    return record_key(raw, name, before) if before else key


def record_key(raw: RawLog, name: str, repeat: int) -> bytes:
    """Eight bytes that are the same for the same record in any request and encoding.

    With a sequence number the record is known by session, time, name and number. Clients before
    2.1.20 have none, so there the attributes count too, and twins inside one request are told
    apart by ``repeat``.
    """
    attributes = raw.attributes
    parts: list[Any] = [*map(text, map(attributes.get, KEY_ATTRIBUTES)), raw.time_unix_ns, name]
    if attributes.get("event.sequence") is None:
        parts += [sorted((key, str(value)) for key, value in attributes.items()), repeat]
    return hashlib.blake2b(orjson.dumps(parts), digest_size=KEY_BYTES).digest()


def _whereabouts(raw: RawLog, shape: Shape, row: Row, source: str) -> dict[str, Any]:
    """What tells where in the client's work a record belongs, beyond its prompt."""
    agent_id, parent_id, name = _identifiers(shape.agent(row)) if shape.agent else ("", "", "")
    found = {
        "agent_id": agent_id,
        "parent_agent_id": parent_id,
        "agent_type": name or agent_type(source),
        "otel_trace_id": raw.trace_id,
        "otel_span_id": raw.span_id,
    }
    return {name: told for name, told in found.items() if told}


def _identifiers(values: Iterable[Value]) -> list[str]:
    return [identifier(value) or "" for value in values]
