"""One assemble step made true, inside a transaction of the ledger's."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from bridge.model.counted import Series
from bridge.model.outcomes import Outcome
from bridge.store import counts, quarantine, scores
from bridge.store import step as rows
from bridge.store.facts import add_totals, set_fact
from bridge.store.quarantine import ASSEMBLED
from bridge.store.schema import PROGRESS, WATERMARK
from bridge.store.step import Finished, Step


def apply(
    connection: sqlite3.Connection, step: Step, aged_ms: int, known: counts.KnownSeries
) -> None:
    """Write all that a step leads to.

    Args:
        connection: In a transaction.
        step: What to make true.
        aged_ms: Its time as ages of rows are measured; people are shown ``step.at_ms``.
        known: The series that the connection's transactions have written.
    """
    quarantine.keep(connection, step)
    step = replace(step, at_ms=aged_ms)
    inserted, usage = _insert_finished(connection, step)
    connection.executemany(rows.SAVE_TURN, rows.turn_rows(step))
    connection.executemany(rows.SAVE_CONVERSATION, rows.conversation_rows(step))
    connection.executemany(rows.TAKE_LOOK_OUT, step.looks_done)
    connection.executemany(rows.PLAN_LOOK, step.looks_planned)
    connection.executemany(rows.SAVE_SESSION, rows.session_rows(step))
    scores.save(connection, step.scores, step.at_ms)
    add_totals(connection, inserted + _outcome_totals(step))
    add_totals(connection, step.tallies)
    counts.add(connection, usage, known)
    counts.add(connection, step.counts, known)
    set_fact(connection, WATERMARK, str(step.watermark))
    set_fact(connection, PROGRESS, f"{step.progress.items} {step.progress.records}")


def _insert_finished(
    connection: sqlite3.Connection, step: Step
) -> tuple[Counter[str], Counter[Series]]:
    """Insert the observations; what their records have ended as, and what they add to usage.

    Records of an observation that was there already are repetitions, and add nothing.
    """
    totals: Counter[str] = Counter()
    usage: Counter[Series] = Counter()
    inserted = _inserted(connection, step, totals)
    totals[ASSEMBLED] += len(inserted)
    totals[Outcome.OBSERVED] += sum(finished.observed for finished in inserted)
    totals[Outcome.FOLDED] += sum(finished.folded for finished in inserted)
    so_far = usage.get
    for finished in inserted:
        for series, change in finished.usage.items():
            usage[series] = so_far(series, 0) + change
    for forwarded in step.forwarded:
        row = rows.forwarded_row(forwarded, step.at_ms)
        new = connection.execute(rows.INSERT_FORWARDED, row).rowcount
        totals[Outcome.FORWARDED if new else Outcome.DUPLICATE] += 1
        totals[ASSEMBLED] += new
    return totals, usage


def _inserted(
    connection: sqlite3.Connection, step: Step, totals: Counter[str]
) -> Sequence[Finished]:
    """Insert the observations; those that are new, which is nearly always all of them."""
    made = [rows.observation_row(finished, step.at_ms) for finished in step.finished]
    (last,) = connection.execute(_LAST).fetchone()
    if connection.executemany(rows.INSERT, made).rowcount == len(made):
        return step.finished
    added = {span_id for (span_id,) in connection.execute(_ADDED, (last,))}
    inserted = []
    for finished, (span_id, *_) in zip(step.finished, made, strict=True):
        if span_id in added:
            added.remove(span_id)  # once: a second one in the same step is a repetition
            inserted.append(finished)
        else:
            totals[Outcome.DUPLICATE] += finished.observed + finished.folded
    return inserted


def _outcome_totals(step: Step) -> Counter[str]:
    totals = Counter({outcome.value: count for outcome, count in step.outcomes.items()})
    totals[Outcome.QUARANTINED] += sum(item.records for item in step.quarantined)
    return totals


_LAST: Final = "SELECT ifnull(max(position), 0) FROM observations"
_ADDED: Final = "SELECT span_id FROM observations WHERE position > ?"
