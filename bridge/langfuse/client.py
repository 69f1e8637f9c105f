"""Langfuse over HTTP: exports of spans, batches of scores, a look whether the keys are taken.

Responsible for addresses, headers, compression, time limits, and for turning everything that can
happen on a network into an ``Answer``. Leaves what an answer means to ``retry``.

Keys leave this module in the Authorization header of requests to the base URL only: redirects are
not followed, and no text made here contains them.
"""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
import structlog
from isal import igzip
from yarl import URL

from bridge import __version__
from bridge.langfuse.retry import MAX_ERROR_CHARS, Answer
from bridge.langfuse.trust import trust

TRACES_PATH = "/api/public/otel/v1/traces"
PROJECTS_PATH = "/api/public/projects"
HEALTH_PATH = "/api/public/health"
SCORES_PATH = "/api/public/scores"
INGESTION_PATH = "/api/public/ingestion"
SCORE_CONFIGS_PATH = "/api/public/score-configs"
SCORE_CONFIGS_PER_PAGE = 100

SDK_NAME = "langfuse-bridge"
"""Shown as a filter in Langfuse. Not ``python``: that has a meaning for its write path."""

VERSION_HEADER = "x-langfuse-ingestion-version"
UNSUPPORTED_VERSION = f"Unsupported {VERSION_HEADER}"

MAX_READ_BYTES = 16 * 1024
"""Of an answer's body; the sentence wanted from it stands at its beginning."""

MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
"""Of an answer that has to be read as a whole: a hundred scores judged one by one, a hundred score
configs with their descriptions."""

KEEPALIVE_S = 4.0
"""Below the 5 s after which a Node server such as Langfuse drops an idle connection, so that no
request is lost on one that is just being closed."""

FAILURES: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientSSLError, "its certificate or TLS version is not accepted"),
    (aiohttp.ConnectionTimeoutError, "no connection within the time limit"),
    (TimeoutError, "no answer within the time limit"),
    (aiohttp.ServerDisconnectedError, "the connection was closed before an answer came"),
    (aiohttp.ClientPayloadError, "the connection was closed before an answer came"),
    (ConnectionError, "the connection was closed before an answer came"),
)
"""In this order: the kinds overlap."""

UNANSWERED = (aiohttp.ClientError, OSError, ValueError)
"""ValueError: aiohttp's for addresses and proxies it cannot use. A delivery that waits and says so
is better than one that dies over and over."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LangfuseTarget:
    """Where to send and as whom. Made by the composition root from the configuration.

    Attributes:
        base_url: May carry a path and a trailing slash.
        timeout_s: For a whole request. Langfuse hangs when its Redis is away; and a request given
            up too early may have been stored, which makes its retry a duplicate.
        ca_file: PEM file of authorities to trust besides the system's.
    """

    base_url: str
    public_key: str
    secret_key: str = field(repr=False)
    timeout_s: float = 30.0
    connect_timeout_s: float = 10.0
    ca_file: Path | None = None


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """An answer whose body matters too.

    Attributes:
        answer: Without a status also where the body broke off: that is no answer.
        body: As it came, cut at ``MAX_DOCUMENT_BYTES``.
    """

    answer: Answer
    body: bytes = b""


@asynccontextmanager
async def connect(target: LangfuseTarget) -> AsyncIterator["LangfuseClient"]:
    """A client for ``target``, with its connections closed at the end.

    Raises:
        BridgeError: The target's ``ca_file`` cannot be used.
    """
    timeout = aiohttp.ClientTimeout(total=target.timeout_s, sock_connect=target.connect_timeout_s)
    ssl_or_default = trust(target.ca_file) if target.ca_file else True
    connector = aiohttp.TCPConnector(keepalive_timeout=KEEPALIVE_S, ssl=ssl_or_default)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield LangfuseClient(session, target)


class LangfuseClient:
    """Posts to one Langfuse project; see ``connect``.

    Spans are posted by one task, scores by another; the only thing that changes here is of spans.
    """

    def __init__(self, session: aiohttp.ClientSession, target: LangfuseTarget) -> None:
        # User and fragment go: aiohttp would take the one for a second authorization.
        base_url = URL(target.base_url).with_user(None).with_query(None).with_fragment(None)
        self._base = str(base_url).rstrip("/")
        self._session = session
        self._headers = {
            "Authorization": aiohttp.encode_basic_auth(target.public_key, target.secret_key),
            "x-langfuse-sdk-name": SDK_NAME,
            "x-langfuse-sdk-version": __version__,
            "x-langfuse-public-key": target.public_key,
        }
        self._json_headers = {**self._headers, "Content-Type": "application/json"}
        self._version_header = {VERSION_HEADER: "4"}
        self._proxy = proxy_for(base_url)

    def __repr__(self) -> str:
        return f"LangfuseClient({self._base})"

    async def post_spans(self, body: bytes) -> Answer:
        """Send one serialized ``ExportTraceServiceRequest``, given uncompressed.

        A server too old for the ingestion version is asked again without it, from then on.
        """
        compressed = igzip.compress(body, compresslevel=1, mtime=0)  # mtime: same bytes every time
        answer = await self._post(compressed)
        if self._version_header and _is_unsupported_version(answer):
            log.warning("langfuse.ingestion_version_dropped", reason=answer.error)
            self._version_header = {}
            answer = await self._post(compressed)
        return answer

    async def probe(self) -> Answer:
        """Ask for the keys' project: cheap, unlimited, and refused exactly when an export is."""
        return await self._request("GET", PROJECTS_PATH, self._headers, None)

    async def _post(self, compressed: bytes) -> Answer:
        headers = {
            **self._headers,
            **self._version_header,
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "gzip",
        }
        return await self._request("POST", TRACES_PATH, headers, compressed)

    async def get_health(self) -> Document:
        """The server's version and whether it is well. Without the keys: nobody asks for them."""
        return await self._document("GET", HEALTH_PATH, {})

    async def post_scores(self, body: bytes) -> Document:
        """Send a JSON array of scores, which servers from 4.59.0 on take."""
        return await self._document("POST", SCORES_PATH, self._json_headers, body)

    async def post_ingestion(self, body: bytes) -> Document:
        """Send a batch of events to the route that every server has."""
        return await self._document("POST", INGESTION_PATH, self._json_headers, body)

    async def get(self, path: str) -> Document:
        """What stands at a path of the public API, for looking at."""
        return await self._document("GET", path, self._headers)

    async def delete(self, path: str) -> Answer:
        """Delete what stands at a path of the public API."""
        return (await self._document("DELETE", path, self._headers)).answer

    async def get_score_configs(self, page: int) -> Document:
        """One page of the project's score configs; pages count from 1."""
        path = f"{SCORE_CONFIGS_PATH}?page={page}&limit={SCORE_CONFIGS_PER_PAGE}"
        return await self._document("GET", path, self._headers)

    async def post_score_config(self, body: bytes) -> Answer:
        """Create one score config. Langfuse takes the same name twice: look first."""
        headers = self._json_headers
        return (await self._document("POST", SCORE_CONFIGS_PATH, headers, body)).answer

    async def call(self, method: str, path: str, body: bytes | None = None) -> Document:
        """Any other route of the public API; a body is JSON."""
        return await self._document(method, path, self._json_headers, body)

    async def _request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        try:
            async with self._open(method, path, headers, body) as response:
                return await _read_answer(response)
        except UNANSWERED as error:
            return Answer(status=None, error=describe(error))

    async def _document(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Document:
        """A body that breaks off makes it no answer: what is sent here may be sent again."""
        try:
            async with self._open(method, path, headers, body) as response:
                document = await _read_at_most(response.content, MAX_DOCUMENT_BYTES)
                return Document(answer=_answer(response, document), body=document)
        except UNANSWERED as error:
            return Document(answer=Answer(status=None, error=describe(error)))

    def _open(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._session.request(
            method,
            self._base + path,
            headers=headers,
            # A file, since aiohttp writes large bytes in one go, and warns that it does.
            data=None if body is None else BytesIO(body),
            allow_redirects=False,
            proxy=self._proxy,
        )


def proxy_for(url: URL) -> URL | None:
    """The proxy the environment names for ``url`` (HTTPS_PROXY, HTTP_PROXY, NO_PROXY), if any.

    Not aiohttp's ``trust_env``: that reads ~/.netrc too, and an entry for this host or a
    ``default`` one then collides with our Authorization header, so that nothing is ever sent.
    """
    proxy = getproxies().get(url.scheme)
    if not proxy or not url.host or proxy_bypass(f"{url.host}:{url.port}"):
        return None
    return URL(proxy)


def describe(error: Exception) -> str:
    """A transport failure in words, without addresses (a proxy's may hold a password)."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _distrust(error.certificate_error)
    for kind, words in FAILURES:
        if isinstance(error, kind):
            return words
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answered {error.status}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection ({error.os_error.strerror or 'no reason given'})"
    return f"the request failed ({type(error).__name__})"


def _distrust(error: Exception) -> str:
    reason = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else ""
    advice = "name its authority with BRIDGE_CA_FILE, or correct LANGFUSE_BASE_URL"
    return f"its certificate is not trusted ({reason or 'no reason given'}); {advice}"


async def _read_answer(response: aiohttp.ClientResponse) -> Answer:
    """The status stands as soon as it is there: an answer that breaks off after it changes nothing.

    Langfuse answers 200 after it has stored the export; sending it again because the rest of that
    answer was lost would be a certain duplicate.
    """
    body = b""
    with suppress(aiohttp.ClientError, OSError):
        body = await _read_at_most(response.content, MAX_READ_BYTES)
    return _answer(response, body)


def _answer(response: aiohttp.ClientResponse, body: bytes) -> Answer:
    return Answer(
        status=response.status,
        error="" if response.status // 100 == 2 else _words(response, body),  # noqa: PLR2004 - 2xx
        retry_after=response.headers.get("Retry-After"),
        date=response.headers.get("Date"),
    )


async def _read_at_most(content: aiohttp.StreamReader, max_bytes: int) -> bytes:
    body = bytearray()
    while len(body) < max_bytes and (chunk := await content.read(max_bytes - len(body))):
        body += chunk
    return bytes(body)


def _is_redirect(response: aiohttp.ClientResponse) -> bool:
    return response.status // 100 == 3  # noqa: PLR2004 - the 3xx of HTTP


def _words(response: aiohttp.ClientResponse, body: bytes) -> str:
    if _is_redirect(response):
        # A query may hold somebody's token.
        text = "Location: " + response.headers.get("Location", "").partition("?")[0]
    elif "html" in response.content_type:
        text = ""  # a proxy's page, nothing to read
    else:
        text = _message(body)
    return " ".join(text.split())[:MAX_ERROR_CHARS]


def _message(body: bytes) -> str:
    try:
        answer = msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body.decode(errors="replace")
    # Its 500s have both: ``message`` for people, ``error`` for the kind.
    found = answer.get("message") or answer.get("error") or ""
    return found if isinstance(found, str) else ""


def _is_unsupported_version(answer: Answer) -> bool:
    return answer.status == 400 and UNSUPPORTED_VERSION in answer.error  # noqa: PLR2004 - HTTP's
