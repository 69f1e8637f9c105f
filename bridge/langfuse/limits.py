"""What Langfuse would cut, drop or refuse is cut here, where the metadata can say so.

Its limits are in ``docs`` of the API and its source: lists read 200 characters of names and ids,
attribute keys with a segment of JavaScript's prototypes are dropped, an export of more than 5 MB is
refused by Langfuse Cloud, and whole numbers end at 2^53.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
import orjson

from bridge.model.observations import MetadataValue, Observation, Scalar
from bridge.protowire import forget_older_half

CLAMPED = "bridge.clamped"
"""Metadata: the names of what is shown as another value than was told; also written by decode."""

MAX_NAME_CHARS = 200
MAX_TEXT_BYTES = 1_000_000
"""Of input, output and message each: with the metadata they stay below what one export may hold."""

MAX_METADATA_BYTES = 200_000
MAX_METADATA_KEYS = 500
MAX_COUNT = 2**53 - 1

_dumps, _UP_TO_MAX_COUNT = orjson.dumps, orjson.OPT_STRICT_INTEGER
_DROPPED_SEGMENTS = frozenset({"__proto__", "constructor", "prototype"})
_ELLIPSIS = "…"


PLAIN_BYTES: Final = 1_000
"""Metadata and usage whose JSON is no longer are far from every bound: they are not measured."""

_KEPT_LAYOUTS: Final = 512
_MOST_NAMES: Final = 32
_plain_names: dict[tuple[str | None, ...], None] = {}
"""Name, model and keys of metadata that are known to stay as they are: few together, and seen
always."""


def within_limits(observation: Observation) -> Observation:
    """The observation as Langfuse keeps all of it; metadata names what was cut."""
    return observation if is_plain(observation) else clamped(observation)


def is_plain(observation: Observation) -> bool:
    """Whether nothing comes near a limit, which is so for nearly every observation."""
    metadata = observation.metadata
    names = (observation.name, observation.model, *metadata)
    if names not in _plain_names and not _are_plain_names(names):
        return False
    if (asked := observation.input) is not None and not _is_plain_text(asked):
        return False
    if (answered := observation.output) is not None and not _is_plain_text(answered):
        return False
    if (message := observation.status_message) is not None and not _is_plain_text(message):
        return False
    return _are_plain_values((metadata, observation.usage))


def _is_plain_text(text: str) -> bool:
    return len(text) <= MAX_TEXT_BYTES // 4 and "\0" not in text


def _are_plain_names(names: tuple[str | None, ...]) -> bool:
    """Whether names, models and keys of metadata stay as they are."""
    if names in _plain_names:
        return True
    are_plain = all(map(_is_plain_name, names))
    if are_plain and len(names) <= _MOST_NAMES:
        if len(_plain_names) >= _KEPT_LAYOUTS:
            forget_older_half(_plain_names)
        _plain_names[names] = None
    return are_plain


def _is_plain_name(name: str | None) -> bool:
    return name is None or clamped_name(name) == _clamped_key(name) == name


def _are_plain_values(told: object) -> bool:
    """Asked of a JSON writer, in one call: it refuses whole numbers beyond ``MAX_COUNT``.

    A string, the items of a list and the keys of a dict are no more than the bytes they are written
    with, and no limit of theirs is below ``PLAIN_BYTES``.
    """
    try:
        return len(_dumps(told, None, _UP_TO_MAX_COUNT)) <= PLAIN_BYTES
    except TypeError:
        return False


def clamped(observation: Observation) -> Observation:
    """The same with all of it measured, whatever it holds."""
    texts = {name: getattr(observation, name) for name in ("input", "output", "status_message")}
    names = {name: getattr(observation, name) for name in ("name", "model")}
    changed: dict[str, object] = {
        **_changed(texts, {k: v and clamped_text(v) for k, v in texts.items()}),
        **_changed(names, {k: v and clamped_name(v) for k, v in names.items()}),
        **_usage(observation.usage),
    }
    metadata = measured_metadata(observation.metadata)
    if metadata != observation.metadata:
        changed["metadata"] = metadata
    if not changed:
        return observation
    metadata[CLAMPED] = [*_told(metadata), *sorted(changed)]
    return msgspec.structs.replace(observation, **(changed | {"metadata": metadata}))


def clamped_text(text: str) -> str:
    """At most ``MAX_TEXT_BYTES``, without NUL, which not every column can hold."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if len(text) * 4 <= MAX_TEXT_BYTES or len(text.encode("utf-8", "replace")) <= MAX_TEXT_BYTES:
        return text
    return text.encode("utf-8", "replace")[:MAX_TEXT_BYTES].decode("utf-8", "ignore") + _ELLIPSIS


def clamped_name(name: str) -> str:
    """In one line, and no longer than lists read."""
    plain = name if name.isprintable() else "".join(c if c.isprintable() else "_" for c in name)
    return plain if len(plain) <= MAX_NAME_CHARS else plain[: MAX_NAME_CHARS - 1] + _ELLIPSIS


def clamped_metadata(metadata: Mapping[str, MetadataValue]) -> dict[str, MetadataValue]:
    """As much of the metadata as one observation may hold, in its order, under keys that stay."""
    return dict(metadata) if is_plain_metadata(metadata) else measured_metadata(metadata)


def is_plain_metadata(metadata: Mapping[str, MetadataValue]) -> bool:
    """Whether nothing of it comes near a limit."""
    return _are_plain_names(tuple(metadata)) and _are_plain_values(metadata)


def measured_metadata(metadata: Mapping[str, MetadataValue]) -> dict[str, MetadataValue]:
    """The same with all of it measured, whatever it holds."""
    kept: dict[str, MetadataValue] = {}
    left_bytes = MAX_METADATA_BYTES
    for key, value in metadata.items():
        name, told = _clamped_key(key), _clamped_value(value)
        left_bytes -= len(name) + len(str(told))
        if left_bytes >= 0 and len(kept) < MAX_METADATA_KEYS:
            kept[name] = told
    return kept


def _clamped_key(key: str) -> str:
    segments = clamped_name(key).split(".")
    if _DROPPED_SEGMENTS.isdisjoint(segments):
        return ".".join(segments) or "_"
    return ".".join(f"{each}_" if each in _DROPPED_SEGMENTS else each for each in segments)


def _clamped_value(value: MetadataValue) -> MetadataValue:
    if isinstance(value, list):
        return [_clamped_scalar(item) for item in value[:MAX_METADATA_KEYS]]
    return _clamped_scalar(value)


def _clamped_scalar(value: Scalar) -> Scalar:
    if isinstance(value, str):
        return value if len(value) * 4 <= MAX_METADATA_BYTES // 4 else _cut(value)
    is_large = isinstance(value, int) and abs(value) > MAX_COUNT
    return str(value) if is_large else value


def _cut(value: str) -> str:
    most = MAX_METADATA_BYTES // 4
    encoded = value.encode("utf-8", "replace")
    return value if len(encoded) <= most else encoded[:most].decode("utf-8", "ignore") + _ELLIPSIS


def _usage(usage: Mapping[str, int] | None) -> dict[str, object]:
    if not usage or max(usage.values()) <= MAX_COUNT:
        return {}
    return {"usage": {key: min(tokens, MAX_COUNT) for key, tokens in usage.items()}}


def _changed(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in after.items() if value != before[name]}


def _told(metadata: Mapping[str, MetadataValue]) -> list[Scalar]:
    told = metadata.get(CLAMPED, [])
    return told if isinstance(told, list) else [told]
