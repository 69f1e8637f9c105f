# ruff: noqa: INP001 - a script beside what it writes, no package
"""Writes the two Grafana dashboards beside it: ``python config/grafana/make_dashboards.py``.

The counters come from the bridge's files and outlive its restarts. So what was added in a range is
the difference between its ends, exact also for a series that begins in it, whose first value
``increase`` would miss.
"""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
TAGS = '{member=~"$member",department=~"$department"}'
COLUMNS = 24

Panel = dict[str, Any]


def added(metric: str, by: str = "", extra: str = "", over: str = "$__range") -> str:
    """What a counter of the usage has gained over a range, by labels."""
    selector = TAGS.replace("}", f",{extra}}}") if extra else TAGS
    total = f"sum by ({by}) (langfuse_bridge_{metric}{selector})"
    earlier = f"sum by ({by}) (langfuse_bridge_{metric}{selector} offset {over})"
    return f"clamp_min({total} - ({earlier} or {total} * 0), 0)"


def panel(title: str, kind: str, unit: str, *queries: tuple[str, str], width: int = 6) -> Panel:
    """A panel; its queries are (PromQL, legend), and it is placed by ``dashboard``."""
    return {
        "title": title,
        "type": kind,
        "datasource": SOURCE,
        "gridPos": {"w": width, "h": 4 if kind == "stat" else 8},
        "fieldConfig": {"defaults": {"unit": unit, "noValue": "0"}, "overrides": []},
        "options": _options(kind),
        "targets": [
            {
                "datasource": SOURCE,
                "expr": expression,
                "legendFormat": legend or "__auto",
                "refId": chr(ord("A") + number),
                "instant": kind != "timeseries",
                "range": kind == "timeseries",
            }
            for number, (expression, legend) in enumerate(queries)
        ],
    }


def _options(kind: str) -> dict[str, Any]:
    if kind == "timeseries":
        return {"legend": {"displayMode": "list", "placement": "bottom"}}
    return {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}


def variable(label: str) -> dict[str, Any]:
    """A filter by a tag; all values also take what has none."""
    query = f"label_values(langfuse_bridge_prompts_total, {label})"
    return {
        "name": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": label},
        "definition": query,
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def dashboard(uid: str, title: str, filters: list[str], panels: list[Panel]) -> dict[str, Any]:
    """A dashboard with its panels in rows."""
    x = y = height = 0
    for number, each in enumerate(panels, 1):
        place = each["gridPos"]
        if x + place["w"] > COLUMNS:
            x, y, height = 0, y + height, 0
        place |= {"x": x, "y": y}
        x, height = x + place["w"], max(height, place["h"])
        each["id"] = number
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source"}
    return {
        "uid": uid,
        "title": title,
        "tags": ["langfuse-bridge"],
        "schemaVersion": 39,
        "timezone": "browser",
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": [source, *map(variable, filters)]},
        "panels": panels,
    }


def usage() -> dict[str, Any]:
    """What people and models did."""
    step = "$__interval"
    return dashboard(
        "claude-code-usage",
        "Claude Code usage",
        ["member", "department"],
        [
            panel("Total cost", "stat", "currencyUSD", (added("cost_usd_total"), "")),
            panel("Tokens", "stat", "short", (added("tokens_total"), "")),
            panel("Sessions", "stat", "short", (added("sessions_total"), "")),
            panel("Active time", "stat", "s", (added("active_seconds_total"), "")),
            panel("Commits", "stat", "short", (added("commits_total"), ""), width=8),
            panel("Pull requests", "stat", "short", (added("pull_requests_total"), ""), width=8),
            panel(
                "Lines of code",
                "stat",
                "short",
                (added("lines_total", "type"), "{{type}}"),
                width=8,
            ),
            panel(
                "Cost by model",
                "timeseries",
                "currencyUSD",
                (added("cost_usd_total", "model", over=step), "{{model}}"),
                width=12,
            ),
            panel(
                "Token usage",
                "timeseries",
                "short",
                (added("tokens_total", "type", over=step), "{{type}}"),
                width=12,
            ),
            panel(
                "API requests by model",
                "timeseries",
                "short",
                (
                    added("model_requests_total", "model, outcome", over=step),
                    "{{model}} {{outcome}}",
                ),
                width=12,
            ),
            panel(
                "Tool calls",
                "timeseries",
                "short",
                (added("tool_calls_total", "tool", over=step), "{{tool}}"),
                (added("tool_calls_total", "", 'outcome="error"', step), "errors"),
                width=12,
            ),
            panel(
                "Decisions",
                "bargauge",
                "short",
                (added("tool_decisions_total", "decision, source"), "{{decision}} by {{source}}"),
                width=24,
            ),
        ],
    )


def health() -> dict[str, Any]:
    """How the bridge itself does."""
    ours = "langfuse_bridge_"
    settled = f"sum by (outcome) (rate({ours}records_settled_total[$__rate_interval]))"
    answers = f"sum by (protocol, code) (rate({ours}answers_total[$__rate_interval]))"
    refusals = f"sum by (reason) (rate({ours}refusals_total[$__rate_interval]))"
    attempts = f"sum by (outcome) (rate({ours}delivery_attempts_total[$__rate_interval]))"
    accepted = f"sum(rate({ours}records_accepted_total[$__rate_interval]))"
    return dashboard(
        "langfuse-bridge-health",
        "Bridge health",
        [],
        [
            panel("Healthy", "stat", "short", (f"min({ours}healthy)", "")),
            panel(
                "Langfuse", "stat", "short", (f"max by (state) ({ours}langfuse_state)", "{{state}}")
            ),
            panel("Records held", "stat", "short", (f"sum({ours}records_held)", "")),
            panel(
                "Version",
                "stat",
                "short",
                (f"count by (version) ({ours}build_info)", "{{version}}"),
            ),
            panel("Records accepted per second", "timeseries", "short", (accepted, ""), width=12),
            panel("Records by outcome", "timeseries", "short", (settled, "{{outcome}}"), width=12),
            panel("Lag", "timeseries", "s", (f"max by (stage) ({ours}lag_seconds)", ""), width=12),
            panel(
                "Open turns and sessions",
                "timeseries",
                "short",
                (f"sum({ours}open_turns)", "turns"),
                (f"sum({ours}open_sessions)", "sessions"),
                width=12,
            ),
            panel("Answers", "timeseries", "short", (answers, "{{protocol}} {{code}}"), width=12),
            panel("Refusals", "timeseries", "short", (refusals, "{{reason}}"), width=12),
            panel("Answer time", "timeseries", "s", *_quantiles("answer_seconds"), width=12),
            panel("Delivery time", "timeseries", "s", *_quantiles("delivery_seconds"), width=12),
            panel("Deliveries", "timeseries", "short", (attempts, "{{outcome}}"), width=12),
            panel(
                "Spans in a batch",
                "timeseries",
                "short",
                *_quantiles("delivery_batch_spans"),
                width=12,
            ),
            panel(
                "Observations",
                "timeseries",
                "short",
                (f"sum({ours}observations_pending)", "pending"),
                (f"sum({ours}observations_dead_lettered_total)", "dead-lettered"),
                (f'sum({ours}records_settled_total{{outcome="quarantined"}})', "quarantined"),
                width=12,
            ),
            panel(
                "Disk",
                "timeseries",
                "bytes",
                (f"sum by (file) ({ours}store_bytes)", "{{file}}"),
                (f"min({ours}disk_free_bytes)", "free"),
                width=12,
            ),
            panel(
                "Records by version of the client",
                "timeseries",
                "short",
                (f"sum by (version) (rate({ours}client_records_total[$__rate_interval]))", ""),
                width=12,
            ),
            panel(
                "Unknown names",
                "table",
                "short",
                (f"sum by (kind, name) ({ours}unknown_names_total)", ""),
                width=12,
            ),
        ],
    )


def _quantiles(name: str) -> list[tuple[str, str]]:
    buckets = f"sum by (le) (rate(langfuse_bridge_{name}_bucket[$__rate_interval]))"
    return [(f"histogram_quantile({q}, {buckets})", f"p{round(q * 100)}") for q in (0.5, 0.95)]


DASHBOARDS = {"claude-code-usage.json": usage, "bridge-health.json": health}


def text(name: str) -> str:
    """The file of a dashboard."""
    return json.dumps(DASHBOARDS[name](), indent=2) + "\n"


if __name__ == "__main__":
    for name in DASHBOARDS:
        (FOLDER / name).write_text(text(name))
