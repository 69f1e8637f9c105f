"""What a settled part adds to the usage totals. Pure.

Labels tell the model and the configured tags, so that their number stays small: never a session,
and nothing by which a person's account is known.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from bridge.model.counted import OTHER, Counts, Labels, Series
from bridge.model.events import ModelFailure, ModelRequest, Origin, plain_model
from bridge.model.measures import PICO, Measure
from bridge.model.parts import Generation, Root, Settled, ToolCall
from bridge.model.sessions import SessionNumbers, Summary

MAX_LABEL_CHARS: Final = 64

KEPT_ORIGINS: Final = 256
KEPT_SERIES: Final = 64
"""Of the same tags: models, tools and their outcomes."""

PICO_PER_MS: Final = PICO // 1_000

OWN_LABELS: Final = frozenset({"decision", "model", "outcome", "source", "tool", "type"})
RESERVED: Final = OWN_LABELS | {"instance", "job", "le"}

PERSONAL: Final = frozenset(
    {
        "session.id", "user.email", "user.id", "user.account_uuid", "user.account_id",
        "organization.id", "service.instance.id",
    }
)  # fmt: skip
"""Attributes with a value for each session or account: as tags they are fine, as labels not."""

TagRules = tuple[tuple[str, str], ...]
"""(attribute, label)."""


def tag_labels(tags: Mapping[str, str]) -> TagRules:
    """The configured tags, attribute → key, that become labels."""
    return tuple((name, label_name(key)) for name, key in tags.items() if name not in PERSONAL)


def label_name(key: str) -> str:
    """A tag's key as Prometheus takes it, and like none of our own labels."""
    name = re.sub(r"[^a-zA-Z0-9_]", "_", key)
    return f"tag_{name}" if name in RESERVED or not name[:1].isalpha() else name


@lru_cache(maxsize=2048)
def label_value(value: str) -> str:
    """A client's word as a label's value: short, and no e-mail address."""
    return OTHER if "@" in value else value.strip()[:MAX_LABEL_CHARS]


def usage_of(settled: Settled, rules: TagRules) -> Counts:
    """What a part adds, to be counted when its observation is new; for those who ask once."""
    return Usage(rules).of(settled)


class Usage:
    """What settled parts add, with each series made once for origins that have the same tags.

    An origin is known as long as it is the same object, which ends when its session leaves memory.
    """

    def __init__(self, rules: TagRules) -> None:
        self._rules = rules
        self._origins: dict[int, tuple[Origin, _TaggedSeries]] = {}
        self._tagged: dict[Labels, _TaggedSeries] = {}

    def of(self, settled: Settled) -> Counts:
        """What a part adds, to be counted when its observation is new."""
        part, turn = settled.part, settled.turn
        series = self._series(turn.origin)
        if type(part) is ToolCall:
            return _tool(part, series)
        if type(part) is Generation:
            return _generation(part.request, series)
        if type(part) is Root and not turn.synthetic:
            return {series["prompts",]: 1}
        if type(part) is Summary:
            return {series["sessions",]: 1} | _measured(part.numbers, series)
        return {}

    def _series(self, origin: Origin) -> "_TaggedSeries":
        known = self._origins.get(id(origin))
        if known is not None and known[0] is origin:
            return known[1]
        if len(self._origins) >= KEPT_ORIGINS:
            self._origins.clear()
        series = self._of_tags(origin.attributes)
        self._origins[id(origin)] = (origin, series)
        return series

    def _of_tags(self, attributes: Mapping[str, str]) -> "_TaggedSeries":
        tags = tuple((label, label_value(attributes.get(name, ""))) for name, label in self._rules)
        if tags not in self._tagged:
            if len(self._tagged) >= KEPT_ORIGINS:
                self._tagged.clear()
            self._tagged[tags] = _TaggedSeries(tags)
        return self._tagged[tags]


class _TaggedSeries(dict[tuple[str, ...], Series]):
    """(name, values of its labels as ``LABELS`` has them) → the series with these tags."""

    def __init__(self, tags: Labels) -> None:
        self._tags = tags

    def __missing__(self, key: tuple[str, ...]) -> Series:
        name, labels, shown = _labels(key)
        series = Series(name, labels, shown + self._tags)
        if len(self) < KEPT_SERIES:
            self[key] = series
        return series


@lru_cache(maxsize=1024)
def _labels(key: tuple[str, ...]) -> tuple[str, Labels, Labels]:
    """A key's name, and labels without tags: the same ones for everybody's tags."""
    name, *values = key
    closed, told = LABELS[name]
    shown = zip(told, map(label_value, values[len(closed) :]), strict=True)
    return name, tuple(zip(closed, values, strict=False)), tuple(shown)


LABELS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "model_requests": (("outcome",), ("model",)),
    "cost_usd": ((), ("model",)),
    "tokens": (("type",), ("model",)),
    "tool_calls": (("outcome",), ("tool",)),
    "tool_decisions": (("decision",), ("source",)),
    "prompts": ((), ()),
    "sessions": ((), ()),
    "lines": (("type",), ()),
    "commits": ((), ()),
    "pull_requests": ((), ()),
    "active_seconds": ((), ()),
}
"""Name → its labels of closed sets, and those whose values are the client's."""


def _generation(request: ModelRequest | ModelFailure, series: _TaggedSeries) -> Counts:
    model = plain_model(request.model)
    if not isinstance(request, ModelRequest):
        return {series["model_requests", "error", model]: 1}
    counts = {
        series["model_requests", "ok", model]: 1,
        series["cost_usd", model]: request.cost_picousd or 0,
    }
    for kind, tokens in request.usage.items():
        counts[series["tokens", kind, model]] = tokens
    return counts


def _tool(call: ToolCall, series: _TaggedSeries) -> Counts:
    half = call.result or call.decision
    if half is None:
        return {}
    counts = {series["tool_calls", _outcome(call), half.name]: 1}
    if call.decision:
        decision = "accept" if call.decision.accepted else "reject"
        counts[series["tool_decisions", decision, call.decision.source or "unknown"]] = 1
    return counts


def _outcome(call: ToolCall) -> str:
    if call.result:
        return "ok" if call.result.success else "error"
    return "rejected" if call.decision and not call.decision.accepted else "unknown"


def _measured(numbers: SessionNumbers, series: _TaggedSeries) -> Counts:
    counts = {
        series["lines", kind]: (numbers.measured(Measure.LINES, type=kind) or 0) // PICO
        for kind in ("added", "removed")
    }
    active = numbers.measured(Measure.ACTIVE_S) or 0
    return counts | {
        series["commits",]: (numbers.measured(Measure.COMMITS) or 0) // PICO,
        series["pull_requests",]: (numbers.measured(Measure.PULL_REQUESTS) or 0) // PICO,
        series["active_seconds",]: active // PICO_PER_MS,
    }
