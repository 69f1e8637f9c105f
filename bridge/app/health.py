"""What ``GET /healthz`` says. Numbers are of records unless said otherwise."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bridge import __version__
from bridge.errors import StoreError
from bridge.model.delivery import LangfuseState
from bridge.model.outcomes import Outcome
from bridge.store.damage import damaged_files
from bridge.store.inbox import Inbox
from bridge.store.reader import LedgerReader
from bridge.store.room import BoundedInbox

if TYPE_CHECKING:
    from bridge.config import Config


class Health:
    """Reads both stores and a counter when asked; nothing is kept between two questions."""

    def __init__(
        self,
        config: "Config",
        inbox: Inbox,
        ledger: LedgerReader,
        room: BoundedInbox,
        refused: Mapping[str, int],
    ) -> None:
        self._config = config
        self._inbox = inbox
        self._ledger = ledger
        self._room = room
        self._refused = refused
        self._started_s = time.monotonic()

    def report(self) -> Mapping[str, object]:
        """The body of ``/healthz``.

        ``accepted``, ``held``, ``quarantined`` and the numbers under ``outcomes`` count records:
        accepted = held + the sum of outcomes. ``pending``, ``delivered`` and ``dead_lettered``
        count observations. ``cost_gaps`` counts session summaries whose events and metrics tell
        different costs, ``unpriced_requests`` requests of ended sessions that told no cost,
        ``redacted`` the secrets that were masked. ``refused`` counts export requests since the
        receiver started, by reason. ``damaged_files`` were set aside and wait for a person.
        """
        own = self._own()
        try:
            numbers = self._numbers()
        except StoreError as error:
            return {"status": "degraded", "reason": str(error)} | own
        if trouble := self._room.trouble:
            return {"status": "degraded", "reason": trouble} | own | numbers
        return {"status": "ok"} | own | numbers

    def _own(self) -> dict[str, object]:
        """What can be said without either file."""
        return {
            "version": __version__,
            "uptime_s": round(time.monotonic() - self._started_s, 1),
            "disk_bytes": self._room.used_bytes,
            "max_disk_bytes": self._room.max_bytes,
            "damaged_files": damaged_files(self._config.data_dir),
        }

    def _numbers(self) -> dict[str, object]:
        ledger = self._ledger.totals()
        totals = self._inbox.totals()
        accepted = ledger.accepted(self._inbox.generation(), totals)
        last = ledger.last_delivery_ms
        return {
            "accepted": accepted,
            "held": accepted - sum(ledger.outcomes.values()),
            "quarantined": ledger.outcomes[Outcome.QUARANTINED],
            "outcomes": ledger.outcomes,
            "pending": ledger.pending,
            "delivered": ledger.delivered,
            "dead_lettered": ledger.dead_lettered,
            "cost_gaps": ledger.cost_gaps,
            "unpriced_requests": ledger.unpriced_requests,
            "refused": dict(self._refused),
            "redacted": ledger.redacted,
            "last_delivery": _iso(last) if last else None,
            "langfuse": self._langfuse(ledger.langfuse),
        }

    def _langfuse(self, noted: LangfuseState | None) -> LangfuseState:
        """What the worker noted last may be from a time with or without keys."""
        if not self._config.delivers:
            return LangfuseState.LOCAL
        return LangfuseState.OK if noted in {None, LangfuseState.LOCAL} else noted


def _iso(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds")
