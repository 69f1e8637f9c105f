"""What a settled part adds to the usage totals. Pure.

Labels tell the model and the configured tags, so that their number stays small: never a session,
and nothing by which a person's account is known.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

from bridge.model.counted import OTHER, Counts, Labels, Series
from bridge.model.events import ModelFailure, ModelRequest
from bridge.model.measures import PICO, Measure
from bridge.model.parts import Generation, Root, Settled, ToolCall
from bridge.model.sessions import SessionNumbers, Summary

MAX_LABEL_CHARS: Final = 64

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
    """What a part adds, to be counted when its observation is new."""
    attributes = settled.turn.origin.attributes
    tags = tuple((label, label_value(attributes.get(name, ""))) for name, label in rules)
    counts: Counter[Series] = Counter()
    for name, labels, told, value in _added(settled):
        shown = tuple((label, label_value(text)) for label, text in told)
        counts[Series(name, labels, shown + tags)] += value
    return counts


Added = tuple[str, Labels, Labels, int]
"""Name, labels of closed sets, labels of the client, by how much."""


def _added(settled: Settled) -> Iterator[Added]:
    match settled.part:
        case Generation() as part:
            yield from _generation(part.request)
        case ToolCall() as part:
            yield from _tool(part)
        case Root() if not settled.turn.synthetic:
            yield "prompts", (), (), 1
        case Summary() as part:
            yield "sessions", (), (), 1
            yield from _measured(part.numbers)
        case _:
            pass


def _generation(request: ModelRequest | ModelFailure) -> Iterator[Added]:
    model = (("model", request.model.split("[", 1)[0]),)
    if isinstance(request, ModelFailure):
        yield "model_requests", (("outcome", "error"),), model, 1
        return
    yield "model_requests", (("outcome", "ok"),), model, 1
    yield "cost_usd", (), model, request.cost_picousd or 0
    for kind, tokens in request.usage.items():
        yield "tokens", (("type", kind),), model, tokens


def _tool(call: ToolCall) -> Iterator[Added]:
    half = call.result or call.decision
    if half is None:
        return
    yield "tool_calls", (("outcome", _outcome(call)),), (("tool", half.name),), 1
    if call.decision:
        decision = "accept" if call.decision.accepted else "reject"
        source = (("source", call.decision.source or "unknown"),)
        yield "tool_decisions", (("decision", decision),), source, 1


def _outcome(call: ToolCall) -> str:
    if call.result:
        return "ok" if call.result.success else "error"
    return "rejected" if call.decision and not call.decision.accepted else "unknown"


def _measured(numbers: SessionNumbers) -> Iterator[Added]:
    for kind in ("added", "removed"):
        lines = numbers.measured(Measure.LINES, type=kind) or 0
        yield "lines", (("type", kind),), (), lines // PICO
    yield "commits", (), (), (numbers.measured(Measure.COMMITS) or 0) // PICO
    yield "pull_requests", (), (), (numbers.measured(Measure.PULL_REQUESTS) or 0) // PICO
    yield "active_seconds", (), (), (numbers.measured(Measure.ACTIVE_S) or 0) // PICO_PER_MS
