"""Which records are to blame is found by leaving records out."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet

import pytest

from bridge.app.isolation import MAX_CULPRITS, culprits


def failing_with(
    bad: set[int], records: int, tried: list[int]
) -> Callable[[AbstractSet[int]], bool]:
    def fails(left_out: AbstractSet[int]) -> bool:
        tried.append(len(left_out))
        return bool(bad & (set(range(records)) - left_out))

    return fails


@pytest.mark.parametrize("bad", [set[int](), {0}, {99}, {3, 50, 51}], ids=str)
def test_exactly_those_that_fail_are_found(bad: set[int]) -> None:
    assert culprits(failing_with(bad, 100, []), 100) == bad


def test_one_of_many_is_found_in_a_few_attempts() -> None:
    tried: list[int] = []
    assert culprits(failing_with({7_777}, 10_000, tried), 10_000) == {7_777}
    assert len(tried) < 20


def test_behind_very_many_culprits_all_the_rest_is_left_out() -> None:
    found = culprits(failing_with(set(range(0, 1000, 2)), 1000, []), 1000)
    last = 2 * (MAX_CULPRITS - 1)
    assert found == {*range(0, last, 2), *range(last, 1000)}


def test_where_no_record_is_to_blame_that_is_said() -> None:
    with pytest.raises(ValueError, match="no record"):
        culprits(lambda _: True, 10)
