"""Sessions and traces as plain data, for ``--json``: nothing shortened, nothing rounded.

Costs are decimal strings in dollars and whole picodollars, times are ISO-8601 and milliseconds.
"""

from bridge.model.observations import Observation, ObservationKind, TraceFacts
from bridge.model.views import SessionSummary, TraceView
from bridge.terminal import formats, tree

Record = dict[str, object]


def session_record(session: SessionSummary) -> Record:
    """One session as a JSON object."""
    return {
        "session_id": session.session_id,
        "user_id": session.user_id,
        "models": list(session.models),
        **_times(session.started_ms, session.ended_ms),
        "prompts": session.prompts,
        "live": session.live,
        "generations": session.generations,
        "tools": session.tools,
        "errors": session.errors,
        "tokens": session.tokens,
        **_cost(session.cost_picousd),
        "active_ms": session.active_ms,
        "lines_added": session.lines_added,
        "lines_removed": session.lines_removed,
        "commits": session.commits,
        "pull_requests": session.pull_requests,
    }


def trace_record(view: TraceView) -> Record:
    """One trace with its sums and all its observations, hidden ones included."""
    generations = [e for e in view.observations if e.kind is ObservationKind.GENERATION]
    return {
        "trace_id": view.trace_id,
        "session_id": view.session_id,
        "live": view.live,
        "is_summary": view.is_summary,
        **(_facts(view.observations[0].trace) if view.observations else {}),
        "duration_ms": tree.elapsed_ms(view),
        "tokens": tree.summed_usage(generations),
        **_cost(sum(each.cost_picousd or 0 for each in generations)),
        "observations": [_observation(each) for each in view.observations],
    }


def _facts(facts: TraceFacts) -> Record:
    return {
        "name": facts.name,
        "user_id": facts.user_id,
        "tags": list(facts.tags),
        "metadata": facts.metadata,
        "version": facts.version,
        "release": facts.release,
        "environment": facts.environment,
    }


def _observation(observation: Observation) -> Record:
    return {
        "id": observation.id,
        "parent_id": observation.parent_id,
        "kind": observation.kind.value,
        "name": observation.name,
        **_times(observation.start_ms, observation.end_ms),
        "level": observation.level.value,
        "status_message": observation.status_message,
        "input": observation.input,
        "output": observation.output,
        "model": observation.model,
        "model_parameters": observation.model_parameters,
        "usage": observation.usage,
        **_cost(observation.cost_picousd),
        "completion_start_ms": observation.completion_start_ms,
        "metadata": observation.metadata,
    }


def _times(start_ms: int, end_ms: int) -> Record:
    return {
        "start": formats.iso_time(start_ms),
        "start_ms": start_ms,
        "end": formats.iso_time(end_ms),
        "end_ms": end_ms,
        "duration_ms": end_ms - start_ms,
    }


def _cost(picousd: int | None) -> Record:
    exact = None if picousd is None else formats.exact_usd(picousd)
    return {"cost_usd": exact, "cost_picousd": picousd}
