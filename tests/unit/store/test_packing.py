"""Bodies as they stand in the inbox come out as they went in, or are known to be damaged."""

import gzip

import hypothesis.strategies as st
import pytest
from hypothesis import given
from msgspec.structs import replace

from bridge.store.packing import (
    LARGE_BYTES,
    LEAST_BYTES,
    MOST_BYTES,
    NONE,
    OURS,
    SENT,
    packed,
    unpacked,
    unpacked_bytes,
)
from tests.requests import an_export

TEXT = b"session.id prompt.id event.sequence 1234567890 "


def text(size_bytes: int) -> bytes:
    return (TEXT * (size_bytes // len(TEXT) + 1))[:size_bytes]


@given(body=st.binary(max_size=3_000) | st.builds(text, st.integers(0, 3 * LARGE_BYTES)))
def test_a_body_comes_out_as_it_went_in(body: bytes) -> None:
    request, packing, kept = packed(an_export(body=body))
    assert request.body == body
    assert unpacked(packing, kept) == (False, body)
    assert len(kept) <= len(body)


@pytest.mark.parametrize("size_bytes", [LEAST_BYTES, LARGE_BYTES - 1, LARGE_BYTES, MOST_BYTES])
def test_text_is_compressed_and_its_size_is_known(size_bytes: int) -> None:
    _, packing, kept = packed(an_export(body=text(size_bytes)))
    assert packing == OURS
    assert len(kept) < size_bytes / 5
    assert unpacked_bytes(kept) == size_bytes
    assert gzip.decompress(kept) == text(size_bytes)


@pytest.mark.parametrize("size_bytes", [0, LEAST_BYTES - 1, MOST_BYTES + 1])
def test_what_is_small_or_huge_stays_as_it_came(size_bytes: int) -> None:
    assert packed(an_export(body=text(size_bytes)))[1:] == (NONE, text(size_bytes))


def test_gzip_that_was_sent_stays_as_it_came() -> None:
    sent = gzip.compress(text(LARGE_BYTES), 0)
    assert packed(replace(an_export(body=sent), gzipped=True))[1:] == (SENT, sent)
    assert unpacked(SENT, sent) == (True, sent)


@given(data=st.data())
def test_a_damaged_body_is_never_another_one(data: st.DataObject) -> None:
    plain = text(data.draw(st.sampled_from([LEAST_BYTES, LARGE_BYTES])))
    damaged = bytearray(packed(an_export(body=plain)).body)
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] ^= data.draw(st.integers(1, 255))
    assert unpacked(OURS, bytes(damaged)) in [(True, damaged), (False, plain)]
    assert unpacked(OURS, bytes(damaged[:at])) == (True, damaged[:at])
