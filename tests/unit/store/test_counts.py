"""The ledger's series: added up, and bounded in number whatever clients send."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.langfuse.wire import decode_span
from bridge.model.counted import OTHER, Series, max_series
from bridge.store import counts
from bridge.store.ledger import Ledger
from bridge.store.reader import LedgerReader
from bridge.store.schema import make_tables


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger.db")
    yield made
    made.close()


def test_a_series_adds_up_over_restarts(ledger: Ledger, tmp_path: Path) -> None:
    series = Series("tokens", (("type", "input"),), (("model", "m"),))
    ledger.count({series: 2})
    ledger.close()
    ledger.count({series: 3})

    assert _read(tmp_path) == [("tokens", {"type": "input", "model": "m"}, 5)]


def test_a_name_has_no_more_series_than_it_may_and_the_sum_stays(
    ledger: Ledger, tmp_path: Path
) -> None:
    most = max_series("unknown_names")
    names = [f"event_{number}" for number in range(3 * most)]
    for name in names:
        ledger.count({Series("unknown_names", (("kind", "event"),), (("name", name),)): 1})

    found = {labels["name"]: n for _, labels, n in _read(tmp_path)}
    assert found == Counter(names[:most]) | {OTHER: 2 * most}
    assert {labels["kind"] for _, labels, _ in _read(tmp_path)} == {"event"}


def test_a_series_that_is_known_goes_on_when_its_name_is_full(
    ledger: Ledger, tmp_path: Path
) -> None:
    for number in range(max_series("unknown_names") + 1):
        ledger.count({Series("unknown_names", (), (("name", str(number)),)): 1})
    ledger.count({Series("unknown_names", (), (("name", "0"),)): 1})

    assert ("unknown_names", {"name": "0"}, 2) in _read(tmp_path)


def test_no_number_of_a_client_is_too_large_or_takes_anything_away(
    ledger: Ledger, tmp_path: Path
) -> None:
    series = Series("tokens", (), (("model", "m"),))
    for told in (2**100, 2**63, -5):
        ledger.count({series: told})

    ((_, _, value),) = _read(tmp_path)
    assert value == pytest.approx(2.0**64)


@given(numbers=st.lists(st.integers(0, 9)), kept=st.integers(1, 10), most=st.integers(1, 10))
def test_what_is_remembered_of_rows_changes_none(numbers: list[int], kept: int, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch, sqlite3.connect(":memory:") as connection:
        make_tables(connection)
        patch.setattr(counts, "KEPT_SERIES", kept)
        patch.setattr(counts, "max_series", lambda _name: most)
        known = counts.KnownSeries(connection)
        for number in numbers:
            series = Series("unknown_names", (), (("name", str(number)),))
            counts.add(connection, [{series: 1}], known)
        found = {labels["name"]: n for _, labels, n in counts.read(connection)}

    own = list(dict.fromkeys(map(str, numbers)))[:most]
    assert found == Counter(n if n in own else OTHER for n in map(str, numbers))


def _read(folder: Path) -> list[tuple[str, dict[str, str], int]]:
    reader = LedgerReader(folder / "ledger.db", decode_span)
    try:
        return reader.watched().counts
    finally:
        reader.close()
