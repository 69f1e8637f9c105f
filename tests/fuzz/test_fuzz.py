"""A bounded, seeded run of what ``make fuzz`` does for longer."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import http
from tests.fuzz.mutating import structured, unstructured
from tests.fuzz.targets import DECODERS, KINDS, LIMIT_S, Held, at_most, decoded

SEED = 2026
FIELDS, BYTES, WAY, SOCKET = 600, 6000, 200, 384


@pytest.mark.parametrize("decoder", DECODERS, ids=["full", "metadata"])
def test_requests_with_fields_replaced_are_decoded_record_by_record(decoder: object) -> None:
    for kind, body in itertools.islice(structured(random.Random(SEED)), FIELDS):
        with at_most(LIMIT_S):
            decoded(kind, body, decoder)  # type: ignore[arg-type]  # pytest hands on an object


def test_requests_with_bytes_out_of_order_are_decoded_or_refused() -> None:
    for kind, body in itertools.islice(unstructured(random.Random(SEED)), BYTES):
        with at_most(LIMIT_S):
            decoded(kind, body)


@settings(derandomize=True, max_examples=400, deadline=None)
@given(st.integers(0, len(KINDS) - 1), st.binary(max_size=400))
def test_any_bytes_are_decoded_or_refused(kind: int, body: bytes) -> None:
    decoded(kind, body)


def test_all_the_way_each_record_is_held_or_has_ended() -> None:
    held = Held()
    try:
        for kind, body in itertools.islice(structured(random.Random(SEED)), WAY):
            with at_most(LIMIT_S):
                held.take(kind, body)
        held.settle()
    finally:
        held.close()


async def test_whatever_is_sent_to_the_port_is_answered_and_never_with_a_failure() -> None:
    seen = await http.fuzz(SEED, SOCKET)

    assert seen[200] > SOCKET // 20
    assert seen[400] > SOCKET // 20
