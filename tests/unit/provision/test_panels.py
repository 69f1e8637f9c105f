"""The panels are sound by the rules of a real server, and are those that were reviewed."""

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.correlate.activity import counters as made_counters
from bridge.langfuse.session_scores import PROMPT_COST
from bridge.model.measures import PICO
from bridge.model.sessions import SessionNumbers, Summary
from bridge.model.totals import Totals
from bridge.provision.panels import KEY_PREFIX, NUMBERS, all_panels
from bridge.provision.plan import wanted
from tests.golden.kept import differences
from tests.projects import DashboardProject

GOLDEN = Path(__file__).parents[2] / "golden" / "dashboards.json"


def sent() -> str:
    """Every request of a first run with a department and a group."""
    project = DashboardProject()
    project.provision(wanted(["department:sales"], "department"))
    writes = [
        {"method": m, "route": route, "body": body} for m, route, body in project.store.writes
    ]
    return json.dumps(writes, indent=2) + "\n"


def test_what_is_sent_is_what_was_reviewed() -> None:
    # To renew it: python -m tests.unit.provision.test_panels
    diff = differences(GOLDEN, sent())

    assert not diff, "\n".join(diff)


@pytest.mark.parametrize("group_by", [None, "department"])
def test_every_panel_is_taken_and_can_be_drawn_by_the_rules_of_a_real_server(
    group_by: str | None,
) -> None:
    project = DashboardProject()

    project.provision(wanted(["department:sales"], group_by))

    assert project.store.violations == []
    assert len(project.tiles()) == len(all_panels(group_by))


def test_keys_and_titles_tell_panels_apart() -> None:
    panels = all_panels("department")

    assert len({panel.key for panel in panels}) == len(panels)
    assert len({panel.chart.name for panel in panels}) == len(panels)
    assert all(panel.key.startswith(KEY_PREFIX) for panel in panels)


def test_twelve_numbers_come_first() -> None:
    assert len(NUMBERS) == 12
    assert all_panels("department")[:12] == NUMBERS
    assert {panel.chart.chart_type for panel in NUMBERS} == {"NUMBER"}


def names_filtered(view: str) -> set[str]:
    """Names of observations or scores that panels ask for."""
    charts = [panel.chart for panel in all_panels("department") if panel.chart.view == view]
    filters: list[Any] = [each for chart in charts for each in chart.filters]
    return {name for each in filters if each["column"] == "name" for name in each["value"]}


def test_counters_and_scores_that_panels_ask_for_are_those_the_bridge_sends() -> None:
    series = ("active_s", "lines\0type=added", "lines\0type=removed", "commits", "pull_requests")
    numbers = SessionNumbers(totals=Totals(), series=dict.fromkeys(series, PICO))
    summary = Summary(start_ms=0, end_ms=1, first_prompt=None, numbers=numbers, gap=None)

    assert names_filtered("observations") == {each.name for each in made_counters(summary)}
    assert names_filtered("scores-numeric") == {PROMPT_COST}


def test_groups_are_drawn_only_where_the_release_is_one() -> None:
    def by_release(group_by: str | None) -> list[str]:
        panels = all_panels(group_by)
        return [p.chart.name for p in panels if {"field": "release"} in p.chart.dimensions]

    assert by_release(None) == []
    assert by_release("team.id") == ["Cost by team.id", "Cost by team.id and member"]


if __name__ == "__main__":
    GOLDEN.write_text(sent())
