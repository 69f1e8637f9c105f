"""Whatever a person did to the dashboards, and wherever runs were cut off: one run settles it."""

import random

from hypothesis import given
from hypothesis import strategies as st

from bridge.provision.plan import wanted
from bridge.provision.shapes import Wanted
from tests.projects import DashboardProject
from tests.property.examples import few, randoms

DEPARTMENTS = st.lists(st.sampled_from(["department:a", "department:b"]), max_size=2)
GROUPS = st.sampled_from([None, "department"])
WANTS = st.builds(wanted, DEPARTMENTS, GROUPS)


def play(project: DashboardProject, dice: random.Random) -> dict[str, set[str]]:
    """A person deletes tiles, moves some and adds one; dashboard → the ids of those deleted."""
    deleted: dict[str, set[str]] = {}
    for dashboard in list(project.store.dashboards.values()):
        tiles = project.store.tiles(dashboard["id"])
        gone = {key for key in tiles if key.startswith("cc-") and dice.random() < 0.2}
        # One is left: a dashboard without any tile of ours is not known as ours.
        gone -= {min((key for key in tiles if key.startswith("cc-")), default="")}
        for key in gone:
            project.store.delete_tile(dashboard["id"], key)
        for tile in project.store.tiles(dashboard["id"]).values():
            tile["y"] += 1
        if "a-uuid" not in tiles and dice.random() < 0.5:
            project.add_own_tile(dashboard["name"], y=90)
        deleted[dashboard["name"]] = gone
    return deleted


def places(project: DashboardProject) -> dict[tuple[str, str], dict[str, object]]:
    return {
        (dashboard["name"], key): dict(tile)
        for dashboard in project.store.dashboards.values()
        for key, tile in project.store.tiles(dashboard["id"]).items()
    }


@few(60)
@given(wants=st.lists(WANTS, min_size=1, max_size=3), dice=randoms)
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(
    wants: list[Wanted], dice: random.Random
) -> None:
    project = DashboardProject()
    for want in wants:
        project.provision(want)
        play(project, dice)
        project.provision(want)

        assert project.plan(want).actions == ()
    assert project.store.violations == []


@few(60)
@given(first=WANTS, second=WANTS, dice=randoms)
def test_what_a_person_did_stays_as_it_is(
    first: Wanted, second: Wanted, dice: random.Random
) -> None:
    project = DashboardProject()
    project.provision(first)
    deleted = play(project, dice)
    before = places(project)

    project.provision(second)

    after = places(project)
    wanted_keys = {panel.key for panel in second.panels}
    for (name, key), tile in before.items():
        if key in wanted_keys or not key.startswith("cc-"):
            assert after[name, key] == tile
    for name, keys in deleted.items():
        assert not {key for key in keys if (name, key) in after}


@few(60)
@given(
    first=WANTS,
    interrupted=st.lists(st.tuples(WANTS, st.integers(0, 40)), max_size=4),
    last=WANTS,
)
def test_runs_that_are_cut_off_anywhere_end_as_one_that_is_not(
    first: Wanted, interrupted: list[tuple[Wanted, int]], last: Wanted
) -> None:
    project = DashboardProject()
    project.provision(first)
    for want, writes in interrupted:
        project.provision(want, most_writes=writes)
    project.provision(last)

    keys = {panel.key for panel in last.panels}
    for dashboard in project.store.dashboards.values():
        assert project.store.tiles(dashboard["id"]).keys() == keys
    assert project.plan(last).actions == ()
    assert project.store.violations == []
