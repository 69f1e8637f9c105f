"""The assemble step: requests → records → settled parts → observations, in one transaction.

The step is a function of the inbox and the ledger. What it holds in memory is what the ledger has,
so after any failure it is thrown away and read again.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, assert_never

import structlog

from bridge.app.aside import SettingAside, reason_of
from bridge.app.gathered import Work, summary_trace, tallies, tell
from bridge.app.incoming import Reading
from bridge.app.isolation import culprits
from bridge.app.privacy import decoder, keeps_undecoded
from bridge.correlate.closing import Patience
from bridge.correlate.correlator import Correlator
from bridge.correlate.saved import Bounds, Changes, SavedTurn
from bridge.decode.records import Decoded, Foreign, Unreadable
from bridge.errors import StoreError, UndecodableError
from bridge.langfuse import ids
from bridge.langfuse.forward import forwarded
from bridge.langfuse.mapping import Mapper
from bridge.langfuse.session_scores import prompt_score, session_scores
from bridge.langfuse.trace import TraceSettings
from bridge.langfuse.wire import SpanEncoder
from bridge.metrics.usage import Usage, tag_labels
from bridge.model.events import Record
from bridge.model.foreign import ForeignSpan
from bridge.model.measures import Measurement
from bridge.model.outcomes import Outcome
from bridge.model.parts import Settled
from bridge.model.requests import InboxEntry, Progress
from bridge.model.scores import Score
from bridge.model.sessions import Summary
from bridge.store.inbox_reader import InboxReader
from bridge.store.ledger import Ledger
from bridge.store.step import Finished, Step

if TYPE_CHECKING:
    from bridge.config import Config

STEP_BYTES = 4_000_000
STEP_ENTRIES = 256
"""How much one transaction takes in: enough that its fsync and the pages that many rows share are
cheap per record, little enough that delivery, which waits for the same file, is never held up for
long: by 0.2 s for this many small requests, which is less than the bytes allow."""

log = structlog.get_logger(__name__)


class Assembler:
    """Reads the inbox and writes the ledger, step by step. One thread owns it.

    Attributes:
        committed: How many steps had something to commit.
        due_ms: When something is due without any record, as of the last step that found none;
            None: never. Unix milliseconds.

    Raises:
        StoreError: From ``step``, when a file cannot be used. Nothing is lost; call it again.
    """

    def __init__(
        self, config: "Config", inbox: InboxReader, ledger: Ledger, bounds: Bounds | None = None
    ) -> None:
        self.committed = 0
        self.due_ms: int | None = 0
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
        self._usage = Usage(tag_labels({tag.attribute: tag.key for tag in config.tags}))
        self._aside = SettingAside(keeps_content=keeps_undecoded(config))
        self._decoder = decoder(config)
        self._correlator: Correlator | None = None
        self._generation: str | None = None
        self._watermark = 0
        self._progress = Progress()
        self._reading: Reading | None = None
        self._careful = False
        self._left_out: AbstractSet[int] = frozenset()
        self._reason = ""

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

        Of a request that fails alone, the records it fails with are quarantined and the others
        taken in; only where that is of no use it is quarantined whole, or what is left of it.
        """
        self._careful = True
        try:
            self.step(now_ms)
        except StoreError:
            raise
        except Exception as error:
            entries = self._entries()
            if not entries:
                raise
            log.exception("assemble.request_failed", position=entries[0].position)
            self._take_in_the_rest(entries[0], error, now_ms)
        finally:
            self._careful = False

    def forget(self) -> None:
        """The ledger is another one, or behind what is in memory: that counts no more."""
        self._correlator = None
        self._reading = None
        self.due_ms = 0

    def _take_in_the_rest(self, entry: InboxEntry, error: Exception, now_ms: int) -> None:
        """Find the culprits of a request by leaving records out, and go on without them."""

        def fails(left_out: AbstractSet[int]) -> bool:
            self.forget()
            self._left_out = left_out
            try:
                self._step(now_ms, self._ledger.rehearse)
            except StoreError:
                raise
            except Exception:  # noqa: BLE001 - which one it is was logged
                return True
            finally:
                self.forget()
            return False

        self._reason = reason_of(error)
        try:
            self._left_out = culprits(fails, entry.request.records)
            self.step(now_ms)
        except StoreError:
            raise
        except Exception:
            log.exception("assemble.request_quarantined", position=entry.position)
            self._quarantine(entry, self._reason, now_ms)
        finally:
            self._left_out = frozenset()

    def _step(self, now_ms: int, commit: Callable[[Step], None] | None = None) -> int:
        correlator = self._restored()
        entries = self._entries()
        work = Work(self._watermark, self._progress)
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
        self._save(correlator, work, now_ms, commit or self._ledger.commit)
        if not entries:
            self.due_ms = correlator.next_look_ms()
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

    def _reading_of(self, entry: InboxEntry, work: Work) -> Reading:
        if self._reading is None:
            self._reading = Reading(entry, self._decoder.batches(entry.request), work.progress)
        return self._reading

    def _take_in(self, reading: Reading, correlator: Correlator, work: Work) -> None:
        """Take a request in to its end, or to the bound of a step."""
        while work.size_bytes < STEP_BYTES and not (correlator.is_full or reading.ended):
            place = reading.progress.records
            unreadable = self._take_items(self._more(reading, work), place, correlator, work)
            work.quarantined += self._aside.singles(reading.entry, unreadable)
        work.progress = reading.progress
        if reading.ended:
            work.watermark, work.progress = reading.entry.position, Progress()
            self._reading = None

    def _more(self, reading: Reading, work: Work) -> list[Decoded]:
        """What comes next in a request; what is left of it is quarantined if it cannot be read."""
        try:
            items, size_bytes = reading.more()
        except UndecodableError as error:
            whole = self._aside.whole(reading.entry, str(error), reading.progress)
            work.quarantined.append(whole)
            return []
        work.size_bytes += size_bytes
        return items

    def _take_items(
        self, items: list[Decoded], place: int, correlator: Correlator, work: Work
    ) -> dict[int, str]:
        """Take in what can be; the rest by its place in the request, and why.

        Args:
            items: Neighbours in a request.
            place: How many of its records are before them.
            correlator: What takes them.
            work: What of them is for this step alone.
        """
        records = [item for item in items if type(item) is Record]
        if len(records) == len(items) and not self._left_out:  # nearly always
            _take_records(records, correlator, work)
            return {}
        unreadable: dict[int, str] = {}
        place -= 1
        for item in items:
            place += item.records if isinstance(item, Measurement) else 1
            if isinstance(item, Unreadable):
                unreadable[place] = item.reason
            elif self._left_out and place in self._left_out:
                unreadable[place] = self._reason
            else:
                self._take_item(item, correlator, work)
        return unreadable

    def _take_item(
        self, item: Foreign | Measurement | Record, correlator: Correlator, work: Work
    ) -> None:
        match item:
            case Record():
                _take_records([item], correlator, work)
            case Measurement():
                work.redacted += item.redacted
                work.seen.note_measurement(item)
                correlator.measure(item)
            case Foreign(span=ForeignSpan() as span):
                work.redacted += span.redacted
                work.forwarded.append(forwarded(span, self._settings))
            case Foreign():
                work.outcomes[Outcome.OTHER_SCOPE] += 1
            case _:
                assert_never(item)

    def _save(
        self,
        correlator: Correlator,
        work: Work,
        now_ms: int,
        commit: Callable[[Step], None],
    ) -> None:
        changes = correlator.take_changes()
        finished = self._all_finished(work)
        summaries = [each for each in work.settled if type(each.part) is Summary]
        read_on = (work.watermark, work.progress) != (self._watermark, self._progress)
        if not (read_on or changes.any):
            return
        commit(
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
                tallies=tallies(work.redacted, summaries),
                counts=work.seen.counts(),
                summaries=[summary_trace(each) for each in summaries],
                scores=self._scores(changes),
                looks_done=changes.looks.done,
                looks_planned=changes.looks.planned,
                sessions=[(each.session_id, each.numbers) for each in changes.sessions],
            )
        )
        self._watermark, self._progress = work.watermark, work.progress
        self.committed += 1
        tell(work)

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

    def _all_finished(self, work: Work) -> list[Finished]:
        """Observations of all that settled; what cannot be told of goes into quarantine alone."""
        finished = []
        for settled in work.settled:
            try:
                finished.append(self._finished(settled))
            except Exception as error:  # noqa: BLE001 - a bug of ours costs this part only
                reason = reason_of(error)
                work.quarantined.append(self._aside.part(settled, work.watermark, reason))
        return finished

    def _finished(self, settled: Settled) -> Finished:
        observation = self._mapper.observation(settled)
        return Finished(
            observation=observation,
            span=self._encoder.encode(observation),
            observed=settled.observed,
            folded=settled.folded,
            usage=self._usage.of(settled),
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
                quarantined=(self._aside.whole(entry, reason, progress),),
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


def _take_records(records: Sequence[Record], correlator: Correlator, work: Work) -> None:
    work.redacted += sum([record.redacted for record in records])
    work.seen.note_records(records)
    for record in records:
        correlator.fold(record)


def trace_settings(config: "Config") -> TraceSettings:
    """The part of the configuration that mapping depends on."""
    return TraceSettings(
        tags=tuple((tag.attribute, tag.key) for tag in config.tags),
        group_by=config.group_by or None,
        environment=config.environment or None,
        join_traces=config.join_traces,
    )
