"""What is known of a session: sums of its events, totals of its metrics, and how they compare."""

from enum import StrEnum
from typing import Final

import msgspec

from bridge.model.events import Origin, UserPrompt
from bridge.model.measures import Measure
from bridge.model.totals import Totals, add_tokens

CHECK_SESSION: Final = "langfuse-bridge-doctor-"
"""Begins the id of a session that is made up to try the bridge. Its traces are made like all others
and removed again at once, so it gets neither a summary nor scores, which would come after that."""


class GapReason(StrEnum):
    """Why events and metrics may tell different costs, the likeliest first."""

    NO_EVENTS = "events not exported"
    LOST_RECORDS = "records lost"
    UNPRICED = "requests without cost"
    NO_METRICS = "metrics lost or not exported"
    INTERRUPTED = "interrupted requests"


class ModelSums(msgspec.Struct, kw_only=True, array_like=True, gc=False):
    """What one model (or one type of sub-agent) was asked and cost."""

    requests: int = 0
    cost_picousd: int = 0
    usage: dict[str, int] = {}

    def copy(self) -> "ModelSums":
        """The sums as they are now."""
        copied: ModelSums = self.__copy__()  # type: ignore[attr-defined]  # untold by the stubs
        copied.usage = self.usage.copy()
        return copied


class SessionNumbers(msgspec.Struct, kw_only=True, array_like=True, gc=False):
    """Numbers of a session, or of one stretch of activity in it.

    Attributes:
        totals: Sums over its events.
        models: Model → its part of them, and all that is known of requests until ``sum_up``, but
            for ``unpriced``; ``agents``: type of sub-agent → its part.
        series: Series of a metric (``MetricPoint.series``) → its total in picounits.
        lost_records: Gaps in the sequence numbers of its events.
    """

    prompts: int = 0
    totals: Totals
    models: dict[str, ModelSums] = {}
    agents: dict[str, ModelSums] = {}
    series: dict[str, int] = {}
    lost_records: int = 0

    def sum_up(self) -> None:
        """Sum the requests of all models up in ``totals``, where only the other events are."""
        totals, models = self.totals, self.models.values()
        totals.requests = sum([each.requests for each in models])
        totals.cost_picousd = sum([each.cost_picousd for each in models])
        totals.models = sorted(self.models)
        totals.usage = {}
        for each in models:
            add_tokens(totals.usage, each.usage)

    def copy(self) -> "SessionNumbers":
        """The numbers as they are now, which later records do not change."""
        copied: SessionNumbers = self.__copy__()  # type: ignore[attr-defined]
        copied.totals = self.totals.copy()
        copied.models = {model: sums.copy() for model, sums in self.models.items()}
        copied.agents = {kind: sums.copy() for kind, sums in self.agents.items()}
        copied.series = self.series.copy()
        return copied

    @property
    def tool_errors(self) -> int | None:
        """Tools that failed; None while none was asked for."""
        totals = self.totals
        return totals.tool_errors if totals.tools or totals.rejections else None

    def measured(self, measure: Measure, **attributes: str) -> int | None:
        """Picounits of a measure over all its series with these attributes; None: not told."""
        wanted = {f"{key}={value}" for key, value in attributes.items()}
        found = [
            total
            for series, total in self.series.items()
            if (parts := series.split("\0"))[0] == measure.value and wanted.issubset(parts[1:])
        ]
        return sum(found) if found else None


class SessionTotals(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A session as it stands: made by ``correlate``, shown locally and as scores.

    Attributes:
        since_ms: When it was first seen; never changes once told.
        final: A stretch of activity has just ended: what is known is all there is for now.
    """

    session_id: str
    origin: Origin
    since_ms: int
    numbers: SessionNumbers
    final: bool


class CostGap(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Events and metrics disagree: ``gap_picousd`` is metrics minus events."""

    gap_picousd: int
    reason: GapReason


class Summary(msgspec.Struct, frozen=True, kw_only=True, tag_field="part", gc=False):
    """One stretch of activity of a session, once it has ended: a part of its own trace.

    Attributes:
        start_ms: A millisecond before the first prompt, so that it stands before it.
        numbers: Of this stretch alone.
        first_prompt: None when it had none.
    """

    start_ms: int
    end_ms: int
    first_prompt: UserPrompt | None
    numbers: SessionNumbers
    gap: CostGap | None


class Counter(msgspec.Struct, frozen=True, kw_only=True, tag_field="part", gc=False):
    """One counter of a summary, not zero: an observation of its own, so that charts can sum it.

    Attributes:
        start_ms: After the summary's start, each counter a millisecond after the one before.
        duration_ms: Only active time has one.
    """

    name: str
    value: int
    start_ms: int
    duration_ms: int = 0
