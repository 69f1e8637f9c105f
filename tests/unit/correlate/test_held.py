"""What the correlator holds in memory, and what it lets go."""

import pytest

from bridge.correlate.correlator import Correlator
from bridge.correlate.held import Held
from bridge.correlate.saved import Bounds
from tests.builders import T0_MS, a_decision, a_prompt
from tests.pipeline import IDLE_MS, Pipeline, batch, pipeline

BOUNDS = Bounds(held=5, changed=20, looks=10)


@pytest.mark.parametrize(
    ("most", "most_bytes", "left"),
    [(2, 100, "ac"), (3, 30, "bac"), (3, 20, "ac"), (3, 0, "c"), (0, 100, "")],
    ids=["all", "just-all", "by-bytes", "the-last-one", "none"],
)
def test_only_what_was_used_last_is_held(most: int, most_bytes: int, left: str) -> None:
    held: Held[str] = Held(most, most_bytes)
    for key in "abc":
        held.hold(key, key.upper())
        held.weigh(key, 10)
    held.use("a")
    held.use("c")

    held.shrink()

    assert len(held) == len(left)
    assert [key for key in "bac" if held.use(key)] == list(left)


def test_what_leaves_memory_is_its_weight_less() -> None:
    held: Held[str] = Held(2, 30)
    for size_bytes in (10, 40, 20):
        held.hold("a", "A")
        held.weigh("a", size_bytes)
    held.drop("a")
    for key in "bc":
        held.hold(key, key)
        held.weigh(key, 15)
    held.shrink()

    assert len(held) == 2


def test_what_is_held_does_not_depend_on_how_many_sessions_are_open() -> None:
    with pipeline(bounds=BOUNDS) as made:
        correlator = _open(made, 200)

        assert correlator.held <= 2 * BOUNDS.held + 2 * BOUNDS.looks
        assert made.held() == 400


def test_a_step_that_changes_much_ends_before_it_holds_too_much() -> None:
    with pipeline(bounds=BOUNDS) as made:
        made.post(*(batch(_records(number)) for number in range(50)))
        taken = made.step(T0_MS)

        assert 0 < taken < 50
        made.finish(T0_MS)
        assert made.held() == 0
        assert made.outcomes() == {"observed": 100}


def test_more_that_is_due_at_once_than_may_be_held_leaves_in_several_steps() -> None:
    with pipeline(bounds=BOUNDS) as made:
        _open(made, 100)
        made.restart()
        steps = 0
        while made.step(T0_MS + IDLE_MS + 1000):
            steps += 1

        assert steps > 100 // BOUNDS.changed
        assert made.held() == 0


def _open(made: Pipeline, count: int) -> Correlator:
    """So many sessions at work, through an assembler whose correlator can be looked into."""
    for number in range(count):
        made.post(batch(_records(number)))
        made.work(T0_MS + 1)
    correlator = made.assembler._correlator  # noqa: SLF001 - what it holds is shown nowhere else
    assert correlator is not None
    return correlator


def _records(number: int) -> list:
    session = f"5e551000-0000-4000-8000-{number:012d}"
    around = {"session": session, "prompt": f"p{number}"}
    return [a_prompt(0, sequence=0, **around), a_decision(1, sequence=1, **around)]
