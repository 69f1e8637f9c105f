"""What becomes of dashboards that are there: ours, a person's, half of each."""

from collections import Counter

import pytest

from bridge.errors import BridgeError
from bridge.model.provisioned import TileOutcome
from bridge.provision.panels import all_panels
from bridge.provision.plan import UNPLACED, laid_out, wanted
from bridge.provision.shapes import Plan, Wanted
from tests.projects import DashboardProject

SALES = "Claude Code: sales"
ALL = all_panels(None)
WANTED = wanted()
WITH_SALES = wanted(["department:sales"])


@pytest.fixture
def project() -> DashboardProject:
    return DashboardProject()


def outcomes(plan: Plan, dashboard: str = "Claude Code") -> dict[str, TileOutcome]:
    return {s.tile: s.outcome for s in plan.steps if s.tile and s.dashboard == dashboard}


def without(key: str) -> Wanted:
    panels = tuple(panel for panel in ALL if panel.key != key)
    return Wanted(dashboards=WITH_SALES.dashboards, panels=panels)


def test_an_empty_project_gets_one_dashboard_with_every_tile(project: DashboardProject) -> None:
    plan = project.provision(WANTED)

    assert list(project.tiles()) == [panel.key for panel in ALL]
    assert set(outcomes(plan).values()) == {TileOutcome.CREATED}
    assert project.store.named("Claude Code")["filters"] == []


def test_the_second_run_writes_nothing(project: DashboardProject) -> None:
    project.provision(WITH_SALES)

    plan = project.provision(WITH_SALES)

    assert plan.actions == ()
    assert {step.outcome for step in plan.steps} == {TileOutcome.KEPT}


def test_a_department_has_the_same_tiles_behind_a_filter(project: DashboardProject) -> None:
    project.provision(WITH_SALES)

    (saved,) = project.store.named(SALES)["filters"]
    assert saved["value"] == ["department:sales"]
    assert project.tiles(SALES) == project.tiles()
    assert len(project.store.widgets) == len(ALL)


def test_places_and_sizes_that_a_person_chose_stay(project: DashboardProject) -> None:
    project.provision(WANTED)
    tile = project.tiles()[ALL[0].key]
    tile |= {"x": 6, "y": 80, "width": 5, "height": 3}

    plan = project.provision(wanted(group_by="department"))

    assert outcomes(plan)[ALL[0].chart.name] is TileOutcome.KEPT
    assert project.tiles()[ALL[0].key] == tile


def test_a_persons_tiles_stay_and_new_ones_come_below(project: DashboardProject) -> None:
    project.provision(without(ALL[20].key))
    own = project.add_own_tile(y=100)

    plan = project.provision(WANTED)

    assert project.tiles()[own["id"]] == own
    assert project.tiles()[ALL[20].key]["y"] == 104
    assert "1 of your own tiles kept" in {step.note for step in plan.steps}
    assert project.store.violations == []


def test_a_deleted_tile_stays_deleted(project: DashboardProject) -> None:
    project.provision(WANTED)
    project.delete_tile(ALL[3])

    plan = project.provision(WANTED)

    assert plan.actions == ()
    assert outcomes(plan)[ALL[3].chart.name] is TileOutcome.SKIPPED
    assert ALL[3].key not in project.tiles()


def test_a_deleted_tile_stays_deleted_when_its_panel_has_changed(project: DashboardProject) -> None:
    project.provision(WANTED)
    project.delete_tile(ALL[3])
    for widget in project.store.widgets.values():
        widget["description"] = "of an older version"

    plan = project.provision(WANTED)

    assert outcomes(plan)[ALL[3].chart.name] is TileOutcome.SKIPPED
    assert project.provision(WANTED).actions == ()


def test_a_tile_deleted_for_one_department_stays_for_the_others(project: DashboardProject) -> None:
    project.provision(WITH_SALES)
    project.delete_tile(ALL[3], SALES)

    assert project.provision(WITH_SALES).actions == ()
    assert ALL[3].key in project.tiles()


def test_a_new_department_is_without_the_tiles_deleted_before(project: DashboardProject) -> None:
    project.provision(WANTED)
    project.delete_tile(ALL[3])

    project.provision(WITH_SALES)

    assert project.tiles(SALES).keys() == project.tiles().keys()
    assert project.provision(WITH_SALES).actions == ()


def test_a_tile_whose_widget_is_deleted_too_comes_back(project: DashboardProject) -> None:
    project.provision(WANTED)
    widget_id = project.tiles()[ALL[3].key]["widgetId"]
    project.delete_tile(ALL[3])
    del project.store.widgets[widget_id]

    plan = project.provision(WANTED)

    assert outcomes(plan)[ALL[3].chart.name] is TileOutcome.CREATED
    assert ALL[3].key in project.tiles()
    assert project.provision(WANTED).actions == ()


def test_a_dashboard_that_was_deleted_is_made_again_with_the_same_widgets(
    project: DashboardProject,
) -> None:
    project.provision(WANTED)
    project.delete_tile(ALL[3])
    project.store.dashboards.clear()

    project.provision(WANTED)

    assert list(project.tiles()) == [panel.key for panel in ALL]
    assert len(project.store.widgets) == len(ALL)


def test_a_chart_that_was_changed_is_put_right(project: DashboardProject) -> None:
    project.provision(WANTED)
    widget_id = project.tiles()[ALL[0].key]["widgetId"]
    project.store.widgets[widget_id]["description"] = "changed"

    plan = project.provision(WANTED)

    assert len(plan.actions) == 1
    assert outcomes(plan)[ALL[0].chart.name] is TileOutcome.UPDATED
    assert project.store.widgets[widget_id]["description"] == ALL[0].chart.description


def test_a_tile_without_its_widget_gets_one_in_its_place(project: DashboardProject) -> None:
    project.provision(WANTED)
    tile = dict(project.tiles()[ALL[0].key])
    del project.store.widgets[tile["widgetId"]]

    project.provision(WANTED)

    now = project.tiles()[ALL[0].key]
    assert now["widgetId"] != tile["widgetId"]
    assert {**now, "widgetId": ""} == {**tile, "widgetId": ""}


def test_groups_come_with_the_setting_and_go_with_it(project: DashboardProject) -> None:
    project.provision(WANTED)
    grouped = wanted(group_by="department")

    added = outcomes(project.provision(grouped))
    assert added["Cost by department"] is TileOutcome.CREATED
    assert project.provision(grouped).actions == ()

    removed = outcomes(project.provision(WANTED))
    assert removed["Cost by department"] is TileOutcome.REMOVED
    assert len(project.store.widgets) == len(project.tiles()) == len(ALL)


def test_a_widget_that_a_person_placed_elsewhere_outlives_its_panel(
    project: DashboardProject,
) -> None:
    project.provision(wanted(group_by="department"))
    widget_id = project.tiles()["cc-group-cost-time"]["widgetId"]
    tile = {"type": "widget", "id": "own", "widgetId": widget_id}
    place = {"x": 0, "y": 0, "width": 6, "height": 4}
    body = {"name": "Mine", "description": "", "definition": {"widgets": [tile | place]}}
    project.store.dashboards["mine"] = {"id": "mine", "createdAt": "2026", "filters": [], **body}

    project.provision(WANTED)

    assert widget_id in project.store.widgets
    assert project.store.tiles("mine") == {"own": tile | place}
    project.provision(wanted(group_by="department"))
    assert project.tiles()["cc-group-cost-time"]["widgetId"] == widget_id


def test_departments_of_earlier_runs_are_kept_up_to_date(project: DashboardProject) -> None:
    project.provision(without(ALL[20].key))

    plan = project.provision(WANTED)

    assert outcomes(plan, SALES)[ALL[20].chart.name] is TileOutcome.CREATED
    assert project.tiles(SALES).keys() == project.tiles().keys()


def test_a_foreign_dashboard_of_the_name_is_left_alone(project: DashboardProject) -> None:
    body = {"name": "Claude Code", "description": "", "definition": {"widgets": []}, "filters": []}
    project.store.dashboards["theirs"] = {"id": "theirs", "createdAt": "2026", **body}

    with pytest.raises(BridgeError, match="rename or delete it"):
        project.provision(WANTED)

    assert project.store.writes == []


def test_of_two_dashboards_of_ours_the_oldest_is_kept(project: DashboardProject) -> None:
    project.provision(WANTED)
    first = project.store.named("Claude Code")
    twin = {**first, "id": "twin", "createdAt": "2027-01-01T00:00:00.000Z"}
    project.store.dashboards = {"twin": twin, first["id"]: first}

    assert project.plan(WANTED).dashboard_ids == {"Claude Code": first["id"]}


@pytest.mark.parametrize("writes", range(0, len(ALL) + 3, 4))
def test_a_first_run_that_was_interrupted_is_completed(
    project: DashboardProject, writes: int
) -> None:
    project.provision(WITH_SALES, most_writes=writes)

    project.provision(WITH_SALES)

    assert list(project.tiles(SALES)) == list(project.tiles()) == [panel.key for panel in ALL]
    assert len(project.store.widgets) == len(ALL)
    assert project.store.violations == []


@pytest.mark.parametrize("writes", range(7))
def test_an_addition_that_was_interrupted_is_no_deletion(
    project: DashboardProject, writes: int
) -> None:
    project.provision(WITH_SALES)
    grouped = wanted(["department:sales"], "department")
    assert len(project.plan(grouped).actions) == 2 + 2 + 2

    project.provision(grouped, most_writes=writes)
    project.provision(grouped)

    assert len(project.tiles()) == len(project.tiles(SALES)) == len(ALL) + 2
    descriptions = Counter(each["description"] for each in project.store.widgets.values())
    assert descriptions[UNPLACED] == 0
    assert project.provision(grouped).actions == ()


@pytest.mark.parametrize("writes", range(7))
def test_a_removal_that_was_interrupted_is_no_deletion(
    project: DashboardProject, writes: int
) -> None:
    grouped = wanted(["department:sales"], "department")
    project.provision(grouped)
    assert len(project.plan(WITH_SALES).actions) == 2 + 2 + 2

    project.provision(WITH_SALES, most_writes=writes)
    project.provision(grouped)

    assert len(project.tiles()) == len(project.tiles(SALES)) == len(ALL) + 2
    assert project.provision(grouped).actions == ()
    assert project.store.violations == []


def test_tiles_fill_rows_of_twelve_columns() -> None:
    tiles = laid_out(all_panels("department"), 7)

    assert [(tile.x, tile.y) for tile in tiles[:7]] == [
        *((x, 7) for x in range(0, 12, 2)),
        (0, 9),
    ]
    assert max(tile.x + tile.width for tile in tiles) == 12
