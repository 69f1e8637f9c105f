"""Which value of a score Langfuse is told, at which revision, and how often."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from bridge.model.scores import PendingScore, Score
from bridge.store.ledger import Ledger
from bridge.store.scores import UPDATE_EVERY_MS
from bridge.store.step import Step

T0_MS = 1_795_400_000_000
HOUR_MS = 3_600_000
MANY = 1_000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        yield ledger


def a_score(value: float, name: str = "added") -> Score:
    return Score(
        id=f"{name:->32}", name=name, value=value, timestamp_ms=T0_MS, session_id="session"
    )


def save(
    ledger: Ledger, *values: float, urgent: bool = False, at_ms: int = T0_MS, name: str = "added"
) -> None:
    """One step for each value."""
    for value in values:
        ledger.commit(
            Step(
                watermark=0,
                turns=(),
                conversations=(),
                finished=(),
                quarantined=(),
                outcomes={},
                at_ms=at_ms,
                scores=[(a_score(value, name), urgent)],
            )
        )


def claimed(ledger: Ledger, at_ms: int = T0_MS) -> list[tuple[float, int]]:
    """(value, revision) of what is due."""
    return [(each.score.value, each.revision) for each in ledger.claim_scores(at_ms, MANY)]


def deliver(ledger: Ledger, at_ms: int = T0_MS) -> list[float]:
    """Tell Langfuse what is due; the values told."""
    due = ledger.claim_scores(at_ms, MANY)
    ledger.scores_delivered(due, at_ms)
    return [each.score.value for each in due]


def test_a_new_score_is_due_at_once_and_then_no_more(ledger: Ledger) -> None:
    save(ledger, 3)
    assert claimed(ledger) == [(3.0, 0)]
    deliver(ledger)
    assert claimed(ledger, T0_MS + HOUR_MS) == []


def test_an_update_waits_for_five_minutes_after_the_one_before(ledger: Ledger) -> None:
    save(ledger, 3)
    deliver(ledger)
    save(ledger, 4, 5)
    assert claimed(ledger, T0_MS + UPDATE_EVERY_MS - 1) == []
    assert claimed(ledger, T0_MS + UPDATE_EVERY_MS) == [(5.0, 1)]


def test_the_final_value_does_not_wait(ledger: Ledger) -> None:
    save(ledger, 3)
    deliver(ledger)
    save(ledger, 4)
    save(ledger, 5, urgent=True)
    assert claimed(ledger, T0_MS + 1) == [(5.0, 1)]


def test_a_final_value_that_langfuse_has_already_is_not_told_again(ledger: Ledger) -> None:
    save(ledger, 3)
    deliver(ledger)
    save(ledger, 3, urgent=True)
    assert claimed(ledger, T0_MS + HOUR_MS) == []
    save(ledger, 4)
    assert claimed(ledger, T0_MS + 1) == []


def test_a_waiting_value_that_turns_out_final_is_told_at_once(ledger: Ledger) -> None:
    save(ledger, 3)
    deliver(ledger)
    save(ledger, 4)
    save(ledger, 4, urgent=True)
    assert claimed(ledger, T0_MS + 1) == [(4.0, 1)]


def test_what_is_claimed_stays_what_it_was_until_it_is_told(ledger: Ledger) -> None:
    save(ledger, 3)
    first = claimed(ledger)
    save(ledger, 4, urgent=True)
    assert claimed(ledger, T0_MS + HOUR_MS) == first == [(3.0, 0)]


def test_the_same_revision_is_the_same_value_after_a_restart(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / "ledger.db")) as before:
        save(before, 3)
        first = before.claim_scores(T0_MS, MANY)
        save(before, 4, urgent=True)
    with closing(Ledger(tmp_path / "ledger.db")) as after:
        assert after.claim_scores(T0_MS + HOUR_MS, MANY) == first


def test_a_value_that_changed_while_another_was_told_waits_for_its_turn(ledger: Ledger) -> None:
    save(ledger, 3)
    due = ledger.claim_scores(T0_MS, MANY)
    save(ledger, 4)
    ledger.scores_delivered(due, T0_MS + 10)
    assert claimed(ledger, T0_MS + UPDATE_EVERY_MS + 9) == []
    assert claimed(ledger, T0_MS + UPDATE_EVERY_MS + 10) == [(4.0, 1)]


def test_a_final_value_that_came_while_another_was_told_does_not_wait(ledger: Ledger) -> None:
    save(ledger, 3)
    due = ledger.claim_scores(T0_MS, MANY)
    save(ledger, 4, urgent=True)
    ledger.scores_delivered(due, T0_MS + 10)
    assert claimed(ledger, T0_MS + 11) == [(4.0, 1)]


def test_a_final_value_on_its_way_lends_its_haste_to_no_later_one(ledger: Ledger) -> None:
    save(ledger, 3, urgent=True)
    due = ledger.claim_scores(T0_MS, MANY)
    save(ledger, 4)
    ledger.scores_delivered(due, T0_MS + 10)
    assert claimed(ledger, T0_MS + 11) == []


def test_a_refused_value_is_given_up_and_the_next_one_tried_in_its_turn(ledger: Ledger) -> None:
    save(ledger, 3)
    (refused,) = ledger.claim_scores(T0_MS, MANY)
    ledger.score_rejected(refused, "invalid", T0_MS)
    assert claimed(ledger, T0_MS + HOUR_MS) == []
    save(ledger, 4)
    assert claimed(ledger, T0_MS + UPDATE_EVERY_MS - 1) == []
    assert claimed(ledger, T0_MS + UPDATE_EVERY_MS) == [(4.0, 1)]


def test_a_value_that_changed_while_another_was_refused_is_not_lost(ledger: Ledger) -> None:
    save(ledger, 3)
    (refused,) = ledger.claim_scores(T0_MS, MANY)
    save(ledger, 4)
    ledger.score_rejected(refused, "invalid", T0_MS)
    assert claimed(ledger, T0_MS + UPDATE_EVERY_MS) == [(4.0, 1)]


def test_no_revision_is_ever_two_values(ledger: Ledger) -> None:
    told: defaultdict[tuple[str, int], set[float]] = defaultdict(set)
    for turn in range(12):
        save(ledger, turn, urgent=turn % 2 == 0, at_ms=T0_MS + turn * UPDATE_EVERY_MS)
        for due in ledger.claim_scores(T0_MS + turn * UPDATE_EVERY_MS, MANY):
            told[due.score.id, due.revision].add(due.score.value)
            end(ledger, due, turn)
    assert [len(values) for values in told.values()] == [1] * len(told)


def end(ledger: Ledger, due: PendingScore, turn: int) -> None:
    """Taken, refused, or neither, in turns."""
    at_ms = T0_MS + turn * UPDATE_EVERY_MS
    if turn % 3 == 0:
        ledger.scores_delivered([due], at_ms)
    elif turn % 3 == 1:
        ledger.score_rejected(due, "invalid", at_ms)


def test_only_the_value_changes_between_updates(ledger: Ledger) -> None:
    save(ledger, 3)
    (first,) = ledger.claim_scores(T0_MS, MANY)
    ledger.scores_delivered([first], T0_MS)
    save(ledger, 4, urgent=True)
    (second,) = ledger.claim_scores(T0_MS, MANY)
    assert msgspec.structs.replace(second.score, value=3.0) == first.score


def test_a_claim_has_a_limit_and_what_it_leaves_comes_next(ledger: Ledger) -> None:
    for number in range(5):
        save(ledger, number, name=f"score{number}")
    found = []
    for _ in range(3):
        due = ledger.claim_scores(T0_MS, 2)
        assert len(due) <= 2
        ledger.scores_delivered(due, T0_MS)
        found += [each.score.value for each in due]
    assert sorted(found) == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_score_that_changes_every_second_for_an_hour_is_told_every_five_minutes(
    ledger: Ledger,
) -> None:
    told_at = []
    for second in range(3_600):
        at_ms = T0_MS + second * 1_000
        save(ledger, second, at_ms=at_ms)
        told_at += [at_ms for _ in deliver(ledger, at_ms)]
    save(ledger, 3_600, urgent=True, at_ms=T0_MS + HOUR_MS)
    final = deliver(ledger, T0_MS + HOUR_MS)
    assert [later - at for at, later in pairwise(told_at)] == [300_000] * 11
    assert final == [3_600.0]


def test_scores_that_wait_for_langfuse_outlive_the_retention_time(ledger: Ledger) -> None:
    save(ledger, 3, name="waiting")
    save(ledger, 3, name="told")
    told = [each for each in ledger.claim_scores(T0_MS, MANY) if each.score.name == "told"]
    ledger.scores_delivered(told, T0_MS)
    while ledger.prune(T0_MS + 1, pending_too=False):
        pass
    assert [each.score.name for each in ledger.claim_scores(T0_MS, MANY)] == ["waiting"]
