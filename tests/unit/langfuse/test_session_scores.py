"""A session's totals and a prompt's cost as scores."""

from typing import Any

import pytest

from bridge.langfuse import ids
from bridge.langfuse.session_scores import prompt_score, session_scores
from bridge.langfuse.trace import TraceSettings
from bridge.model.events import Origin
from bridge.model.measures import PICO
from bridge.model.parts import PromptCost, TurnFacts
from bridge.model.scores import Score
from bridge.model.sessions import SessionNumbers, SessionTotals
from bridge.model.totals import Totals

T0_MS = 1_795_400_000_000
SETTINGS = TraceSettings(tags=())
MAX_NAME_CHARS = 11
"""What Langfuse's chips show of a score's name."""


def origin(**attributes: str) -> Origin:
    return Origin(
        product="claude-code",
        service_name="claude-code",
        service_version=None,
        attributes=attributes,
    )


def a_session(
    totals: Totals | None = None, since_ms: int = T0_MS, session_id: str = "s", **series: float
) -> SessionTotals:
    names = {"added": "lines\0type=added", "removed": "lines\0type=removed"}
    told = {names.get(name, name): round(value * PICO) for name, value in series.items()}
    return SessionTotals(
        session_id=session_id,
        origin=origin(),
        since_ms=since_ms,
        numbers=SessionNumbers(totals=totals or Totals(), series=told),
        final=False,
    )


def values(session: SessionTotals) -> dict[str, float]:
    return {score.name: score.value for score in session_scores(session, SETTINGS)}


def a_turn() -> TurnFacts:
    return TurnFacts(
        key="s\0p",
        session_id="s",
        prompt_id="p",
        origin=origin(),
        command=None,
        synthetic=False,
        otel_trace_id=None,
    )


def told(**totals: Any) -> Score | None:
    cost = PromptCost(turn=a_turn(), start_ms=T0_MS, totals=Totals(**totals))
    return prompt_score(cost, SETTINGS)


def everything() -> SessionTotals:
    totals = Totals(tools=4, tool_errors=1)
    measured = {"active_s": 16.25, "added": 3, "removed": 0, "commits": 1, "pull_requests": 2}
    return a_session(totals, **measured)


def test_a_session_has_six_scores_with_names_short_enough_for_a_table() -> None:
    told = values(everything())
    assert told == {
        "active_s": 16.25,
        "added": 3.0,
        "removed": 0.0,
        "commits": 1.0,
        "prs": 2.0,
        "tool_errors": 1.0,
    }
    assert max(map(len, told)) <= MAX_NAME_CHARS


def test_what_a_client_does_not_tell_has_no_score_and_zero_has_one() -> None:
    assert values(a_session()) == {}
    assert values(a_session(removed=0)) == {"removed": 0.0}
    assert values(a_session(Totals(tools=2))) == {"tool_errors": 0.0}
    assert values(a_session(Totals(rejections=1))) == {"tool_errors": 0.0}
    assert values(a_session(Totals(requests=5))) == {}


def test_an_update_changes_a_scores_value_and_nothing_else() -> None:
    first = session_scores(a_session(added=3), SETTINGS)
    second = session_scores(a_session(Totals(tools=1), added=8, commits=1), SETTINGS)
    (added,) = first
    assert added == Score(
        id=added.id,
        name="added",
        value=3.0,
        timestamp_ms=T0_MS,
        session_id="s",
    )
    (updated,) = [score for score in second if score.name == "added"]
    assert (updated.id, updated.timestamp_ms, updated.value) == (added.id, T0_MS, 8.0)


def test_ids_are_of_session_and_name_alone() -> None:
    scores = session_scores(everything(), SETTINGS)
    others = session_scores(
        a_session(Totals(tools=1), session_id="t", added=1, removed=1, commits=1), SETTINGS
    )
    found = [score.id for score in (*scores, *others)]
    assert len(set(found)) == len(found)
    assert all(len(bytes.fromhex(each)) == 16 for each in found)


def test_a_prompts_cost_is_a_score_of_its_trace() -> None:
    score = told(requests=2, cost_picousd=3_086_000_000)
    assert score is not None
    assert (score.name, score.value, score.timestamp_ms) == ("cost_usd", 0.003086, T0_MS)
    assert (score.trace_id, score.session_id) == (ids.trace_id("s\0p"), None)


def test_a_prompt_without_requests_cost_nothing() -> None:
    score = told()
    assert score is not None
    assert score.value == 0.0


def test_a_prompt_whose_cost_nobody_told_has_no_score() -> None:
    assert told(requests=2, unpriced=2) is None


def test_a_late_request_changes_the_value_alone() -> None:
    before, after = told(requests=1, cost_picousd=PICO), told(requests=2, cost_picousd=3 * PICO)
    assert before is not None
    assert after is not None
    assert (before.id, before.timestamp_ms) == (after.id, after.timestamp_ms)
    assert (before.value, after.value) == (1.0, 3.0)


@pytest.mark.parametrize(
    ("configured", "attributes", "environment"),
    [
        (None, {}, None),
        (None, {"deployment.environment": "prod"}, "prod"),
        ("staging", {"deployment.environment": "prod"}, "staging"),
    ],
    ids=["none", "told", "configured"],
)
def test_scores_stand_in_the_environment_of_their_traces(
    configured: str | None, attributes: dict[str, str], environment: str | None
) -> None:
    session = SessionTotals(
        session_id="s",
        origin=origin(**attributes),
        since_ms=T0_MS,
        numbers=SessionNumbers(totals=Totals(tools=1)),
        final=True,
    )
    (score,) = session_scores(session, TraceSettings(tags=(), environment=configured))
    assert score.environment == environment
