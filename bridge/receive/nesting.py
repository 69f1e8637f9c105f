"""How deeply JSON is nested, found out without following it down.

Every parser goes down on a stack of its own, and each ends somewhere else: what one takes, the next
may not. Linear in the size, in pieces between which other threads get their turn.
"""

from collections.abc import Iterator
from itertools import accumulate
from typing import Final

PIECE_BYTES: Final = 256 * 1024
MARKS_AT_ONCE: Final = 64 * 1024

_NO_MARK: Final = bytes(set(range(256)) - set(b'"[]{}'))
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
_STEPS: Final = bytes.maketrans(b"[]", b"\x01\xff")
"""As signed bytes: one down, one up."""

_SHALLOW: Final = 4
"""So many innermost levels are cheaper taken away than counted: nearly all brackets of OTLP."""


def is_deeper_than(body: bytes, limit: int) -> bool:
    """Whether objects and arrays in valid JSON are nested more than ``limit`` deep, at least 4.

    Of anything else it says something or other, and ends.
    """
    marks = _brackets(body)
    for _ in range(_SHALLOW):
        marks = marks.replace(b"[]", b"")
    return any(depth > limit - _SHALLOW for depth in _depths(marks))


def _brackets(body: bytes) -> bytes:
    """All brackets outside strings, curly ones as square ones."""
    marks = b"".join(map(_marks, _pieces(body)))
    return b"".join(marks.split(b'"')[::2])


def _pieces(body: bytes) -> Iterator[bytes]:
    """The body in pieces that begin with no escaped character."""
    start = 0
    while start < len(body):
        piece = body[start : start + PIECE_BYTES]
        backslashes = len(piece) - len(piece.rstrip(b"\\"))
        if backslashes % 2:
            piece = body[start : start + PIECE_BYTES + 1]
        start += len(piece)
        yield piece


def _marks(piece: bytes) -> bytes:
    """Brackets and the quotes that tell which of them are inside strings."""
    unescaped = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
    # An even number of quotes less changes nothing for any bracket.
    return unescaped.translate(_ONE_KIND, _NO_MARK).replace(b'""', b"")


def _depths(marks: bytes) -> Iterator[int]:
    """The greatest depth in each stretch of ``marks``."""
    depth = 0
    for start in range(0, len(marks), MARKS_AT_ONCE):
        steps = marks[start : start + MARKS_AT_ONCE]
        yield max(accumulate(memoryview(steps.translate(_STEPS)).cast("b"), initial=depth))
        depth += 2 * steps.count(b"[") - len(steps)
