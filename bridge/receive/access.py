"""Who may send: decides from a request's headers, before anything of its body is read.

Responsible for: that a token is one of those in force, compared in constant time, that its sender
posts no faster than allowed, and what the sender's token fixes.
Left to others: where tokens come from (``app.senders``), the answer (``http``, ``grpc``).

Without tokens everybody may send, and nobody is held back: all senders come from this machine
then, and a limit per address would be one for all of them together.
"""

import hmac
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import unquote

import msgspec

from bridge.clock import Clock
from bridge.model.requests import ExportRequest
from bridge.model.tokens import Token, digest_of
from bridge.receive.origin import is_loopback
from bridge.receive.rate import Bucket, take
from bridge.receive.request import Head, Refusal, RefusedError

WHAT_TO_SET: Final = 'set OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer TOKEN" for the exporter'

WHO_MAY_SCRAPE: Final = (
    "Metrics are told to requests with a token and to this machine itself; give Prometheus a token "
    "as authorization.credentials_file."
)

FORWARDING_HEADERS: Final = ("forwarded", "x-forwarded-for", "via")
"""Who has one of these was sent on by a proxy, and may be anywhere."""


class Sender(msgspec.Struct, frozen=True):
    """Whose request it is: the token's name, "" without tokens, and the attributes it fixes."""

    name: str = ""
    fixed: dict[str, str] = {}

    def request(self, head: Head, body: bytes, records: int, received_at_ms: int) -> ExportRequest:
        """What goes into the inbox of a body of this sender's that was looked through."""
        return ExportRequest(
            signal=head.signal,
            encoding=head.encoding,
            body=body,
            gzipped=head.gzipped,
            records=records,
            received_at_ms=received_at_ms,
            sender=self.name,
            fixed=self.fixed,
        )


ANYONE: Final = Sender()


class Access:
    """The tokens in force and how fast each is used. One event loop owns it, hence no lock."""

    def __init__(
        self, clock: Clock, tokens: Sequence[Token] | None = None, *, rate_limit: float = 0
    ) -> None:
        """Begin with these tokens.

        Args:
            clock: Tells how fast requests come.
            tokens: None when nobody needs one; without any, nobody may send.
            rate_limit: Requests per second for each token; 0 is without limit.
        """
        self._clock = clock
        self._rate_limit = rate_limit
        self._buckets: dict[str, Bucket] = {}
        self.replace(tokens)

    def replace(self, tokens: Sequence[Token] | None) -> None:
        """From now on these are in force; those that are gone are refused at once."""
        self._tokens = tokens
        senders = [ANYONE] if tokens is None else [Sender(t.name, t.fixed) for t in tokens]
        self._senders = {sender.name: sender for sender in senders}
        names = self._senders.keys()
        self._buckets = {name: self._buckets[name] for name in names & self._buckets.keys()}

    def admit(self, headers: Mapping[str, str]) -> Sender:
        """Whose request it is; ``headers`` by lower-case names.

        Raises:
            RefusedError: It has no token, or an unknown one, or one that is used too fast.
        """
        if self._tokens is None:
            return ANYONE
        offered = list(offered_tokens(headers))
        token = find(self._tokens, offered)
        if token is None:
            raise RefusedError(Refusal.UNAUTHENTICATED, _unauthenticated(known=bool(offered)))
        self._limit(token.name)
        return self._senders[token.name]

    def admits_again(self, sender: Sender) -> bool:
        """Whether what was admitted before still is, with the same words: one request more.

        Args:
            sender: As ``admit`` gave it; once tokens were replaced it is nobody's any more.
        """
        if self._senders.get(sender.name) is not sender:
            return False
        try:
            self._limit(sender.name)
        except RefusedError:
            return False
        return True

    def give_back(self, sender: Sender) -> None:
        """Take back what ``admits_again`` charged: the same request is about to be admitted."""
        if bucket := self._buckets.get(sender.name):
            self._buckets[sender.name] = bucket._replace(allowance=bucket.allowance + 1)

    def may_see(self, headers: Mapping[str, str], peer: str | None) -> bool:
        """Whether to answer with all there is to say of the bridge.

        Args:
            headers: By lower-case names.
            peer: The address at the other end of the connection, if known.
        """
        if self._tokens is None or find(self._tokens, list(offered_tokens(headers))):
            return True
        return is_loopback(peer or "") and not any(name in headers for name in FORWARDING_HEADERS)

    def _limit(self, name: str) -> None:
        if not self._rate_limit or self._tokens is None:
            return
        before = self._buckets.get(name)
        self._buckets[name], wait_s = take(before, self._clock.now_ms(), self._rate_limit)
        if wait_s:
            text = f"This token sends faster than BRIDGE_RATE_LIMIT allows; wait {wait_s} s."
            raise RefusedError(Refusal.RATE_LIMITED, text, retry_after_s=wait_s)


def find(tokens: Sequence[Token], offered: Sequence[str]) -> Token | None:
    """The token whose text was offered; takes as long wherever it stands, and if it is none."""
    digests = [digest_of(text) for text in offered]
    found = [
        token for token in tokens for digest in digests if hmac.compare_digest(token.digest, digest)
    ]
    return found[0] if found else None


def offered_tokens(headers: Mapping[str, str]) -> Iterator[str]:
    """What a request gives as its token: ``Authorization: Bearer`` and ``x-api-key``.

    Over HTTP Claude Code sends values of ``OTEL_EXPORTER_OTLP_HEADERS`` as they are written, where
    other exporters undo percent-encoding, so each value counts in both readings.
    """
    for value in dict.fromkeys(_readings(headers.get("authorization"))):
        scheme, _, token = value.partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            yield token.strip()
    yield from dict.fromkeys(_readings(headers.get("x-api-key")))


def _readings(value: str | bytes | None) -> list[str]:
    if not isinstance(value, str) or not value.strip():
        return []
    return [value.strip(), unquote(value).strip()]


def _unauthenticated(*, known: bool) -> str:
    if known:
        return f"The bridge does not know this token, or no longer; {WHAT_TO_SET}."
    return f"The bridge takes telemetry with a token only; {WHAT_TO_SET}."
