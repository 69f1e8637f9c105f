"""Reading the ledger beside its writer: for ``/healthz`` and for people at a terminal.

Never locks the writer out, and reads a ledger that is not there yet as an empty one.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final

import msgspec
import orjson

from bridge.errors import DamagedStoreError
from bridge.model.delivery import LangfuseState
from bridge.model.measures import PICO, Measure
from bridge.model.observations import Observation, ObservationKind
from bridge.model.outcomes import Outcome
from bridge.model.packing import unpacker
from bridge.model.sessions import SessionNumbers
from bridge.model.views import NO_SESSION, SessionSummary, TraceView
from bridge.store import counts, damage
from bridge.store.blocks import Spans
from bridge.store.inbox_schema import InboxTotals
from bridge.store.ledger import (
    COST_GAPS,
    LANGFUSE,
    REDACTED,
    SCORES_DELIVERED,
    SCORES_REJECTED,
    TAKEN_BEFORE,
    UNPRICED,
)
from bridge.store.outbox import (
    DEAD_LETTERED,
    DELIVERED,
    DELIVERED_TO,
    LAST_DELIVERY,
    PENDING,
)
from bridge.store.schema import INBOX, LEDGER, WATERMARK
from bridge.store.sqlite import connect, identity, store_error

PICO_PER_MS: Final = PICO // 1000

GENERATION: Final = ObservationKind.GENERATION.value

_decode_numbers = unpacker(SessionNumbers)

DecodeSpan = Callable[[bytes, str, str | None], Observation]
"""(span bytes, service name, service version) → the observation; given by ``langfuse.wire``."""


class LedgerTotals(msgspec.Struct, frozen=True, kw_only=True):
    """The ledger in numbers.

    Attributes:
        outcomes: Records by how they ended.
        live_records: Records that are held in live turns or wait for their turn.
        pending: Observations that wait for delivery.
        delivered: Observations that Langfuse has.
        dead_lettered: Observations that Langfuse refused.
        cost_gaps: Session summaries whose events and metrics tell different costs.
        unpriced_requests: Requests that came without a cost, in ended sessions.
        redacted: Secrets that were masked.
        watermark: Position of the last request assembled.
        inbox: The inbox whose positions are meant; None before the first.
        taken_before: Records it has from inboxes before that one.
        last_delivery_ms: None before the first.
        langfuse: None until the worker has said something.
    """

    outcomes: dict[str, int]
    live_records: int
    pending: int
    delivered: int
    dead_lettered: int
    cost_gaps: int
    unpriced_requests: int
    redacted: int
    watermark: int
    inbox: str | None
    taken_before: int
    last_delivery_ms: int | None
    langfuse: LangfuseState | None

    def accepted(self, inbox: str | None, totals: InboxTotals) -> int:
        """Records ever accepted: by this inbox, and by those before it that were replaced.

        Accepted = held + the sum of outcomes, from the moment on at which a file was replaced.
        """
        if inbox is not None and inbox == self.inbox:
            return totals.accepted + self.taken_before
        return sum(self.outcomes.values()) + self.live_records + sum(totals.kept_records.values())


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """What is watched besides the totals.

    Attributes:
        scores: Values of scores by how they ended.
        open_turns: Turns that are not closed.
        open_sessions: Sessions, or installations that tell none, of which something goes on.
        held_since_ms: Start of the oldest turn that holds records, by the client's clock.
        pending_since_ms: When the oldest pending observation was made.
        counts: (name, labels, value): the series and their sums.
    """

    scores: dict[str, int]
    open_turns: int
    open_sessions: int
    held_since_ms: int | None
    pending_since_ms: int | None
    counts: list[tuple[str, dict[str, str], int]]


class LedgerReader:
    """Read-only; any process or thread.

    Raises:
        StoreError: From every method, when the file is there and cannot be read.
    """

    def __init__(self, path: Path, decode_span: DecodeSpan) -> None:
        self._path = path
        self._decode_span = decode_span
        self._connection: sqlite3.Connection | None = None
        self._opened_file: tuple[int, int] | None = None

    def totals(self) -> LedgerTotals:
        """The numbers behind ``/healthz``, all as of one moment."""
        with self._reading() as connection:
            connection.execute("BEGIN")
            totals = dict(connection.execute("SELECT name, value FROM totals"))
            facts = dict(connection.execute("SELECT name, value FROM facts"))
            (live,) = connection.execute(_LIVE_RECORDS).fetchone()
            connection.execute("COMMIT")
        last = facts.get(LAST_DELIVERY)
        known = facts.get(LANGFUSE)
        return LedgerTotals(
            outcomes={o.value: totals.get(o.value, 0) for o in Outcome},
            live_records=live,
            pending=totals.get(PENDING, 0),
            delivered=totals.get(DELIVERED, 0),
            dead_lettered=totals.get(DEAD_LETTERED, 0),
            cost_gaps=totals.get(COST_GAPS, 0),
            unpriced_requests=totals.get(UNPRICED, 0),
            redacted=totals.get(REDACTED, 0),
            watermark=int(facts.get(WATERMARK, 0)),
            inbox=facts.get(INBOX),
            taken_before=int(facts.get(TAKEN_BEFORE, 0)),
            last_delivery_ms=int(last) if last else None,
            langfuse=LangfuseState(known) if known else None,
        )

    def watermark(self, inbox: str | None) -> int:
        """Up to where ``inbox`` was assembled; 0 where the ledger goes by another one."""
        with self._reading() as connection:
            facts = dict(connection.execute(_MARK, (INBOX, WATERMARK)))
        known = inbox is not None and facts.get(INBOX) == inbox
        return int(facts.get(WATERMARK, 0)) if known else 0

    def watched(self) -> Watched:
        """What Prometheus is shown besides ``totals``."""
        with self._reading() as connection:
            connection.execute("BEGIN")
            totals = dict(connection.execute("SELECT name, value FROM totals"))
            row = connection.execute(_WATCHED).fetchone()
            series = counts.read(connection)
            connection.execute("COMMIT")
        turns, sessions, held_since_ms, pending_since_ms = row
        return Watched(
            scores={
                "delivered": totals.get(SCORES_DELIVERED, 0),
                "rejected": totals.get(SCORES_REJECTED, 0),
            },
            open_turns=turns,
            open_sessions=sessions,
            held_since_ms=held_since_ms,
            pending_since_ms=pending_since_ms,
            counts=series,
        )

    def sessions(self, limit: int) -> list[SessionSummary]:
        """The sessions that were active last, latest first."""
        with self._reading() as connection:
            rows = connection.execute(_SESSIONS, (limit,)).fetchall()
            return [_summary(connection, row) for row in rows]

    def find(self, text: str) -> list[TraceView]:
        """All traces of the sessions, or else the traces, whose id begins with ``text``.

        ``NO_SESSION`` finds the traces that have none.
        """
        pattern = f"{_escaped(text)}%"
        with self._reading() as connection:
            if text == NO_SESSION:
                found = connection.execute(_TURNS_WITHOUT_SESSION).fetchall()
            else:
                found = connection.execute(_TURNS_OF_SESSION, (pattern,)).fetchall()
            found = found or connection.execute(_TURNS_BY_TRACE, (pattern,)).fetchall()
            return [self._trace(connection, row) for row in found]

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _trace(
        self, connection: sqlite3.Connection, row: tuple[str, str | None, int, int]
    ) -> TraceView:
        trace_id, session_id, live, is_summary = row
        spans = Spans(connection)
        found = [
            (start_ms, position, self._decode_span(span or spans.at(position), name, version))
            for position, start_ms, name, version, span in connection.execute(
                _OBSERVATIONS, (trace_id,)
            )
        ]
        return TraceView(
            trace_id=trace_id,
            session_id=session_id,
            live=bool(live),
            observations=tuple(observation for *_, observation in sorted(found, key=_BY_TIME)),
            is_summary=bool(is_summary),
        )

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._opened()
        except (sqlite3.Error, DamagedStoreError) as error:
            failure = store_error(self._path, error) if isinstance(error, sqlite3.Error) else error
            if isinstance(failure, DamagedStoreError):
                damage.suspect(self._path, self._opened_file)
            self.close()
            raise failure from error

    def _opened(self) -> sqlite3.Connection:
        found = identity(self._path)
        if self._connection is not None and self._opened_file == found:
            return self._connection
        self.close()  # its writer has replaced it
        if found is None:
            return _empty()
        self._opened_file = found
        damage.check_log(self._path)
        connection = connect(self._path, read_only=True)
        if connection.execute("PRAGMA user_version").fetchone() == (0,):
            connection.close()  # the writer has not come to its tables yet
            return _empty()
        self._connection = connection
        return connection


def _empty() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    for statement in LEDGER:
        connection.execute(statement)
    return connection


def _summary(connection: sqlite3.Connection, row: Sequence[object]) -> SessionSummary:
    session_id = str(row[0])
    details = connection.execute(_DETAILS, (session_id,)).fetchall()
    (prompts, live) = connection.execute(_TURN_COUNTS, (session_id,)).fetchone()
    kinds = {kind: len(list(rows)) for kind, rows in groupby(sorted(d[0] for d in details))}
    return SessionSummary(
        session_id=session_id,
        user_id=next((user for *_, user in details if user), None),
        models=tuple(sorted({model for _, model, *_ in details if model})),
        started_ms=int(str(row[1])),
        ended_ms=int(str(row[2])),
        prompts=prompts,
        live=live or 0,
        generations=kinds.get(GENERATION, 0),
        tools=kinds.get(ObservationKind.TOOL, 0),
        errors=sum(1 for d in details if d[4]),
        cost_picousd=sum(cost or 0 for kind, _, cost, *_ in details if kind == GENERATION),
        tokens=_tokens(usage for kind, _, _, usage, *_ in details if kind == GENERATION),
        **_measured(connection, session_id),
    )


def _tokens(usages: Iterable[str | None]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for usage in filter(None, usages):
        for key, count in orjson.loads(usage).items():
            sums[key] = sums.get(key, 0) + count
    return sums


def _measured(connection: sqlite3.Connection, session_id: str) -> dict[str, int | None]:
    """What the session's metrics tell, by the fields of ``SessionSummary``."""
    row = connection.execute(_NUMBERS, (session_id,)).fetchone()
    if row is None:
        return {}
    numbers = _decode_numbers(row[0])
    return {
        "active_ms": _whole(numbers.measured(Measure.ACTIVE_S), PICO_PER_MS),
        "lines_added": _whole(numbers.measured(Measure.LINES, type="added")),
        "lines_removed": _whole(numbers.measured(Measure.LINES, type="removed")),
        "commits": _whole(numbers.measured(Measure.COMMITS)),
        "pull_requests": _whole(numbers.measured(Measure.PULL_REQUESTS)),
    }


def _whole(pico: int | None, unit: int = PICO) -> int | None:
    return None if pico is None else pico // unit


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


_LIVE_RECORDS: Final = (
    "SELECT (SELECT ifnull(sum(held), 0) FROM turns WHERE live)"
    " + (SELECT ifnull(sum(held), 0) FROM conversations WHERE live)"
)
_MARK: Final = "SELECT name, value FROM facts WHERE name IN (?, ?)"
_WATCHED: Final = f"""
    SELECT (SELECT count(*) FROM turns WHERE live),
        (SELECT count(*) FROM conversations WHERE live),
        (SELECT min(started_ms) FROM turns WHERE live AND held > 0),
        (SELECT changed_at_ms FROM observations WHERE reason IS NULL AND position > ifnull(
            (SELECT CAST(value AS INTEGER) FROM facts WHERE name = '{DELIVERED_TO}'), 0)
            ORDER BY position LIMIT 1)
"""  # noqa: S608 - a constant
_SESSIONS: Final = f"""
    WITH summaries AS (
        SELECT traces.number FROM turns JOIN traces USING (trace_id) WHERE is_summary),
    shown AS (
        SELECT ifnull(session_id, '{NO_SESSION}') AS session, start_ms, end_ms, is_root,
            trace NOT IN summaries AS works
        FROM observations WHERE envelope IS NULL)
    SELECT session,
        ifnull(min(CASE WHEN works THEN start_ms END), min(start_ms)),
        ifnull(max(CASE WHEN works OR is_root THEN end_ms END), max(end_ms)) AS last_ms
    FROM shown GROUP BY session ORDER BY last_ms DESC LIMIT ?"""  # noqa: S608 - a constant
"""A summary begins a moment before its first prompt, and its active time lies anywhere: neither
says when the session began or ended, unless nothing else does."""
_DETAILS: Final = (
    "SELECT kind, model, cost_picousd, usage, is_error AND NOT is_root, user_id"  # noqa: S608 - a constant
    f" FROM observations WHERE ifnull(session_id, '{NO_SESSION}') = ? ORDER BY position"
)
_TURN_COUNTS: Final = (
    "SELECT count(*), sum(live) FROM turns"  # noqa: S608 - a constant
    f" WHERE NOT is_summary AND ifnull(session_id, '{NO_SESSION}') = ?"
)
_NUMBERS: Final = "SELECT numbers FROM sessions WHERE session_id = ?"
_TURNS_WITHOUT_SESSION: Final = (
    "SELECT trace_id, session_id, live, is_summary FROM turns"
    " WHERE session_id IS NULL ORDER BY started_ms, trace_id"
)
_TURNS_OF_SESSION: Final = (
    "SELECT trace_id, session_id, live, is_summary FROM turns"
    " WHERE session_id LIKE ? ESCAPE '\\' ORDER BY started_ms, trace_id"
)
_TURNS_BY_TRACE: Final = (
    "SELECT trace_id, session_id, live, is_summary FROM turns"
    " WHERE trace_id LIKE ? ESCAPE '\\' ORDER BY started_ms, trace_id"
)
_OBSERVATIONS: Final = (
    "SELECT position, start_ms, service_name, service_version, span FROM observations"
    " WHERE trace = (SELECT number FROM traces WHERE trace_id = ?) AND envelope IS NULL"
    " ORDER BY position"
)
_BY_TIME: Final = itemgetter(0, 1)
