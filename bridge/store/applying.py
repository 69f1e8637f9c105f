"""One assemble step made true, inside a transaction of the ledger's."""

import sqlite3
from collections import Counter

from msgspec.structs import replace

from bridge.model.counted import Series
from bridge.model.outcomes import Outcome
from bridge.store import counts, observations, quarantine, scores
from bridge.store import step as rows
from bridge.store.facts import add_totals, set_fact
from bridge.store.observations import KnownTraces
from bridge.store.outbox import PENDING
from bridge.store.quarantine import ASSEMBLED
from bridge.store.schema import PROGRESS, WATERMARK
from bridge.store.step import Step


class Known:
    """Copies of what the transactions of one connection have read and written.

    They go with it, and with what was rolled back.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.series = counts.KnownSeries(connection)
        self.traces = KnownTraces(connection)


def apply(connection: sqlite3.Connection, step: Step, aged_ms: int, known: Known) -> None:
    """Write all that a step leads to.

    Args:
        connection: In a transaction.
        step: What to make true.
        aged_ms: Its time as ages of rows are measured; people are shown ``step.at_ms``.
        known: What the connection's transactions have read and written.
    """
    quarantine.keep(connection, step)
    step = replace(step, at_ms=aged_ms)
    totals, usage = _insert_finished(connection, step, known.traces)
    totals += _insert_forwarded(connection, step, known.traces)
    totals[PENDING] = totals[ASSEMBLED]
    connection.executemany(rows.SAVE_TURN, rows.turn_rows(step))
    connection.executemany(rows.SAVE_CONVERSATION, rows.conversation_rows(step))
    connection.executemany(rows.TAKE_LOOK_OUT, step.looks_done)
    connection.executemany(rows.PLAN_LOOK, step.looks_planned)
    connection.executemany(rows.SAVE_SESSION, rows.session_rows(step))
    scores.save(connection, step.scores, step.at_ms)
    add_totals(connection, totals + _outcome_totals(step))
    add_totals(connection, step.tallies)
    counts.add(connection, usage, known.series)
    counts.add(connection, step.counts, known.series)
    set_fact(connection, WATERMARK, str(step.watermark))
    set_fact(connection, PROGRESS, f"{step.progress.items} {step.progress.records}")


def _insert_finished(
    connection: sqlite3.Connection, step: Step, traces: KnownTraces
) -> tuple[Counter[str], Counter[Series]]:
    """Insert the observations; what their records have ended as, and what they add to usage.

    Records of an observation that was there already are repetitions, and add nothing.
    """
    usage: Counter[Series] = Counter()
    inserted = observations.insert(connection, step.finished, step.at_ms, traces)
    observed = sum(finished.observed for finished in inserted)
    folded = sum(finished.folded for finished in inserted)
    so_far = usage.get
    for finished in inserted:
        for series, change in finished.usage.items():
            usage[series] = so_far(series, 0) + change
    ended = sum(finished.observed + finished.folded for finished in step.finished)
    totals = Counter(
        {
            ASSEMBLED: len(inserted),
            Outcome.OBSERVED: observed,
            Outcome.FOLDED: folded,
            Outcome.DUPLICATE: ended - observed - folded,
        }
    )
    return totals, usage


def _insert_forwarded(
    connection: sqlite3.Connection, step: Step, traces: KnownTraces
) -> Counter[str]:
    """Insert the spans of other programs; what they have ended as."""
    new = observations.insert_forwarded(connection, step.forwarded, step.at_ms, traces)
    return Counter(
        {
            ASSEMBLED: new,
            Outcome.FORWARDED: new,
            Outcome.DUPLICATE: len(step.forwarded) - new,
        }
    )


def _outcome_totals(step: Step) -> Counter[str]:
    totals = Counter({outcome.value: count for outcome, count in step.outcomes.items()})
    totals[Outcome.QUARANTINED] += sum(item.records for item in step.quarantined)
    return totals
