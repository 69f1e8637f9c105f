"""The assemble step: requests → records → settled parts → observations, in one transaction.

The step is a function of the inbox and the ledger. What it holds in memory is what the ledger has,
so after any failure it is thrown away and read again.
"""

from collections import Counter

import msgspec
import structlog

from bridge.config import Config
from bridge.correlate.closing import Patience
from bridge.correlate.correlator import Correlator
from bridge.decode.content import ContentPolicy
from bridge.decode.records import Decoder, Foreign, Unreadable
from bridge.errors import UndecodableError
from bridge.langfuse import ids, wire
from bridge.langfuse.mapping import Mapper
from bridge.langfuse.trace import TraceSettings
from bridge.model.outcomes import Outcome
from bridge.model.parts import Root, Settled
from bridge.model.requests import InboxEntry, Signal
from bridge.store.inbox_reader import InboxReader
from bridge.store.ledger import Finished, Ledger, Quarantined, Step

STEP_BYTES = 4_000_000
STEP_ENTRIES = 64
"""How much one transaction takes in: enough that its fsync is cheap per record, little enough that
delivery, which waits for the same file, is never held up for long."""

log = structlog.get_logger(__name__)


class Assembler:
    """Reads the inbox and writes the ledger, step by step. One thread owns it.

    Raises:
        StoreError: From ``step``, when a file cannot be used. Nothing is lost; call it again.
    """

    def __init__(self, config: Config, inbox: InboxReader, ledger: Ledger) -> None:
        self._inbox = inbox
        self._ledger = ledger
        self._patience = Patience(
            settle_ms=config.settle_ms, quiet_ms=config.quiet_ms, idle_ms=config.idle_ms
        )
        self._mapper = Mapper(trace_settings(config))
        self._decoder = Decoder(
            policy=ContentPolicy(config.content),
            tag_attributes=frozenset(
                [*(tag.attribute for tag in config.tags), *filter(None, [config.group_by])]
            ),
        )
        self._correlator: Correlator | None = None
        self._watermark = 0
        self._careful = False

    def step(self, now_ms: int) -> int:
        """Take in what is there, up to a bound, and let go what is due.

        Time is the arrival of each request while there are requests, so that a backlog is
        assembled as it would have been without one; it is ``now_ms`` once there are none.

        Returns:
            How many requests were taken in; 0 when the inbox has been read to its end.
        """
        try:
            return self._step(now_ms)
        except Exception:
            self._correlator = None  # it may be ahead of the ledger
            raise

    def isolate(self, now_ms: int) -> None:
        """After a step failed for no reason a disk could have: go on one request at a time.

        A request that fails alone is quarantined whole.
        """
        self._careful = True
        try:
            self.step(now_ms)
        except Exception as error:
            entries = self._entries()
            if not entries:
                raise
            log.exception("assemble.request_quarantined", position=entries[0].position)
            self._quarantine(entries[0], f"{type(error).__name__}: {error}", now_ms)
        self._careful = False

    def _step(self, now_ms: int) -> int:
        correlator = self._restored(now_ms)
        entries = self._entries()
        work = _Work()
        for entry in entries:
            work.settled += correlator.due(entry.request.received_at_ms)
            self._take_in(entry, correlator, work)
        if not entries:
            work.settled += correlator.due(now_ms)
        self._save(correlator, work, now_ms)
        return len(entries)

    def _entries(self) -> list[InboxEntry]:
        most = 1 if self._careful else STEP_ENTRIES
        return self._inbox.read(self._watermark, Signal.LOGS, STEP_BYTES, most)

    def _take_in(self, entry: InboxEntry, correlator: Correlator, work: "_Work") -> None:
        work.watermark = entry.position
        try:
            decoded = list(self._decoder.decode(entry.request))
        except UndecodableError as error:
            work.quarantined.append(_whole(entry, str(error)))
            return
        for item in decoded:
            match item:
                case Foreign():
                    work.outcomes[Outcome.OTHER_SCOPE] += 1
                case Unreadable():
                    work.quarantined.append(_single(entry, item))
                case record:
                    correlator.fold(record)

    def _save(self, correlator: Correlator, work: "_Work", now_ms: int) -> None:
        changes = correlator.take_changes()
        finished = [self._finished(settled) for settled in work.settled]
        watermark = max(self._watermark, work.watermark)
        if watermark == self._watermark and not (changes.turns or changes.conversations):
            return
        self._ledger.commit(
            Step(
                watermark=watermark,
                turns=[(turn, ids.trace_id(turn.key)) for turn in changes.turns],
                conversations=changes.conversations,
                finished=finished,
                quarantined=work.quarantined,
                outcomes=Counter(changes.outcomes) + work.outcomes,
                at_ms=now_ms,
            )
        )
        self._watermark = watermark
        _tell(work)

    def _finished(self, settled: Settled) -> Finished:
        observation = self._mapper.observation(settled)
        records = settled.observed + settled.folded
        return Finished(
            observation=observation, span=wire.encode_span(observation), records=records
        )

    def _quarantine(self, entry: InboxEntry, reason: str, now_ms: int) -> None:
        self._correlator = None
        self._ledger.commit(
            Step(
                watermark=entry.position,
                turns=(),
                conversations=(),
                finished=(),
                quarantined=(_whole(entry, reason),),
                outcomes={},
                at_ms=now_ms,
            )
        )

    def _restored(self, now_ms: int) -> Correlator:
        if self._correlator is None:
            correlator = Correlator(self._patience, self._ledger)
            correlator.restore(self._ledger.live_conversations(), now_ms=now_ms)
            self._watermark = self._ledger.watermark()
            self._correlator = correlator
        return self._correlator


class _Work:
    """What one step has gathered so far."""

    def __init__(self) -> None:
        self.watermark = 0
        self.settled: list[Settled] = []
        self.quarantined: list[Quarantined] = []
        self.outcomes: Counter[Outcome] = Counter()


def trace_settings(config: Config) -> TraceSettings:
    """The part of the configuration that mapping depends on."""
    return TraceSettings(
        tags=tuple((tag.attribute, tag.key) for tag in config.tags),
        group_by=config.group_by or None,
        environment=config.environment or None,
    )


def _tell(work: _Work) -> None:
    for settled in work.settled:
        if isinstance(settled.part, Root):
            log.debug(
                "turn.closed",
                session=settled.turn.session_id,
                reason=settled.part.closed_by.value,
                requests=settled.part.totals.requests,
            )
    for item in work.quarantined:
        log.warning("assemble.record_quarantined", position=item.position, reason=item.reason)


def _whole(entry: InboxEntry, reason: str) -> Quarantined:
    return Quarantined(
        position=entry.position,
        record_index=None,
        records=entry.request.records,
        reason=reason,
        body=msgspec.msgpack.encode(entry.request),
    )


def _single(entry: InboxEntry, unreadable: Unreadable) -> Quarantined:
    return Quarantined(
        position=entry.position,
        record_index=unreadable.index,
        records=1,
        reason=unreadable.reason,
        body=unreadable.record,
    )
