"""Is the bridge well? Asked from outside the processes that do the work, for the service manager.

Responsible for: asking the receiver as a client would, and what follows from the answer: READY once
everything works, WATCHDOG as long as it does, STATUS in words.
Left to others: how that is sent (``systemd``), starting children again (``supervisor``).
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from bridge.app.systemd import Notifier

if TYPE_CHECKING:
    from bridge.config import Config

STARTING_S: Final = 0.1
"""How often to look until all is ready."""
STATUS_S: Final = 10.0
"""How often then, or three times within what the watchdog allows."""
ANSWER_S: Final = 5.0
QUESTION: Final = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  not to bind to


class Look(NamedTuple):
    """What was found at one look.

    Attributes:
        away: The children that do not work, by name.
        health: What ``/healthz`` says, empty if all that is known is that somebody answered; None:
            nobody did in time.
    """

    away: tuple[str, ...]
    health: Mapping[str, object] | None

    @property
    def is_well(self) -> bool:
        """Whether records are received and assembled."""
        return not self.away and self.health is not None


async def report(
    notifier: Notifier, look: Callable[[], Awaitable[Look]], stop: asyncio.Event
) -> None:
    """Tell the service manager how we are, again and again until ``stop``."""
    ready = False
    while notifier.wanted and not stop.is_set():
        found = await look()
        if stop.is_set():
            return
        notifier.tell(**news(found, ready=ready))
        ready |= found.is_well
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause_s(notifier.watchdog_s, ready=ready))


def news(found: Look, *, ready: bool) -> dict[str, str]:
    """What to tell of a look; ``ready``: READY was told before."""
    signs: dict[str, str] = {}
    if found.is_well:
        signs = {"WATCHDOG": "1"} if ready else {"READY": "1", "WATCHDOG": "1"}
    return signs | {"STATUS": status(found)}


def pause_s(watchdog_s: float | None, *, ready: bool) -> float:
    """How long until the next look."""
    if not ready:
        return STARTING_S
    return min(STATUS_S, watchdog_s / 3) if watchdog_s else STATUS_S


def status(found: Look) -> str:
    """One line for ``systemctl status``."""
    if found.away:
        return f"Waiting for: {', '.join(found.away)}"
    if found.health is None:
        return f"The receiver has not answered within {ANSWER_S:.0f} s"
    if "reason" in found.health:
        return f"Receiving; the store is degraded: {found.health['reason']}"
    if "accepted" not in found.health:
        return "Receiving"
    told = found.health
    return (
        f"Receiving: {told['accepted']} records accepted, {told['held']} held, "
        f"{told['pending']} observations pending, Langfuse {told['langfuse']}"
    )


async def ask(config: "Config", port: int) -> Mapping[str, object] | None:
    """What the receiver says of itself over its own port; see ``Look.health``."""
    try:
        async with asyncio.timeout(ANSWER_S):
            return _health_in(await _exchange(config, port))
    except (TimeoutError, ConnectionRefusedError):
        return None
    except OSError:
        # It closed the connection: it wants a client's certificate, or has too many connections.
        # A process that hangs does neither.
        return {}


async def _exchange(config: "Config", port: int) -> bytes:
    host = ANY_ADDRESS.get(config.host, config.host)
    context = _unverified() if config.tls_cert is not None else None
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        writer.write(QUESTION)
        await writer.drain()
        return await reader.read()  # to the end, since it was asked to close
    finally:
        writer.transport.abort()


def _unverified() -> ssl.SSLContext:
    """For a connection to ourselves, over which nothing is said and nothing believed."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _health_in(answer: bytes) -> Mapping[str, object]:
    try:
        found = json.loads(answer.partition(b"\r\n\r\n")[2])
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
