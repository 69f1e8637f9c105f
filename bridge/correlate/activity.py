"""A session's numbers, and its stretches of activity.

Events are summed and metrics folded as they come. After ``session_idle_ms`` without any record a
stretch has ended: it becomes a summary of what it alone added, so that summaries can be summed.
"""

from itertools import pairwise

import msgspec

from bridge.correlate import series
from bridge.correlate.series import SeriesTotal
from bridge.correlate.state import Order
from bridge.model.events import (
    Origin,
    Record,
    UserPrompt,
)
from bridge.model.measures import Measure, Measurement
from bridge.model.sessions import (
    CHECK_SESSION,
    CostGap,
    Counter,
    GapReason,
    ModelSums,
    SessionNumbers,
    SessionTotals,
    Summary,
)
from bridge.model.totals import Totals

ROUNDING_PICOUSD = 1_000_000
"""Events tell whole micro-dollars, metrics do not round: a micro-dollar for each request."""

KEPT_RUNS = 64
"""Runs remembered; where something between client and bridge drops every other event, each of them
is one. Of older runs the records missing between them are kept as a number."""

Run = tuple[Order, Order]
"""First and last (time, sequence, key) of events whose sequence numbers follow one another."""


class Activity(msgspec.Struct, kw_only=True, array_like=True, gc=False):
    """What is known of one session.

    Attributes:
        open: Whether a stretch of activity is going on.
        since_ms: Time of the first record ever; ``start_ms`` and ``end_ms`` are the stretch's.
        told_since_ms: ``since_ms`` as it was first told to Langfuse, which knows scores by date.
        free_ms: First moment behind the stretch before. What comes late, or once more, is put
            there: no two stretches begin at the same time, which is what tells summaries apart.
        numbers: Of the whole session, of which ``sum_up`` is to be called before they are told;
            ``before``: as they stood when the stretch began.
        runs: Unbroken runs of sequence numbers, in order, the latest ``KEPT_RUNS``.
        lost_before: How many sequence numbers are missing before those.
        shown: Whether there is anything to show: work, or a metric that counts some.
    """

    open: bool = False
    origin: Origin | None = None
    session_id: str | None = None
    since_ms: int | None = None
    told_since_ms: int | None = None
    start_ms: int = 0
    end_ms: int = 0
    free_ms: int = 0
    touched_ms: int = 0
    first_prompt: UserPrompt | None = None
    began_ms: int | None = None
    numbers: SessionNumbers = msgspec.field(default_factory=lambda: SessionNumbers(totals=Totals()))
    before: SessionNumbers = msgspec.field(default_factory=lambda: SessionNumbers(totals=Totals()))
    series: dict[str, SeriesTotal] = {}
    runs: list[Run] = []
    lost_before: int = 0
    shown: bool = False


def note_record(activity: Activity, record: Record, order: Order) -> None:
    """A record of the session was seen: when, from whom, and whether one is missing before it."""
    time_ms, sequence, _ = order
    if record.arrived_ms > activity.touched_ms:
        activity.touched_ms = record.arrived_ms
    if activity.open and time_ms >= activity.end_ms:
        activity.end_ms = time_ms  # nearly every record is later than those before it
    else:
        _widen(activity, record.event.session_id, record.origin, time_ms)
    if sequence < 0 and record.event.sequence is None:
        return
    if runs := activity.runs:
        first, last = runs[-1]
        if sequence == last[1] + 1 and time_ms >= last[0]:
            runs[-1] = (first, order)  # and follows the one before
            return
    _note_order(activity, order)


def measure(activity: Activity, measurement: Measurement) -> bool:
    """Fold one metric point in; False if it had been before."""
    point = measurement.point
    total = activity.series.setdefault(point.series, SeriesTotal())
    before_pico = total.total_pico
    if not series.fold(total, point):
        return False
    if total.total_pico == before_pico and point.series in activity.numbers.series:
        return True  # a counter told again: a client that is merely open is not active
    origin, seen_ms = measurement.origin, measurement.measured_ms
    activity.touched_ms = max(activity.touched_ms, measurement.arrived_ms)
    _widen(activity, point.session_id, origin, seen_ms)
    activity.numbers.series[point.series] = total.total_pico
    activity.shown |= point.measure != Measure.SESSIONS.value and total.total_pico != 0
    return True


def is_check(session_id: str | None) -> bool:
    """Whether a session is made up to try the bridge, so that nothing is summed for it."""
    return session_id is not None and session_id.startswith(CHECK_SESSION)


def end_stretch(activity: Activity) -> Summary | None:
    """Close the stretch that went on; None when it has nothing to show."""
    activity.numbers.sum_up()
    activity.numbers.lost_records = activity.lost_before + lost_records(activity.runs)
    numbers = difference(activity.numbers, activity.before)
    prompt = activity.first_prompt
    start_ms = activity.start_ms
    if prompt:
        start_ms = min(prompt.time_ms, activity.began_ms or prompt.time_ms) - 1
    summary = Summary(
        start_ms=start_ms,
        end_ms=max(start_ms, activity.end_ms),
        first_prompt=prompt,
        numbers=numbers,
        gap=cost_gap(numbers),
    )
    activity.before = activity.numbers.copy()
    activity.open, activity.first_prompt, activity.began_ms = False, None, None
    activity.free_ms = activity.end_ms + 1
    return summary if activity.shown and _adds_something(numbers) else None


def totals(activity: Activity, *, final: bool) -> SessionTotals | None:
    """The session as it stands; None while there is nothing to show, or no id to show it by."""
    if not activity.shown or activity.session_id is None or activity.origin is None:
        return None
    if activity.told_since_ms is None:
        activity.told_since_ms = activity.since_ms
    activity.numbers.sum_up()
    return SessionTotals(
        session_id=activity.session_id,
        origin=activity.origin,
        since_ms=activity.told_since_ms or 0,
        numbers=activity.numbers.copy(),
        final=final,
    )


def counters(summary: Summary) -> list[Counter]:
    """The counters of a summary that are not zero, each at a moment of its own."""
    numbers, totals = summary.numbers, summary.numbers.totals
    values = {
        "prompts": numbers.prompts,
        "tool_calls": totals.tools,
        "tool_errors": totals.tool_errors,
        "rejected_tools": totals.rejections,
        "api_errors": totals.failures,
        "lines_added": _whole(numbers, Measure.LINES, type="added"),
        "lines_removed": _whole(numbers, Measure.LINES, type="removed"),
        "commits": _whole(numbers, Measure.COMMITS),
        "pull_requests": _whole(numbers, Measure.PULL_REQUESTS),
        "edits_accepted": _whole(numbers, Measure.EDIT_DECISIONS, decision="accept"),
        "edits_rejected": _whole(numbers, Measure.EDIT_DECISIONS, decision="reject"),
    }
    present = [(name, value) for name, value in values.items() if value > 0]
    found = [
        Counter(name=name, value=value, start_ms=summary.start_ms + 1 + place)
        for place, (name, value) in enumerate(present)
    ]
    active_ms = (numbers.measured(Measure.ACTIVE_S) or 0) // 1_000_000_000
    if active_ms > 0:
        start_ms = summary.start_ms + 1 + len(found)
        found.append(
            Counter(
                name="active_time_s",
                value=round(active_ms / 1000),
                start_ms=start_ms,
                duration_ms=active_ms,
            )
        )
    return found


def cost_gap(numbers: SessionNumbers) -> CostGap | None:
    """How far metrics and events are apart in cost, and the likeliest reason; None: they agree."""
    measured = numbers.measured(Measure.COST_USD)
    if measured is None:
        return None
    totals = numbers.totals
    gap = measured - totals.cost_picousd
    if abs(gap) <= ROUNDING_PICOUSD * max(totals.requests, 1):
        return None
    return CostGap(gap_picousd=gap, reason=_reason(numbers, gap))


def _reason(numbers: SessionNumbers, gap: int) -> GapReason:
    if gap < 0:
        return GapReason.NO_METRICS
    if not numbers.totals.requests and not numbers.prompts:
        return GapReason.NO_EVENTS
    if numbers.totals.unpriced:
        return GapReason.UNPRICED
    return GapReason.LOST_RECORDS if numbers.lost_records else GapReason.INTERRUPTED


def difference(now: SessionNumbers, before: SessionNumbers) -> SessionNumbers:
    """What was added between the two."""
    models = _sums_difference(now.models, before.models)
    return SessionNumbers(
        prompts=now.prompts - before.prompts,
        totals=_totals_difference(now.totals, before.totals, models=sorted(models)),
        models=models,
        agents=_sums_difference(now.agents, before.agents),
        series=_changed(now.series, before.series),
        lost_records=max(0, now.lost_records - before.lost_records),
    )


def lost_records(runs: list[Run]) -> int:
    """How many sequence numbers are missing between runs of one process.

    A number that is not higher than the one before it begins another process of the session.
    """
    return sum(max(0, later[0][1] - earlier[1][1] - 1) for earlier, later in pairwise(runs))


def _note_order(activity: Activity, order: Order) -> None:
    runs = activity.runs
    if len(runs) == KEPT_RUNS and order < runs[0][0]:
        return  # it is not known any more whether it was missed
    runs = _with_event(runs, order)
    if len(runs) > KEPT_RUNS:
        activity.lost_before += lost_records(runs[:2])
        del runs[0]
    activity.runs = runs


def _with_event(runs: list[Run], order: Order) -> list[Run]:
    """The runs with one more event; neighbours that now follow one another are joined."""
    if any(first <= order <= last for first, last in runs):
        return runs
    joined: list[Run] = []
    for run in sorted([*runs, (order, order)]):
        if joined and run[0][1] == joined[-1][1][1] + 1:
            joined[-1] = (joined[-1][0], run[1])
        else:
            joined.append(run)
    return joined


def _widen(activity: Activity, session_id: str | None, origin: Origin, time_ms: int) -> None:
    """The stretch reaches to a record, or begins with it."""
    shown_ms = max(time_ms, activity.free_ms)
    if not activity.open:
        activity.open, activity.start_ms, activity.end_ms = True, shown_ms, shown_ms
    activity.session_id = session_id
    if activity.origin is None or shown_ms < activity.start_ms:
        activity.origin = origin
    activity.since_ms = min(activity.since_ms or time_ms, time_ms)
    activity.start_ms = min(activity.start_ms, shown_ms)
    activity.end_ms = max(activity.end_ms, shown_ms)


def _whole(numbers: SessionNumbers, measure: Measure, **attributes: str) -> int:
    return (numbers.measured(measure, **attributes) or 0) // 1_000_000_000_000


def _adds_something(numbers: SessionNumbers) -> bool:
    totals = numbers.totals
    work = numbers.prompts or totals.requests or totals.failures or totals.tools
    counted = any(key.split("\0")[0] != Measure.SESSIONS.value for key in numbers.series)
    return bool(work or totals.rejections or counted)


def _totals_difference(now: Totals, before: Totals, *, models: list[str]) -> Totals:
    plain = {
        name: getattr(now, name) - getattr(before, name)
        for name in Totals.__struct_fields__
        if isinstance(getattr(now, name), int)
    }
    return Totals(**plain, usage=_changed(now.usage, before.usage), models=models)


def _sums_difference(
    now: dict[str, ModelSums], before: dict[str, ModelSums]
) -> dict[str, ModelSums]:
    added = {}
    for key, sums in now.items():
        earlier = before.get(key, ModelSums())
        if sums.requests != earlier.requests:
            added[key] = ModelSums(
                requests=sums.requests - earlier.requests,
                cost_picousd=sums.cost_picousd - earlier.cost_picousd,
                usage=_changed(sums.usage, earlier.usage),
            )
    return added


def _changed(now: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    return {
        key: value - before.get(key, 0) for key, value in now.items() if value != before.get(key)
    }
