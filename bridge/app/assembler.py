"""The assemble step: requests → records → settled parts → observations, in one transaction.

The step is a function of the inbox and the ledger. What it holds in memory is what the ledger has,
so after any failure it is thrown away and read again.
"""

from collections import Counter
from typing import TYPE_CHECKING, assert_never

import msgspec
import structlog

from bridge.app.incoming import Reading
from bridge.app.privacy import decoder, keeps_undecoded
from bridge.correlate.closing import Patience
from bridge.correlate.correlator import Correlator
from bridge.correlate.saved import Bounds, Changes, SavedTurn
from bridge.decode.records import Decoded, Foreign, Unreadable
from bridge.errors import UndecodableError
from bridge.langfuse import ids
from bridge.langfuse.forward import forwarded
from bridge.langfuse.mapping import Mapper
from bridge.langfuse.session_scores import prompt_score, session_scores
from bridge.langfuse.trace import TraceSettings
from bridge.langfuse.wire import SpanEncoder
from bridge.model.events import Record
from bridge.model.foreign import ForeignSpan, Forwarded
from bridge.model.measures import Measurement
from bridge.model.outcomes import Outcome
from bridge.model.parts import Root, Settled
from bridge.model.requests import InboxEntry, Progress
from bridge.model.scores import Score
from bridge.model.sessions import Summary
from bridge.store.inbox_reader import InboxReader
from bridge.store.ledger import COST_GAPS, REDACTED, UNPRICED, Ledger
from bridge.store.step import Finished, Quarantined, Step, SummaryTrace

if TYPE_CHECKING:
    from bridge.config import Config

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

    def __init__(
        self, config: "Config", inbox: InboxReader, ledger: Ledger, bounds: Bounds | None = None
    ) -> None:
        self._inbox = inbox
        self._ledger = ledger
        self._bounds = bounds
        self._patience = Patience(
            settle_ms=config.settle_ms,
            quiet_ms=config.quiet_ms,
            idle_ms=config.idle_ms,
            session_idle_ms=config.session_idle_ms,
            span_settle_ms=config.span_settle_ms,
        )
        self._settings = trace_settings(config)
        self._mapper = Mapper(self._settings)
        self._encoder = SpanEncoder()
        self._keeps_bodies = keeps_undecoded(config)
        self._decoder = decoder(config)
        self._correlator: Correlator | None = None
        self._generation: str | None = None
        self._watermark = 0
        self._progress = Progress()
        self._reading: Reading | None = None
        self._careful = False

    def step(self, now_ms: int) -> int:
        """Take in what is there, up to a bound, and let go what is due.

        Time is the arrival of each request while there are requests, so that a backlog is
        assembled as it would have been without one; it is ``now_ms`` once there are none.

        A large request takes several steps, each of which goes on where the one before has ended.

        Returns:
            How much was done; 0 when the inbox has been read to its end and nothing more is due.
        """
        try:
            return self._step(now_ms)
        except Exception:
            self.forget()
            raise

    def isolate(self, now_ms: int) -> None:
        """After a step failed for no reason a disk could have: go on one request at a time.

        A request that fails alone is quarantined whole, or what is left of it.
        """
        self._careful = True
        try:
            self.step(now_ms)
        except Exception as error:
            entries = self._entries()
            if not entries:
                raise
            log.exception("assemble.request_quarantined", position=entries[0].position)
            self._quarantine(entries[0], _reason(error), now_ms)
        finally:
            self._careful = False

    def forget(self) -> None:
        """The ledger is another one, or behind what is in memory: that counts no more."""
        self._correlator = None
        self._reading = None

    def _step(self, now_ms: int) -> int:
        correlator = self._restored()
        entries = self._entries()
        work = _Work(self._watermark, self._progress)
        taken = 0
        for entry in entries:
            if work.size_bytes >= STEP_BYTES:  # gzip may hold many times its size
                break
            work.settled += correlator.due(entry.request.received_at_ms)
            if correlator.is_full:
                break
            self._take_in(self._reading_of(entry, work), correlator, work)
            taken += 1
        if not entries:
            work.settled += correlator.due(now_ms)
        unfinished = correlator.is_full
        self._save(correlator, work, now_ms)
        return taken or unfinished

    def _entries(self) -> list[InboxEntry]:
        if self._reading is not None:
            return [self._reading.entry]
        most = 1 if self._careful else STEP_ENTRIES
        entries = self._inbox.read(self._watermark, None, STEP_BYTES, most)
        if self._inbox.generation in {None, self._generation}:
            return entries
        self._take_up()
        return self._entries()

    def _take_up(self) -> None:
        """Another inbox than before: its positions begin anew, and so does the watermark."""
        totals = self._inbox.totals()
        generation = self._inbox.generation
        if generation is not None:
            handed_out = totals.accepted - sum(totals.kept_records.values())
            self._watermark = self._ledger.take_up(generation, handed_out)
            self._progress = self._ledger.progress()
            self._generation = generation

    def _reading_of(self, entry: InboxEntry, work: "_Work") -> Reading:
        if self._reading is None:
            self._reading = Reading(entry, self._decoder.batches(entry.request), work.progress)
        return self._reading

    def _take_in(self, reading: Reading, correlator: Correlator, work: "_Work") -> None:
        """Take a request in to its end, or to the bound of a step."""
        while work.size_bytes < STEP_BYTES and not (correlator.is_full or reading.ended):
            for item in self._more(reading, work):
                self._take_item(item, reading.entry, correlator, work)
        work.progress = reading.progress
        if reading.ended:
            work.watermark, work.progress = reading.entry.position, Progress()
            self._reading = None

    def _more(self, reading: Reading, work: "_Work") -> list[Decoded]:
        """What comes next in a request; what is left of it is quarantined if it cannot be read."""
        try:
            items, size_bytes = reading.more()
        except UndecodableError as error:
            work.quarantined.append(self._whole(reading.entry, str(error), reading.progress))
            return []
        work.size_bytes += size_bytes
        return items

    def _take_item(
        self, item: Decoded, entry: InboxEntry, correlator: Correlator, work: "_Work"
    ) -> None:
        match item:
            case Foreign(span=ForeignSpan() as span):
                work.redacted += span.redacted
                work.forwarded.append(forwarded(span, self._settings))
            case Foreign():
                work.outcomes[Outcome.OTHER_SCOPE] += 1
            case Unreadable():
                work.quarantined.append(self._single(entry, item))
            case Measurement():
                work.redacted += item.redacted
                correlator.measure(item)
            case Record():
                work.redacted += item.redacted
                correlator.fold(item)
            case _:
                assert_never(item)

    def _save(self, correlator: Correlator, work: "_Work", now_ms: int) -> None:
        changes = correlator.take_changes()
        finished = self._all_finished(work)
        read_on = (work.watermark, work.progress) != (self._watermark, self._progress)
        if not (read_on or changes.any):
            return
        self._ledger.commit(
            Step(
                watermark=work.watermark,
                progress=work.progress,
                turns=[(turn, self._trace_id(turn)) for turn in changes.turns],
                conversations=changes.conversations,
                finished=finished,
                quarantined=work.quarantined,
                outcomes=Counter(changes.outcomes) + work.outcomes,
                at_ms=now_ms,
                forwarded=work.forwarded,
                tallies=_tallies(work),
                summaries=[_summary_trace(s) for s in work.settled if isinstance(s.part, Summary)],
                scores=self._scores(changes),
                looks_done=changes.looks.done,
                looks_planned=changes.looks.planned,
                sessions=[(each.session_id, each.numbers) for each in changes.sessions],
            )
        )
        self._watermark, self._progress = work.watermark, work.progress
        _tell(work)

    def _scores(self, changes: Changes) -> list[tuple[Score, bool]]:
        """Scores as they should be, and whether they are told at once."""
        costs = (prompt_score(cost, self._settings) for cost in changes.costs)
        return [(score, True) for score in costs if score] + [
            (score, session.final)
            for session in changes.sessions
            for score in session_scores(session, self._settings)
        ]

    def _trace_id(self, turn: SavedTurn) -> str:
        joined = turn.otel_trace_id if self._settings.join_traces else None
        return joined or ids.trace_id(turn.key)

    def _all_finished(self, work: "_Work") -> list[Finished]:
        """Observations of all that settled; what cannot be told of goes into quarantine alone."""
        finished = []
        for settled in work.settled:
            try:
                finished.append(self._finished(settled))
            except (ValueError, TypeError, OverflowError) as error:
                work.quarantined.append(self._unmappable(settled, work.watermark, _reason(error)))
        return finished

    def _finished(self, settled: Settled) -> Finished:
        observation = self._mapper.observation(settled)
        return Finished(
            observation=observation,
            span=self._encoder.encode(observation),
            observed=settled.observed,
            folded=settled.folded,
        )

    def _unmappable(self, settled: Settled, position: int, reason: str) -> Quarantined:
        return Quarantined(
            position=position,
            record_index=None,
            records=settled.observed + settled.folded,
            reason=reason,
            body=msgspec.msgpack.encode(settled.part) if self._keeps_bodies else b"",
        )

    def _whole(self, entry: InboxEntry, reason: str, progress: Progress) -> Quarantined:
        """A request, of which what was assembled before counts no more."""
        return Quarantined(
            position=entry.position,
            record_index=None,
            records=entry.request.records - progress.records,
            reason=reason,
            body=msgspec.msgpack.encode(entry.request) if self._keeps_bodies else b"",
        )

    def _single(self, entry: InboxEntry, unreadable: Unreadable) -> Quarantined:
        return Quarantined(
            position=entry.position,
            record_index=unreadable.index,
            records=1,
            reason=unreadable.reason,
            body=unreadable.record if self._keeps_bodies else b"",
        )

    def _quarantine(self, entry: InboxEntry, reason: str, now_ms: int) -> None:
        progress = self._ledger.progress()
        self.forget()
        self._ledger.commit(
            Step(
                watermark=entry.position,
                turns=(),
                conversations=(),
                finished=(),
                quarantined=(self._whole(entry, reason, progress),),
                outcomes={},
                at_ms=now_ms,
            )
        )

    def _restored(self) -> Correlator:
        if self._correlator is None:
            self._generation = self._ledger.inbox()
            self._watermark = self._ledger.watermark()
            self._progress = self._ledger.progress()
            self._correlator = Correlator(self._patience, self._ledger, self._bounds)
        return self._correlator


class _Work:
    """What one step has gathered so far."""

    def __init__(self, watermark: int, progress: Progress) -> None:
        self.watermark = watermark
        self.progress = progress
        self.size_bytes = 0
        self.settled: list[Settled] = []
        self.quarantined: list[Quarantined] = []
        self.forwarded: list[Forwarded] = []
        self.redacted = 0
        self.outcomes: Counter[Outcome] = Counter()


def trace_settings(config: "Config") -> TraceSettings:
    """The part of the configuration that mapping depends on."""
    return TraceSettings(
        tags=tuple((tag.attribute, tag.key) for tag in config.tags),
        group_by=config.group_by or None,
        environment=config.environment or None,
        join_traces=config.join_traces,
    )


def _tallies(work: _Work) -> Counter[str]:
    """Secrets masked, and what session summaries say of the client's own accounts."""
    tallies: Counter[str] = Counter({REDACTED: work.redacted})
    for part in (each.part for each in work.settled if isinstance(each.part, Summary)):
        tallies[COST_GAPS] += part.gap is not None
        tallies[UNPRICED] += part.numbers.totals.unpriced
    return tallies


def _summary_trace(settled: Settled) -> SummaryTrace:
    start_ms = settled.part.start_ms if isinstance(settled.part, Summary) else 0
    return SummaryTrace(
        key=settled.turn.key,
        trace_id=ids.trace_id(settled.turn.key),
        session_id=settled.turn.session_id,
        started_ms=start_ms,
    )


def _reason(error: Exception) -> str:
    """What went wrong, without the error's own words: they may quote content, and are logged."""
    return f"it cannot be assembled ({type(error).__name__})"


def _tell(work: _Work) -> None:
    for settled in work.settled:
        if isinstance(settled.part, Root):
            log.debug(
                "turn.closed",
                trace=ids.trace_id(settled.turn.key),
                reason=settled.part.closed_by.value,
                requests=settled.part.totals.requests,
            )
    for item in work.quarantined:
        log.warning("assemble.record_quarantined", position=item.position, reason=item.reason)
