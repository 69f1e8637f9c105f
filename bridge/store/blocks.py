"""The bytes of finished spans, in blocks.

Works on the ledger's connection, inside its transactions.

Spans of one step have nearly everything in common. Compressed together they take a fifth of the
room, and of what a step writes.

::

    first … position   zlib of a MessagePack array: the spans of these positions, in order
"""

import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Final

import msgspec
from isal import isal_zlib
from isal.igzip_lib import IsalError

from bridge.errors import DamagedStoreError

BLOCK_SPANS: Final = 256
BLOCK_BYTES: Final = 256 * 1024
"""How much goes into one: who wants one span unpacks all of it."""

UNPACKED_BYTES: Final = BLOCK_BYTES + 8 * 1024
"""As much as nearly every block is unpacked: memory for it is asked for once."""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[bytes]).decode


def write(connection: sqlite3.Connection, first: int, spans: Sequence[bytes]) -> None:
    """Keep spans under neighbouring positions, of which ``first`` is the first."""
    for block in _blocks(spans):
        packed = isal_zlib.compress(_pack(block), 1)
        connection.execute(_WRITE, (first + len(block) - 1, first, packed))
        first += len(block)


class Spans:
    """Spans by their positions. The block read last is kept, since the next is often in it too.

    Raises:
        DamagedStoreError: When a block cannot be read.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._first = 0
        self._spans: list[bytes] = []

    def at(self, position: int) -> bytes:
        """The span at a position that has one."""
        self._open(position)
        return self._spans[position - self._first]

    def up_to(self, max_bytes: int, positions: Sequence[int]) -> list[bytes]:
        """The spans at rising positions that have one, block by block.

        The first at least, and no more than are ``max_bytes`` together.
        """
        spans: list[bytes] = []
        size_bytes = 0
        while len(spans) < len(positions) and size_bytes <= max_bytes:
            run = self._run(positions, len(spans))
            size_bytes += sum(map(len, run))
            spans += run
        return spans if size_bytes <= max_bytes else _fitting(spans, max_bytes)

    def _run(self, positions: Sequence[int], start: int) -> list[bytes]:
        """The spans of the block that has the position at ``start``; most have all their rows."""
        self._open(positions[start])
        first, end = self._first, bisect_left(positions, self._first + len(self._spans), start)
        begin, last = positions[start] - first, positions[end - 1] - first
        if last - begin == end - 1 - start:
            return self._spans[begin : last + 1]
        return [self._spans[position - first] for position in positions[start:end]]

    def _open(self, position: int) -> None:
        """Have the block with the span at a position that has one."""
        if not 0 <= position - self._first < len(self._spans):
            row = self._connection.execute(_READ, (position,)).fetchone()
            self._first, self._spans = (row[0], opened(row[1])) if row else (0, [])
        if position < self._first or not self._spans:
            raise DamagedStoreError(f"the ledger has lost the span at {position}")


@lru_cache(maxsize=1)
def opened(block: bytes) -> list[bytes]:
    """The spans of a block. The last is remembered: what is claimed next begins in it.

    Raises:
        DamagedStoreError: These are not the bytes that were written.
    """
    try:
        return _unpack(isal_zlib.decompress(block, bufsize=UNPACKED_BYTES))
    except (IsalError, msgspec.DecodeError) as error:  # type: ignore[misc] # it is a class
        raise DamagedStoreError(f"a block of spans cannot be read: {error}") from error


def _fitting(spans: list[bytes], max_bytes: int) -> list[bytes]:
    """The first at least, and no more than are ``max_bytes`` together."""
    sizes_bytes = list(accumulate(map(len, spans)))
    return spans[: bisect_right(sizes_bytes, max_bytes) or 1]


def _blocks(spans: Sequence[bytes]) -> Iterator[list[bytes]]:
    block: list[bytes] = []
    size_bytes = 0
    for span in spans:
        if block and (len(block) == BLOCK_SPANS or size_bytes + len(span) > BLOCK_BYTES):
            yield block
            block, size_bytes = [], 0
        block.append(span)
        size_bytes += len(span)
    if block:
        yield block


_WRITE: Final = "INSERT INTO blocks (position, first, spans) VALUES (?, ?, ?)"
_READ: Final = "SELECT first, spans FROM blocks WHERE position >= ? ORDER BY position LIMIT 1"
