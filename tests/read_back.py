"""What Langfuse's v2/observations answers, for the double: rows, fields, filters, errors."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

Row = dict[str, Any]

EVENTS_ONLY: Final = (
    "This endpoint is not available on deployments running in Langfuse v4 events_only mode."
)
FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "core": ("id", "traceId", "startTime", "endTime", "parentObservationId", "type"),
    "basic": ("name", "level", "version", "environment", "userId", "sessionId"),
    "time": (),
    "io": ("input", "output"),
    "metadata": (),
    "model": ("providedModelName",),
    "usage": ("usageDetails", "costDetails", "totalCost"),
    "prompt": (),
    "metrics": ("latency",),
    "trace_context": ("tags", "release", "traceName"),
}
FILTERS: Final = ("traceId", "sessionId", "userId", "name", "type", "level")
PARAMETERS: Final = {*FILTERS, "fields", "limit", "cursor", "fromStartTime", "toStartTime"}
MOST_ROWS: Final = 1000
ALIASES: Final = {
    "level": "langfuse.observation.level",
    "version": "langfuse.version",
    "environment": "langfuse.environment",
    "userId": "langfuse.user.id",
    "sessionId": "langfuse.session.id",
    "input": "langfuse.observation.input",
    "output": "langfuse.observation.output",
    "release": "langfuse.release",
    "traceName": "langfuse.trace.name",
    "providedModelName": "langfuse.observation.model.name",
}


def row(
    trace_id: str, span_id: str, parent_id: str | None, name: str, attributes: Mapping[str, Any]
) -> Row:
    """A span as Langfuse keeps it, without its times."""
    usage = json.loads(attributes.get("langfuse.observation.usage_details", "{}"))
    cost = json.loads(attributes.get("langfuse.observation.cost_details", "{}"))
    session = attributes.get("session.id") or attributes.get("langfuse.session.id")
    user = attributes.get("user.id") or attributes.get("langfuse.user.id")
    return {key: attributes.get(alias) for key, alias in ALIASES.items()} | {
        "id": span_id,
        "traceId": trace_id,
        "parentObservationId": parent_id,
        "name": name,
        "type": str(attributes.get("langfuse.observation.type", "span")).upper(),
        "sessionId": session,
        "userId": user,
        "usageDetails": {"total": sum(usage.values())} | usage if usage else {},
        "costDetails": cost,
        "totalCost": cost.get("total", 0),
        "tags": list(attributes.get("langfuse.trace.tags", ())),
        "latency": None,
    }


def page(rows: Iterable[Row], query: Mapping[str, str]) -> Row:
    """One page of the rows that match.

    Raises:
        ValueError: Langfuse answers 400.
    """
    if unknown := query.keys() - PARAMETERS:
        raise ValueError(f"Unrecognized key(s): {', '.join(sorted(unknown))}")
    groups = query.get("fields", "core,basic").split(",")
    if unknown_groups := set(groups) - FIELDS.keys():
        raise ValueError(f"Invalid fields: {', '.join(sorted(unknown_groups))}")
    limit = int(query.get("limit", "50"))
    if not 1 <= limit <= MOST_ROWS:
        raise ValueError(f"limit must be between 1 and {MOST_ROWS}")
    names = [name for group in groups for name in FIELDS[group]]
    matching = [each for each in rows if all(each[k] == query.get(k, each[k]) for k in FILTERS)]
    newest = sorted(matching, key=lambda each: str(each["startTime"]), reverse=True)[:limit]
    return {"data": [{name: each[name] for name in names} for each in newest], "meta": {}}


def moment(unix_ms: int) -> str:
    """As Langfuse writes times."""
    text = datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
