"""What the client is answered, in the encoding it speaks. Pure.

Responsible for: status, headers and body of every answer, success and failure.
Left to others: deciding which answer it is (``request``, ``intake``), sending it (``http``).

The client drops a batch on every failure except 429, 502, 503 and 504, which is why there is no
500 here: what is our fault is 503, with the time after which to come again.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Final

import msgspec
import orjson
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # it has no stubs

from bridge.model.requests import Encoding
from bridge.receive.request import Refusal


class Code(IntEnum):
    """The values of google.rpc.Code that are answered."""

    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


STATUSES: Final = {
    Refusal.UNAUTHENTICATED: (401, Code.UNAUTHENTICATED),
    Refusal.RATE_LIMITED: (429, Code.RESOURCE_EXHAUSTED),
    Refusal.CROSS_SITE: (403, Code.PERMISSION_DENIED),
    Refusal.HOST: (421, Code.PERMISSION_DENIED),
    Refusal.NOT_FOUND: (404, Code.NOT_FOUND),
    Refusal.METHOD: (405, Code.UNIMPLEMENTED),
    Refusal.CONTENT_TYPE: (415, Code.INVALID_ARGUMENT),
    Refusal.CONTENT_ENCODING: (415, Code.INVALID_ARGUMENT),
    # Not RESOURCE_EXHAUSTED: to an OTLP client that means "later", and later it is as large.
    Refusal.TOO_LARGE: (413, Code.INVALID_ARGUMENT),
    Refusal.INCOMPLETE: (400, Code.INVALID_ARGUMENT),
    Refusal.NOT_GZIP: (400, Code.INVALID_ARGUMENT),
    Refusal.MALFORMED: (400, Code.INVALID_ARGUMENT),
    Refusal.TOO_DEEP: (400, Code.INVALID_ARGUMENT),
    Refusal.TOO_MANY_RECORDS: (413, Code.INVALID_ARGUMENT),
}
"""HTTP status and google.rpc.Code for each refusal."""

EMPTY_RESPONSE: Final = {Encoding.PROTOBUF: b"", Encoding.JSON: b"{}"}
"""An Export…ServiceResponse without partial_success: everything was taken. The same bytes for
all three signals."""


Answered = Callable[[str, float], None]
"""Is told of every export request: the status of its answer, and how many seconds it took."""


def told_nobody(_status: str, _took_s: float) -> None:
    """For a door whose answers nobody counts."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP answer, ready to be sent."""

    status: int
    content_type: str
    body: bytes
    headers: dict[str, str] = {}


def accepted(encoding: Encoding) -> Answer:
    """Answer 200: what was posted is on disk."""
    return Answer(status=200, content_type=encoding, body=EMPTY_RESPONSE[encoding])


def refused(
    refusal: Refusal,
    text: str,
    encoding: Encoding,
    *,
    allow: str = "POST",
    retry_after_s: int = 0,
) -> Answer:
    """Answer a request that is not accepted as it is.

    ``allow`` goes with a wrong method, ``retry_after_s`` with a sender that was too fast.
    """
    status, code = STATUSES[refusal]
    headers = {
        Refusal.METHOD: {"Allow": allow},
        Refusal.UNAUTHENTICATED: {"WWW-Authenticate": "Bearer"},
        Refusal.RATE_LIMITED: {"Retry-After": str(retry_after_s)},
    }
    return Answer(
        status=status,
        content_type=encoding,
        body=_status_body(code, text, encoding),
        headers=headers.get(refusal, {}),
    )


def unavailable(retry_after_s: int, encoding: Encoding) -> Answer:
    """Answer 503: nothing is wrong with the request, and nothing of it was kept."""
    text = f"The request could not be stored now; send it again after {retry_after_s} s."
    return Answer(
        status=503,
        content_type=encoding,
        body=_status_body(Code.UNAVAILABLE, text, encoding),
        headers={"Retry-After": str(retry_after_s)},
    )


def _status_body(code: Code, text: str, encoding: Encoding) -> bytes:
    """A google.rpc.Status."""
    if encoding is Encoding.JSON:
        return orjson.dumps({"code": code, "message": text})
    body: bytes = Status(code=code, message=text).SerializeToString()
    return body
