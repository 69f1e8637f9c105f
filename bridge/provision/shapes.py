"""What is there, what is wanted, what is to be done about it: the records of a plan.

Made by ``api`` and ``plan``, carried out by ``perform``.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from bridge.model.provisioned import Step
from bridge.provision.panels import Chart, Json, Panel

TITLE: Final = "Claude Code"


# ------------------------------------------------------------------------------ what is there


class Widget(msgspec.Struct, frozen=True, kw_only=True):
    """A chart in the project's library."""

    id: str
    created_at: str
    chart: Chart


class Dashboard(msgspec.Struct, frozen=True, kw_only=True):
    """A dashboard of the project.

    Attributes:
        tiles: Its definition's widgets, as Langfuse has them.
    """

    id: str
    name: str
    created_at: str
    tiles: tuple[Json, ...]


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """What is there. ``dashboards`` may be only those for which ``is_candidate`` holds."""

    dashboards: tuple[Dashboard, ...] = ()
    widgets: tuple[Widget, ...] = ()


# ---------------------------------------------------------------------------- what is wanted


class WantedDashboard(msgspec.Struct, frozen=True, kw_only=True):
    """A dashboard to have; its filters are set when it is made and are its owner's afterwards."""

    name: str
    description: str
    filters: tuple[Json, ...] = ()


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The main dashboard first, and the panels that each has."""

    dashboards: tuple[WantedDashboard, ...]
    panels: tuple[Panel, ...]


def is_candidate(name: str) -> bool:
    """Whether a dashboard of this name may be ours."""
    return name == TITLE or name.startswith(f"{TITLE}: ")


# --------------------------------------------------------------------------- what is to be done


class CreateWidget(msgspec.Struct, frozen=True, kw_only=True):
    """POST a widget; its id is known as ``key`` afterwards."""

    key: str
    chart: Chart


class ChangeWidget(msgspec.Struct, frozen=True, kw_only=True):
    """PATCH a widget. ``id`` None: the one that ``CreateWidget`` of this key made."""

    key: str
    id: str | None
    chart: Chart


class Tile(msgspec.Struct, frozen=True, kw_only=True):
    """A tile of ours whose widget is known by its key."""

    key: str
    x: int
    y: int
    width: int
    height: int


class CreateDashboard(msgspec.Struct, frozen=True, kw_only=True):
    """POST a dashboard with all its tiles."""

    wanted: WantedDashboard
    tiles: tuple[Tile, ...]


class ChangeDashboard(msgspec.Struct, frozen=True, kw_only=True):
    """PATCH the whole definition: tiles that stay as they are, and new ones."""

    dashboard: Dashboard
    tiles: tuple[Json | Tile, ...]


class DeleteWidget(msgspec.Struct, frozen=True, kw_only=True):
    """DELETE a widget whose panel is gone; one that is used elsewhere stays."""

    id: str


Action = CreateWidget | ChangeWidget | CreateDashboard | ChangeDashboard | DeleteWidget


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to write, in order; nothing of it is wrong if it ends after any action.

    Attributes:
        widget_ids: Key → id of the widgets that are there.
        dashboard_ids: Name → id of our dashboards that are there.
    """

    actions: tuple[Action, ...]
    steps: tuple[Step, ...]
    widget_ids: Mapping[str, str]
    dashboard_ids: Mapping[str, str]
