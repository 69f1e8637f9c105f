"""How a body stands in the inbox: compressed, where that is less to write.

Telemetry says the same things over and over: compressed, a body has a third to an eighth of its
bytes. To compress it takes a fraction of what it takes to write the other bytes to the log, from
there into the file, and zeros over them once they are assembled.

Responsible for: that whoever reads a body has the bytes that came.
Left to others: gzip that a client sent, which stays as it is until it is decoded.
"""

from typing import Final, NamedTuple

from isal import igzip_lib

from bridge.model.requests import ExportRequest

LEAST_BYTES: Final = 1024
MOST_BYTES: Final = 8 * 1024 * 1024
"""Of a body that is compressed. Larger ones would be in memory twice for a moment."""

LARGE_BYTES: Final = 32 * 1024
LEVELS: Final = (0, 1)
"""Of small bodies and of large ones: level 1 has to set up more, and leaves a fifth less."""

SIZE_BYTES: Final = 4
"""gzip ends with the size of what was compressed."""


NONE, SENT, OURS = range(3)
"""What ``requests.gzipped`` says of a body: it is not gzip, it came so, it was made so here."""


class Packed(NamedTuple):
    """A request, and its body as it stands in the file."""

    request: ExportRequest
    packing: int
    body: bytes


def packed(request: ExportRequest) -> Packed:
    """The request with its body compressed, or as it came."""
    body = request.body
    if request.gzipped:
        return Packed(request, SENT, body)
    size_bytes = len(body)
    if LEAST_BYTES <= size_bytes <= MOST_BYTES:
        level = LEVELS[size_bytes >= LARGE_BYTES]
        compressed = igzip_lib.compress(body, level, igzip_lib.COMP_GZIP)
        if len(compressed) < size_bytes:
            return Packed(request, OURS, compressed)
    return Packed(request, NONE, body)


def unpacked(packing: int, body: bytes) -> tuple[bool, bytes]:
    """Whether a body is gzip, and the body as it came.

    One that was damaged in the file is left to whoever decodes, as gzip that is none.
    """
    if packing != OURS:
        return packing == SENT, body
    try:
        size_bytes = unpacked_bytes(body)
        return False, igzip_lib.decompress(body, igzip_lib.DECOMP_GZIP, bufsize=size_bytes + 1)
    except igzip_lib.IsalError:  # type: ignore[misc]  # its stubs take it for an instance
        return True, body


def unpacked_bytes(body: bytes) -> int:
    """The size of a body as it came, of which what was made gzip here tells at its end."""
    return min(int.from_bytes(body[-SIZE_BYTES:], "little"), MOST_BYTES)
