"""What one assemble step gathers before it is committed, and what it says of it."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import structlog

from bridge.app.counting import Seen
from bridge.langfuse import ids
from bridge.model.outcomes import Outcome
from bridge.model.parts import Root, Settled
from bridge.model.requests import Progress
from bridge.model.sessions import Summary
from bridge.store.ledger import COST_GAPS, REDACTED, UNPRICED
from bridge.store.step import Quarantined, SummaryTrace

if TYPE_CHECKING:
    from bridge.model.foreign import Forwarded

log = structlog.get_logger(__name__)


class Work:
    """What one step has gathered so far."""

    def __init__(self, watermark: int, progress: Progress) -> None:
        self.watermark = watermark
        self.progress = progress
        self.size_bytes = 0
        self.settled: list[Settled] = []
        self.quarantined: list[Quarantined] = []
        self.forwarded: list[Forwarded] = []
        self.redacted = 0
        self.seen = Seen()
        self.outcomes = Counter[Outcome]()


def tallies(redacted: int, summaries: Iterable[Settled]) -> Counter[str]:
    """Secrets masked, and what session summaries say of the client's own accounts."""
    counted = Counter[str]({REDACTED: redacted})
    for part in [each.part for each in summaries]:
        if type(part) is Summary:
            counted[COST_GAPS] += part.gap is not None
            counted[UNPRICED] += part.numbers.totals.unpriced
    return counted


def summary_trace(settled: Settled) -> SummaryTrace:
    """The trace of a settled summary, to be listed with its session's."""
    start_ms = settled.part.start_ms if isinstance(settled.part, Summary) else 0
    return SummaryTrace(
        key=settled.turn.key,
        trace_id=ids.trace_id(settled.turn.key),
        session_id=settled.turn.session_id,
        started_ms=start_ms,
    )


def tell(work: Work) -> None:
    """Log what has ended: turns for those who debug, records in quarantine for everybody."""
    if logging.getLogger(__name__).isEnabledFor(logging.DEBUG):
        _tell_of_turns(work.settled)
    for item in work.quarantined:
        log.warning("assemble.record_quarantined", position=item.position, reason=item.reason)


def _tell_of_turns(settled: Sequence[Settled]) -> None:
    """Only where it is written: structlog takes 50 thousand instructions to find that it is not."""
    for each in settled:
        if type(each.part) is Root:
            log.debug(
                "turn.closed",
                trace=ids.trace_id(each.turn.key),
                reason=each.part.closed_by.value,
                requests=each.part.totals.requests,
            )
