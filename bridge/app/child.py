"""What the receiver and the worker share: how a child starts, logs and stops.

The parent writes the configuration as one line (``handed``) to the child's standard input and then
nothing more. The end of that input means that the parent is gone, so a child never outlives it;
a stop request is SIGTERM. A terminal's Ctrl-C does not reach children, which are sessions of their
own. In the other direction goes one line, READY, once the child does its work.
"""

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

from bridge.app.handed import take_over
from bridge.telemetry import logging

if TYPE_CHECKING:
    from bridge.config import Config

ORPHAN_S = 8
"""What an orphan may take for its orderly end. The parent would have killed it sooner, and the next
bridge cannot start before."""

READY = "ready\n"

log = structlog.get_logger(__name__)


def main(role: str, serve: "Callable[[Config, asyncio.Event], Awaitable[None]]") -> int:
    """Run one child until it is asked to stop; returns its exit code."""
    line = sys.stdin.readline()
    if not line:
        return 0  # the parent was gone before it could say anything
    config = take_over(line)
    logging.configure(config.log_level, config.log_format)
    structlog.contextvars.bind_contextvars(process=role)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it may be sent to all of a service's processes
    gc.freeze()  # what was imported stays, and need not be looked through again and again
    try:
        asyncio.run(_until_stopped(config, serve))
    except Exception:
        log.exception("bridge.child_failed")
        return 1
    return 0


async def _until_stopped(
    config: "Config", serve: "Callable[[Config, asyncio.Event], Awaitable[None]]"
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(sys.stdin, _stop_at_end_of_input, stop)
    await serve(config, stop)


def _stop_at_end_of_input(stop: asyncio.Event) -> None:
    if not sys.stdin.read():
        asyncio.get_running_loop().remove_reader(sys.stdin)
        signal.alarm(ORPHAN_S)  # nobody is left to kill it if it hangs
        stop.set()


def tell_ready() -> None:
    """Tell the parent that the work has begun."""
    with contextlib.suppress(BrokenPipeError):  # it is gone, which standard input will tell
        sys.stdout.write(READY)
        sys.stdout.flush()


async def every(
    interval_s: float, stop: asyncio.Event, work: Callable[[], Awaitable[None]]
) -> None:
    """Do ``work`` again and again, ``interval_s`` apart, until ``stop`` is set."""
    while not stop.is_set():
        await work()
        await pause(interval_s, stop)


async def pause(pause_s: float, stop: asyncio.Event) -> None:
    """Wait that long, or until ``stop`` is set."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), pause_s)
