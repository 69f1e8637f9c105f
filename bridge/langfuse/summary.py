"""The summary of a session's stretch of activity: a card to read, numbers to filter by.

It has no model, no usage and no cost: those are on the prompts' generations, and counted twice they
would be wrong. Its counters carry custom usage keys with an explicit total of zero, which
Langfuse's charts can sum and its token totals do not see.
"""

from collections.abc import Iterator
from typing import Any

from bridge.model.measures import PICO, Measure
from bridge.model.observations import MetadataValue, ObservationKind
from bridge.model.sessions import Counter, ModelSums, SessionNumbers, Summary

SHORT_MS = 9_950
"""Shorter times are told with a decimal: what would round to 10.0 s is not."""

NO_SESSION = "The client does not tell its sessions: these are all of one installation."


def summary_fields(summary: Summary, *, has_session: bool) -> dict[str, Any]:
    """The root of a summary's trace, but for what every span repeats."""
    metadata = dict(_metadata(summary))
    if not has_session:
        metadata["session"] = NO_SESSION
    return {
        "kind": ObservationKind.SPAN,
        "start_ms": summary.start_ms,
        "end_ms": summary.end_ms,
        "output": card(summary),
        "metadata": metadata,
    }


def counter_fields(counter: Counter) -> dict[str, Any]:
    """One counter; it lasts as long as what it counts, if that is time."""
    kind = ObservationKind.SPAN if counter.duration_ms else ObservationKind.EVENT
    return {
        "kind": kind,
        "name": counter.name,
        "start_ms": counter.start_ms,
        "end_ms": counter.start_ms + counter.duration_ms,
        "usage": {counter.name: counter.value, "total": 0},
    }


def card(summary: Summary) -> str:
    """Several short lines; a line that would say nothing is left out."""
    lines = [
        _times(summary),
        _work(summary.numbers),
        *_costs(summary.numbers),
        _changes(summary.numbers),
        _gap(summary),
    ]
    return "\n".join(line for line in lines if line)


def _times(summary: Summary) -> str:
    active = summary.numbers.measured(Measure.ACTIVE_S)
    parts = [_duration(summary.end_ms - summary.start_ms)]
    if active:
        parts.append(f"{_duration(active // 1_000_000_000)} active")
    return " · ".join(parts)


def _work(numbers: SessionNumbers) -> str:
    totals = numbers.totals
    parts = [
        _count(numbers.prompts, "prompt"),
        _count(totals.requests, "request"),
        _count(totals.failures, "failed request"),
        _count(totals.tools, "tool call"),
        _count(totals.tool_errors, "tool error"),
        _count(totals.rejections, "rejected tool"),
    ]
    return " · ".join(part for part in parts if part)


def _costs(numbers: SessionNumbers) -> Iterator[str]:
    if numbers.totals.requests:
        yield _usd(numbers.totals.cost_picousd)
    for model, sums in sorted(numbers.models.items()):
        yield f"{model}: {_usd(sums.cost_picousd)}, {_tokens(sums.usage)}"


def _changes(numbers: SessionNumbers) -> str:
    parts = []
    added, removed = _lines(numbers, "added"), _lines(numbers, "removed")
    if added or removed:
        parts.append(f"+{added} −{removed} lines")  # noqa: RUF001 - a minus sign
    parts.append(_count((numbers.measured(Measure.COMMITS) or 0) // PICO, "commit"))
    parts.append(_count((numbers.measured(Measure.PULL_REQUESTS) or 0) // PICO, "pull request"))
    return " · ".join(part for part in parts if part)


def _gap(summary: Summary) -> str:
    if summary.gap is None:
        return ""
    sign = "more" if summary.gap.gap_picousd > 0 else "less"
    return f"metrics tell {_usd(abs(summary.gap.gap_picousd))} {sign}: {summary.gap.reason.value}"


def _metadata(summary: Summary) -> Iterator[tuple[str, MetadataValue]]:
    numbers = summary.numbers
    totals = numbers.totals
    counts = {
        "prompts": numbers.prompts,
        "requests": totals.requests,
        "failed_requests": totals.failures,
        "tools": totals.tools,
        "tool_errors": totals.tool_errors,
        "rejected_tools": totals.rejections,
        "unpriced_requests": totals.unpriced,
        "lost_records": numbers.lost_records,
    }
    yield from ((name, value) for name, value in counts.items() if value)
    if totals.requests:
        yield "cost_usd", totals.cost_picousd / PICO
    yield from ((f"tokens.{key}", tokens) for key, tokens in sorted(totals.usage.items()))
    yield from _sums("models", numbers.models)
    yield from _sums("agents", numbers.agents)
    for series, value in sorted(numbers.series.items()):
        yield f"metrics.{_series(series)}", value / PICO
    if summary.gap:
        yield "cost_gap_usd", summary.gap.gap_picousd / PICO
        yield "cost_gap_reason", summary.gap.reason.value


def _sums(group: str, sums: dict[str, ModelSums]) -> Iterator[tuple[str, MetadataValue]]:
    for name, entry in sorted(sums.items()):
        yield f"{group}.{name}.requests", entry.requests
        yield f"{group}.{name}.cost_usd", entry.cost_picousd / PICO
        for key, tokens in sorted(entry.usage.items()):
            yield f"{group}.{name}.tokens.{key}", tokens


def _series(series: str) -> str:
    measure, *attributes = series.split("\0")
    return f"{measure}[{','.join(attributes)}]" if attributes else measure


def _lines(numbers: SessionNumbers, kind: str) -> int:
    return (numbers.measured(Measure.LINES, type=kind) or 0) // PICO


def _tokens(usage: dict[str, int]) -> str:
    words = {
        "input": "in",
        "output": "out",
        "input_cached_tokens": "cached",
        "input_cache_creation": "cache written",
    }
    return ", ".join(f"{usage[key]:,} {word}" for key, word in words.items() if usage.get(key))


def _count(number: int, thing: str) -> str:
    if not number:
        return ""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _usd(picousd: int) -> str:
    return f"${picousd / PICO:.6f}".rstrip("0").rstrip(".")


def _duration(duration_ms: int) -> str:
    if duration_ms < SHORT_MS:
        return f"{duration_ms / 1000:.1f} s"
    seconds = round(duration_ms / 1000)
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
