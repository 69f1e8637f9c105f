"""What a capture becomes, as a document to read and to compare: one trace after the other.

What every span of a trace repeats is told once, as the trace's facts; spans that differ in it
cannot be written down and fail. Numbers and texts are exact, times are written for people.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.pipeline import Assembly, Json, Seen, assemble_capture, below

GOLDEN = Path(__file__).parent

OWN = "langfuse.observation."
METADATA = f"{OWN}metadata."
TRACE_METADATA = "langfuse.trace.metadata."


def golden_path(capture: str) -> Path:
    """Where a capture's document is kept."""
    return GOLDEN / f"{capture}.json"


def golden_text(capture: str) -> str:
    """The document of a capture, assembled now."""
    return text_of(document(assemble_capture(capture)))


def text_of(value: Any) -> str:
    """JSON for people: sorted keys, two spaces."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def document(assembly: Assembly) -> Json:
    """All traces of an assembly, and how its records ended."""
    return {
        "records": {"accepted": assembly.accepted, **assembly.outcomes},
        "traces": [_trace(spans) for spans in assembly.traces.values()],
    }


def _trace(spans: list[Seen]) -> Json:
    first = spans[0]
    for span in spans:
        assert span.trace_facts == first.trace_facts, f"{span.name} tells the trace otherwise"
        assert span.service == first.service
    facts = {k: v for k, v in first.trace_facts.items() if not k.startswith(TRACE_METADATA)}
    return {
        "trace_id": first.trace_id,
        "facts": facts | {"metadata": below(TRACE_METADATA, first.trace_facts)},
        "service": list(first.service),
        "observations": [_observation(span) for span in spans],
    }


def _observation(span: Seen) -> Json:
    own = {
        key.removeprefix(OWN): value
        for key, value in span.attributes.items()
        if key.startswith(OWN) and not key.startswith(METADATA)
    }
    return own | {
        "id": span.id,
        "parent_id": span.parent_id,
        "name": span.name,
        "start": _iso(span.start_ms),
        "end": _iso(span.end_ms),
        "otel_status": "error" if span.failed else "unset",
        "metadata": span.metadata,
    }


def _iso(unix_ms: int) -> str:
    moment = datetime.fromtimestamp(unix_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
