"""What became, or would become, of dashboards and their tiles in Langfuse."""

from enum import StrEnum

import msgspec


class TileOutcome(StrEnum):
    """How a tile, or a dashboard as a whole, comes out of one run."""

    CREATED = "created"
    UPDATED = "updated"
    KEPT = "kept"
    SKIPPED = "skipped"
    REMOVED = "removed"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One dashboard or one of its tiles.

    Attributes:
        tile: The tile's title; None for the dashboard itself.
        note: Why, where the outcome alone does not say it.
    """

    dashboard: str
    tile: str | None
    outcome: TileOutcome
    note: str = ""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """An address to open in a browser."""

    name: str
    url: str


class Provisioned(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the command ``provision``.

    Attributes:
        writes: Requests that change something: sent, or with ``dry_run`` only planned.
        links: Of the dashboards that are there, and of the prompts behind them.
    """

    dry_run: bool
    writes: int
    steps: tuple[Step, ...]
    links: tuple[Link, ...]
