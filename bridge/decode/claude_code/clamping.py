"""Which values of a record could not be taken as they were told.

What they were taken as is for those who read them (``attributes``, ``events``, ``spans``); here is
only what to say of it, in the metadata of the observation. Names alone: a value may be content.
"""

from collections.abc import Iterator

from bridge.decode.attributes import (
    MAX_COUNT,
    MAX_ID_CHARS,
    MAX_USD,
    Attributes,
    decimal,
    identifier,
    text,
)
from bridge.decode.claude_code.names import USAGE_KEYS
from bridge.decode.moments import MAX_DURATION_MS, is_plausible
from bridge.decode.otlp_spans import RawSpan
from bridge.model.observations import MetadataValue

CLAMPED = "bridge.clamped"
"""Metadata: the names of what is shown as another value than was told."""

TOLD_TIME = "bridge.time_unix_ns"
"""Metadata: the time that cannot be true, as it was told."""

NS_PER_MS = 1_000_000

COST = "cost_usd"

IDENTIFIERS = (
    "session.id", "prompt.id", "agent_id", "parent_agent_id", "request_id", "tool_use_id",
    "use_id", "gen_ai.tool.call.id", "event.name", "tool_name", "model",
)  # fmt: skip

LIMITS = {
    COST: int(MAX_USD),
    "cost_usd_micros": int(MAX_USD) * 1_000_000,
    "duration_ms": MAX_DURATION_MS,
    "event.sequence": MAX_COUNT,
    "prompt_length": MAX_COUNT,
    "response_length": MAX_COUNT,
    "ttft_ms": MAX_DURATION_MS,
    **dict.fromkeys(USAGE_KEYS, MAX_COUNT),
}
"""Number → the largest that is taken."""
PLAIN_DIGITS = 6
"""A number of no more characters is below all of these."""
_NUMBERS = frozenset({int, float})
_CHECKED = dict[str, int | None](dict.fromkeys(IDENTIFIERS)) | LIMITS


def clamped_in_log(
    attributes: Attributes, unix_ns: int, received_at_ms: int
) -> dict[str, MetadataValue]:
    """Metadata that says what of a log record was clamped; empty where nothing was."""
    names = [*_times({"time": unix_ns}, received_at_ms), *_attributes(attributes)]
    return _told(names, unix_ns)


def clamped_in_span(raw: RawSpan, received_at_ms: int) -> dict[str, MetadataValue]:
    """Metadata that says what of a span was clamped; empty where nothing was."""
    times = {"start_time": raw.start_unix_ns, "end_time": raw.end_unix_ns}
    names = [*_times(times, received_at_ms), *_attributes(raw.attributes)]
    if "start_time" not in names and 0 < raw.end_unix_ns < raw.start_unix_ns:
        names.append("start_time")
    return _told(names, raw.end_unix_ns if "end_time" in names else raw.start_unix_ns)


def _told(names: list[str], unix_ns: int) -> dict[str, MetadataValue]:
    if not names:
        return {}
    told: dict[str, MetadataValue] = {CLAMPED: [*names]}
    if any(name.endswith("time") for name in names):
        told[TOLD_TIME] = str(unix_ns)
    return told


def _times(told: dict[str, int], received_at_ms: int) -> Iterator[str]:
    for name, unix_ns in told.items():
        if unix_ns and not is_plausible(unix_ns // NS_PER_MS, received_at_ms):
            yield name


def _attributes(attributes: Attributes) -> Iterator[str]:
    for name, value in attributes.items():
        if name in _CHECKED and not is_plain(value, _CHECKED[name]):
            yield from _clamped(attributes)
            return


def is_plain(value: object, largest: int | None) -> bool:
    """Whether a value is so short and simple that nothing can be wrong with it: nearly all are.

    Args:
        value: As it was told.
        largest: The limit of a number; None for what something is known by.
    """
    if isinstance(value, str):
        return _is_plain_text(value, largest)
    return type(value) in _NUMBERS and largest is not None and 0 <= value <= largest  # type: ignore[operator]  # a number


def _is_plain_text(value: str, largest: int | None) -> bool:
    if largest is None:
        return len(value) <= MAX_ID_CHARS and value.isprintable()
    digits = value.removeprefix("0.")
    few = len(digits) <= (PLAIN_DIGITS if digits is value else MAX_ID_CHARS)
    return few and digits.isdecimal() and digits.isascii()


def _clamped(attributes: Attributes) -> Iterator[str]:
    for name in IDENTIFIERS:
        if name in attributes and identifier(attributes[name]) != text(attributes[name]):
            yield name
    for name, largest in LIMITS.items():
        if attributes.get(name) not in (None, "") and not _is_taken(attributes[name], largest):
            yield name


def _is_taken(value: object, largest: int) -> bool:
    number = decimal(value)
    return number is not None and 0 <= number <= largest
