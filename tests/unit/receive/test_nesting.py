"""How deeply JSON is nested, compared with a parser that follows it down."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.receive import nesting
from bridge.receive.nesting import MARKS_AT_ONCE, PIECE_BYTES, is_deeper_than

TEXT = st.text(alphabet='[]{}"\\a', max_size=8)
JSON = st.recursive(
    TEXT | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=20,
)


def depth_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(depth_of, inner), default=0)


@given(value=JSON, levels=st.integers(min_value=0, max_value=12))
def test_the_limit_is_exact_whatever_strings_hold(value: Any, levels: int) -> None:
    for _ in range(levels):
        value = [value, {"]": "}"}]
    body = json.dumps(value).encode()
    depth = max(depth_of(value), 5)  # lower limits are not for it
    assert not is_deeper_than(body, depth)
    assert is_deeper_than(body, depth - 1) == (depth_of(value) > depth - 1)


@given(value=JSON)
def test_where_pieces_begin_changes_nothing(value: Any) -> None:
    with pytest.MonkeyPatch.context() as small:
        small.setattr(nesting, "PIECE_BYTES", 3)
        small.setattr(nesting, "MARKS_AT_ONCE", 2)
        test_the_limit_is_exact_whatever_strings_hold.hypothesis.inner_test(value, 6)


@pytest.mark.parametrize(
    ("body", "deep"),
    [
        (b"[" * 201 + b"]" * 201, True),
        (b"[" * 200 + b"]" * 200, False),
        (b"[" * (2 * MARKS_AT_ONCE), True),
        (b'{"a":[' * 101 + b"]}" * 101, True),
        (b"[" + b'"[",' * PIECE_BYTES + b"1]", False),
        (b'"' + b"\\\\" * PIECE_BYTES + b'"', False),
        (b"", False),
    ],
    ids=["lists", "just fits", "never closed", "mixed", "in strings", "backslashes", "empty"],
)
def test_what_is_deep_is_found_at_any_size(*, body: bytes, deep: bool) -> None:
    assert is_deeper_than(body, 200) is deep
