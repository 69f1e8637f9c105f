"""How the worker's deliveries go, gathered in memory until the ledger is told."""

from collections import Counter

from bridge.langfuse.deliver import Attempt
from bridge.metrics.spread import BATCH_SPANS, DELIVERY_S, Spread
from bridge.model.counted import Counts, Series


class Meter:
    """Times, sizes and endings of requests to Langfuse. Owned by the event loop."""

    def __init__(self) -> None:
        self._took_s = Spread(DELIVERY_S)
        self._spans = Spread(BATCH_SPANS)
        self._endings: Counter[str] = Counter()

    def note(self, attempt: Attempt) -> None:
        """Count one request."""
        self._took_s.note(attempt.took_s)
        self._spans.note(attempt.spans)
        self._endings[attempt.ending] += 1

    def take(self) -> Counts:
        """What came since the last time."""
        endings, self._endings = self._endings, Counter()
        attempts = {
            Series("delivery_attempts", (("outcome", ending),)): n for ending, n in endings.items()
        }
        took_s = self._took_s.take("delivery_seconds")
        return attempts | took_s | self._spans.take("delivery_batch_spans")
