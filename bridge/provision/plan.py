"""What is wanted and what is there → what to write. Pure: nothing here talks to Langfuse.

Responsible for which dashboards and tiles are ours, what becomes of each, and in which order it is
written. Leaves the panels to ``panels`` and the writing to ``perform``.

**Ours** is a dashboard of the right name with a tile whose id begins with ``KEY_PREFIX``; that id
is the panel's key. Tiles of other ids are their owner's and go back as they came, and so do the
places and sizes of ours.

**Remembered** is what a person took away, by Langfuse itself: a tile that is deleted leaves its
widget in the library. So a panel without a tile is new where there is no widget of it, and was
deleted where there is one. Deleting the widget too brings the tile back. A dashboard that is made
anew has all tiles; a department's, those that were not deleted from the main one.

**Interrupted** runs go on where they stopped. Where a widget without a tile could be taken for a
deleted one, it says ``UNPLACED`` in its description: a new one until it is on every dashboard, one
whose panel is gone from before it is taken off. Where there is no dashboard of ours yet, nothing
can have been deleted, and widgets that are right are used.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from bridge.errors import BridgeError
from bridge.model.provisioned import Step, TileOutcome
from bridge.provision.panels import (
    COLUMNS,
    KEY_PREFIX,
    OURS,
    Chart,
    Json,
    Panel,
    all_panels,
    tagged,
)
from bridge.provision.shapes import (
    TITLE,
    ChangeDashboard,
    ChangeWidget,
    CreateDashboard,
    CreateWidget,
    Dashboard,
    DeleteWidget,
    Plan,
    Project,
    Tile,
    Wanted,
    WantedDashboard,
    Widget,
    is_candidate,
)

DESCRIPTION: Final = "Cost, tokens, tools and work of Claude Code, kept by langfuse-bridge."
UNPLACED: Final = "On no dashboard of langfuse-bridge provision."
DELETED_NOTE: Final = "deleted in Langfuse; delete its widget too to get it back"
CHANGED_NOTE: Final = "was not as this version has it"
GONE_NOTE: Final = "its widget had been deleted"
PLACE: Final = ("x", "y", "width", "height")


def wanted(department_tags: Iterable[str] = (), group_by: str | None = None) -> Wanted:
    """The dashboard, and one more for each tag, such as ``department:sales``."""
    main = WantedDashboard(name=TITLE, description=DESCRIPTION)
    departments = tuple(_of_department(tag) for tag in dict.fromkeys(department_tags))
    return Wanted(dashboards=(main, *departments), panels=all_panels(group_by))


def _of_department(tag: str) -> WantedDashboard:
    return WantedDashboard(
        name=f"{TITLE}: {tag.partition(':')[2]}",
        description=f"{DESCRIPTION} Only what has the tag {tag}.",
        filters=(tagged(tag),),
    )


def make_plan(wanted: Wanted, there: Project) -> Plan:
    """What to write so that ``there`` becomes as ``wanted``; no action where it is already.

    Raises:
        BridgeError: A dashboard of our name is somebody else's.
    """
    return _Planner(wanted, there).plan()


class _Planner:
    """One planning: the same look-ups for every dashboard, nothing that outlives it."""

    def __init__(self, wanted: Wanted, there: Project) -> None:
        self._panels = {panel.key: panel for panel in wanted.panels}
        self._library = {widget.id: widget for widget in sorted(there.widgets, key=_age)}
        self._pairs = _pairs(wanted, there.dashboards)
        self._tiles = {found.id: _own_tiles(found) for _, found in self._pairs if found}
        self._widgets = self._known_widgets()

    def plan(self) -> Plan:
        chosen = [(want, found, self._keys(found)) for want, found in self._pairs]
        used = {key for _, _, keys in chosen for key in keys}
        new = [key for key in self._panels if key in used and key not in self._widgets]
        writes = [self._dashboard(*each) for each in chosen]
        return Plan(
            actions=(
                *(CreateWidget(key=key, chart=self._first_chart(key)) for key in new),
                *self._changes(),
                *self._retirements(),
                *(write for write in writes if write is not None),
                *self._endings(new),
                *(DeleteWidget(id=widget.id) for _, widget in self._unwanted()),
            ),
            steps=tuple(step for each in chosen for step in self._steps(*each)),
            widget_ids={key: widget.id for key, widget in self._widgets.items()},
            dashboard_ids={want.name: found.id for want, found in self._pairs if found},
        )

    # ----------------------------------------------------------------------------- widgets

    @property
    def _is_first(self) -> bool:
        """No dashboard of ours is there, so no tile can have been deleted from one."""
        return not self._tiles

    def _known_widgets(self) -> dict[str, Widget]:
        """Key → its widget, on a dashboard or left by a run that was interrupted."""
        found = {key: self._placed(key) or self._left_over(key) for key in self._panels}
        return {key: widget for key, widget in found.items() if widget}

    def _placed(self, key: str) -> Widget | None:
        tiles = (tiles[key] for tiles in self._tiles.values() if key in tiles)
        return next((widget for tile in tiles if (widget := self._widget_of(tile))), None)

    def _widget_of(self, tile: Json) -> Widget | None:
        return self._library.get(tile.get("widgetId", ""))

    def _left_over(self, key: str) -> Widget | None:
        chart = self._panels[key].chart
        fitting = (
            widget
            for widget in self._library.values()
            if widget.chart == _unplaced(chart) or (self._is_first and widget.chart == chart)
        )
        return next(fitting, None)

    def _is_deleted(self, key: str) -> bool:
        """Whether the panel has a widget that does not wait for its tiles."""
        if key in self._widgets:
            return not _is_unplaced(self._widgets[key])
        name = self._panels[key].chart.name
        charts = (widget.chart for widget in self._library.values())
        return not self._is_first and any(
            chart.name == name and OURS in chart.filters for chart in charts
        )

    def _first_chart(self, key: str) -> Chart:
        chart = self._panels[key].chart
        return chart if self._is_first else _unplaced(chart)

    def _changes(self) -> Iterator[ChangeWidget]:
        """Widgets on our dashboards that are not what their panel is."""
        placed = {
            (key, widget.id): widget
            for tiles in self._tiles.values()
            for key, tile in tiles.items()
            if key in self._panels and (widget := self._widget_of(tile))
        }
        for (key, widget_id), widget in placed.items():
            chart = self._panels[key].chart
            if widget.chart != chart and not _is_unplaced(widget):
                yield ChangeWidget(key=key, id=widget_id, chart=chart)

    def _endings(self, new: Sequence[str]) -> Iterator[ChangeWidget]:
        """What says that it is unplaced, until its tiles are there."""
        for key, panel in self._panels.items():
            widget = self._widgets.get(key)
            if widget and _is_unplaced(widget):
                yield ChangeWidget(key=key, id=widget.id, chart=panel.chart)
            elif key in new and not self._is_first:
                yield ChangeWidget(key=key, id=None, chart=panel.chart)

    def _retirements(self) -> Iterator[ChangeWidget]:
        """What is taken off by us must not look like what a person deleted."""
        for key, widget in self._unwanted():
            if not _is_unplaced(widget):
                yield ChangeWidget(key=key, id=widget.id, chart=_unplaced(widget.chart))

    def _unwanted(self) -> list[tuple[str, Widget]]:
        """Key and widget of each tile of ours whose panel is no more."""
        gone = {
            widget.id: (key, widget)
            for tiles in self._tiles.values()
            for key, tile in tiles.items()
            if key not in self._panels and (widget := self._widget_of(tile))
        }
        return list(gone.values())

    # -------------------------------------------------------------------------- dashboards

    def _keys(self, found: Dashboard | None) -> list[str]:
        """The panels that a dashboard has when all is done."""
        main = self._pairs[0][1]
        if found is None:
            return list(self._panels) if main is None else self._keys(main)
        tiles = self._tiles[found.id]
        return [key for key in self._panels if key in tiles or not self._is_deleted(key)]

    def _dashboard(
        self, want: WantedDashboard, found: Dashboard | None, keys: Sequence[str]
    ) -> CreateDashboard | ChangeDashboard | None:
        if found is None:
            return CreateDashboard(wanted=want, tiles=self._laid_out(keys, 0))
        known = self._tiles[found.id]
        stay = [self._kept(tile) for tile in found.tiles if self._stays(tile)]
        new = self._laid_out([key for key in keys if key not in known], _bottom(found.tiles))
        tiles = (*stay, *new)
        return None if tiles == found.tiles else ChangeDashboard(dashboard=found, tiles=tiles)

    def _stays(self, tile: Json) -> bool:
        return not _is_own(tile) or tile["id"] in self._panels

    def _kept(self, tile: Json) -> Json | Tile:
        """As it is, or with another widget where its own was deleted."""
        if not _is_own(tile) or self._widget_of(tile):
            return tile
        x, y, width, height = (tile[name] for name in PLACE)
        return Tile(key=tile["id"], x=x, y=y, width=width, height=height)

    def _laid_out(self, keys: Iterable[str], top: int) -> tuple[Tile, ...]:
        return laid_out([self._panels[key] for key in keys], top)

    # ------------------------------------------------------------------------------- words

    def _steps(
        self, want: WantedDashboard, found: Dashboard | None, keys: Sequence[str]
    ) -> Iterator[Step]:
        write = self._dashboard(want, found, keys)
        outcome = TileOutcome.KEPT if write is None else TileOutcome.UPDATED
        outcome = TileOutcome.CREATED if found is None else outcome
        foreign = [tile for tile in found.tiles if not _is_own(tile)] if found else []
        note = f"{len(foreign)} of your own tiles kept" if foreign else ""
        yield Step(dashboard=want.name, tile=None, outcome=outcome, note=note)
        tiles = self._tiles[found.id] if found else {}
        for key, panel in self._panels.items():
            outcome, note = self._outcome(key, keys, tiles)
            yield Step(dashboard=want.name, tile=panel.chart.name, outcome=outcome, note=note)
        for key in sorted(tiles.keys() - self._panels.keys()):
            widget = self._widget_of(tiles[key])
            name = widget.chart.name if widget else key
            yield Step(dashboard=want.name, tile=name, outcome=TileOutcome.REMOVED)

    def _outcome(
        self, key: str, keys: Sequence[str], tiles: Mapping[str, Json]
    ) -> tuple[TileOutcome, str]:
        if key not in keys:
            return TileOutcome.SKIPPED, DELETED_NOTE
        if key not in tiles:
            return TileOutcome.CREATED, ""
        widget = self._widget_of(tiles[key])
        if widget is None:
            return TileOutcome.UPDATED, GONE_NOTE
        if widget.chart != self._panels[key].chart:
            return TileOutcome.UPDATED, CHANGED_NOTE
        return TileOutcome.KEPT, ""


def laid_out(panels: Iterable[Panel], top: int) -> tuple[Tile, ...]:
    """Tiles in rows from ``top`` down. Langfuse takes overlaps and what is too wide: we do not."""
    tiles = []
    x, y, row_height = 0, top, 0
    for panel in panels:
        if x + panel.width > COLUMNS:
            x, y, row_height = 0, y + row_height, 0
        tiles.append(Tile(key=panel.key, x=x, y=y, width=panel.width, height=panel.height))
        x, row_height = x + panel.width, max(row_height, panel.height)
    return tuple(tiles)


def _bottom(tiles: Iterable[Json]) -> int:
    return max((tile.get("y", 0) + tile.get("height", 0) for tile in tiles), default=0)


def _pairs(
    wanted: Wanted, dashboards: Sequence[Dashboard]
) -> list[tuple[WantedDashboard, Dashboard | None]]:
    """Each dashboard that is wanted and the one that is there; then departments of other runs."""
    pairs = [(want, _find(want.name, dashboards)) for want in wanted.dashboards]
    known = {want.name for want in wanted.dashboards}
    others = {each.name for each in dashboards if is_candidate(each.name) and _own_tiles(each)}
    earlier = [WantedDashboard(name=name, description="") for name in sorted(others - known)]
    return pairs + [(want, _find(want.name, dashboards)) for want in earlier]


def _find(name: str, dashboards: Sequence[Dashboard]) -> Dashboard | None:
    """Ours of this name, the oldest where two people made one at once."""
    named = sorted((each for each in dashboards if each.name == name), key=_age)
    ours = [each for each in named if _own_tiles(each)]
    if named and not ours:
        raise BridgeError(
            f'there is a dashboard "{name}" in Langfuse that this command did not make, '
            "or that has none of its tiles left; rename or delete it, and run this again"
        )
    return ours[0] if ours else None


def _is_own(tile: Json) -> bool:
    return str(tile.get("id", "")).startswith(KEY_PREFIX)


def _own_tiles(dashboard: Dashboard) -> dict[str, Json]:
    return {tile["id"]: tile for tile in dashboard.tiles if _is_own(tile)}


def _age(each: Widget | Dashboard) -> tuple[str, str]:
    return each.created_at, each.id


def _unplaced(chart: Chart) -> Chart:
    return msgspec.structs.replace(chart, description=UNPLACED)


def _is_unplaced(widget: Widget) -> bool:
    return widget.chart.description == UNPLACED
