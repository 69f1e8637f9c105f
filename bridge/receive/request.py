"""Is this an export request that can be accepted? Pure checks of path, headers and body.

Responsible for: which signal and encoding a request is, and that its body is what it claims.
Left to others: reading the bytes (``http``), looking through them (``records``), what they say
(``decode``).
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from bridge.errors import BridgeError, UndecodableError
from bridge.model.requests import Encoding, Signal
from bridge.otlp.inflating import TooLargeError, inflate
from bridge.receive import records
from bridge.receive.nesting import is_deeper_than

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
"""Prompts and raw API bodies have no bound of their own; 108 kB was seen for a turn of six calls,
and gateways batch thousands of records. Applies on the wire and again after inflating."""

MAX_RECORDS: Final = 1_000_000
"""In one request. Exporters send hundreds; 64 MiB of the smallest would be thirty million."""

MAX_JSON_DEPTH: Final = 200
"""Protobuf ends at 100 nested messages, two for each level of an AnyValue. A level is three
brackets in JSON, so whatever can be said in protobuf can be said in JSON."""

ENCODINGS: Final[Mapping[str, Encoding]] = {str(encoding): encoding for encoding in Encoding}
"""By their media types."""

EXPORT_PATH: Final = re.compile(r"(?:/.*)?/v1/(logs|metrics|traces)/*")


class Refusal(StrEnum):
    """Why a request is refused; trying the same again helps with the last of these only."""

    CROSS_SITE = "cross_site"
    """A browser sent it for a web page."""
    HOST = "host"
    """It is addressed to a host that we are not."""
    UNAUTHENTICATED = "unauthenticated"
    """No token, or one that is not known."""
    NOT_FOUND = "not_found"
    METHOD = "method"
    CONTENT_TYPE = "content_type"
    CONTENT_ENCODING = "content_encoding"
    TOO_LARGE = "too_large"
    INCOMPLETE = "incomplete"
    """The body ended early or was framed wrongly."""
    NOT_GZIP = "not_gzip"
    MALFORMED = "malformed"
    """The body is not the signal's Export…ServiceRequest in the encoding it claims."""
    TOO_DEEP = "too_deep"
    TOO_MANY_RECORDS = "too_many_records"
    RATE_LIMITED = "rate_limited"
    """Its sender has to slow down; nothing is wrong with the request."""


class RefusedError(BridgeError):
    """A request that is not accepted. The text is for its sender and never repeats content.

    Attributes:
        retry_after_s: When to send it again; 0 where that will not help.
    """

    def __init__(self, refusal: Refusal, text: str, *, retry_after_s: int = 0) -> None:
        super().__init__(text)
        self.refusal = refusal
        self.retry_after_s = retry_after_s


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What path and headers say of a body. Made by ``check_head``, used by ``count_records``."""

    signal: Signal
    encoding: Encoding
    gzipped: bool


def check_head(path: str, method: str, headers: Mapping[str, str]) -> Head:
    """Decide from path, method and headers what will follow.

    Args:
        path: Without the query, percent-decoded.
        method: As sent.
        headers: A mapping that ignores case.

    Raises:
        RefusedError: Nothing that could follow would be accepted.
    """
    signal = _signal(path)
    if method != "POST":
        raise RefusedError(Refusal.METHOD, "Only POST is served here; export with POST.")
    encoding = encoding_of(headers)
    if encoding is None:
        raise RefusedError(
            Refusal.CONTENT_TYPE,
            "Content-Type must be application/x-protobuf or application/json;"
            " set the exporter's protocol to http/protobuf or http/json.",
        )
    return Head(signal=signal, encoding=encoding, gzipped=_is_gzip(headers))


def encoding_of(headers: Mapping[str, str]) -> Encoding | None:
    """The encoding ``Content-Type`` names, parameters such as charset aside; None for others."""
    media_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return ENCODINGS.get(media_type)


def check_size(size_bytes: int, max_body_bytes: int) -> None:
    """Hold a body, or as much as there is of it, against the limit.

    Raises:
        RefusedError: It is larger.
    """
    if size_bytes > max_body_bytes:
        raise _too_large(max_body_bytes)


def _too_large(max_body_bytes: int) -> RefusedError:
    return RefusedError(
        Refusal.TOO_LARGE,
        f"The body is larger than {max_body_bytes} bytes, on the wire or inflated;"
        " let the exporter send smaller batches.",
    )


def count_records(head: Head, body: bytes, max_body_bytes: int) -> int:
    """Look through a body and count its log records, data points or spans.

    Raises:
        RefusedError: It cannot be inflated, inflates beyond the limit, does not parse, is nested
            too deeply or holds too many.
    """
    check_size(len(body), max_body_bytes)
    plain = _inflated(body, max_body_bytes) if head.gzipped else body
    check_depth(head.encoding, plain)
    try:
        counted = records.count(head.signal, head.encoding, plain)
    except UndecodableError as error:
        raise RefusedError(
            Refusal.MALFORMED,
            f"The body is not an OTLP export request for {head.signal} in {head.encoding};"
            " check the exporter's protocol and endpoint.",
        ) from error
    check_number(counted)
    return counted


def check_depth(encoding: Encoding, plain: bytes) -> None:
    """Hold the nesting of a body against ``MAX_JSON_DEPTH``; protobuf has a bound of its own.

    Raises:
        RefusedError: It is nested more deeply.
    """
    if encoding is records.JSON and is_deeper_than(plain, MAX_JSON_DEPTH):
        raise RefusedError(
            Refusal.TOO_DEEP,
            f"The body is nested more than {MAX_JSON_DEPTH} objects and arrays deep;"
            " send flatter attributes.",
        )


def check_number(counted: int) -> None:
    """Hold a number of records against ``MAX_RECORDS``.

    Raises:
        RefusedError: There are more.
    """
    if counted > MAX_RECORDS:
        raise RefusedError(
            Refusal.TOO_MANY_RECORDS,
            f"The request holds more than {MAX_RECORDS} records;"
            " let the exporter send smaller batches.",
        )


def _inflated(body: bytes, max_bytes: int) -> bytes:
    try:
        return inflate(body, max_bytes)
    except TooLargeError:
        raise _too_large(max_bytes) from None
    except UndecodableError as error:
        raise RefusedError(
            Refusal.NOT_GZIP,
            "Content-Encoding says gzip, but the body is not one complete gzip file.",
        ) from error


def _signal(path: str) -> Signal:
    match = EXPORT_PATH.fullmatch(path)
    if match is None:
        raise RefusedError(
            Refusal.NOT_FOUND,
            "Nothing is served here; export to /v1/logs, /v1/metrics or /v1/traces.",
        )
    return Signal(match[1])


def _is_gzip(headers: Mapping[str, str]) -> bool:
    coding = headers.get("Content-Encoding", "").strip().lower()
    if coding not in {"", "identity", "gzip"}:
        raise RefusedError(
            Refusal.CONTENT_ENCODING,
            "Content-Encoding must be gzip or identity; set the exporter's compression to one.",
        )
    return coding == "gzip"
