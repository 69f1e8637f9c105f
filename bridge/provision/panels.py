"""The panels of the dashboard "Claude Code", as data. To change a chart, change it here.

Every chart of Langfuse is a view, a measure with an aggregation, at most one dimension (two in a
pivot) and filters; which names it takes is listed in its errors. What was learned by looking at the
charts of a running 4.16.0 stands beside the panels it decides.

* A **key** names a tile for ever: it is the tile's id in Langfuse, by which a later run finds it.
  Another key is another tile; a key that is no longer here is removed from the dashboards.
* The **order** here is the order on the dashboard. Positions follow from widths and heights; rows
  are twelve columns wide.
* Only the first metric of a chart is drawn, except in a pivot.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

KEY_PREFIX: Final = "cc-"
COLUMNS: Final = 12

Json = dict[str, Any]


class Chart(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a widget shows: the body that Langfuse takes, and gives back as it was sent.

    Attributes:
        description: Shown under the title.
        chart_config: Repeats the chart's type, which Langfuse asks for.
    """

    name: str
    description: str
    view: str
    dimensions: list[Json]
    metrics: list[Json]
    filters: list[Json]
    chart_type: str
    chart_config: Json


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """One chart and the size of its tile, in columns and rows.

    Attributes:
        key: Begins with ``KEY_PREFIX``.
    """

    key: str
    chart: Chart
    width: int
    height: int


# ------------------------------------------------------------------------------------- filters


def any_of(column: str, *values: str) -> Json:
    """Keeps what has one of these values."""
    return {
        "column": column,
        "type": "stringOptions",
        "operator": "any of",
        "value": list(values),
    }


def tagged(tag: str) -> Json:
    """Keeps what has the tag. Works on observations and trace scores; session scores vanish."""
    return {"column": "tags", "type": "arrayOptions", "operator": "any of", "value": [tag]}


OURS = tagged("claude-code")
ROOT: Json = {"column": "isRootObservation", "type": "boolean", "operator": "=", "value": True}
FAILED = any_of("level", "ERROR")
GENERATIONS = [OURS, any_of("type", "GENERATION")]
TOOLS = [OURS, any_of("type", "TOOL")]
PROMPTS = [OURS, any_of("type", "AGENT"), ROOT]
PROMPT_COSTS = [OURS, any_of("name", "cost_usd")]


def counters(*names: str) -> list[Json]:
    """The summaries' counters of these names: one observation each, so that sums are right."""
    return [OURS, any_of("name", *names)]


# -------------------------------------------------------------------------------------- shapes


def chart(
    key: str,
    name: str,
    description: str,
    *,
    kind: str,
    metrics: Sequence[tuple[str, str]],
    filters: list[Json],
    by: Sequence[str] = (),
    view: str = "observations",
    size: tuple[int, int] = (6, 5),
    **options: Any,  # noqa: ANN401 - JSON
) -> Panel:
    """A panel of the kind ``kind``; metrics are (measure, aggregation)."""
    return Panel(
        key=KEY_PREFIX + key,
        width=size[0],
        height=size[1],
        chart=Chart(
            name=name,
            description=description,
            view=view,
            dimensions=[{"field": field} for field in by],
            metrics=[{"measure": measure, "agg": agg} for measure, agg in metrics],
            filters=filters,
            chart_type=kind,
            chart_config={"type": kind, **options},
        ),
    )


def number(
    key: str, name: str, description: str, metric: tuple[str, str], filters: list[Json]
) -> Panel:
    """A tile with one number."""
    return chart(
        key,
        name,
        description,
        kind="NUMBER",
        metrics=[metric],
        filters=filters,
        size=(2, 2),
    )


COUNT = ("count", "count")
COST = ("totalCost", "sum")
TOKENS = ("totalTokens", "sum")
USAGE = ("usageByType", "sum")
DURATION = ("latency", "sum")
SESSIONS = ("uniqueSessionIds", "uniq")
TOP = 20

NUMBERS = (
    number("cost", "Total cost", "As reported by the client", COST, GENERATIONS),
    number("tokens", "Total tokens", "All kinds, cached ones too", TOKENS, GENERATIONS),
    number("sessions", "Sessions", "With work in this time", SESSIONS, [OURS]),
    number("members", "Members", "With work in this time", ("uniqueUserIds", "uniq"), [OURS]),
    # Not unique traces: the summaries of sessions are traces too.
    number("prompts", "Prompts", "Asked by people and agents", COUNT, PROMPTS),
    number("active", "Active time", "Typing or agent at work", DURATION, counters("active_time_s")),
    number("lines-added", "Lines added", "By accepted edits", USAGE, counters("lines_added")),
    number("lines-removed", "Lines removed", "By accepted edits", USAGE, counters("lines_removed")),
    number("commits", "Commits", "Made in sessions", USAGE, counters("commits")),
    number("prs", "Pull requests", "Opened in sessions", USAGE, counters("pull_requests")),
    number("api-failed", "Failed requests", "To the model", COUNT, [*GENERATIONS, FAILED]),
    number("tools-failed", "Failed tool calls", "Without rejected", COUNT, [*TOOLS, FAILED]),
)

MONEY = (
    chart(
        "cost-model-time",
        "Cost by model",
        "US dollars over time",
        kind="BAR_TIME_SERIES",
        metrics=[COST],
        filters=GENERATIONS,
        by=["providedModelName"],
    ),
    # No time series by userId: the API takes it, the page cannot draw it.
    chart(
        "cost-member",
        "Cost by member",
        "US dollars, the highest first",
        kind="HORIZONTAL_BAR",
        metrics=[COST],
        filters=GENERATIONS,
        by=["userId"],
        row_limit=TOP,
        show_value_labels=True,
    ),
    # A pivot needs row_limit and a descending sort by a metric, else the page cannot draw it.
    chart(
        "members-table",
        "Member table",
        "Cost, tokens and sessions of each",
        kind="PIVOT_TABLE",
        metrics=[COST, TOKENS, SESSIONS],
        filters=GENERATIONS,
        by=["userId"],
        row_limit=100,
        defaultSort={"column": "sum_totalCost", "order": "DESC"},
    ),
    # As bars over time this would double: Langfuse adds a type "total" to every usage.
    chart(
        "tokens-type",
        "Tokens by type",
        "total is the sum of the others",
        kind="HORIZONTAL_BAR",
        metrics=[USAGE],
        filters=GENERATIONS,
        by=["usageType"],
        row_limit=TOP,
        show_value_labels=True,
    ),
    chart(
        "tokens-model-time",
        "Output tokens by model",
        "Over time",
        kind="BAR_TIME_SERIES",
        metrics=[("outputTokens", "sum")],
        filters=GENERATIONS,
        by=["providedModelName"],
    ),
    chart(
        "versions",
        "Claude Code versions",
        "Sessions by version of the client",
        kind="HORIZONTAL_BAR",
        metrics=[SESSIONS],
        filters=[OURS],
        by=["version"],
        row_limit=TOP,
        show_value_labels=True,
    ),
)

SPEED = (
    chart(
        "latency-p50",
        "Request time, median",
        "By model, over time",
        kind="LINE_TIME_SERIES",
        metrics=[("latency", "p50")],
        filters=GENERATIONS,
        by=["providedModelName"],
    ),
    chart(
        "latency-p95",
        "Request time, 95th percentile",
        "By model, over time",
        kind="LINE_TIME_SERIES",
        metrics=[("latency", "p95")],
        filters=GENERATIONS,
        by=["providedModelName"],
    ),
    chart(
        "api-failed-time",
        "Failed requests by model",
        "Over time",
        kind="BAR_TIME_SERIES",
        metrics=[COUNT],
        filters=[*GENERATIONS, FAILED],
        by=["providedModelName"],
        size=(4, 5),
    ),
    chart(
        "tools-name",
        "Tool calls",
        "By tool",
        kind="HORIZONTAL_BAR",
        metrics=[COUNT],
        filters=TOOLS,
        by=["name"],
        size=(4, 5),
        row_limit=TOP,
        show_value_labels=True,
    ),
    chart(
        "tools-failed-name",
        "Failed tool calls by tool",
        "Rejected ones are not failures",
        kind="HORIZONTAL_BAR",
        metrics=[COUNT],
        filters=[*TOOLS, FAILED],
        by=["name"],
        size=(4, 5),
        row_limit=TOP,
        show_value_labels=True,
    ),
)

WORK = (
    # By usageType: by name, or without a dimension, the zeros of "total" overwrite the values.
    chart(
        "lines-time",
        "Lines of code",
        "Added and removed, over time",
        kind="BAR_TIME_SERIES",
        metrics=[USAGE],
        filters=counters("lines_added", "lines_removed"),
        by=["usageType"],
        size=(4, 5),
    ),
    chart(
        "commits-time",
        "Commits and pull requests",
        "Over time",
        kind="BAR_TIME_SERIES",
        metrics=[USAGE],
        filters=counters("commits", "pull_requests"),
        by=["usageType"],
        size=(4, 5),
    ),
    # The counter lasts as long as the active time was, so Langfuse writes hours and minutes.
    chart(
        "active-member",
        "Active time by member",
        "Typing or agent at work",
        kind="HORIZONTAL_BAR",
        metrics=[DURATION],
        filters=counters("active_time_s"),
        by=["userId"],
        size=(4, 5),
        row_limit=TOP,
        show_value_labels=True,
    ),
    # No measure is per trace, hence the score that every prompt has.
    chart(
        "prompt-cost",
        "Prompts by cost",
        "How many prompts cost how much, US dollars",
        kind="HISTOGRAM",
        view="scores-numeric",
        metrics=[("value", "histogram")],
        filters=PROMPT_COSTS,
        bins=12,
    ),
    chart(
        "prompt-duration",
        "Prompts by duration",
        "How many prompts took how long",
        kind="HISTOGRAM",
        metrics=[("latency", "histogram")],
        filters=PROMPTS,
        bins=12,
    ),
    chart(
        "prompt-cost-member",
        "Cost of a prompt by member",
        "Median, 95th percentile and highest, US dollars",
        kind="PIVOT_TABLE",
        view="scores-numeric",
        metrics=[("value", "p50"), ("value", "p95"), ("value", "max")],
        filters=PROMPT_COSTS,
        by=["userId"],
        row_limit=100,
        defaultSort={"column": "max_value", "order": "DESC"},
    ),
    chart(
        "prompt-duration-time",
        "Prompt duration, 95th percentile",
        "Over time",
        kind="LINE_TIME_SERIES",
        metrics=[("latency", "p95")],
        filters=PROMPTS,
    ),
)


def grouped(group: str) -> tuple[Panel, ...]:
    """True grouping, possible only by the release, which ``group_by`` borrows."""
    return (
        chart(
            "group-cost-time",
            f"Cost by {group}",
            "US dollars over time",
            kind="BAR_TIME_SERIES",
            metrics=[COST],
            filters=GENERATIONS,
            by=["release"],
        ),
        chart(
            "group-members-table",
            f"Cost by {group} and member",
            "With subtotals",
            kind="PIVOT_TABLE",
            metrics=[COST, TOKENS, SESSIONS],
            filters=GENERATIONS,
            by=["release", "userId"],
            row_limit=100,
            defaultSort={"column": "sum_totalCost", "order": "DESC"},
        ),
    )


def all_panels(group_by: str | None) -> tuple[Panel, ...]:
    """The panels of a dashboard, in order; more of them where releases are groups."""
    groups = grouped(group_by) if group_by else ()
    return (*NUMBERS, *groups, *MONEY, *SPEED, *WORK)
