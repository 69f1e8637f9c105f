"""A Langfuse project of dashboards without HTTP: what is there, and plans carried out on it."""

import asyncio
import json
from typing import Any

from bridge.langfuse.client import Document
from bridge.langfuse.retry import Answer
from bridge.provision.api import DashboardApi
from bridge.provision.panels import Panel
from bridge.provision.perform import Writer
from bridge.provision.plan import make_plan
from bridge.provision.shapes import Plan, Project, Wanted
from tests.dashboards import DashboardStore

UNSTABLE = "/api/public/unstable/"


class StoreClient:
    """Asks a ``DashboardStore`` as ``LangfuseClient`` asks a server."""

    def __init__(self, store: DashboardStore) -> None:
        self._store = store

    async def call(self, method: str, path: str, body: bytes | None = None) -> Document:
        route, _, query = path.removeprefix(UNSTABLE).partition("?")
        pairs = dict(pair.split("=") for pair in query.split("&") if pair)
        status, answer = self._store.answer(method, route, pairs, body or b"")
        error = "" if status == 200 else answer["message"]
        return Document(answer=Answer(status=status, error=error), body=json.dumps(answer).encode())


class DashboardProject:
    """A project that plans are made for and carried out on.

    Attributes:
        store: What Langfuse has.
    """

    def __init__(self) -> None:
        self.store = DashboardStore()
        self._api = DashboardApi(StoreClient(self.store), tell=lambda _text: None)

    def read(self) -> Project:
        return asyncio.run(self._api.read_project())

    def plan(self, wanted: Wanted) -> Plan:
        return make_plan(wanted, self.read())

    def provision(self, wanted: Wanted, most_writes: int | None = None) -> Plan:
        """One run, that ends after ``most_writes`` as if it had been killed then."""
        plan = self.plan(wanted)
        asyncio.run(Writer(self._api, plan.widget_ids).write(plan.actions[:most_writes]))
        return plan

    def tiles(self, name: str = "Claude Code") -> dict[str, Any]:
        """Tile id → tile of the dashboard of this name."""
        return self.store.tiles(self.store.named(name)["id"])

    def delete_tile(self, panel: Panel, name: str = "Claude Code") -> None:
        self.store.delete_tile(self.store.named(name)["id"], panel.key)

    def add_own_tile(self, name: str = "Claude Code", y: int = 50) -> dict[str, Any]:
        """A person's own tile, on a preset of Langfuse's Home."""
        place = {"x": 0, "y": y, "width": 6, "height": 4}
        tile = {"type": "preset", "id": "a-uuid", "presetId": "home-model-usage", **place}
        self.store.named(name)["definition"]["widgets"].append(tile)
        return tile
