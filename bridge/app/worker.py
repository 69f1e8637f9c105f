"""The worker process: assembles what is in the inbox, delivers what is in the ledger.

The ledger has one writing thread; the assembler runs on it, and so do the deliverer's marks. The
event loop only waits for Langfuse and for time.
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import structlog

from bridge.app import child
from bridge.app.assembler import Assembler
from bridge.app.meter import Meter
from bridge.clock import SteadyTime, SystemClock
from bridge.errors import BridgeError, StoreError
from bridge.langfuse.client import LangfuseTarget, connect
from bridge.langfuse.deliver import Deliverer
from bridge.langfuse.scores import ScoreSender
from bridge.langfuse.trust import trust
from bridge.model.delivery import LangfuseState, PendingSpan
from bridge.model.scores import PendingScore
from bridge.store.inbox_reader import InboxReader
from bridge.store.ledger import Ledger
from bridge.store.room import is_short, used_bytes

if TYPE_CHECKING:
    from bridge.config import Config

POLL_S = 0.05
"""How often an inbox that was read to its end is looked at: a query of microseconds."""
RETRY_S = 1.0
CA_FILE_RETRY_S = 30.0
PRUNE_S = 60.0
ROOM_S = 1.0
METER_S = 5.0
"""How often times and sizes of deliveries go to the ledger: what a crash may lose of them."""
STOP_GRACE_S = 4.0
"""For the request in flight at a stop; with the receiver's share it stays below ten seconds."""

T = TypeVar("T")
log = structlog.get_logger(__name__)


class LedgerThread:
    """The one thread that writes the ledger, as seen from the event loop."""

    def __init__(self, ledger: Ledger, replaced: Callable[[], None]) -> None:
        self._ledger = ledger
        self._replaced = replaced
        # Apart, since a disk that is full for what is written lets go on what is read.
        self._reading = _Availability("ledger.unreadable", "ledger.readable_again")
        self._writing = _Availability("ledger.unavailable", "ledger.available_again")
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")

    async def run(self, work: Callable[[], T]) -> T:
        """The result of ``work``, done on the ledger's thread.

        Raises:
            StoreError: A file could not be used. A damaged ledger has been replaced meanwhile, so
                it is worth trying again.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except StoreError:
            await self.recover()
            raise

    async def recover(self) -> None:
        """Replace the ledger's file if it is damaged; what cannot be done now is tried again."""
        with contextlib.suppress(StoreError):
            await asyncio.get_running_loop().run_in_executor(self._thread, self._recover)

    def _recover(self) -> None:
        if replaced := self._ledger.recover():
            self._replaced()
            log.error("ledger.damaged_file_set_aside", reason=str(replaced))

    async def claim(self, max_bytes: int, max_spans: int) -> list[PendingSpan]:
        """Pending spans, oldest first."""
        reading = self._reading
        return await self._patiently(lambda: self._ledger.claim(max_bytes, max_spans), reading)

    async def delivered(self, positions: Sequence[int], at_ms: int) -> None:
        """Langfuse has these."""
        await self._patiently(lambda: self._ledger.delivered(positions, at_ms))

    async def rejected(self, position: int, reason: str, at_ms: int) -> None:
        """Langfuse will never take this one."""
        await self._patiently(lambda: self._ledger.rejected(position, reason, at_ms))

    async def claim_scores(self, now_ms: int, limit: int) -> list[PendingScore]:
        """Scores to tell now."""
        return await self._patiently(lambda: self._ledger.claim_scores(now_ms, limit))

    async def scores_delivered(self, sent: Sequence[PendingScore], at_ms: int) -> None:
        """Langfuse has these scores."""
        await self._patiently(lambda: self._ledger.scores_delivered(sent, at_ms))

    async def score_rejected(self, pending: PendingScore, reason: str, at_ms: int) -> None:
        """Langfuse will not take this value of a score."""
        await self._patiently(lambda: self._ledger.score_rejected(pending, reason, at_ms))

    async def note(self, state: LangfuseState, reason: str) -> None:  # noqa: ARG002 - for the log
        """What is known of Langfuse."""
        await self._patiently(lambda: self._ledger.note(state))

    async def close(self) -> None:
        """Let what is running end, and close the file.

        Its log is emptied first: SQLite would leave it, since the receiver still reads the file.
        """
        with contextlib.suppress(StoreError):
            await self.run(self._ledger.checkpoint)
        await self.run(self._ledger.close)
        self._thread.shutdown()

    async def _patiently(
        self, work: Callable[[], T], availability: "_Availability | None" = None
    ) -> T:
        """Until it succeeds: a mark that is forgotten would be a span sent twice."""
        availability = availability or self._writing
        while True:
            try:
                done = await self.run(work)
            except StoreError as error:
                availability.lost(error)
                await asyncio.sleep(RETRY_S)
            else:
                availability.regained()
                return done


class _Availability:
    """Says once that files cannot be used, and once that they can again."""

    def __init__(self, lost_event: str, regained_event: str) -> None:
        self._events = (lost_event, regained_event)
        self._failures = 0

    def lost(self, error: StoreError) -> None:
        if not self._failures:
            log.warning(self._events[0], reason=str(error))
        self._failures += 1

    def regained(self) -> None:
        if self._failures:
            log.info(self._events[1], failures=self._failures)
        self._failures = 0


async def work(config: "Config", stop: asyncio.Event) -> None:
    """Assemble and deliver until ``stop``; live turns stay in the ledger."""
    ledger = Ledger(config.ledger_path, SteadyTime())
    inbox = InboxReader(config.data_dir / "inbox.db")
    assembler = Assembler(config, inbox, ledger)
    thread = LedgerThread(ledger, assembler.forget)
    housekeeping = Housekeeping(config, ledger, thread)
    meter = Meter()
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_tell_ready(ledger, thread, stop), name="ready")
            tasks.create_task(_assemble(assembler, thread, stop), name="assemble")
            tasks.create_task(_deliver(config, thread, stop, meter), name="deliver")
            tasks.create_task(
                child.every(METER_S, stop, lambda: _save(meter, ledger, thread)), name="meter"
            )
            for interval_s, chore in housekeeping.chores:
                tasks.create_task(child.every(interval_s, stop, chore), name=chore.__name__)
        await _save(meter, ledger, thread)
    finally:
        await thread.close()
        inbox.close()


async def _tell_ready(ledger: Ledger, thread: LedgerThread, stop: asyncio.Event) -> None:
    """Tell the parent once the ledger is open, which it may not be at the first try."""
    while not stop.is_set():
        try:
            await thread.run(ledger.watermark)
            break
        except StoreError:  # told by those who need it
            await asyncio.sleep(RETRY_S)
    child.tell_ready()


async def _assemble(assembler: Assembler, thread: LedgerThread, stop: asyncio.Event) -> None:
    clock = SystemClock()
    availability = _Availability("assemble.store_unavailable", "assemble.store_available_again")

    async def step() -> None:
        try:
            while await thread.run(lambda: assembler.step(clock.now_ms())) and not stop.is_set():
                pass
            availability.regained()
        except StoreError as error:
            availability.lost(error)
            await asyncio.sleep(RETRY_S)
        except Exception:
            log.exception("assemble.step_failed")
            await _isolate(assembler, thread, clock)

    await child.every(POLL_S, stop, step)


async def _isolate(assembler: Assembler, thread: LedgerThread, clock: SystemClock) -> None:
    """A bug of ours must not stop the others' records."""
    try:
        await thread.run(lambda: assembler.isolate(clock.now_ms()))
    except Exception:
        log.exception("assemble.isolation_failed")
        await asyncio.sleep(RETRY_S)


async def _deliver(
    config: "Config", thread: LedgerThread, stop: asyncio.Event, meter: Meter
) -> None:
    if config.langfuse_public_key is None or config.langfuse_secret_key is None:
        await thread.note(LangfuseState.LOCAL, "no keys")
        return
    target = LangfuseTarget(
        base_url=config.langfuse_base_url,
        public_key=config.langfuse_public_key,
        secret_key=config.langfuse_secret_key.get_secret_value(),
        ca_file=config.ca_file,
    )
    if not await _trusts(config, thread, stop):
        return
    async with connect(target) as client:
        deliverer = Deliverer(
            thread, client, SystemClock(), stop_grace_s=STOP_GRACE_S, attempted=meter.note
        )
        scores = ScoreSender(thread, client, SystemClock(), stop_grace_s=STOP_GRACE_S)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(deliverer.run(stop), name="spans")
            tasks.create_task(scores.run(stop), name="scores")


async def _trusts(config: "Config", thread: LedgerThread, stop: asyncio.Event) -> bool:
    """Wait while the CA file, which was fine at the start, cannot be used; False: stopped."""
    while config.ca_file is not None and not stop.is_set():
        try:
            trust(config.ca_file)
            break
        except BridgeError as error:
            log.error("deliver.ca_file_unusable", reason=str(error), retry_s=CA_FILE_RETRY_S)  # noqa: TRY400  no bug of ours
            await thread.note(LangfuseState.UNREACHABLE, str(error))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), CA_FILE_RETRY_S)
    return not stop.is_set()


async def _save(meter: Meter, ledger: Ledger, thread: LedgerThread) -> None:
    """Add what was metered to the ledger; what cannot be added now is not worth waiting for."""
    counts = meter.take()
    if not counts:
        return
    try:
        await thread.run(lambda: ledger.count(counts))
    except StoreError as error:
        log.warning("ledger.counts_lost", reason=str(error))


class Housekeeping:
    """Retention, room and soundness of the ledger, in steps between which others get their turn.

    Attributes:
        chores: How often what is done, in seconds.
    """

    def __init__(self, config: "Config", ledger: Ledger, thread: LedgerThread) -> None:
        self._config = config
        self._ledger = ledger
        self._thread = thread
        self.chores = ((ROOM_S, self.make_room), (PRUNE_S, self.prune))

    async def prune(self) -> None:
        """Delete what is older than retention says, and give the room back."""
        with contextlib.suppress(StoreError):  # the assembler says so, and this comes again
            while await self._thread.run(self._prune):
                pass
            await self._shrink()

    def _prune(self) -> int:
        before_ms = self._ledger.aged_ms(SystemClock().now_ms()) - self._config.retention_ms
        return self._ledger.prune(before_ms, pending_too=not self._config.delivers)

    async def make_room(self) -> None:
        """Delete the oldest history before its time while the files are near their bound."""
        await self._thread.recover()
        with contextlib.suppress(StoreError):
            while self._is_short():
                if not await self._thread.run(self._ledger.make_room):
                    return
                await self._shrink()

    async def _shrink(self) -> None:
        while await self._thread.run(self._ledger.shrink):
            pass
        await self._thread.run(self._ledger.checkpoint)

    def _is_short(self) -> bool:
        return is_short(used_bytes(self._config.data_dir), self._config.max_disk_bytes)


if __name__ == "__main__":
    sys.exit(child.main("worker", work))
