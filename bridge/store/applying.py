"""One assemble step made true, inside a transaction of the ledger's."""

import sqlite3
from collections import Counter
from collections.abc import Sequence

from msgspec.structs import replace

from bridge.model.outcomes import Outcome
from bridge.store import counts, observations, quarantine, scores
from bridge.store import step as rows
from bridge.store.facts import add_totals, set_fact
from bridge.store.observations import KnownTraces
from bridge.store.outbox import PENDING
from bridge.store.quarantine import ASSEMBLED
from bridge.store.schema import PROGRESS, WATERMARK
from bridge.store.step import Finished, Step


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
    inserted = observations.insert(connection, step.finished, step.at_ms, known.traces)
    totals = _finished_totals(step, inserted)
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
    usage = [finished.usage for finished in inserted]
    counts.add(connection, [*usage, step.counts], known.series)
    set_fact(connection, WATERMARK, str(step.watermark))
    set_fact(connection, PROGRESS, f"{step.progress.items} {step.progress.records}")


def _finished_totals(step: Step, inserted: Sequence[Finished]) -> Counter[str]:
    """What the records of observations have ended as.

    Those of one that was there already are repetitions; it adds nothing to usage either.
    """
    observed = sum([finished.observed for finished in inserted])
    folded = sum([finished.folded for finished in inserted])
    ended = sum([finished.observed + finished.folded for finished in step.finished])
    return Counter(
        {
            ASSEMBLED: len(inserted),
            Outcome.OBSERVED: observed,
            Outcome.FOLDED: folded,
            Outcome.DUPLICATE: ended - observed - folded,
        }
    )


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
