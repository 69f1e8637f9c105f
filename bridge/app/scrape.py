"""What ``GET /metrics`` says: health's numbers, the ledger's series, this process' own.

Read anew at every scrape, on the thread that answers health too. What must outlive a restart comes
from the two files; only ``answers``, ``refusals`` and the times of answers begin at zero with the
receiver, as Prometheus expects of counters.
"""

import platform
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sized
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from bridge import __version__
from bridge.clock import Clock
from bridge.errors import StoreError
from bridge.metrics.spread import ANSWER_S, LE, Spread
from bridge.model.delivery import LangfuseState

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.config import Config
    from bridge.metrics.exposition import Sample
    from bridge.store.inbox_reader import InboxReader
    from bridge.store.reader import LedgerReader

HEALTH: Final = {
    "uptime_s": "uptime_seconds",
    "accepted": "records_accepted",
    "held": "records_held",
    "pending": "observations_pending",
    "delivered": "observations_delivered",
    "dead_lettered": "observations_dead_lettered",
    "cost_gaps": "cost_gaps",
    "unpriced_requests": "unpriced_requests",
    "max_disk_bytes": "store_max_bytes",
    "redacted": "secrets_masked",
}
"""Numbers of the health report that are metrics as they are."""

LABELLED: Final = {
    "outcomes": ("records_settled", "outcome"),
    "refused": ("refusals", "reason"),
}
"""Those of it that are numbers by name: metric and label."""


class Answers:
    """How export requests were answered since the receiver started, over both doors."""

    def __init__(self) -> None:
        self._codes: Counter[tuple[str, str]] = Counter()
        self._took: defaultdict[str, Spread] = defaultdict(partial(Spread, ANSWER_S))

    def note(self, protocol: str, code: str, took_s: float) -> None:
        """Count one answer."""
        self._codes[protocol, code] += 1
        self._took[protocol].note(took_s)

    def samples(self) -> "Iterator[Sample]":
        """Answers by code, and how long they took."""
        for (protocol, code), number in self._codes.copy().items():
            yield "answers", {"protocol": protocol, "code": code}, number
        for protocol, spread in self._took.copy().items():
            for bucket, number in spread.counts().items():
                yield "answer_seconds", {"protocol": protocol, LE: bucket}, number


class Scrape:
    """Gathers every sample when asked; nothing is kept between two scrapes."""

    def __init__(
        self,
        config: "Config",
        *,
        health: "Callable[[], Mapping[str, object]]",
        inbox: "InboxReader",
        ledger: "LedgerReader",
        answers: Answers,
        clock: Clock,
    ) -> None:
        self._config = config
        self._health = health
        self._inbox = inbox
        self._ledger = ledger
        self._answers = answers
        self._clock = clock

    def text(self) -> tuple[bytes, str]:
        """The body of ``/metrics``, and its content type."""
        from bridge.metrics import exposition  # noqa: PLC0415  not paid for until somebody scrapes

        return exposition.text(self._samples()), exposition.CONTENT_TYPE

    def _samples(self) -> "Iterator[Sample]":
        build = {"version": __version__, "python": platform.python_version()}
        yield "build_info", build, 1
        report = self._health()
        yield "healthy", {}, report["status"] == "ok"
        yield from of_health(report)
        yield from self._answers.samples()
        yield from self._disk()
        try:
            samples = list(self._stored())
        except StoreError:
            return  # which ``healthy`` tells
        yield from samples

    def _stored(self) -> "Iterator[Sample]":
        now_ms = self._clock.now_ms()
        watched = self._ledger.watched()
        unread_ms = self._inbox.oldest_ms(self._ledger.totals().watermark)
        yield from _lag("assemble", unread_ms, now_ms)
        yield from _lag("settle", watched.held_since_ms, now_ms)
        yield from _lag("deliver", watched.pending_since_ms, now_ms)
        yield "open_turns", {}, watched.open_turns
        yield "open_sessions", {}, watched.open_sessions
        for outcome, number in watched.scores.items():
            yield "scores", {"outcome": outcome}, number
        yield from watched.counts

    def _disk(self) -> "Iterator[Sample]":
        usage = shutil.disk_usage(self._config.data_dir)
        yield "disk_free_bytes", {}, usage.free
        yield "disk_size_bytes", {}, usage.total
        for name in ("inbox", "ledger"):
            files = self._config.data_dir.glob(f"{name}.db*")
            yield "store_bytes", {"file": name}, sum(file.stat().st_size for file in files)


def of_health(report: Mapping[str, object]) -> "Iterator[Sample]":
    """The samples that the health report has; what it does not tell is left out."""
    for field, name in HEALTH.items():
        if isinstance(value := report.get(field), int | float):
            yield name, {}, value
    for field, (name, label) in LABELLED.items():
        if isinstance(values := report.get(field), Mapping):
            for key, number in values.items():
                yield name, {label: str(key)}, number
    if isinstance(damaged := report.get("damaged_files"), Sized):
        yield "damaged_files", {}, len(damaged)
    if "langfuse" in report:
        for state in LangfuseState:
            yield "langfuse_state", {"state": state.value}, report["langfuse"] == state
    if isinstance(last := report.get("last_delivery"), str):
        yield "last_delivery_timestamp_seconds", {}, datetime.fromisoformat(last).timestamp()


def _lag(stage: str, since_ms: int | None, now_ms: int) -> "Iterator[Sample]":
    age_ms = 0 if since_ms is None else max(0, now_ms - since_ms)
    yield "lag_seconds", {"stage": stage}, age_ms / 1000
