"""What a capture tells of its sessions, as a document: summaries, scores and the local totals."""

from pathlib import Path

from bridge.model.scores import PendingScore
from tests.golden.document import document, text_of
from tests.measurements import Sessions, all_requests, assembled, is_summary
from tests.pipeline import Assembly, Json

FOLDER = Path(__file__).parent
CAPTURES = [
    "1.0.60/g-interactive",
    "2.0.76/f-resume",
    "2.0.76/g-interactive",
    "2.1.126/f-resume",
    "2.1.330/a-json-cumulative",
    "2.1.330/a-json-includes",
    "2.1.330/a-pb-gzip",
    "2.1.330/c-denied",
    "2.1.330/e-subagent",
    "2.1.330/f-resume",
    "2.1.330/g-interactive",
    "2.1.330/h-commit",
    "2.1.330/i-ext",
    "2.1.330/j-kill9",
    "2.1.330/x-503-ra",
]
"""Some of every way in which sessions and metrics differ; prompts are in the folder above."""


def golden_path(capture: str) -> Path:
    """Where a capture's document is kept."""
    return FOLDER / f"{capture}.json"


def golden_text(capture: str) -> str:
    """The document of a capture, assembled now."""
    return text_of(sessions_document(assembled(all_requests(capture))))


def sessions_document(made: Sessions) -> Json:
    """Summaries as they would be sent, scores as they would be told, how records ended."""
    whole = made.assembly
    summaries = Assembly(
        spans=[span for span in whole.spans if is_summary(span)],
        outcomes=whole.outcomes,
        accepted=whole.accepted,
        held=whole.held,
    )
    scores = sorted(made.scores, key=lambda each: (each.score.session_id or "", each.score.id))
    return document(summaries) | {"scores": [_score(each) for each in scores]}


def _score(pending: PendingScore) -> Json:
    score = pending.score
    subject = {"session_id": score.session_id, "trace_id": score.trace_id}
    return {key: value for key, value in subject.items() if value} | {
        "id": score.id,
        "name": score.name,
        "value": score.value,
        "timestamp_ms": score.timestamp_ms,
        "comment": score.comment,
        "environment": score.environment,
        "revision": pending.revision,
    }
