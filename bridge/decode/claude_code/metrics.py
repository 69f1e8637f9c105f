"""Claude Code's metrics → our measures.

All of its metrics are monotonic sums, delta by default. An instrument not listed here keeps its
own name.
"""

import math
from decimal import Decimal

from bridge.decode.attributes import Attributes, identifier
from bridge.decode.claude_code.names import ENVELOPE
from bridge.decode.otlp_metrics import RawPoint
from bridge.model.measures import Measure, MetricPoint

NS_PER_MS = 1_000_000
PREFIX = "claude_code."

MEASURES = {
    "session.count": Measure.SESSIONS,
    "cost.usage": Measure.COST_USD,
    "token.usage": Measure.TOKENS,
    "active_time.total": Measure.ACTIVE_S,
    "lines_of_code.count": Measure.LINES,
    "commit.count": Measure.COMMITS,
    "pull_request.count": Measure.PULL_REQUESTS,
    "code_edit_tool.decision": Measure.EDIT_DECISIONS,
}

TOKEN_TYPES = {
    "input": "input",
    "output": "output",
    "cacheRead": "input_cached_tokens",
    "cacheCreation": "input_cache_creation",
}
"""The token metric's types as Langfuse's usage keys, as the events' tokens are named too."""

MAX_VALUE = 1e15


def decode_point(
    raw: RawPoint,
    *,
    conversation: str,
    session_id: str | None,
    received_at_ms: int,
    hidden: frozenset[str],
) -> MetricPoint | None:
    """One data point → our words; None when it has no usable value.

    Args:
        raw: A point of Claude Code's scope.
        conversation: As for its events.
        session_id: None when the client keeps it to itself.
        received_at_ms: Stands for a time that is missing.
        hidden: Attributes that say who, not what.
    """
    value = raw.value
    if value is None or not math.isfinite(value) or abs(value) > MAX_VALUE:
        return None
    name = identifier(raw.name.removeprefix(PREFIX)) or "unnamed"
    measure = MEASURES.get(name)
    return MetricPoint(
        session_id=session_id,
        conversation=conversation,
        measure=measure.value if measure else name,
        attributes=_series(raw.attributes, measure, hidden | ENVELOPE),
        temporality=raw.temporality,
        start_ms=raw.start_unix_ns // NS_PER_MS,
        time_ms=raw.time_unix_ns // NS_PER_MS or received_at_ms,
        value_pico=int(Decimal(repr(value)).scaleb(12).to_integral_value()),
    )


def _series(
    attributes: Attributes, measure: Measure | None, hidden: frozenset[str]
) -> tuple[tuple[str, str], ...]:
    found = {key: identifier(value) for key, value in attributes.items() if key not in hidden}
    if measure is Measure.TOKENS and (kind := found.get("type")):
        found["type"] = TOKEN_TYPES.get(kind, kind)
    return tuple(sorted((key, value) for key, value in found.items() if value))
