"""The two ports as the receiver opens them: who may knock, how many, with which certificate."""

import asyncio
import resource
import socket
import ssl
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import structlog
from aiohttp import web

from bridge.app import edges
from bridge.receive.connections import SPARE_CONNECTIONS, ConnectionLimits
from bridge.receive.http import Listener, serve
from bridge.receive.origin import is_loopback
from bridge.receive.tls import Certificates

if TYPE_CHECKING:
    from bridge.config import Config

OTHER_FILES: Final = 256
"""Open files besides connections: databases, TLS handshakes under way, pipes."""

log = structlog.get_logger(__name__)


class Doors(NamedTuple):
    """What both ports are opened with."""

    certificates: Certificates | None
    max_connections: int

    @classmethod
    def of(cls, config: "Config") -> Self:
        """What the configuration asks for, as far as the system allows it.

        Raises:
            BridgeError: The certificate cannot be used.
        """
        files = edges.tls_files(config)
        return cls(Certificates(files) if files else None, _allowed(config.max_connections))

    async def serve_http(self, app: web.Application, listening: socket.socket) -> Listener:
        """Open the one for HTTP."""
        limits = ConnectionLimits(connections=self.max_connections)
        return await serve(app, listening, limits=limits, context=self._context())

    async def renew(self, http: Listener) -> None:
        """Take up a renewed certificate; gRPC looks for itself."""
        if self.certificates is not None and await asyncio.to_thread(self.certificates.renew):
            await http.listen(self._context())

    def _context(self) -> ssl.SSLContext | None:
        return self.certificates.current.context if self.certificates else None


def hosts(config: "Config") -> frozenset[str] | None:
    """What a Host header may name besides loopback addresses; None: anything.

    On other addresses than loopback a name is no secret, and who may send is for tokens to say.
    """
    named = frozenset(config.allowed_hosts.split(",")) - {""}
    return named if named or is_loopback(config.host) else None


def connections_within(files: int, wanted: int) -> int:
    """How many connections over each transport leave enough of ``files`` for the rest."""
    return max(1, min(wanted, (files - SPARE_CONNECTIONS - OTHER_FILES) // 2))


def _allowed(wanted: int) -> int:
    allowed = connections_within(_allow_files(2 * wanted + SPARE_CONNECTIONS + OTHER_FILES), wanted)
    if allowed < wanted:
        log.warning("receive.fewer_connections", allowed=allowed, wanted=wanted)
    return allowed


def _allow_files(wanted: int) -> int:
    """Have the system allow so many open files; how many of them it does allow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed
