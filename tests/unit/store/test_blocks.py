"""Blocks of spans: every span comes back by its position, and damage is told."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import DamagedStoreError
from bridge.store import blocks
from bridge.store.schema import make_tables


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(an_empty_ledger()) as made:
        yield made


def an_empty_ledger() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    make_tables(connection)
    return connection


@given(
    st.lists(st.lists(st.binary(max_size=3), max_size=5), max_size=5),
    st.randoms(use_true_random=False),
)
def test_a_span_is_found_by_its_position(steps: list[list[bytes]], order: object) -> None:
    with closing(an_empty_ledger()) as connection:
        kept: dict[int, bytes] = {}
        for spans in steps:
            first = len(kept) + 1
            blocks.write(connection, first, spans)
            kept |= dict(enumerate(spans, first))
        positions = list(kept)
        order.shuffle(positions)  # type: ignore[attr-defined] # a Random
        read = blocks.Spans(connection)
        assert {position: read.at(position) for position in positions} == kept


@given(
    st.lists(st.lists(st.binary(max_size=3), max_size=5), max_size=5),
    st.sets(st.integers(1, 25)),
    st.integers(0, 40),
)
def test_spans_read_in_runs_are_those_read_one_by_one(
    steps: list[list[bytes]], wanted: set[int], max_bytes: int
) -> None:
    with closing(an_empty_ledger()) as connection:
        end = 1
        for spans in steps:
            blocks.write(connection, end, spans)
            end += len(spans)
        positions = sorted(position for position in wanted if position < end)
        one_by_one = [blocks.Spans(connection).at(position) for position in positions]
        read = blocks.Spans(connection).up_to(max_bytes, positions)
    assert read == one_by_one[: len(read)]
    assert len(read) <= 1 or sum(map(len, read)) <= max_bytes
    assert read == one_by_one or sum(map(len, one_by_one[: len(read) + 1])) > max_bytes
    assert read or not positions


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([b"s"] * (2 * blocks.BLOCK_SPANS + 1), 3),
        ([b"s" * blocks.BLOCK_BYTES] * 3, 3),
        ([b"s" * (3 * blocks.BLOCK_BYTES)], 1),
        ([b"s", b"s"], 1),
        ([], 0),
    ],
)
def test_a_block_is_small_enough_to_be_unpacked_for_one_span(
    connection: sqlite3.Connection, spans: list[bytes], expected: int
) -> None:
    blocks.write(connection, 1, spans)

    assert connection.execute("SELECT count(*) FROM blocks").fetchone() == (expected,)
    read = blocks.Spans(connection)
    assert [read.at(position) for position, _ in enumerate(spans, 1)] == spans


@pytest.mark.parametrize("position", [3, 8, 20])
def test_a_position_without_a_span_is_damage(connection: sqlite3.Connection, position: int) -> None:
    blocks.write(connection, 4, [b"four", b"five"])
    blocks.write(connection, 10, [b"ten"])

    with pytest.raises(DamagedStoreError, match=f"lost the span at {position}"):
        blocks.Spans(connection).at(position)


def test_a_block_that_was_changed_is_damage(connection: sqlite3.Connection) -> None:
    blocks.write(connection, 1, [b"a span" * 100])
    connection.execute("UPDATE blocks SET spans = CAST(substr(spans, 1, 12) || x'ffff' AS BLOB)")

    with pytest.raises(DamagedStoreError, match="cannot be read"):
        blocks.Spans(connection).at(1)
