"""Steps and observations as the assembler gives them to the ledger."""

from typing import Any

from bridge.langfuse import wire
from bridge.model.observations import Observation, ObservationKind, TraceFacts
from bridge.store.step import Finished, Step


def a_step(**fields: Any) -> Step:
    told: dict[str, Any] = {
        "watermark": 1,
        "turns": (),
        "conversations": (),
        "finished": (),
        "quarantined": (),
        "outcomes": {},
        "at_ms": 1000,
    }
    return Step(**(told | fields))


def a_finished(number: int, records: int = 1, name: str = "n") -> Finished:
    observation = Observation(
        trace_id="ab" * 16,
        id=f"{number:016x}",
        parent_id="cd" * 8,
        kind=ObservationKind.EVENT,
        name=name,
        start_ms=1000,
        end_ms=1000,
        trace=TraceFacts(
            name="claude-code",
            session_id="s",
            user_id=None,
            tags=(),
            metadata={},
            version=None,
            release=None,
            environment=None,
            service_name="claude-code",
            service_version="2.1.330",
        ),
    )
    return Finished(
        observation=observation, span=wire.encode_span(observation), observed=1, folded=records - 1
    )
