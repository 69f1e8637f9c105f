"""The named endings of a record. Each is a counter in the ledger, of the same name.

``accepted`` (in the inbox) = the sum of these + what is still held, at any moment.
"""

from enum import StrEnum


class Outcome(StrEnum):
    """How an accepted record ended. Every record ends in exactly one of these."""

    OBSERVED = "observed"
    """It became an observation of its own."""
    FOLDED = "folded"
    """It is part of another record's observation (a decision in its tool, an answer in its
    generation, a prompt in its root)."""
    SESSION_TOTAL = "session_total"
    """A metric point: it is part of its session's totals."""
    DUPLICATE = "duplicate"
    """The same record had been accepted before."""
    LATE = "late"
    """It belongs to an observation that had already been sent, and adds no observation."""
    NO_PROMPT = "no_prompt"
    """Start-up events of a session that never saw a prompt; nothing is shown for them."""
    OTHER_SCOPE = "other_scope"
    """It is another program's; only coding agents are mapped."""
    FORWARDED = "forwarded"
    """A span of another program, passed on as it came."""
    QUARANTINED = "quarantined"
    """It could not be decoded; kept aside with the reason."""
