"""gzip: members, ends, and a bomb that costs no more than what is allowed."""

import gzip
import tracemalloc
import zlib

import pytest

from bridge.errors import UndecodableError
from bridge.otlp.inflating import MAX_MEMBERS, STEP_BYTES, TooLargeError, inflate


def test_members_are_inflated_one_behind_another() -> None:
    assert inflate(gzip.compress(b"ab") + gzip.compress(b"cd"), 4) == b"abcd"


@pytest.mark.parametrize("level", [0, 1, 9])
def test_what_is_larger_than_a_step_comes_whole(level: int) -> None:
    plain = bytes(range(256)) * 20_000
    assert inflate(gzip.compress(plain, level) * 2, 2 * len(plain)) == plain * 2


@pytest.mark.parametrize(
    "body",
    [gzip.compress(b"x" * 11), gzip.compress(b"x" * 10) + gzip.compress(b"x")],
    ids=["one member", "two members"],
)
def test_what_passes_the_limit_is_too_large(body: bytes) -> None:
    with pytest.raises(TooLargeError):
        inflate(body, 10)


def test_what_just_fits_is_inflated() -> None:
    assert inflate(gzip.compress(b"x" * 10), 10) == b"x" * 10


@pytest.mark.parametrize(
    "body",
    [
        b"",
        gzip.compress(b"{}")[:-1],
        gzip.compress(bytes(3 * STEP_BYTES), 0)[:-STEP_BYTES],
        gzip.compress(b"{}") + b"behind",
        zlib.compress(b"{}"),
        gzip.compress(b"") * (MAX_MEMBERS + 1),
    ],
    ids=["empty", "cut short", "cut long", "trailing bytes", "zlib", "too many members"],
)
def test_what_is_not_whole_gzip_files_is_undecodable(body: bytes) -> None:
    with pytest.raises(UndecodableError):
        inflate(body, 10 * STEP_BYTES)


def test_bomb_is_cut_off_while_it_inflates() -> None:
    bomb = gzip.compress(bytes(200 * STEP_BYTES))
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError):
            inflate(bomb, 4 * STEP_BYTES)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 10 * STEP_BYTES
