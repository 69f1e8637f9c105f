"""Look, plan, write: the thin shell around ``plan``.

Responsible for one run and for what is told of it. Leaves every decision to ``plan`` and every
request to ``api``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import assert_never
from urllib.parse import quote

from bridge.errors import BridgeError
from bridge.langfuse.client import LangfuseTarget, connect
from bridge.model.provisioned import Link, Provisioned
from bridge.provision.api import AnswerError, DashboardApi
from bridge.provision.panels import OURS, Json
from bridge.provision.plan import make_plan
from bridge.provision.shapes import (
    Action,
    ChangeDashboard,
    ChangeWidget,
    CreateDashboard,
    CreateWidget,
    DeleteWidget,
    Tile,
    Wanted,
)

RANGE = "30d"
"""Of the links. Langfuse opens a dashboard with the past day otherwise, and keeps no range."""

ROOTS_ONLY = "isRootObservation;boolean;;=;true"
"""Without it Langfuse lists every observation; a prompt is a root."""


async def provision(
    target: LangfuseTarget, wanted: Wanted, *, dry_run: bool, tell: Callable[[str], None]
) -> Provisioned:
    """Bring the project's dashboards to what is wanted; with ``dry_run`` only look and plan.

    Raises:
        BridgeError: What happened and what to do, in words; what was written until then is sound.
    """
    async with connect(target) as client:
        return await provision_with(DashboardApi(client, tell), target, wanted, dry_run=dry_run)


async def provision_with(
    api: DashboardApi, target: LangfuseTarget, wanted: Wanted, *, dry_run: bool
) -> Provisioned:
    """``provision`` over an API that is connected."""
    project_id = await api.project_id()
    plan = make_plan(wanted, await api.read_project())
    made = {} if dry_run else await Writer(api, plan.widget_ids).write(plan.actions)
    return Provisioned(
        dry_run=dry_run,
        writes=len(plan.actions),
        steps=plan.steps,
        links=links(target.base_url, project_id, {**plan.dashboard_ids, **made}, _tags(wanted)),
    )


class Writer:
    """Writes a plan's actions, in order.

    Args:
        widget_ids: Key → id of the widgets that are there; those created are added.
    """

    def __init__(self, api: DashboardApi, widget_ids: Mapping[str, str]) -> None:
        self._api = api
        self._widget_ids = dict(widget_ids)
        self._dashboard_ids: dict[str, str] = {}

    async def write(self, actions: Sequence[Action]) -> dict[str, str]:
        """Name → id of the dashboards that were made."""
        for number, action in enumerate(actions):
            try:
                await self._write(action)
            except AnswerError as error:
                raise BridgeError(_interrupted(error, number, len(actions))) from error
        return self._dashboard_ids

    async def _write(self, action: Action) -> None:
        match action:
            case CreateWidget():
                self._widget_ids[action.key] = await self._api.create_widget(action.chart)
            case ChangeWidget():
                widget_id = action.id or self._widget_ids[action.key]
                await self._api.change_widget(widget_id, action.chart)
            case CreateDashboard():
                created = await self._api.create_dashboard(self._body(action))
                self._dashboard_ids[action.wanted.name] = created
            case ChangeDashboard():
                await self._api.change_tiles(action.dashboard.id, self._tiles(action.tiles))
            case DeleteWidget():
                await self._api.delete_widget(action.id)
            case _:
                assert_never(action)

    def _body(self, action: CreateDashboard) -> Json:
        return {
            "name": action.wanted.name,
            "description": action.wanted.description,
            "definition": {"widgets": self._tiles(action.tiles)},
            "filters": list(action.wanted.filters),
        }

    def _tiles(self, tiles: Sequence[Json | Tile]) -> list[Json]:
        return [self._tile(tile) if isinstance(tile, Tile) else tile for tile in tiles]

    def _tile(self, tile: Tile) -> Json:
        return {
            "type": "widget",
            "id": tile.key,
            "widgetId": self._widget_ids[tile.key],
            "x": tile.x,
            "y": tile.y,
            "width": tile.width,
            "height": tile.height,
        }


def links(
    base_url: str, project_id: str, dashboard_ids: Mapping[str, str], tags: Sequence[str]
) -> tuple[Link, ...]:
    """Dashboards by name, and the prompts of each tag, over the past thirty days."""
    project = f"{base_url.rstrip('/')}/project/{quote(project_id, safe='')}"
    dashboards = (
        Link(name=name, url=f"{project}/dashboards/{quote(each, safe='')}?dateRange={RANGE}")
        for name, each in sorted(dashboard_ids.items())
    )
    prompts = (
        Link(name=f"Prompts of {tag}", url=f"{project}/traces?dateRange={RANGE}&filter={_of(tag)}")
        for tag in tags
    )
    return (*dashboards, *prompts)


def _of(tag: str) -> str:
    """Langfuse's filter of prompts with the tag; the tag is encoded twice, as its page does it."""
    tagged = f"traceTags;arrayOptions;;any of;{quote(tag, safe='')}"
    return quote(f"{tagged},{ROOTS_ONLY}", safe="")


def _tags(wanted: Wanted) -> list[str]:
    filters = (each for dashboard in wanted.dashboards for each in dashboard.filters)
    return [tag for each in (OURS, *filters) for tag in each["value"]]


def _interrupted(error: AnswerError, written: int, total: int) -> str:
    return f"{error}. {written} of {total} changes were written; run this again and it goes on"
