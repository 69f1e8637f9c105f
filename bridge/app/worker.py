"""The worker process: assembles what is in the inbox, delivers what is in the ledger.

The ledger has one writing thread; the assembler runs on it, and so do the deliverer's marks. The
event loop only waits for Langfuse and for time.
"""

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

import structlog

from bridge.app import child
from bridge.app.assembler import Assembler
from bridge.app.assembling import Assembling
from bridge.app.ledger_thread import RETRY_S, LedgerThread
from bridge.app.meter import Meter
from bridge.clock import SteadyTime, SystemClock
from bridge.errors import BridgeError, StoreError
from bridge.langfuse.client import LangfuseTarget, connect
from bridge.langfuse.deliver import Deliverer
from bridge.langfuse.scores import ScoreSender
from bridge.langfuse.trust import trust
from bridge.model.delivery import LangfuseState
from bridge.store.inbox_reader import InboxReader
from bridge.store.ledger import Ledger
from bridge.store.room import is_short, used_bytes

if TYPE_CHECKING:
    from bridge.config import Config

DELIVER_IDLE_S = 1.0
"""How often the outbox is looked at though nothing was committed: refused spans that a person sends
again come from another process."""
CA_FILE_RETRY_S = 30.0
PRUNE_S = 60.0
ROOM_S = 1.0
METER_S = 5.0
"""How often times and sizes of deliveries go to the ledger: what a crash may lose of them."""
STOP_GRACE_S = 4.0
"""For the request in flight at a stop; with the receiver's share it stays below ten seconds."""

log = structlog.get_logger(__name__)


async def work(config: "Config", stop: asyncio.Event) -> None:
    """Assemble and deliver until ``stop``; live turns stay in the ledger."""
    ledger = Ledger(config.ledger_path, SteadyTime())
    inbox_path = config.data_dir / "inbox.db"
    inbox = InboxReader(inbox_path)
    assembler = Assembler(config, inbox, ledger)
    thread = LedgerThread(ledger, assembler.forget)
    housekeeping = Housekeeping(config, ledger, thread)
    meter = Meter()
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_tell_ready(ledger, thread, stop), name="ready")
            committed = asyncio.Event()
            assembling = Assembling(assembler, thread, inbox_path, committed)
            tasks.create_task(assembling.run(stop), name="assemble")
            tasks.create_task(_deliver(config, thread, stop, meter, committed), name="deliver")
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


async def _deliver(
    config: "Config",
    thread: LedgerThread,
    stop: asyncio.Event,
    meter: Meter,
    committed: asyncio.Event,
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
            thread,
            client,
            SystemClock(),
            wait_for_work=lambda: _next_commit(committed),
            stop_grace_s=STOP_GRACE_S,
            attempted=meter.note,
        )
        scores = ScoreSender(thread, client, SystemClock(), stop_grace_s=STOP_GRACE_S)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(deliverer.run(stop), name="spans")
            tasks.create_task(scores.run(stop), name="scores")


async def _next_commit(committed: asyncio.Event) -> None:
    """Until something was committed, or it is time to look all the same."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(committed.wait(), DELIVER_IDLE_S)
    committed.clear()


async def _trusts(config: "Config", thread: LedgerThread, stop: asyncio.Event) -> bool:
    """Wait while the CA file, which was fine at the start, cannot be used; False: stopped."""
    while config.ca_file is not None and not stop.is_set():
        try:
            trust(config.ca_file)
            break
        except BridgeError as error:
            log.error("deliver.ca_file_unusable", reason=str(error), retry_s=CA_FILE_RETRY_S)  # noqa: TRY400  no bug of ours
            await thread.note(LangfuseState.UNREACHABLE, str(error))
        await child.pause(CA_FILE_RETRY_S, stop)
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
