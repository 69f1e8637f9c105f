"""Lenient reading of attribute values.

Up to Claude Code 2.1.110 every number of an event is a string, later ones mix strings, ints and
doubles; a value that cannot be read is treated as absent, never as an error.
"""

import functools
import hashlib
import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from itertools import filterfalse
from typing import Any

import orjson

from bridge.model.observations import MetadataValue, Scalar

Value = object
"""A decoded AnyValue: str (also for bytes, as base64), bool, int, float, list, dict or None."""

Attributes = Mapping[str, Value]

MAX_COUNT = 2**53 - 1
"""Langfuse reads numbers as JavaScript does; a larger count would be shown as another number."""

NO_COST_USD = Decimal(10**12)
MAX_USD = Decimal("999999.999999")
"""Langfuse keeps no larger cost either."""

_EXACT_DIGITS = 16
"""Numbers of fewer digits are below ``MAX_COUNT``."""

_BOOLEANS = {"true": True, "false": False}
_TWELVE_DECIMALS = Decimal(1).scaleb(-12)
_PLAIN_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
"""``Decimal`` and ``int`` take digits of any script and underscores between them; no client means
those."""

MAX_NUMBER_CHARS = 10_000
MAX_ID_CHARS = 200
"""Langfuse's lists and filters read the first 200 characters of an id, and its SDKs send no
longer one."""

_DIGEST_CHARS = 16


def text(value: Value) -> str | None:
    """A non-empty string; numbers and booleans are written as JSON writes them."""
    if value is None:  # by far the most are absent, or strings
        return None
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    return _written(value) if isinstance(value, (int, float)) else None


def boolean(value: Value) -> bool | None:
    """True or False, also from the strings the client sends."""
    if isinstance(value, str):
        return _BOOLEANS.get(value.lower())
    return value if isinstance(value, bool) else None


def count(value: Value) -> int | None:
    """A whole number from 0 to 2^53 - 1, from an int, a double or a string."""
    if value is None:
        return None
    if type(value) is int:  # by far the most are ints, or strings of digits
        return None if value < 0 else min(value, MAX_COUNT)
    if isinstance(value, str) and len(value) < _EXACT_DIGITS and _is_digits(value):
        return int(value)
    number = decimal(value)
    if number is None or number < 0:
        return None
    # Compared before it is written out: 1e999999999 has a billion digits.
    return MAX_COUNT if number > MAX_COUNT else int(number)


def picousd(usd: Value) -> int | None:
    """US dollars → picodollars, rounded to 12 decimals (doubles carry noise beyond)."""
    exact = _written_picousd(usd) if isinstance(usd, str) else None
    if exact is not None:
        return exact
    number = decimal(usd)
    if number is None or not 0 <= number < NO_COST_USD:
        return None
    return int(min(number, MAX_USD).quantize(_TWELVE_DECIMALS).scaleb(12))


def _is_digits(text: str) -> bool:
    return text.isdecimal() and text.isascii()


def _written_picousd(usd: str) -> int | None:
    """``0.003086`` without the detour over a Decimal; None for what is written otherwise."""
    whole, _, fraction = usd.partition(".")
    pico = whole + fraction.ljust(12, "0")  # the digits of a whole number of picodollars
    is_short = 0 < len(whole) < 6 and 0 < len(fraction) <= 12  # noqa: PLR2004 - below ``MAX_USD``; picodollars
    return int(pico) if is_short and _is_digits(pico) else None


def picousd_from_micros(micros: Value) -> int | None:
    """Micro-dollars, a whole number → picodollars."""
    number = count(micros)
    return None if number is None else picousd(str(Decimal(number).scaleb(-6)))


def shown(value: Value) -> MetadataValue | None:
    """The value as metadata: scalars as they are, lists of scalars, what is nested as JSON text."""
    if isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if abs(value) <= MAX_COUNT else _written(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list):
        return [_scalar(item) for item in value if item is not None]
    return json_text(value) if isinstance(value, dict) else None


def _scalar(value: Value) -> Scalar:
    told = shown(value)
    return told if isinstance(told, str | int | float) else json_text(value)


def json_text(value: Value) -> str:
    """A nested value as JSON, the same whatever encoding it came in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _written(number: float) -> str:
    """A number as text; one that Python would not write out is told as too large."""
    try:
        return str(number)
    except ValueError:
        return "-Infinity" if number < 0 else "Infinity"


def json_object(value: object) -> dict[str, Any]:
    """A JSON object in a string; an empty one for anything else."""
    if not isinstance(value, str):
        return {}
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def first(attributes: Attributes, *names: str) -> object:
    """The first attribute of these that is present."""
    for name in names:
        value = attributes.get(name)
        if value is not None:
            return value
    return None


def shown_without(
    attributes: Attributes, hidden: frozenset[str], own: frozenset[str] = frozenset()
) -> dict[str, MetadataValue]:
    """All attributes as metadata, but for the hidden ones and those with a field of their own."""
    found: dict[str, MetadataValue] = {}
    for key in filterfalse(union(hidden, own).__contains__, attributes):
        value = shown(attributes[key])
        if value is not None:
            found[key] = value
    return found


@functools.lru_cache(maxsize=1024)
def union(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    """Both sets in one. Few are asked for, and by every record."""
    return one | other


def identifier(value: Value) -> str | None:
    """A text that something is known by, short enough for Langfuse and in one line.

    What is longer ends in a digest, so that two ids that begin alike stay two.
    """
    told = (value or None) if isinstance(value, str) else text(value)
    if told is None or (len(told) <= MAX_ID_CHARS and told.isprintable()):
        return told
    digest = hashlib.blake2b(told.encode("utf-8", "replace"), digest_size=_DIGEST_CHARS // 2)
    start = "".join(c if c.isprintable() else "_" for c in told[: MAX_ID_CHARS - _DIGEST_CHARS - 1])
    return f"{start}~{digest.hexdigest()}"


def number_text(value: str) -> str | None:
    """The text of a number as every client writes it; None for anything else."""
    is_number = len(value) <= MAX_NUMBER_CHARS and _PLAIN_NUMBER.fullmatch(value)
    return value.strip() if is_number else None


def decimal(value: Value) -> Decimal | None:
    """A finite number, from an int, a double or a string."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    told = number_text(value) if isinstance(value, str) else repr(value)
    try:
        number = Decimal(told) if told else None
    except InvalidOperation:  # an exponent of twenty digits
        return None
    return number if number is not None and number.is_finite() else None
