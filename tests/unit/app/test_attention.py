"""When the inbox is looked at."""

import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bridge.app.attention import IDLE_LOOK_S, LINGER_S, POLL_S, Attention, Signature, signature

FIRST: Signature = (1, 4_096)
SECOND: Signature = (2, 4_096)


def looks(attention: Attention, found: Signature, *, since_s: float, lasting_s: float) -> int:
    """How often it is looked at while nothing changes and nothing is due."""
    now_s, count = since_s, 0
    while now_s < since_s + lasting_s:
        count += attention.is_due(found, now_s, math.inf)
        now_s += attention.pause_s(now_s, math.inf)
    return count


def test_while_records_come_every_question_is_a_look() -> None:
    attention = Attention()
    assert looks(attention, FIRST, since_s=0.0, lasting_s=LINGER_S) >= LINGER_S / POLL_S - 1


def test_while_nothing_comes_looks_are_as_rare_as_a_fallback_may_be() -> None:
    attention = Attention()
    looks(attention, FIRST, since_s=0.0, lasting_s=LINGER_S)
    assert looks(attention, FIRST, since_s=LINGER_S, lasting_s=60.0) <= 60.0 / IDLE_LOOK_S + 1


def test_a_change_is_looked_at_at_once_and_until_it_can_be_read() -> None:
    attention = Attention()
    looks(attention, FIRST, since_s=0.0, lasting_s=30.0)
    assert attention.is_due(SECOND, 30.1, math.inf)
    assert attention.is_due(SECOND, 30.1 + LINGER_S - 0.01, math.inf)


@given(due_in_s=st.floats(0.001, 3_600.0), idle_s=st.floats(0.0, 3_600.0))
def test_what_is_due_is_neither_waited_for_in_steps_nor_slept_through(
    due_in_s: float, idle_s: float
) -> None:
    attention = Attention()
    attention.is_due(FIRST, 0.0, math.inf)
    pause_s = attention.pause_s(idle_s, due_in_s)
    assert 0.0 < pause_s <= due_in_s
    assert attention.is_due(FIRST, idle_s + due_in_s, 0.0)


def test_what_cannot_be_done_now_does_not_keep_a_processor_busy() -> None:
    attention = Attention()
    assert attention.pause_s(100.0, -5.0) == POLL_S


def test_the_signature_changes_with_the_file_and_is_none_without_it(tmp_path: Path) -> None:
    path = tmp_path / "inbox.db-wal"
    assert signature(path) is None
    path.write_bytes(b"one")
    before = signature(path)
    path.write_bytes(b"longer")
    assert before is not None
    assert signature(path) != before
