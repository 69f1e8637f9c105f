"""What a session's numbers learn from each kind of event. Sums: any order gives the same.

Requests are summed by model alone; ``SessionNumbers.sum_up`` makes totals of that when they are
asked for.
"""

from collections.abc import Callable, Mapping
from typing import Any

from bridge.correlate.activity import Activity, is_check
from bridge.model.events import (
    AnyEvent,
    ModelFailure,
    ModelRequest,
    PointEvent,
    ToolDecision,
    ToolResult,
    UserPrompt,
)
from bridge.model.sessions import ModelSums
from bridge.model.spans import TurnSpan
from bridge.model.totals import add_tokens


def note_event(activity: Activity, event: AnyEvent) -> bool:
    """Sum one event in. Called once for each, whatever turn it belongs to.

    Returns:
        Whether that changes what is told of the session while its stretch goes on.
    """
    summed = _SUMMED.get(type(event))
    tell = summed(activity, event) if summed else False
    if activity.shown or type(event) is PointEvent or is_check(event.session_id):
        return tell
    activity.shown = True
    return True


def _sum_prompt(activity: Activity, prompt: UserPrompt) -> bool:
    activity.numbers.prompts += not prompt.synthetic
    earlier = activity.first_prompt
    if earlier is None or prompt.order < earlier.order:
        activity.first_prompt = prompt
    return False


def _sum_turn_span(activity: Activity, span: TurnSpan) -> bool:
    activity.began_ms = min(activity.began_ms or span.began_ms, span.began_ms)
    return False


def _sum_request(activity: Activity, request: ModelRequest) -> bool:
    numbers = activity.numbers
    if request.cost_picousd is None:
        numbers.totals.unpriced += 1
    _add(numbers.models, request.model, request)
    if request.agent_type:
        _add(numbers.agents, request.agent_type, request)
    return False


def _sum_failure(activity: Activity, failure: ModelFailure) -> bool:
    activity.numbers.totals.add_failure(failure)
    return False


def _sum_decision(activity: Activity, decision: ToolDecision) -> bool:
    if decision.accepted:
        return False  # nearly every one is, and its result is what counts
    totals = activity.numbers.totals
    is_first = not (totals.tools or totals.rejections)
    totals.add_decision(decision)
    return is_first


def _sum_result(activity: Activity, result: ToolResult) -> bool:
    totals = activity.numbers.totals
    is_first = not (totals.tools or totals.rejections)
    totals.add_result(result)
    return is_first or not result.success


_SUMMED: Mapping[type, Callable[[Activity, Any], bool]] = {
    UserPrompt: _sum_prompt,
    ModelRequest: _sum_request,
    ModelFailure: _sum_failure,
    ToolDecision: _sum_decision,
    ToolResult: _sum_result,
    TurnSpan: _sum_turn_span,
}
"""Kind of event → what sums it in, and tells whether the session's tool errors are others now."""


def _add(sums: dict[str, ModelSums], key: str, request: ModelRequest) -> None:
    entry = sums.get(key)
    if entry is None:
        entry = sums[key] = ModelSums()
    entry.requests += 1
    entry.cost_picousd += request.cost_picousd or 0
    add_tokens(entry.usage, request.usage)
