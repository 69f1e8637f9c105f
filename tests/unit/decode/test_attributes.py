"""Attribute values are read leniently, and never raise."""

import math

import pytest

from bridge.decode.attributes import (
    MAX_COUNT,
    boolean,
    count,
    json_object,
    picousd,
    picousd_from_micros,
    shown,
    text,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (11, 11),
        ("11", 11),
        (" 11 ", 11),
        (11.0, 11),
        (11.9, 11),
        ("1e3", 1000),
        ("0", 0),
        (0, 0),
        (-1, None),
        ("-1", None),
        (True, None),
        ("", None),
        ("eleven", None),
        (None, None),
        ([11], None),
        ({"a": 1}, None),
        (math.nan, None),
        (math.inf, None),
        ("NaN", None),
        ("Infinity", None),
        (2**60, MAX_COUNT),
        ("9" * 5000, MAX_COUNT),
    ],
)
def test_counts_are_read_from_numbers_and_strings(value: object, expected: int | None) -> None:
    assert count(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.003086, 3_086_000_000),
        ("0.0015869999999999999", 1_587_000_000),
        (0.0009860000000000001, 986_000_000),
        (0, 0),
        ("0", 0),
        (1, 1_000_000_000_000),
        (1e-13, 0),
        ("12.5", 12_500_000_000_000),
        (-0.1, None),
        ("free", None),
        (None, None),
        (math.inf, None),
        ("1e400", None),
        ("-1e-400", None),
    ],
)
def test_costs_are_rounded_to_twelve_decimals(value: object, expected: int | None) -> None:
    assert picousd(value) == expected


def test_micro_dollars_are_exact() -> None:
    assert picousd_from_micros(3086) == 3_086_000_000
    assert picousd_from_micros("3086") == 3_086_000_000
    assert picousd_from_micros("much") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        (False, False),
        ("true", True),
        ("False", False),
        ("yes", None),
        (1, None),
        (None, None),
    ],
)
def test_booleans_are_read_from_the_strings_that_the_client_sends(
    value: object, expected: bool | None
) -> None:
    assert boolean(value) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a", "a"), ("", None), (5, "5"), (0.5, "0.5"), (True, "true"), (None, None), ([], None)],
)
def test_texts_are_written_as_json_writes_them(value: object, expected: str | None) -> None:
    assert text(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "a"),
        (True, True),
        (5, 5),
        (2**60, str(2**60)),
        (0.5, 0.5),
        (math.nan, "nan"),
        (["a", None, 1, {"b": 1}, [2]], ["a", 1, '{"b":1}', "[2]"]),
        ([], []),
        ({"a": [1, "ü", None]}, '{"a":[1,"ü",null]}'),
        (None, None),
    ],
)
def test_metadata_is_scalars_and_lists_of_scalars_and_the_rest_as_json(
    value: object, expected: object
) -> None:
    assert shown(value) == expected


@pytest.mark.parametrize("value", ['{"a":', "[1]", '"a"', "", None, 5, '{"a":"\ud83d"}'])
def test_what_is_not_a_json_object_is_an_empty_one(value: object) -> None:
    assert json_object(value) == {}
