"""The receiver process: bytes in, committed, answered. It does nothing else.

It inherits the listening socket from the supervisor, which keeps it open over a restart: clients
find the port taken in any case, and Claude Code drops what it cannot connect for. The gRPC port is
its own, beside a socket that the supervisor keeps so that nobody else takes it.
"""

import asyncio
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

import structlog

from bridge.app import child
from bridge.app.doors import Doors, hosts
from bridge.app.health import Health
from bridge.app.reading import ledger_reader
from bridge.app.scrape import Answers, Scrape
from bridge.app.senders import Senders
from bridge.clock import SystemClock
from bridge.errors import StoreError
from bridge.model.requests import Signal
from bridge.model.tokens import Token
from bridge.receive.access import Access
from bridge.receive.budget import MAX_BYTES, Budget
from bridge.receive.http import make_app
from bridge.receive.intake import Intake
from bridge.receive.response import Answered
from bridge.store.inbox import Inbox
from bridge.store.inbox_reader import InboxReader
from bridge.store.reader import LedgerReader
from bridge.store.room import BoundedInbox

if TYPE_CHECKING:
    from bridge.config import Config

HOUSEKEEPING_S = 1.0
TOKENS_S = 0.5
"""How often the tokens file is looked at, which is one ``stat``: a token that was revoked is good
for no longer than that."""
SPARE_BYTES = 16 * 1024 * 1024
SPARE_SHARE = 100
"""How much of the inbox stays with it when it is emptied: some seconds of a busy day, and at most
one part in so many of what the files may have together."""
FINISH_S = 0.6
FINISH_POLL_S = 0.05
"""At a stop: what arrived last is assembled in milliseconds, unless there is a backlog."""

log = structlog.get_logger(__name__)


async def receive(config: "Config", stop: asyncio.Event, listening: socket.socket) -> None:
    """Serve until ``stop``; then stop listening, answer what is open, commit it, close."""
    inbox = Inbox(config.data_dir / "inbox.db")
    bounded = BoundedInbox(inbox, config.data_dir, config.max_disk_bytes)
    ledger = ledger_reader(config)
    seen_by_health = ledger_reader(config)  # which has a thread of its own
    inbox_seen = InboxReader(config.data_dir / "inbox.db")
    intake = Intake(bounded)
    housekeeping = Housekeeping(inbox, bounded, ledger)
    senders = Senders(config)
    access = Access(SystemClock(), senders.tokens, rate_limit=config.rate_limit)
    refused = Counter[str]()
    budget = Budget(max(MAX_BYTES, config.max_body_bytes))
    answers = Answers()
    health = Health(config, inbox, seen_by_health, bounded, refused).report
    scrape = Scrape(
        config,
        health=health,
        inbox=inbox_seen,
        ledger=seen_by_health,
        answers=answers,
        clock=SystemClock(),
    )
    app = make_app(
        intake,
        SystemClock(),
        health,
        metrics=scrape.text,
        took=partial(answers.note, "http"),
        budget=budget,
        max_body_bytes=config.max_body_bytes,
        access=access,
        refused=refused,
        hosts=hosts(config),
    )
    doors = Doors.of(config)
    loop, halt = asyncio.get_running_loop(), threading.Event()
    http = await doors.serve_http(app, listening)
    listeners: list[_Listens] = [http]
    try:
        if config.grpc_port:
            listeners.append(
                await _serve_grpc(
                    config,
                    intake,
                    doors,
                    budget=budget,
                    access=access,
                    refused=refused,
                    took=partial(answers.note, "grpc"),
                )
            )
        child.tell_ready()
        async with asyncio.TaskGroup() as tasks:
            tidy = partial(again_and_again, HOUSEKEEPING_S, halt, housekeeping.tidy)
            tasks.create_task(asyncio.to_thread(tidy), name="tidy")
            renew = partial(_renew, senders, partial(_put_in_force, loop, access))
            watch = partial(again_and_again, TOKENS_S, halt, renew)
            tasks.create_task(asyncio.to_thread(watch), name="tokens")
            if doors.certificates is not None:
                certify = partial(doors.renew, http)
                tasks.create_task(child.every(HOUSEKEEPING_S, stop, certify), name="certificates")
            await stop.wait()
            halt.set()
    finally:
        halt.set()
        await asyncio.gather(*(listener.close() for listener in listeners))
        await intake.close()
        await asyncio.to_thread(housekeeping.finish)
        inbox.close()
        ledger.close()
        seen_by_health.close()
        inbox_seen.close()


class _Listens(Protocol):
    """What HTTP and gRPC have in common."""

    async def close(self) -> None:
        """Stop listening, finish what is open."""
        ...


async def _serve_grpc(
    config: "Config",
    intake: Intake,
    doors: Doors,
    *,
    budget: Budget,
    access: Access,
    refused: Counter[str],
    took: Answered,
) -> _Listens:
    from bridge.receive import grpc  # noqa: PLC0415  not paid for when it is off

    host = f"[{config.host}]" if ":" in config.host else config.host
    return await grpc.serve(
        intake,
        SystemClock(),
        f"{host}:{config.grpc_port}",
        budget=budget,
        max_body_bytes=config.max_body_bytes,
        access=access,
        refused=refused,
        took=took,
        max_connections=doors.max_connections,
        certificates=doors.certificates,
    )


def again_and_again(interval_s: float, halt: threading.Event, work: Callable[[], None]) -> None:
    """Do ``work`` on this thread, ``interval_s`` apart, until ``halt`` is set.

    A timer of the event loop that has it done on a thread takes several times as long as it does
    itself where there is nothing to do.
    """
    work()
    while not halt.wait(interval_s):
        work()


def _renew(senders: Senders, put_in_force: Callable[[Sequence[Token] | None], None]) -> None:
    """Have the tokens of a changed file put in force. Blocks."""
    if senders.renew():
        put_in_force(senders.tokens)
        log.info("tokens.reloaded", in_force=len(senders.tokens or ()))


def _put_in_force(
    loop: asyncio.AbstractEventLoop, access: Access, tokens: Sequence[Token] | None
) -> None:
    """The event loop owns ``access``."""
    loop.call_soon_threadsafe(access.replace, tokens)


class Housekeeping:
    """Keeps the inbox small and sound: what a timer does, on a thread of its own."""

    def __init__(self, inbox: Inbox, bounded: BoundedInbox, ledger: LedgerReader) -> None:
        self._inbox = inbox
        self._bounded = bounded
        self._ledger = ledger
        self._failing = False

    def tidy(self) -> None:
        """Set aside what is damaged, delete what is assembled, move commits into the file."""
        try:
            if replaced := self._inbox.recover():
                log.error("inbox.damaged_file_set_aside", reason=str(replaced))
            self._release()
            self._inbox.shrink(min(SPARE_BYTES, self._bounded.max_bytes // SPARE_SHARE))
            self._inbox.checkpoint()
        except StoreError as error:
            if not self._failing:  # the same every second is worth one line
                log.warning("inbox.tidying_failed", reason=str(error))
            self._failing = True
        else:
            self._failing = False
        self._bounded.measure()

    def finish(self) -> None:
        """Leave no request behind that is assembled already, or is within ``FINISH_S``."""
        deadline_s = time.monotonic() + FINISH_S
        try:
            while self._release() and time.monotonic() < deadline_s:
                time.sleep(FINISH_POLL_S)
        except StoreError as error:
            log.warning("inbox.tidying_failed", reason=str(error))
        for _ in range(2):  # the second one knows that nothing is appended any more
            self.tidy()

    def _release(self) -> int:
        """Delete what is below the watermark of this inbox; how many requests are left."""
        if not self._inbox.totals().kept_requests:
            return 0
        watermark = self._ledger.watermark(self._inbox.generation())
        self._inbox.release(dict.fromkeys(Signal, watermark))
        return self._inbox.totals().kept_requests


if __name__ == "__main__":
    sock = socket.socket(fileno=int(sys.argv[1]))
    sys.exit(child.main("receiver", lambda config, stop: receive(config, stop, sock)))
