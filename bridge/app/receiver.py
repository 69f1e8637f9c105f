"""The receiver process: bytes in, committed, answered. It does nothing else.

It inherits the listening socket from the supervisor, which keeps it open over a restart: clients
find the port taken in any case, and Claude Code drops what it cannot connect for.
"""

import asyncio
import socket
import sys

import structlog

from bridge.app import child
from bridge.app.health import Health
from bridge.app.reading import ledger_reader
from bridge.clock import SystemClock
from bridge.config import Config
from bridge.errors import StoreError
from bridge.model.requests import Signal
from bridge.receive.http import make_app, serve
from bridge.receive.intake import Intake
from bridge.store.inbox import Inbox
from bridge.store.reader import LedgerReader

HOUSEKEEPING_S = 1.0

log = structlog.get_logger(__name__)


async def receive(config: Config, stop: asyncio.Event, listening: socket.socket) -> None:
    """Serve until ``stop``; then stop listening, answer what is open, commit it, close."""
    inbox = Inbox(config.data_dir / "inbox.db")
    ledger = ledger_reader(config)
    intake = Intake(inbox)
    app = make_app(
        intake,
        SystemClock(),
        Health(config, inbox, ledger_reader(config)).report,
        max_body_bytes=config.max_body_bytes,
    )
    listener = await serve(app, listening)
    try:
        await child.every(HOUSEKEEPING_S, stop, lambda: asyncio.to_thread(_tidy, inbox, ledger))
    finally:
        await listener.close()
        await intake.close()
        inbox.close()
        ledger.close()


def _tidy(inbox: Inbox, ledger: LedgerReader) -> None:
    """Delete requests that are assembled, and move commits into the file."""
    try:
        inbox.release({Signal.LOGS: ledger.totals().watermark})
        inbox.checkpoint()
    except StoreError as error:
        log.warning("inbox.tidying_failed", reason=str(error))


if __name__ == "__main__":
    sock = socket.socket(fileno=int(sys.argv[1]))
    sys.exit(child.main("receiver", lambda config, stop: receive(config, stop, sock)))
