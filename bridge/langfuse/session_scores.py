"""A session's totals and a prompt's cost → scores.

Session scores are few and short-named: Langfuse's sessions table puts every one of them into a
column of its own, before the columns people look for.
"""

import hashlib

from bridge.langfuse import ids
from bridge.langfuse.trace import TraceSettings, environment_of, trace_id_of
from bridge.model.measures import PICO, Measure
from bridge.model.parts import PromptCost
from bridge.model.scores import Score
from bridge.model.sessions import SessionNumbers, SessionTotals

PROMPT_COST = "cost_usd"


def session_scores(session: SessionTotals, settings: TraceSettings) -> list[Score]:
    """The scores of a session; what its client does not tell has none."""
    return [
        Score(
            id=_id(session.session_id, name),
            name=name,
            value=value,
            timestamp_ms=session.since_ms,
            session_id=session.session_id,
            environment=environment_of(session.origin.attributes, settings),
        )
        for name, value in _values(session.numbers).items()
        if value is not None
    ]


def prompt_score(cost: PromptCost, settings: TraceSettings) -> Score | None:
    """What a prompt cost, as far as the client says; None when it says nothing."""
    totals = cost.totals
    if totals.unpriced and not totals.cost_picousd:
        return None
    trace_id = trace_id_of(cost.turn, settings)
    return Score(
        id=_id(ids.trace_id(cost.turn.key), PROMPT_COST),
        name=PROMPT_COST,
        value=totals.cost_picousd / PICO,
        timestamp_ms=cost.start_ms,
        trace_id=trace_id,
        environment=environment_of(cost.turn.origin.attributes, settings),
    )


def _values(numbers: SessionNumbers) -> dict[str, float | None]:
    tool_errors = numbers.tool_errors
    return {
        "active_s": _number(numbers.measured(Measure.ACTIVE_S)),
        "added": _number(numbers.measured(Measure.LINES, type="added")),
        "removed": _number(numbers.measured(Measure.LINES, type="removed")),
        "commits": _number(numbers.measured(Measure.COMMITS)),
        "prs": _number(numbers.measured(Measure.PULL_REQUESTS)),
        "tool_errors": None if tool_errors is None else float(tool_errors),
    }


def _number(pico: int | None) -> float | None:
    return None if pico is None else pico / PICO


def _id(subject: str, name: str) -> str:
    return hashlib.sha256(f"score\0{subject}\0{name}".encode()).hexdigest()[:32]
