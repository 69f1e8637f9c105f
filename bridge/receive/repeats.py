"""Posts like one before on their connection, taken without having their head read again.

An exporter sends the same head with every post, but for the number in its Content-Length, so what
was decided about the first decides about the others: path, method, type, encoding, where it comes
from and who sends it. Reading a head costs several times what is left to do for a small body.

::

    bytes ─► cut: one whole post? ─► its head known? ─► count, admit, hold ─► committed ─► 200
               │ no                    │ no               │ no                  │ no
               └───────────────────────┴──────────────────┴─────────────────────┴─► aiohttp

Responsible for: knowing for certain where a post begins and ends, and that only what is plainly
good is answered here. Everything else is aiohttp's, from its first byte: it explains what is wrong,
and what it accepts is known from then on.
Left to others: what is accepted (``request``, ``access``), committing (``intake``), connections
(``connections``).
"""

import asyncio
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol

from aiohttp.http import SERVER_SOFTWARE

from bridge.clock import Clock
from bridge.model.requests import Encoding, ExportRequest
from bridge.receive.access import Access, Sender
from bridge.receive.intake import Settled
from bridge.receive.request import Head, count_records
from bridge.receive.response import EMPTY_RESPONSE

MOST_BYTES: Final = 32 * 1024
"""Of a body. A larger one is looked through on a thread, and counts against the budget."""

MOST_KNOWN: Final = 8
"""Heads of one connection: a client has one for each signal. One that changes from post to post,
as with a trace's id in it, will never be known, and more than these are not tried."""

END_OF_HEAD: Final = b"\r\n\r\n"
LENGTH: Final = b"\r\ncontent-length: "
MOST_DIGITS: Final = 12
DIGEST_BYTES: Final = 16


class HoldsRequests(Protocol):
    """What repeats need of intake."""

    def hold(self, request: ExportRequest, settled: Settled) -> bool:
        """Commit and call ``settled`` then; False when nothing more is taken now."""
        ...


class Known(NamedTuple):
    """What was decided about a head."""

    head: Head
    sender: Sender


class Post(NamedTuple):
    """A request as far as its framing tells.

    Attributes:
        head: Digest of all of its head but the number. The text is not kept: it has the token.
        begin: Where its body begins.
        size_bytes: What its body has, or will have.
    """

    head: bytes
    begin: int
    size_bytes: int

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.begin + self.size_bytes


def cut(data: bytes) -> Post | None:
    """The post that ``data`` begins with; None if its head has no end or no length in it."""
    begin = data.find(END_OF_HEAD) + len(END_OF_HEAD)
    at = data[:begin].lower().find(LENGTH)
    if at < 0:
        return None
    first = at + len(LENGTH)
    behind = data.index(b"\r\n", first)
    digits = data[first:behind]
    if not digits.isdigit() or len(digits) > MOST_DIGITS:
        return None
    same = blake2b(data[:first] + data[behind:begin], digest_size=DIGEST_BYTES)
    return Post(same.digest(), begin, int(digits))


class Desk:
    """Takes posts whose heads are known. One for all connections.

    Args:
        intake: Where they go.
        access: Who may send.
        clock: Stamps them.
        max_body_bytes: Largest body, inflated.
        accepted: Is told of every answer, and how many seconds it took.
    """

    def __init__(
        self,
        intake: HoldsRequests,
        access: Access,
        clock: Clock,
        max_body_bytes: int,
        accepted: Callable[[float], None],
    ) -> None:
        self.accepted = accepted
        self._intake = intake
        self._access = access
        self._clock = clock
        self._max_body_bytes = max_body_bytes

    def take(self, known: Known, body: bytes, settled: Settled) -> bool:
        """Whether it waits to be committed, of which ``settled`` will hear.

        Its sender is charged last, and only for what is held: what is refused is charged once, on
        aiohttp's way.
        """
        try:
            records = count_records(known.head, body, self._max_body_bytes)
            if not records or not self._access.admits_again(known.sender):
                return False
            now_ms = self._clock.now_ms()
            request = known.sender.request(known.head, body, records, now_ms)
            return self._hold(known, request, settled)
        except Exception:  # noqa: BLE001 - whatever it is, aiohttp's way meets it again and explains
            return False

    def give_back(self, known: Known) -> None:
        """Charge nothing for a post that was not kept: aiohttp's way will."""
        self._access.give_back(known.sender)

    def _hold(self, known: Known, request: ExportRequest, settled: Settled) -> bool:
        held = False
        try:
            held = self._intake.hold(request, settled)
        finally:
            if not held:
                self.give_back(known)
        return held


class Carrier(Protocol):
    """What repeats need of their connection."""

    def is_between_requests(self) -> bool:
        """Whether aiohttp has answered all that it was given, and the client has taken it."""
        ...

    def data_received(self, data: bytes) -> None:
        """Take what came next."""
        ...

    def answer(self, data: bytes) -> None:
        """Send an answer, if the client is there."""
        ...

    def pass_on(self, data: bytes) -> None:
        """Have aiohttp read it."""
        ...

    def hold_back(self, *, held: bool) -> None:
        """Let the client send no more for now, or again."""
        ...


class Repeats:
    """What one connection has sent, as far as it decides about what comes next.

    Where requests begin is certain at the beginning, behind a post whose head is known, and behind
    one that aiohttp has read and found as long as it looked. In between it is not, and everything
    is aiohttp's: a body that looks like a post must not be taken for one.
    """

    def __init__(self, desk: Desk, carrier: Carrier) -> None:
        self._desk = desk
        self._carrier = carrier
        self._known: dict[bytes, Known] = {}
        self._post: Post | None = None
        self._is_framed = False
        self._missing_bytes = 0
        self._at_beginning = True
        self._taken: tuple[bytes, ...] = ()
        self._behind = b""
        self._began_s = 0.0
        self._ended: asyncio.Future[None] | None = None

    def take(self, data: bytes) -> bool:
        """Whether these bytes are looked after; otherwise they are aiohttp's."""
        if self._taken:  # answers go out in the order of requests
            self._behind += data
            self._carrier.hold_back(held=True)
            return True
        # Without anything known nothing will be taken: aiohttp need not have begun to wait.
        if self._at_beginning and (not self._known or self._carrier.is_between_requests()):
            return self._begin(data)
        self._go_on(len(data))
        return False

    def body_came(self, size_bytes: int) -> None:
        """Aiohttp has read a whole body: if it is the one that was seen, the next post follows."""
        post = self._post
        self._at_beginning = (
            post is not None and not self._missing_bytes and post.size_bytes == size_bytes
        )

    def remember(self, known: Known) -> None:
        """What was read last is accepted, and so is every post like it."""
        if not self._at_beginning or self._post is None:
            return
        if self._post.head in self._known or len(self._known) < MOST_KNOWN:
            self._known[self._post.head] = known

    async def end(self) -> None:
        """Return when nothing that was taken is left to be answered."""
        if self._taken:
            self._ended = asyncio.get_running_loop().create_future()
            await self._ended

    def _begin(self, data: bytes) -> bool:
        post = self._post = cut(data)
        known = self._known.get(post.head) if post else None
        self._missing_bytes = post.end - len(data) if post else 0
        self._is_framed = known is not None
        self._at_beginning = self._is_framed and not self._missing_bytes
        if post is None or known is None or not self._at_beginning or post.size_bytes > MOST_BYTES:
            return False
        self._began_s = time.monotonic()
        settled = partial(self._settled, known)
        body = data[post.begin :]
        taken = self._desk.take(known, body, settled)
        self._taken = (data[: post.begin], body) if taken else ()  # the body is there only once
        return taken

    def _go_on(self, size_bytes: int) -> None:
        """Aiohttp is reading: more of a body, or what it has to make out for itself."""
        self._missing_bytes -= size_bytes
        self._at_beginning = self._is_framed and not self._missing_bytes
        if self._missing_bytes < 0:
            self._is_framed = False
            self._post = None

    def _settled(self, known: Known, failure: Exception | None) -> None:
        taken, self._taken = self._taken, ()
        behind, self._behind = self._behind, b""
        if failure is None:
            self._desk.accepted(time.monotonic() - self._began_s)
            self._carrier.answer(accepted(known.head.encoding, int(time.time())))
        else:  # which aiohttp's way tries again, and explains
            self._desk.give_back(known)
            self._carrier.pass_on(b"".join(taken))
        if behind:
            self._carrier.hold_back(held=False)
            self._carrier.data_received(behind)
        if self._ended:
            self._ended.set_result(None)


@lru_cache(maxsize=len(Encoding))
def accepted(encoding: Encoding, now_s: int) -> bytes:
    """The answer 200 as aiohttp writes it. ``now_s``: our clock, Unix seconds."""
    body = EMPTY_RESPONSE[encoding]
    head = (
        "HTTP/1.1 200 OK",
        f"Content-Type: {encoding}",
        f"Content-Length: {len(body)}",
        f"Date: {formatdate(now_s, usegmt=True)}",
        f"Server: {SERVER_SOFTWARE}",
    )
    return "\r\n".join(head).encode() + END_OF_HEAD + body
