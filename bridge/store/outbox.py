"""The ledger's observations on their way to Langfuse: put in, claimed, told how they ended.

Works on the ledger's connection, inside its transactions.

Delivery goes from the oldest to the latest and overtakes nothing. So one position says what
Langfuse has: no row is written again when it is delivered, and no index has to tell what is
pending. Only what Langfuse refuses is marked; it gets a new position when it is to be sent again.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from bridge.model.delivery import PendingSpan
from bridge.store import blocks
from bridge.store.blocks import Spans
from bridge.store.facts import add_totals, fact, set_fact
from bridge.store.observations import LAST_POSITION, last_position

DELIVERED_TO: Final = "delivered_to"
"""Fact: Langfuse has, or has refused, what is not behind this position."""

PENDING: Final = "pending"
"""Total: observations that wait for delivery. Counted on, since counting rows would read each."""

DELIVERED: Final = "delivered"
DEAD_LETTERED: Final = "dead_lettered"
EXPIRED: Final = "expired"
"""Counters of observations, besides those made (``ASSEMBLED``): answered 200 by Langfuse; refused
by it for good; deleted undelivered by retention, which happens only where nothing delivers."""

LAST_DELIVERY: Final = "last_delivery_ms"


def claim(connection: sqlite3.Connection, max_bytes: int, max_spans: int) -> list[PendingSpan]:
    """The oldest pending spans up to the bounds, at least one if there is any."""
    rows = connection.execute(_CLAIM, (delivered_to(connection), max_spans)).fetchall()
    if not rows:
        return []
    positions, names, versions, envelopes = zip(*rows, strict=True)
    spans = Spans(connection).up_to(max_bytes, positions)
    return list(map(PendingSpan, positions, spans, names, versions, envelopes))


def delivered(
    connection: sqlite3.Connection, positions: Sequence[int], at_ms: int, aged_ms: int
) -> None:
    """Langfuse has the oldest that were pending, as they were claimed.

    Told of others it changes nothing, and they are sent once more: that happens where the file was
    replaced while they were on their way.

    Args:
        connection: In a transaction.
        positions: Rising. Those that are not there any more count for nothing.
        at_ms: When, for people.
        aged_ms: The same for the age of rows.
    """
    last = positions[-1]
    taken = _count_pending(connection, positions)
    if taken is None:
        return
    set_fact(connection, DELIVERED_TO, str(max(last, delivered_to(connection))))
    connection.execute(_NOTE_DELIVERY, (last, aged_ms))
    add_totals(connection, {DELIVERED: taken, PENDING: -taken})
    set_fact(connection, LAST_DELIVERY, str(at_ms))


def _count_pending(connection: sqlite3.Connection, positions: Sequence[int]) -> int | None:
    """How many are pending up to the last of rising positions; None if others are among them.

    Nearly always positions are neighbours: then others can only be before the first of them.
    """
    first, last = positions[0], positions[-1]
    to_last = (delivered_to(connection), last)
    if last - first == len(positions) - 1:
        taken, earliest = connection.execute(_COUNT_PENDING_TO, to_last).fetchone()
        return None if taken and earliest < first else taken
    pending = {position for (position,) in connection.execute(_PENDING_TO, to_last)}
    return len(pending) if pending <= {*positions} else None


def rejected(connection: sqlite3.Connection, position: int, reason: str, aged_ms: int) -> None:
    """Langfuse will never take this one, which is kept for people."""
    span = Spans(connection).at(position)
    marked = connection.execute(_REJECT, (reason, aged_ms, span, position)).rowcount
    add_totals(connection, {DEAD_LETTERED: marked, PENDING: -marked})


def deliver_again(connection: sqlite3.Connection, position: int, at_ms: int) -> bool:
    """Put what was refused behind all that is pending; False if it is not there any more."""
    row = connection.execute(REFUSED_SPAN, (position,)).fetchone()
    if row is None:
        return False
    again = last_position(connection) + 1
    connection.execute(_MOVE, (again, at_ms, position))
    blocks.write(connection, again, row)
    set_fact(connection, LAST_POSITION, str(again))
    add_totals(connection, {DEAD_LETTERED: -1, PENDING: 1})
    return True


def delivered_to(connection: sqlite3.Connection) -> int:
    """Up to which position nothing is pending; 0 before the first delivery."""
    return int(fact(connection, DELIVERED_TO) or 0)


_CLAIM: Final = (
    "SELECT position, service_name, service_version, envelope FROM observations"
    " WHERE position > ? AND reason IS NULL ORDER BY position LIMIT ?"
)
_PENDING_TO: Final = (
    "SELECT position FROM observations WHERE position > ? AND position <= ? AND reason IS NULL"
)
_COUNT_PENDING_TO: Final = (
    "SELECT count(*), min(position) FROM observations"
    " WHERE position > ? AND position <= ? AND reason IS NULL"
)
_NOTE_DELIVERY: Final = "INSERT OR REPLACE INTO deliveries VALUES (?, ?)"
_REJECT: Final = (
    "UPDATE observations SET reason = ?, changed_at_ms = ?, span = ?"
    " WHERE position = ? AND reason IS NULL"
)
REFUSED_SPAN: Final = "SELECT span FROM observations WHERE position = ? AND reason IS NOT NULL"
"""Its bytes, by position."""
_MOVE: Final = (
    "UPDATE observations SET position = ?, reason = NULL, changed_at_ms = ?, span = NULL"
    " WHERE position = ?"
)
