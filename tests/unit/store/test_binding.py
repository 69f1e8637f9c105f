"""What is bound quickly is stored as it would have been."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.store.binding import bind_quickly

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.binary(),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Adapters are the process's: a test leaves those that it found."""
    before = dict(sqlite3.adapters)
    sqlite3.adapters.clear()
    yield
    sqlite3.adapters.clear()
    sqlite3.adapters.update(before)


@given(rows=st.lists(VALUES, min_size=1))
def test_each_value_is_stored_as_without_it(rows: list[object]) -> None:
    sqlite3.adapters.clear()
    slow = stored(rows)
    bind_quickly()
    assert stored(rows) == slow


def stored(values: list[object]) -> list[tuple[str, object]]:
    """Each value's type in SQLite, and what is read back."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE kept (value)")
        connection.executemany("INSERT INTO kept VALUES (?)", [(value,) for value in values])
        return connection.execute("SELECT typeof(value), value FROM kept ORDER BY rowid").fetchall()
