"""A Langfuse's dashboards and widgets, as those of a 4.16.0 were seen to behave, and stricter.

What the real server takes and its page then cannot draw, or draws wrongly, is recorded as a
violation: a time series by user, a pivot without limit or order, tiles that overlap, keys that are
dropped, two things of one name. ``DashboardStore`` is the state and its rules, without any HTTP;
``tests/fakes.py`` puts it behind its doors.
"""

import copy
import json
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

CHART_OPTIONS: Mapping[str, frozenset[str]] = {
    "LINE_TIME_SERIES": frozenset(),
    "AREA_TIME_SERIES": frozenset(),
    "BAR_TIME_SERIES": frozenset(),
    "HORIZONTAL_BAR": frozenset({"row_limit", "show_value_labels"}),
    "VERTICAL_BAR": frozenset({"row_limit"}),
    "PIE": frozenset({"row_limit"}),
    "NUMBER": frozenset({"row_limit"}),
    "HISTOGRAM": frozenset({"row_limit", "bins"}),
    "PIVOT_TABLE": frozenset({"row_limit", "defaultSort"}),
}
AGGREGATIONS = frozenset(
    ["sum", "avg", "count", "max", "min", "p50", "p75", "p90", "p95", "p99", "histogram", "uniq"]
)
STRING_MEASURES = frozenset({"uniqueSessionIds", "uniqueUserIds", "traceId"})
MEASURES: Mapping[str, frozenset[str]] = {
    "observations": STRING_MEASURES
    | frozenset(
        [
            "totalCost",
            "totalTokens",
            "inputTokens",
            "outputTokens",
            "usageByType",
            "costByType",
            "latency",
            "timeToFirstToken",
            "count",
        ]
    ),
    "scores-numeric": frozenset({"value", "count"}),
    "scores-boolean": frozenset({"count"}),
    "scores-categorical": frozenset({"count"}),
}
SCORE_DIMENSIONS = frozenset(
    ["name", "userId", "tags", "traceName", "traceRelease", "stringValue", "source"]
)
DIMENSIONS: Mapping[str, frozenset[str]] = {
    "observations": frozenset(
        [
            "name",
            "type",
            "level",
            "version",
            "release",
            "traceName",
            "tags",
            "providedModelName",
            "userId",
            "sessionId",
            "environment",
            "usageType",
            "costType",
        ]
    ),
    "scores-numeric": SCORE_DIMENSIONS,
    "scores-boolean": SCORE_DIMENSIONS,
    "scores-categorical": SCORE_DIMENSIONS,
}
SCORE_FILTERS = frozenset(
    [
        "name",
        "source",
        "value",
        "dataType",
        "tags",
        "userId",
        "sessionId",
        "environment",
        "metadata",
        "traceName",
        "observationName",
    ]
)
FILTERS: Mapping[str, frozenset[str]] = {
    "observations": frozenset(
        [
            "name",
            "traceName",
            "type",
            "level",
            "providedModelName",
            "tags",
            "userId",
            "sessionId",
            "version",
            "release",
            "environment",
            "isRootObservation",
            "metadata",
            "toolNames",
        ]
    ),
    "scores-numeric": SCORE_FILTERS,
    "scores-boolean": SCORE_FILTERS,
    "scores-categorical": SCORE_FILTERS,
}
OPERATORS: Mapping[str, frozenset[str]] = {
    "stringOptions": frozenset({"any of", "none of"}),
    "arrayOptions": frozenset({"any of", "all of", "none of"}),
    "string": frozenset({"=", "contains", "does not contain", "starts with", "ends with"}),
    "stringObject": frozenset({"=", "contains", "does not contain", "starts with", "ends with"}),
    "boolean": frozenset({"=", "<>"}),
}
WIDGET_FIELDS = frozenset(
    ["name", "description", "view", "dimensions", "metrics", "filters", "chartType", "chartConfig"]
)
REQUIRED_FIELDS = WIDGET_FIELDS - {"description", "chartConfig"}
DASHBOARD_FIELDS = frozenset({"name", "description", "definition", "filters"})
COLUMNS = 12
MOST_PER_PAGE = 100


class Refused(Exception):  # noqa: N818 - an answer, not an error of ours
    """The server answers ``status`` with ``body``."""

    def __init__(self, status: int, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"message": message, "code": code, "details": details}


class DashboardStore:
    """All widgets and dashboards of one project.

    Attributes:
        widgets: By id, in the order in which they were made; likewise the dashboards.
        writes: Every request that changed something: method, route, body.
        violations: A sentence for each thing that a person would see wrong.
    """

    def __init__(self) -> None:
        self.widgets: dict[str, Json] = {}
        self.dashboards: dict[str, Json] = {}
        self.writes: list[tuple[str, str, Json]] = []
        self.violations: list[str] = []
        self._made = 0

    def answer(
        self, method: str, route: str, query: Mapping[str, str], body: bytes
    ) -> tuple[int, Json]:
        """Status and body of the answer; ``route`` is what follows ``/api/public/unstable/``."""
        kind, _, each = route.partition("/")
        try:
            if method == "GET":
                return 200, self._read(kind, each, query)
            given = _object(body)
            answered = self._write(method, kind, each, given)
        except Refused as refused:
            return refused.status, refused.body
        self.writes.append((method, route, given))
        return 200, answered

    # --------------------------------------------------------------------------- what a person does

    def delete_tile(self, dashboard_id: str, tile_id: str) -> None:
        """As in the browser: the tile goes, its widget stays."""
        definition = self.dashboards[dashboard_id]["definition"]
        definition["widgets"] = [it for it in definition["widgets"] if it["id"] != tile_id]

    def tiles(self, dashboard_id: str) -> dict[str, Json]:
        """Tile id → tile."""
        widgets = self.dashboards[dashboard_id]["definition"]["widgets"]
        return {tile["id"]: tile for tile in widgets}

    def named(self, name: str) -> Json:
        """The one dashboard of this name."""
        (found,) = [each for each in self.dashboards.values() if each["name"] == name]
        return found

    # ------------------------------------------------------------------------------------- routes

    def _read(self, kind: str, each: str, query: Mapping[str, str]) -> Json:
        things = self._things(kind)
        if each:
            return copy.deepcopy(_find(things, each))
        page, limit = _number(query, "page", 1), _number(query, "limit", 50)
        if page < 1 or not 1 <= limit <= MOST_PER_PAGE:
            raise Refused(400, "invalid_query", "Invalid query", field="limit")
        total = len(things)
        shown = list(things.values())[(page - 1) * limit : page * limit]
        meta = {"page": page, "limit": limit, "totalItems": total}
        return {"data": copy.deepcopy(shown), "meta": meta | {"totalPages": -(-total // limit)}}

    def _write(self, method: str, kind: str, each: str, given: Json) -> Json:
        things = self._things(kind)
        if method == "DELETE":
            return self._delete(kind, things, each)
        if method not in ({"PATCH"} if each else {"POST"}):
            raise Refused(405, "method_not_allowed", "Method not allowed")
        found = _find(things, each) if each else self._blank(kind)
        made = self._checked(kind, {**found, **given}, given)
        if not each and made["name"] in {it["name"] for it in things.values()}:
            self.violations.append(f"there are two {kind} named {made['name']}")
        things[made["id"]] = made
        return copy.deepcopy(made)

    def _things(self, kind: str) -> dict[str, Json]:
        if kind not in {"dashboards", "dashboard-widgets"}:
            raise Refused(404, "resource_not_found", "Not found")
        return self.dashboards if kind == "dashboards" else self.widgets

    def _blank(self, kind: str) -> Json:
        self._made += 1
        at = f"2026-11-22T00:{self._made // 60:02}:{self._made % 60:02}.000Z"
        common = {"id": f"{kind[:-1]}-{self._made}", "createdAt": at, "updatedAt": at}
        if kind == "dashboards":
            return {**common, "definition": {"widgets": []}, "filters": []}
        return {**common, "description": ""}

    def _checked(self, kind: str, whole: Json, given: Json) -> Json:
        fields = DASHBOARD_FIELDS if kind == "dashboards" else WIDGET_FIELDS
        if unknown := given.keys() - fields:
            self.violations.append(f"dropped in silence from {kind}: {sorted(unknown)}")
        made = {key: value for key, value in whole.items() if key not in unknown}
        check = self._check_dashboard if kind == "dashboards" else self._check_widget
        check(made)
        return made

    def _delete(self, kind: str, things: dict[str, Json], each: str) -> Json:
        _find(things, each)
        if kind == "dashboard-widgets" and (used := self._used_on(each)):
            raise Refused(409, "conflict", f"Widget is used on {used}")
        del things[each]
        return {"message": "deleted"}

    def _used_on(self, widget_id: str) -> list[str]:
        return [
            dashboard["name"]
            for dashboard in self.dashboards.values()
            if widget_id in {it.get("widgetId") for it in dashboard["definition"]["widgets"]}
        ]

    # -------------------------------------------------------------------------------------- widgets

    def _check_widget(self, widget: Json) -> None:
        if missing := REQUIRED_FIELDS - widget.keys():
            raise Refused(400, "invalid_body", f"Required: {sorted(missing)}")
        view, kind = widget["view"], widget["chartType"]
        _one_of("view", view, MEASURES)
        _one_of("chartType", kind, CHART_OPTIONS)
        config = widget.setdefault("chartConfig", {"type": kind})
        if config.get("type") != kind:
            raise Refused(400, "invalid_body", "chartConfig.type differs from chartType")
        _check_options(config)
        for dimension in widget["dimensions"]:
            _one_of("dimensions", dimension["field"], DIMENSIONS[view])
        if len(widget["dimensions"]) > (2 if kind == "PIVOT_TABLE" else 1):
            raise Refused(400, "invalid_body", "Too many dimensions", field="dimensions")
        _check_metrics(widget)
        for each in widget["filters"]:
            _check_filter(each, FILTERS[view])
        self.violations.extend(f"{widget['name']}: {it}" for it in drawn_wrongly(widget))

    # ----------------------------------------------------------------------------------- dashboards

    def _check_dashboard(self, dashboard: Json) -> None:
        if not dashboard.get("name") or not isinstance(dashboard.get("description"), str):
            raise Refused(400, "invalid_body", "Required: name, description")
        tiles = dashboard["definition"]["widgets"]
        if len({tile["id"] for tile in tiles}) < len(tiles):
            raise Refused(400, "invalid_body", "Duplicate placement ids")
        for tile in tiles:
            self._check_tile(tile)
        for each in dashboard["filters"]:  # any column is taken, so the name is checked here
            _check_filter(each, frozenset({"tags", "Tags"}))
        self.violations.extend(f"{dashboard['name']}: {it}" for it in badly_placed(tiles))

    def _check_tile(self, tile: Json) -> None:
        numbers = [tile.get(name) for name in ("x", "y", "width", "height")]
        if not all(isinstance(number, int) and number >= 0 for number in numbers):
            raise Refused(400, "invalid_body", "Invalid placement")
        if not tile["width"] or not tile["height"]:
            raise Refused(400, "invalid_body", "Invalid placement")
        if tile["type"] == "widget" and tile["widgetId"] not in self.widgets:
            raise Refused(404, "resource_not_found", f"Widget {tile['widgetId']} not found")


def drawn_wrongly(widget: Json) -> list[str]:
    """What the server takes and its page shows wrongly, or not at all."""
    kind, config = widget["chartType"], widget["chartConfig"]
    fields = [dimension["field"] for dimension in widget["dimensions"]]
    measures = [metric["measure"] for metric in widget["metrics"]]
    columns = {each["column"] for each in widget["filters"]}
    over_time = kind.endswith("TIME_SERIES")
    found = {
        "its time series by user cannot be drawn": over_time and "userId" in fields,
        "only the first metric is drawn": kind != "PIVOT_TABLE" and len(measures) > 1,
        "a pivot needs row_limit and a descending order": kind == "PIVOT_TABLE"
        and (not config.get("row_limit") or config.get("defaultSort", {}).get("order") != "DESC"),
        "zeros of the total overwrite its values": over_time
        and "usageByType" in measures
        and fields != ["usageType"],
        "the total is stacked on its parts": kind in {"BAR_TIME_SERIES", "AREA_TIME_SERIES"}
        and "usageByType" in measures
        and "name" not in columns,
        "uniq in a number with a dimension": kind == "NUMBER" and bool(fields),
        "it shows other programs' work": "tags" not in columns,
    }
    return [sentence for sentence, is_so in found.items() if is_so]


def badly_placed(tiles: list[Json]) -> list[str]:
    """Tiles the server takes and the page pushes elsewhere."""
    found = [f"{it['id']} is too wide" for it in tiles if it["x"] + it["width"] > COLUMNS]
    found += [f"{it['id']} is too small" for it in tiles if min(it["width"], it["height"]) < 2]
    taken: dict[tuple[int, int], str] = {}
    for tile in tiles:
        for x in range(tile["x"], tile["x"] + tile["width"]):
            for y in range(tile["y"], tile["y"] + tile["height"]):
                if taken.setdefault((x, y), tile["id"]) != tile["id"]:
                    found.append(f"{tile['id']} overlaps {taken[x, y]}")
    return sorted(set(found))


def _object(body: bytes) -> Json:
    try:
        given = json.loads(body or b"{}")
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise Refused(400, "invalid_body", "Invalid JSON")
    return given


def _find(things: dict[str, Json], each: str) -> Json:
    if each not in things:
        raise Refused(404, "resource_not_found", f"{each} not found")
    return things[each]


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    return int(text) if text.isdecimal() else 0


def _one_of(field: str, value: Any, allowed: Any) -> None:
    if value not in allowed:
        message = f"Invalid {field}: {value}"
        raise Refused(400, "invalid_body", message, field=field, allowedValues=sorted(allowed))


def _check_options(config: Json) -> None:
    options = config.keys() - {"type"}
    if not options <= CHART_OPTIONS[config["type"]]:
        raise Refused(400, "invalid_body", f"not for {config['type']}: {sorted(options)}")
    for name, most in (("row_limit", 1000), ("bins", 100)):
        if name in config and not 1 <= config[name] <= most:
            raise Refused(400, "invalid_body", f"{name} should be 1 to {most}")


def _check_metrics(widget: Json) -> None:
    if not widget["metrics"]:
        raise Refused(400, "invalid_body", "metrics is empty", field="metrics")
    for metric in widget["metrics"]:
        _one_of("measure", metric["measure"], MEASURES[widget["view"]])
        of_strings = {"count", "uniq"}
        text = metric["measure"] in STRING_MEASURES
        _one_of("agg", metric["agg"], of_strings if text else AGGREGATIONS)
    sort = widget["chartConfig"].get("defaultSort")
    if sort:
        columns = [f"{metric['agg']}_{metric['measure']}" for metric in widget["metrics"]]
        _one_of("defaultSort", sort["column"], columns)


def _check_filter(given: Json, columns: frozenset[str]) -> None:
    _one_of("column", given["column"], columns)
    _one_of("type", given["type"], OPERATORS)
    _one_of("operator", given["operator"], OPERATORS[given["type"]])
    of_list = given["type"].endswith("Options")
    if of_list != isinstance(given["value"], list):
        raise Refused(400, "invalid_body", "Invalid filter value", field="filters")
    if given["column"].lower() == "tags" and given["type"] != "arrayOptions":
        raise Refused(400, "invalid_body", "Tags are filtered by arrayOptions", field="filters")
