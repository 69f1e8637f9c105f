"""Durations, tokens, cost, times and text, as a person reads them."""

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo

PICO_DIGITS = 12
"""Decimals of a cost in picodollars."""
MAX_COST_DECIMALS = 6
MIN_COST_DECIMALS = 2
TEXT_WIDTH = 100
SHORT_ID = 8
MS_PER_S = 1_000
MS_PER_MIN = 60_000
MS_PER_HOUR = 3_600_000
NAMED_USAGE = {"input_cached_tokens": "cached", "input_cache_creation": "cache written"}
"""Usage keys told first in brackets behind input and output, in this order, and their words."""


def duration(milliseconds: int) -> str:
    """``850 ms``, ``3.0 s``, ``2 m 05 s`` or ``1 h 02 m``; a clock set back makes it negative."""
    if milliseconds < 0:
        return f"-{duration(-milliseconds)}"
    if milliseconds < MS_PER_S:
        return f"{milliseconds} ms"
    if milliseconds < MS_PER_MIN - 50:  # what would round to 60.0 s is a minute
        return f"{milliseconds / MS_PER_S:.1f} s"
    seconds = round(milliseconds / MS_PER_S)
    if seconds * MS_PER_S < MS_PER_HOUR:
        return f"{seconds // 60} m {seconds % 60:02} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02} m"


def tokens(usage: Mapping[str, int]) -> str:
    """``11→117 tok (1,010 cached)``: input → output, then every other kind that is not zero."""
    others = sorted(usage.keys() - {"input", "output", "total", *NAMED_USAGE})
    rest = [
        f"{usage[kind]:,} {NAMED_USAGE.get(kind, kind)}"
        for kind in (*NAMED_USAGE, *others)
        if usage.get(kind)
    ]
    main = f"{usage.get('input', 0):,}→{usage.get('output', 0):,} tok"
    return line(f"{main} ({', '.join(rest)})" if rest else main)


def cost(picousd: int) -> str:
    """``$0.003086``: rounded half up to six decimals, zeros trimmed down to two."""
    unit = 10 ** (PICO_DIGITS - MAX_COST_DECIMALS)
    micros = (abs(picousd) + unit // 2) // unit
    if picousd and not micros:
        return f"{'-' if picousd < 0 else ''}<$0.000001"
    return f"{'-' if picousd < 0 else ''}${_decimal(micros, MAX_COST_DECIMALS, MIN_COST_DECIMALS)}"


def exact_usd(picousd: int) -> str:
    """The exact amount as a decimal string, without superfluous zeros: ``0.003086``."""
    sign = "-" if picousd < 0 else ""
    return sign + _decimal(abs(picousd), PICO_DIGITS, 0).removesuffix(".")


def changed_lines(added: int, removed: int) -> str:
    """Added and removed lines, with a minus sign as wide as the plus."""
    return f"+{added:,} \N{MINUS SIGN}{removed:,}"


def _decimal(scaled: int, digits: int, least: int) -> str:
    whole, part = divmod(scaled, 10**digits)
    decimals = f"{part:0{digits}}"
    return f"{whole}.{decimals[:least]}{decimals[least:].rstrip('0')}"


def local_time(milliseconds: int, zone: tzinfo | None = None) -> str:
    """``2026-11-22 10:01:02`` in ``zone``, or in the machine's."""
    return _moment(milliseconds).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def iso_time(milliseconds: int) -> str:
    """``2026-11-22T10:01:02.123Z``."""
    return _moment(milliseconds).strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03}Z"


def _moment(milliseconds: int) -> datetime:
    # Whole seconds: a fraction would come out of a float a microsecond short.
    return datetime.fromtimestamp(milliseconds // MS_PER_S, tz=UTC)


def line(text: str) -> str:
    """``text`` in one line without control characters: it was written by a client."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else " " for c in text).split())


def shortened(text: str, width: int = TEXT_WIDTH) -> str:
    """At most ``width`` characters of ``line(text)``; where something is missing it ends in …."""
    whole = line(text[: width * 50])  # a tool's output may be megabytes
    cut = len(text) > width * 50 or len(whole) > width
    return whole[: width - 1].rstrip() + "…" if cut else whole


def lines(text: str, width: int = TEXT_WIDTH) -> list[str]:
    """Each line of ``text`` as ``shortened`` has it; empty ones are left out."""
    return [short for each in text.splitlines() if (short := shortened(each, width))]


def plural(count: int, noun: str) -> str:
    """``1 tool``, ``1,234 tools``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def short_ids(ids: list[str]) -> dict[str, str]:
    """Each id → the shortest beginning, of eight characters at least, that no other shares."""
    length = SHORT_ID
    while len({identity[:length] for identity in ids}) < len(set(ids)):
        length += 1
    return {identity: identity[:length] for identity in ids}
