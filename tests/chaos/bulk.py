"""Very many records at next to no cost: some are built, and copied with other numbers in them.

What is replaced is as long as what it stands for in either encoding, so that the size of a body is
known before it is made, and it can be made while it is sent.
"""

import http.client
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bridge.model.requests import Encoding
from tests.builders import a_decision, a_prompt, a_request, a_result
from tests.pipeline import Logged, batch

SESSION_MARK, PROMPT_MARK = "66666666", "77777777"
SESSION = f"5e551011-0000-4000-8000-0000{SESSION_MARK}"
PROMPT = f"5e551011-0000-4000-9000-0000{PROMPT_MARK}"
STEPS_MS = range(1000, 7001, 1000)
PROMPT_MS = 60_000
"""From one prompt of a session to the next."""
CHUNK_COPIES = 500
ANSWER_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Some records of one prompt in one encoding, to be numbered.

    Attributes:
        copy: They as they stand in a body.
        records: How many there are.
        moments_ms: All their times.
        written: How a time stands in ``copy``.
        head: What a body begins with; ``between`` stands between two copies, ``tail`` at the end.
    """

    encoding: Encoding
    copy: bytes
    records: int
    moments_ms: tuple[int, ...]
    written: Callable[[int], bytes]
    head: bytes = b""
    between: bytes = b""
    tail: bytes = b""

    def pieces(self, numbers: Iterable[int], prompts_per_session: int = 1) -> Iterator[bytes]:
        """The pieces of a body with a copy for each number; the same number is the same again."""
        yield self.head
        separator = b""
        for number in numbers:
            yield separator + self._numbered(number, *divmod(number, prompts_per_session))
            separator = self.between
        yield self.tail

    def _numbered(self, number: int, session: int, minute: int) -> bytes:
        copy = self.copy.replace(SESSION_MARK.encode(), b"%08d" % session)
        copy = copy.replace(PROMPT_MARK.encode(), b"%08d" % number)
        for at_ms in self.moments_ms:
            copy = copy.replace(self.written(at_ms), self.written(at_ms + minute * PROMPT_MS))
        return copy

    def body(self, numbers: Iterable[int], prompts_per_session: int = 1) -> bytes:
        """All of it."""
        return b"".join(self.pieces(numbers, prompts_per_session))

    def size_bytes(self, copies: int) -> int:
        """Of a body with so many copies."""
        framing = len(self.head) + len(self.tail) - len(self.between)
        return framing + copies * (len(self.copy) + len(self.between))

    def copies_in(self, size_bytes: int) -> int:
        """How many fit into a body of this size."""
        framing = len(self.head) + len(self.tail) - len(self.between)
        return (size_bytes - framing) // (len(self.copy) + len(self.between))


def whole_prompt(encoding: Encoding = Encoding.PROTOBUF) -> Template:
    """A prompt with three requests and two tools."""
    around: dict[str, Any] = {"session": SESSION, "prompt": PROMPT}
    ids = [f"req_{PROMPT_MARK}_{number}" for number in range(3)]
    calls = [f"toolu_{PROMPT_MARK}_{number}" for number in range(2)]
    at_ms = iter(STEPS_MS)
    records = [a_prompt(0, **around), a_request(next(at_ms), ids[0], **around)]
    for request_id, call_id in zip(ids[1:], calls, strict=True):
        records += [
            a_decision(next(at_ms), call_id=call_id, **around),
            a_result(next(at_ms), call_id=call_id, **around),
            a_request(next(at_ms), request_id, **around),
        ]
    return template(records, encoding)


def open_prompt() -> Template:
    """A prompt and a request of it: a turn that goes on."""
    around: dict[str, Any] = {"session": SESSION, "prompt": PROMPT}
    request = a_request(1000, f"req_{PROMPT_MARK}", **around)
    return template([a_prompt(0, **around), request], Encoding.PROTOBUF)


def lone_request() -> Template:
    """A request of a session of which nothing else is known."""
    request = a_request(0, f"req_{PROMPT_MARK}", session=SESSION, prompt=None)
    return template([request], Encoding.PROTOBUF)


def template(records: list[Logged], encoding: Encoding) -> Template:
    """Of records that name the marked session and prompt."""
    body = batch(records, encoding=encoding).body
    moments_ms = tuple(sorted({record.at_ms for record in records}))
    if encoding is Encoding.PROTOBUF:  # messages one behind the other are one message
        return Template(
            encoding=encoding,
            copy=body,
            records=len(records),
            moments_ms=moments_ms,
            written=lambda at_ms: struct.pack("<Q", at_ms * 1_000_000),
        )
    head, tail = b'{"resourceLogs": [', b"]}"
    assert body.startswith(head), "written otherwise than expected"
    return Template(
        encoding=encoding,
        copy=body.removeprefix(head).removesuffix(tail),
        records=len(records),
        moments_ms=moments_ms,
        written=lambda at_ms: b"%d" % (at_ms * 1_000_000),
        head=head,
        between=b",",
        tail=tail,
    )


def gzipped(pieces: Iterable[bytes]) -> bytes:
    """Compressed while they are made."""
    compressor = zlib.compressobj(1, wbits=zlib.MAX_WBITS + 16)
    return b"".join([*map(compressor.compress, pieces), compressor.flush()])


def post_pieces(
    port: int, encoding: Encoding, pieces: Iterable[bytes], size_bytes: int, **headers: str
) -> int:
    """Post one body of logs while it is made; the status of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    told = {"Content-Type": encoding.value, "Content-Length": str(size_bytes)}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request("POST", "/v1/logs", _in_chunks(pieces), told | named)
        return connection.getresponse().status
    finally:
        connection.close()


def _in_chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Fewer and larger ones: each is a call of the system."""
    held: list[bytes] = []
    for piece in pieces:
        held.append(piece)
        if len(held) == CHUNK_COPIES:
            yield b"".join(held)
            held.clear()
    yield b"".join(held)
