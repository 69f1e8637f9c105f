from datetime import timedelta, timezone

import pytest

from bridge.terminal import formats


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1_000, "1.0 s"),
        (3_040, "3.0 s"),
        (59_949, "59.9 s"),
        (59_950, "1 m 00 s"),
        (65_000, "1 m 05 s"),
        (3_599_499, "59 m 59 s"),
        (3_599_500, "1 h 00 m"),
        (3_720_000, "1 h 02 m"),
        (-1_500, "-1.5 s"),
    ],
)
def test_a_duration_is_told_in_its_largest_units(milliseconds: int, shown: str) -> None:
    assert formats.duration(milliseconds) == shown


@pytest.mark.parametrize(
    ("picousd", "shown"),
    [
        (0, "$0.00"),
        (3_086_000_000, "$0.003086"),
        (100_000_000_000, "$0.10"),
        (1_234_500_000_000, "$1.2345"),
        (1_000_000_500_000, "$1.000001"),
        (1_000_000_499_999, "$1.00"),
        (999_999_999_999, "$1.00"),
        (12_000_000_000_000_000, "$12000.00"),
        (499_999, "<$0.000001"),
        (-3_086_000_000, "-$0.003086"),
    ],
)
def test_a_cost_has_two_to_six_decimals(picousd: int, shown: str) -> None:
    assert formats.cost(picousd) == shown


@pytest.mark.parametrize(
    ("picousd", "exact"),
    [
        (0, "0"),
        (1, "0.000000000001"),
        (3_086_000_000, "0.003086"),
        (5_000_000_000_000, "5"),
        (-1_500_000_000_000, "-1.5"),
    ],
)
def test_the_exact_cost_loses_no_picodollar(picousd: int, exact: str) -> None:
    assert formats.exact_usd(picousd) == exact


@pytest.mark.parametrize(
    ("usage", "shown"),
    [
        ({}, "0→0 tok"),
        ({"input": 11, "output": 117}, "11→117 tok"),
        ({"input": 11, "output": 117, "input_cached_tokens": 1010}, "11→117 tok (1,010 cached)"),
        (
            {"input": 1, "output": 2, "input_cached_tokens": 0, "input_cache_creation": 50},
            "1→2 tok (50 cache written)",
        ),
        (
            {"zeta": 3, "input_cache_creation": 2, "alpha": 4, "input_cached_tokens": 1},
            "0→0 tok (1 cached, 2 cache written, 4 alpha, 3 zeta)",
        ),
        ({"output": 1_234_567, "reasoning": 8, "total": 9}, "0→1,234,567 tok (8 reasoning)"),
    ],
    ids=["none", "plain", "cached", "zero left out", "fixed order", "unknown kind kept"],
)
def test_tokens_name_every_kind_that_was_used(usage: dict[str, int], shown: str) -> None:
    assert formats.tokens(usage) == shown


def test_times_are_local_for_people_and_utc_for_machines() -> None:
    east = timezone(timedelta(hours=2))
    assert formats.local_time(1_795_306_784_909, east) == "2026-11-22 02:19:44"
    assert formats.iso_time(1_795_306_784_009) == "2026-11-22T00:19:44.009Z"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one\n\ttwo  three", "one two three"),
        ("\x1b[31mred\x1b[0m\x07", "[31mred [0m"),
        ("\u202ereversed", "reversed"),
        ("größer → 漢字 🙂", "größer → 漢字 🙂"),
    ],
    ids=["lines", "escape sequences", "direction marks", "all letters stay"],
)
def test_a_line_holds_nothing_that_moves_the_terminal(text: str, shown: str) -> None:
    assert formats.line(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [("0123456789", "0123456789"), ("0123456789a", "012345678…"), ("word " * 200, "word word…")],
    ids=["fits", "one too many", "far too many"],
)
def test_what_is_shortened_says_so(text: str, shown: str) -> None:
    assert formats.shortened(text, 10) == shown


def test_a_text_of_several_lines_keeps_them_and_drops_the_empty() -> None:
    assert formats.lines("one\n\n  two\tthree\r\n0123456789abc\x1b", 10) == [
        "one",
        "two three",
        "012345678…",
    ]
    assert formats.lines("") == []


def test_changed_lines_say_added_and_removed() -> None:
    assert formats.changed_lines(1_203, 0) == "+1,203 \N{MINUS SIGN}0"


def test_short_ids_are_as_long_as_it_takes_to_tell_them_apart() -> None:
    ids = ["aaaaaaaa-11", "aaaaaaaa-12", "b"]
    assert formats.short_ids(ids) == {
        "aaaaaaaa-11": "aaaaaaaa-11",
        "aaaaaaaa-12": "aaaaaaaa-12",
        "b": "b",
    }
    assert formats.short_ids(["abcdefghi", "b" * 12]) == {
        "abcdefghi": "abcdefgh",
        "b" * 12: "b" * 8,
    }
