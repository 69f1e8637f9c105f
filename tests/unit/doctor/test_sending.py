from typing import Any

import pytest

from bridge.doctor.sending import COST_USD, USAGE, compare
from bridge.model.findings import State

TAGS = frozenset({"member:x", "claude-code"})


def rows(**changed: Any) -> list[dict[str, Any]]:
    generation = {"type": "GENERATION", "usageDetails": USAGE | {"total": 110}}
    generation |= {"totalCost": COST_USD, "tags": sorted(TAGS)} | changed
    return [generation, {"type": "AGENT", "tags": sorted(TAGS), "totalCost": 0}]


def test_what_comes_back_as_sent_is_well() -> None:
    assert {each.state for each in compare(rows(), TAGS)} == {State.OK}


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("tags", {"tags": ["claude-code"]}),
        ("tokens", {"usageDetails": USAGE | {"input": 12}}),
        ("tokens", {"usageDetails": None}),
        ("cost", {"totalCost": COST_USD * 2}),
        ("cost", {"totalCost": None}),
    ],
)
def test_what_comes_back_otherwise_fails_with_what_it_is(
    name: str, changed: dict[str, Any]
) -> None:
    (found,) = [each for each in compare(rows(**changed), TAGS) if each.state is State.FAILED]
    assert (found.name, bool(found.remedy)) == (name, True)
