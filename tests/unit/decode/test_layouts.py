"""What reading log records remembers is bounded, whatever is sent."""

import gc

import msgspec

from bridge.decode.claude_code.senders import KEPT_SHAPES, Shapes
from bridge.decode.content import ContentPolicy
from bridge.decode.layouts import (
    HEAD_BYTES,
    KEY_BYTES,
    MAX_PATTERNS,
    AttributeReader,
    Head,
)
from bridge.decode.patterns import FIRST_OF_EVENT, Pattern
from bridge.decode.records import Decoder
from bridge.decode.values import proto_pair
from bridge.model.events import Record
from bridge.model.requests import Encoding
from bridge.protowire import Key
from tests.builders import a_prompt
from tests.pipeline import batch
from tests.property.test_protowire import key_values


def a_place() -> Head:
    return Head(resource={}, scope_name="", scope_version="", is_lasting=True)


def fields(*pairs: tuple[str, str]) -> list[bytes]:
    return [each.SerializeToString() for each in key_values(list(pairs))]


def test_what_is_always_new_is_not_remembered_without_end() -> None:
    reader = AttributeReader(proto_pair, budget_bytes=200_000)
    place = a_place()
    for number in range(1_000):
        told = fields(("session.id", f"s{number}"), (FIRST_OF_EVENT, "e"), (f"k{number}", "x"))
        reader.read(reader.head(place, told), told[1:])

    gc.collect()
    kept = [each for each in gc.get_objects() if isinstance(each, Head | Key)]
    sessions = [each for each in kept if isinstance(each, Head) and each.place is place]
    names = [each for each in kept if isinstance(each, Key) and each.name.startswith("k")]
    assert 0 < len(sessions) <= 200_000 / HEAD_BYTES
    assert 0 < len(names) <= 200_000 / KEY_BYTES


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


def test_shapes_of_ever_new_names_are_not_remembered_without_end() -> None:
    decoder = Decoder(policy=ContentPolicy.FULL, tag_attributes=frozenset())
    told = [a_prompt(0, more={f"name{number}": "x"}) for number in range(3 * KEPT_SHAPES)]

    for start in range(0, len(told), 512):
        list(decoder.decode(batch(told[start : start + 512], encoding=Encoding.PROTOBUF)))

    kept = [each for each in gc.get_objects() if isinstance(each, Shapes)]
    assert 0 < sum(map(len, kept)) <= 2 * KEPT_SHAPES


def test_an_attribute_of_too_many_values_is_no_longer_taken_as_steady() -> None:
    reader = AttributeReader(proto_pair)
    place = a_place()
    patterns: list[Pattern] = []

    for number in range(MAX_PATTERNS + 3):
        told = fields((FIRST_OF_EVENT, "a"), ("tool", "t"), ("number", f"n{number}"))
        head, pattern, values = reader.read(place, told)
        patterns.append(pattern)
        assert head is place
        own = dict(zip(pattern.names, values, strict=True))
        assert own == {FIRST_OF_EVENT: "a", "tool": "t", "number": f"n{number}"}

    assert {each.steady for each in patterns[:-1]} == {("a",)}
    assert patterns[-1].steady == ("a", "t")
    assert patterns[-1].order == (FIRST_OF_EVENT, "tool", "number")


def test_what_is_long_is_not_steady() -> None:
    reader = AttributeReader(proto_pair)
    place = a_place()
    for text in ("short", "x" * 1_000, "y" * 1_000, "z"):
        told = fields((FIRST_OF_EVENT, "a"), ("note", text))
        for _ in range(3):
            _, pattern, values = reader.read(place, told)
            own = dict(zip(pattern.names, values, strict=True))
            assert own == {FIRST_OF_EVENT: "a", "note": text}

    assert pattern.steady == ("a",)
