"""Posts recorded export requests to an endpoint, one after the other, as a client would.

Busy answers (429, 503) are tried again after the time they name; everything else is final.
How it goes is told to a callback; what is shown of it is left to ``progress``.
"""

import http.client
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from bridge.terminal.captures import CapturedRequest

HEADERS_VARIABLE = "OTEL_EXPORTER_OTLP_HEADERS"
"""Every exporter's: a token there stands in no list of processes, as it would on a command line."""

BUSY = {429, 503}
MAX_ATTEMPTS = 6
MAX_WAIT_S = 30.0
DEFAULT_WAIT_S = 1.0
TIMEOUT_S = 60.0
SUCCESS = range(200, 300)

UNREACHABLE = "unreachable"
"""In place of a status where nobody answered."""


class EndpointError(Exception):
    """An address that nothing can be posted to; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """How one post ended. Made by ``send``.

    Attributes:
        status: The final answer's; None when there was no answer, then ``reason`` says why.
    """

    request: CapturedRequest
    status: int | None
    attempts: int
    reason: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the endpoint took it."""
        return self.status in SUCCESS

    @property
    def ending(self) -> str:
        """The status, or the word for its absence."""
        return UNREACHABLE if self.status is None else str(self.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All posts together.

    How many records an endpoint took is not known: its answer does not say.

    Attributes:
        refused: Ending → number of requests.
        unsent: Requests that were not tried, since the endpoint was gone.
    """

    sent: int
    accepted: int
    refused: Mapping[str, int]
    unsent: int

    @property
    def complete(self) -> bool:
        """Whether every request was accepted."""
        return not self.refused and not self.unsent


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to post: a base address, whose path stands before ``/v1/…``."""

    base: SplitResult

    def connect(self) -> http.client.HTTPConnection:
        """A connection that opens with the first request."""
        secure = self.base.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        return kind(self.base.hostname or "", self.base.port, timeout=TIMEOUT_S)

    def target(self, path: str) -> str:
        """The request target for ``path``."""
        return self.base.path.rstrip("/") + path


def endpoint(url: str) -> Endpoint:
    """The endpoint that ``url`` names.

    Raises:
        EndpointError: It is no http(s) address.
    """
    try:
        base = urlsplit(url)
        usable = base.scheme in {"http", "https"} and base.hostname and base.port != 0
    except ValueError as error:
        raise EndpointError(f"{url}: {error}") from error
    if not usable:
        raise EndpointError(f"{url}: should be an http:// or https:// address")
    return Endpoint(base)


def headers_of(variable: str) -> dict[str, str]:
    """Headers from ``HEADERS_VARIABLE``: ``NAME=VALUE,NAME=VALUE``, percent-encoded or not."""
    pairs = (unquote(part).partition("=") for part in variable.split(","))
    return {
        name.strip(): value.strip()
        for name, _, value in pairs
        if name.strip() and f"{name}{value}".isprintable() and f"{name}{value}".isascii()
    }


def send(
    requests: Iterable[CapturedRequest],
    to: Endpoint,
    headers: Mapping[str, str],
    *,
    on_sent: Callable[[Sent], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Sent]:
    """Post ``requests`` in order over one connection; ends early when the endpoint is gone.

    Args:
        requests: What to post.
        to: Where to.
        headers: Sent with every request, besides content type and encoding.
        on_sent: Called after each request with how it ended.
        sleep: Waits for that many seconds.
    """
    results: list[Sent] = []
    connection = to.connect()
    try:
        for request in requests:
            results.append(_post(connection, request, to, headers, sleep))
            on_sent(results[-1])
            if results[-1].status is None:
                break
    finally:
        connection.close()
    return results


def summarize(results: Sequence[Sent], asked: int) -> Summary:
    """Count how the posts ended; ``asked`` is how many there should have been."""
    return Summary(
        sent=len(results),
        accepted=sum(each.accepted for each in results),
        refused=dict(sorted(Counter(e.ending for e in results if not e.accepted).items())),
        unsent=asked - len(results),
    )


def _post(
    connection: http.client.HTTPConnection,
    request: CapturedRequest,
    to: Endpoint,
    headers: Mapping[str, str],
    sleep: Callable[[float], None],
) -> Sent:
    """One request, with as many attempts as its answers ask for."""
    attempt = 0
    while True:
        attempt += 1
        try:
            status, retry_after = _attempt(connection, request, to, headers)
        except (OSError, http.client.HTTPException) as error:
            reason = f"{type(error).__name__}: {error}"
            return Sent(request=request, status=None, attempts=attempt, reason=reason)
        if status not in BUSY or attempt == MAX_ATTEMPTS:
            return Sent(request=request, status=status, attempts=attempt)
        connection.close()  # while we wait the other side may; the next request opens it anew
        sleep(wait_s(retry_after, attempt))


def _attempt(
    connection: http.client.HTTPConnection,
    request: CapturedRequest,
    to: Endpoint,
    headers: Mapping[str, str],
) -> tuple[int, str | None]:
    encoding = {"Content-Encoding": "gzip"} if request.gzipped else {}
    all_headers = {"Content-Type": request.content_type, **encoding, **headers}
    connection.request("POST", to.target(request.path), request.file.read_bytes(), all_headers)
    response = connection.getresponse()
    response.read()  # the connection takes the next request only then
    return response.status, response.headers.get("Retry-After")


def wait_s(retry_after: str | None, attempt: int) -> float:
    """How long to wait: as asked for, else twice as long each time; never over ``MAX_WAIT_S``."""
    if retry_after is not None and retry_after.strip().isdecimal():
        return min(float(retry_after), MAX_WAIT_S)
    return min(DEFAULT_WAIT_S * 2.0 ** (attempt - 1), MAX_WAIT_S)
