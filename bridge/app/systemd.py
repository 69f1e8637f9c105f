"""What systemd and the daemon tell each other: a socket, readiness, signs of life.

Responsible for: the protocols of sd_listen_fds(3) and sd_notify(3), which are a few environment
variables and a datagram. Left to others: what is told, and when (``watch``).

No library does both: ``systemd-python`` has to be compiled against libsystemd, and ``sdnotify``
takes no sockets and knows nothing of the watchdog.
"""

import os
import socket
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Final, Self

import structlog

from bridge.errors import BridgeError

if TYPE_CHECKING:
    from bridge.config import Config

FIRST_DESCRIPTOR: Final = 3
SOCKET_NAME: Final = "http"
LISTEN_VARIABLES: Final = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
NOTIFY_VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
USEC_PER_S: Final = 1_000_000
SEND_TIMEOUT_S: Final = 0.2
"""systemd reads at once; whoever else holds that socket must not hold us."""

log = structlog.get_logger(__name__)


def descriptor(environ: Mapping[str, str], pid: int) -> int | None:
    """The descriptor of the HTTP socket that was handed over; None: there is none for us.

    Args:
        environ: Where systemd says what it handed over.
        pid: Ours. Variables meant for another process are none of our business.

    Raises:
        BridgeError: There are several, and none of them is the one named ``http``.
    """
    if environ.get("LISTEN_PID") != str(pid):
        return None
    count = int(environ.get("LISTEN_FDS", "0"))
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    if count == 0:
        return None
    if count > 1 and names.count(SOCKET_NAME) != 1:
        raise BridgeError(
            f"systemd handed over {count} sockets, of which one should be the HTTP port. Leave one "
            f"ListenStream= in the socket unit, or name that one FileDescriptorName={SOCKET_NAME}."
        )
    return FIRST_DESCRIPTOR + (0 if count == 1 else names.index(SOCKET_NAME))


def handed_socket(environ: MutableMapping[str, str], pid: int) -> socket.socket | None:
    """Take that socket over; from now on nobody else in this process finds or inherits it.

    Raises:
        BridgeError: It is no listening TCP socket.
    """
    found = descriptor(environ, pid)
    for name in LISTEN_VARIABLES:
        environ.pop(name, None)
    if found is None:
        return None
    os.set_inheritable(found, False)  # the receiver is given it by name
    return _listening(found)


def activated(config: "Config", environ: Mapping[str, str], pid: int) -> "Config":
    """The configuration with the address of the socket that was handed over, if there is one.

    Who may reach us is decided by where that socket listens, whatever the settings say.

    Raises:
        BridgeError: It cannot be used.
    """
    found = descriptor(environ, pid)
    if found is None:
        return config
    with _listening(os.dup(found)) as handed:
        host, port = handed.getsockname()[:2]
    return config.model_copy(update={"host": host, "port": port})


def _listening(descriptor: int) -> socket.socket:
    try:
        handed = socket.socket(fileno=descriptor)
        listens = handed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise BridgeError(
            f"cannot use descriptor {descriptor} that LISTEN_FDS tells of: {error.strerror}. "
            "Start the bridge through its socket unit, or without LISTEN_FDS."
        ) from error
    if not listens or handed.family not in {socket.AF_INET, socket.AF_INET6}:
        handed.close()
        raise BridgeError(
            "systemd handed over something else than a listening TCP socket. Set "
            "ListenStream=127.0.0.1:4318 and Accept=no in the socket unit."
        )
    return handed


class Notifier:
    """Tells the service manager how we are; to nobody when nobody asked.

    Attributes:
        wanted: Whether anybody asked.
        watchdog_s: How long the manager waits for a sign of life before it starts us again; None:
            it does not.
    """

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        self.wanted = bool(address)
        self.watchdog_s = watchdog_s
        # @ is how the name of an abstract socket is written, which begins with a zero byte.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    @classmethod
    def taken_from(cls, environ: MutableMapping[str, str], pid: int) -> Self:
        """The one that the environment tells of, which our children are not to be told."""
        address, usec, meant_for = (environ.pop(name, "") for name in NOTIFY_VARIABLES)
        ours = usec.isdecimal() and int(usec) > 0 and meant_for in {"", str(pid)}
        return cls(address, int(usec) / USEC_PER_S if ours else None)

    def tell(self, **fields: str) -> None:
        """Send assignments such as ``READY="1"``; what cannot be sent is told in the log."""
        if not self.wanted:
            return
        message = "\n".join(f"{name}={value}" for name, value in fields.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(SEND_TIMEOUT_S)
                sock.sendto(message.encode(), self._address)
        except OSError as error:
            log.warning("systemd.not_told", fields=list(fields), reason=str(error))
