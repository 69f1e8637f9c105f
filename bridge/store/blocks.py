"""The bytes of finished spans, in blocks.

Works on the ledger's connection, inside its transactions.

Spans of one step have nearly everything in common. Compressed together they take a fifth of the
room, and of what a step writes.

::

    first … position   zlib of a MessagePack array: the spans of these positions, in order
"""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from isal import isal_zlib
from isal.igzip_lib import IsalError

from bridge.errors import DamagedStoreError

BLOCK_SPANS: Final = 256
BLOCK_BYTES: Final = 256 * 1024
"""How much goes into one: who wants one span unpacks all of it."""

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
        DamagedStoreError: From ``at``, when the block cannot be read.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._first = 0
        self._spans: list[bytes] = []

    def at(self, position: int) -> bytes:
        """The span at a position that has one."""
        if not 0 <= position - self._first < len(self._spans):
            row = self._connection.execute(_READ, (position,)).fetchone()
            self._first, self._spans = (row[0], opened(row[1])) if row else (0, [])
        if position < self._first or not self._spans:
            raise DamagedStoreError(f"the ledger has lost the span at {position}")
        return self._spans[position - self._first]


def opened(block: bytes) -> list[bytes]:
    """The spans of a block.

    Raises:
        DamagedStoreError: These are not the bytes that were written.
    """
    try:
        return _unpack(isal_zlib.decompress(block))
    except (IsalError, msgspec.DecodeError) as error:  # type: ignore[misc] # it is a class
        raise DamagedStoreError(f"a block of spans cannot be read: {error}") from error


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
