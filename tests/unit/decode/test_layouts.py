"""What reading log records remembers is bounded, whatever is sent."""

import gc
import tracemalloc

import msgspec

from bridge.decode.content import ContentPolicy
from bridge.decode.layouts import FIRST_OF_EVENT, AttributeReader, Head
from bridge.decode.records import Decoder
from bridge.decode.values import proto_pair
from bridge.model.events import Record
from bridge.model.requests import Encoding
from tests.builders import a_prompt
from tests.pipeline import batch
from tests.property.test_protowire import key_values


def a_place() -> Head:
    return Head(resource={}, scope_name="", scope_version="")


def fields(*pairs: tuple[str, str]) -> list[bytes]:
    return [each.SerializeToString() for each in key_values(list(pairs))]


def test_what_is_always_new_is_not_remembered_without_end() -> None:
    reader = AttributeReader(proto_pair, budget_bytes=200_000)
    place = a_place()
    tracemalloc.start()
    for number in range(3_000):
        told = fields(
            ("session.id", f"s{number}"), (FIRST_OF_EVENT, "e"), (f"k{number}", f"{number}")
        )
        head = reader.head(place, told)
        reader.read(head, told[1:])
    gc.collect()
    grown_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert grown_bytes < 2 * 200_000


def test_records_that_begin_alike_have_one_head() -> None:
    reader = AttributeReader(proto_pair)
    place = a_place()
    first = fields(("session.id", "s"), (FIRST_OF_EVENT, "a"))
    second = fields(("session.id", "s"), (FIRST_OF_EVENT, "b"), ("model", "m"))

    assert reader.head(place, first) is reader.head(place, second)
    assert reader.head(place, first).attributes == {"session.id": "s"}


def test_a_head_too_long_to_keep_is_read_all_the_same() -> None:
    reader = AttributeReader(proto_pair)
    told = fields(("session.id", "s" * 5_000), (FIRST_OF_EVENT, "a"))

    head = reader.head(a_place(), told)

    assert head.attributes == {"session.id": "s" * 5_000}
    assert not head.is_lasting


def test_a_token_of_another_sender_makes_another_origin_of_the_same_bytes() -> None:
    decoder = Decoder(policy=ContentPolicy.FULL, tag_attributes=frozenset({"member"}))
    for encoding in Encoding:
        members = []
        for member in ("alex", "bob", "alex"):
            request = batch([a_prompt(0, resource={"member": "alex"})], encoding=encoding)
            fixed = msgspec.structs.replace(request, fixed={"member": member})
            (item,) = decoder.decode(fixed)
            assert isinstance(item, Record)
            members.append(item.origin.attributes["member"])
        assert members == ["alex", "bob", "alex"]
