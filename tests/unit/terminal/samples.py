"""Observations, traces and sessions to draw; only what a test is about is spelled out."""

from typing import Any

import msgspec

from bridge.model.observations import Level, Observation, ObservationKind, TraceFacts
from bridge.model.views import SessionSummary, TraceView

START_MS = 1_795_306_784_909
"""2026-11-22 00:19:44.909 UTC"""
FACTS = TraceFacts(
    name="claude-code",
    session_id="97d2fd7f-1111-4222-8333-444455556666",
    user_id="alex",
    tags=("department:engineering", "team:platform"),
    metadata={"department": "engineering", "team": "platform"},
    version="2.1.330",
    release=None,
    environment=None,
    service_name="claude-code",
    service_version="2.1.330",
)


def an_observation(identity: str, **fields: Any) -> Observation:
    """An observation below the root that starts at ``after_ms`` and lasts ``lasts_ms``."""
    start_ms = START_MS + fields.pop("after_ms", 0)
    defaults = {
        "trace_id": "a" * 32,
        "id": identity,
        "parent_id": "root",
        "kind": ObservationKind.TOOL,
        "name": "Bash",
        "start_ms": start_ms,
        "end_ms": start_ms + fields.pop("lasts_ms", 500),
        "trace": FACTS,
    }
    return Observation(**{**defaults, **fields})


def a_trace(*observations: Observation, live: bool = False) -> TraceView:
    return TraceView(
        trace_id="a" * 32, session_id=FACTS.session_id, live=live, observations=observations
    )


def a_session(**fields: Any) -> SessionSummary:
    defaults = {
        "session_id": "97d2fd7f-1111-4222-8333-444455556666",
        "user_id": "alex",
        "models": ("claude-opus-5-5",),
        "started_ms": START_MS,
        "ended_ms": START_MS + 125_000,
        "prompts": 2,
        "live": 0,
        "generations": 3,
        "tools": 4,
        "errors": 0,
        "cost_picousd": 3_086_000_000,
        "tokens": {"input": 11, "output": 117, "input_cached_tokens": 1010},
    }
    return SessionSummary(**{**defaults, **fields})


def a_summary(*, start_ms: int = -1, lasts_ms: int = 65_001, **counters: int) -> TraceView:
    """A session's summary: a card of several lines and what it counts."""
    root = an_observation(
        "root",
        parent_id=None,
        kind=ObservationKind.SPAN,
        name="claude-code session",
        after_ms=start_ms,
        lasts_ms=lasts_ms,
        input="Fix the\nadd function",
        output="1 min 5 s · 7 s active\n1 prompt · 1 request\n\n+3 lines " + "x" * 200,
    )
    counted = [
        an_observation(
            name,
            kind=ObservationKind.EVENT,
            name=name,
            after_ms=place,
            lasts_ms=0,
            usage={name: value, "total": 0},
        )
        for place, (name, value) in enumerate(counters.items())
    ]
    active = an_observation(
        "active",
        kind=ObservationKind.SPAN,
        name="active_time_s",
        after_ms=len(counted),
        lasts_ms=7_000_000,
        usage={"active_time_s": 7_000, "total": 0},
    )
    return msgspec.structs.replace(
        a_trace(root, *counted, active), trace_id="b" * 32, is_summary=True
    )


def a_full_trace() -> TraceView:
    """One of everything: root, generation, failed tool, sub-agent, event, debug noise."""
    agent, generation = ObservationKind.AGENT, ObservationKind.GENERATION
    return a_trace(
        an_observation(
            "root",
            parent_id=None,
            kind=agent,
            name="claude-code",
            lasts_ms=65_000,
            input="Fix the\nadd function",
            output="Done. " * 40,
        ),
        an_observation(
            "gen",
            kind=generation,
            name="claude-opus-5-5",
            after_ms=10,
            lasts_ms=3_040,
            input="never shown",
            usage={"input": 11, "output": 117, "input_cached_tokens": 1010},
            cost_picousd=3_086_000_000,
        ),
        an_observation(
            "bash", after_ms=3_100, level=Level.ERROR, status_message="exit 3\nno such file"
        ),
        an_observation("sub", kind=agent, name="general-purpose", after_ms=4_000, lasts_ms=2_000),
        an_observation("read", parent_id="sub", name="Read [notes]", after_ms=4_100),
        an_observation(
            "compact", kind=ObservationKind.EVENT, name="compaction", after_ms=5_000, lasts_ms=0
        ),
        an_observation("hook", name="hook", level=Level.DEBUG, after_ms=6_000),
    )
