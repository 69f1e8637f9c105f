"""Scores: the only thing in Langfuse that may change after it was sent."""

import msgspec


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """One numeric score of a session or of a trace.

    Exactly one of ``session_id`` and ``trace_id`` is set. Langfuse knows a score by id, name and
    the UTC date of its timestamp, so all three are the same in every update.

    Attributes:
        id: 32 lower-case hex digits.
        timestamp_ms: When what it tells of began, Unix milliseconds.
        comment: For people: the unit, or how it came about.
    """

    id: str
    name: str
    value: float
    timestamp_ms: int
    session_id: str | None = None
    trace_id: str | None = None
    comment: str | None = None
    environment: str | None = None


class PendingScore(msgspec.Struct, frozen=True, kw_only=True):
    """A score whose value Langfuse does not have yet.

    Attributes:
        revision: 0 for the first value sent, then one more for every update sent; the same score
            at the same revision is always the same value.
    """

    score: Score
    revision: int
