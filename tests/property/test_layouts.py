"""What is read with the help of the records before is what is read of each record alone."""

from collections.abc import Sequence

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from bridge.decode import claude_code
from bridge.decode.attributes import Value, count, identifier, text
from bridge.decode.claude_code.clamping import IDENTIFIERS, LIMITS, clamped_in_log
from bridge.decode.claude_code.shapes import BLANKS, Numbers
from bridge.decode.content import ContentPolicy
from bridge.decode.identity import Identity
from bridge.decode.layouts import AttributeReader, Head
from bridge.decode.otlp import LogReader
from bridge.decode.patterns import FIRST_OF_EVENT
from bridge.decode.privacy import Privacy
from bridge.decode.records import Decoder
from bridge.decode.redaction import Redactor
from bridge.decode.values import proto_attributes, proto_pair
from bridge.model.events import Record
from bridge.model.requests import Encoding
from tests.builders import RESOURCE, SCOPE, T0_MS
from tests.pipeline import Logged, batch
from tests.property.examples import few
from tests.property.test_protowire import Attribute, key_values

EVENTS = ("api_request", "tool_result", "user_prompt", "tool_decision", "odd", "claude_code.odd")
NAMES = sorted(
    {*LIMITS, *IDENTIFIERS, "effort", "error", "success", "cost", "duration", "tool", "member"}
    | {"tool_input", "tool_parameters", "query_source", "agent.name", "a", "service.name"}
)
odd_values = st.sampled_from(
    [
        "", "0", "7", "007", "1_0", "1,2", "null", "true", " 5", "-5", "1e3", "٣", "5.0", "a\nb",
        "999999999999", "x" * 250, "0.003086", "agent:a:b", "sdk", "]", '"', "mcp_tool", "Task",
        '{"mcp_server_name":"s","mcp_tool_name":"t"}', '{"full_command":"c","command":"d"}',
        0, 7, -7, 2**60, 5.0, 0.5, -1.5, True, False,
    ]
)  # fmt: skip
values = st.one_of(odd_values, st.integers(0, 10**6).map(str), st.integers(0, 10**6), st.none())
own_attributes = st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=9)
heads = st.sampled_from(
    [
        [("user.id", "u"), ("session.id", "s")],
        [("user.id", "u2"), ("session.id", "s2"), ("organization.id", "o")],
        [("session.id", "s" * 300)],
        [("session.id", "s"), ("new", 5)],
        [],
    ]
)
records = st.builds(
    lambda head, name, own: [*head, (FIRST_OF_EVENT, name), *own],
    heads,
    st.sampled_from(EVENTS),
    own_attributes,
)
Pairs = Sequence[tuple[str, Attribute | None]]


def fields_of(pairs: Pairs) -> list[bytes]:
    return [message.SerializeToString() for message in key_values(list(pairs))]


def read(reader: AttributeReader, place: Head, fields: list[bytes]) -> dict[str, Value]:
    head = reader.head(place, fields)
    behind, pattern, told = reader.read(head, fields[len(head.fields) :])
    of_head = dict(zip(behind.names, behind.values, strict=True))
    own = dict(zip(pattern.names, told, strict=True))
    assert own.keys().isdisjoint(of_head)
    return of_head | own


@few(300)
@given(st.lists(records, max_size=6), st.integers(0, 20_000))
def test_attributes_are_read_as_from_the_official_classes(
    requests: list[Pairs], budget_bytes: int
) -> None:
    reader = AttributeReader(
        proto_pair,
        frozenset({"cost_usd", "model"}),
        frozenset({"prompt.id", "effort"}),
        budget_bytes=budget_bytes,
    )
    place = Head(resource={}, scope_name="", scope_version="", is_lasting=True)

    for pairs in [*requests, *requests, *reversed(requests)]:
        expected = proto_attributes(key_values(list(pairs)))
        found = read(reader, place, fields_of(pairs))
        assert sorted(map(repr, found.items())) == sorted(map(repr, expected.items()))


@few(300)
@given(st.binary(max_size=40), st.sampled_from([0, 1, 2]))
@example(b"\xff", 2)
@example(b"\x00", 2)
@example(b"\n\x05model\x12", 2)
def test_any_bytes_are_read_as_the_official_class_reads_them_or_refused(
    field: bytes, at: int
) -> None:
    reader = AttributeReader(proto_pair, frozenset({"model"}))
    place = Head(resource={}, scope_name="", scope_version="", is_lasting=True)
    usual = fields_of([("session.id", "s"), (FIRST_OF_EVENT, "odd"), ("model", "m")])
    read(reader, place, usual)
    fields = [*usual[:at], field, *usual[at + 1 :]]
    try:
        expected = proto_attributes(list(map(KeyValue.FromString, fields)))
    except DecodeError:
        with pytest.raises(DecodeError):
            read(reader, place, fields)
    else:
        found = read(reader, place, fields)
        assert sorted(map(repr, found.items())) == sorted(map(repr, expected.items()))


def logged(pairs: Pairs, at: int) -> Logged:
    kinds = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}
    time_ns = str((T0_MS + at) * 1_000_000)
    return Logged(
        resource={
            "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in RESOURCE.items()]
        },
        scope={"name": SCOPE, "version": "2.1.330"},
        record={
            "timeUnixNano": time_ns,
            "observedTimeUnixNano": time_ns,
            "body": {"stringValue": "claude_code.odd"},
            "attributes": [
                {"key": name, "value": {} if value is None else {kinds[type(value)]: value}}
                for name, value in pairs
            ],
        },
        at_ms=T0_MS + at,
    )


def decoder(policy: ContentPolicy = ContentPolicy.FULL, *, omits: bool | None = None) -> Decoder:
    identity = None if omits is None else Identity(b"a key of tests", omits=omits)
    redactor = Redactor() if policy is ContentPolicy.REDACTED else None
    tags = frozenset({"member"})
    return Decoder(policy=policy, tag_attributes=tags, privacy=Privacy(redactor, identity))


@few(150)
@given(
    st.lists(records, min_size=1, max_size=5),
    st.sampled_from(ContentPolicy),
    st.sampled_from([None, False, True]),
)
def test_what_is_remembered_changes_nothing(
    requests: list[Pairs], policy: ContentPolicy, omits: bool | None
) -> None:
    warm = decoder(policy, omits=omits)
    logs = [logged(pairs, at) for at, pairs in enumerate(requests)]
    for encoding in (Encoding.PROTOBUF, Encoding.JSON, Encoding.PROTOBUF):
        for log in [*logs, *reversed(logs)]:
            alone = batch([log], encoding=encoding)
            cold = decoder(policy, omits=omits)
            assert repr(list(warm.decode(alone))) == repr(list(cold.decode(alone)))
    for encoding in Encoding:
        assert len(list(warm.decode(batch(logs, encoding=encoding)))) == len(logs)


@few(400)
@given(records)
def test_a_record_is_read_as_attribute_by_attribute(pairs: Pairs) -> None:
    (raw,) = LogReader().read(batch([logged(pairs, 5)], encoding=Encoding.PROTOBUF))
    (item,) = decoder().decode(batch([logged(pairs, 5)], encoding=Encoding.PROTOBUF))
    told = raw.attributes
    assert isinstance(item, Record)
    event = item.event

    assert event.prompt_id == identifier(told.get("prompt.id"))
    assert event.sequence == count(told.get("event.sequence"))
    name = (text(told[FIRST_OF_EVENT]) or "odd").removeprefix("claude_code.")
    assert event.key == claude_code.record_key(raw, identifier(name) or "", 0)
    clamped = clamped_in_log(told, raw.time_unix_ns, T0_MS)
    assert {**event.attributes, **clamped} == event.attributes
    assert bool(clamped) == ("bridge.clamped" in event.attributes)


ids = st.text(st.characters(max_codepoint=130), max_size=3) | st.sampled_from(
    ["x" * 99, "x" * 199, "x" * 201, "\x7f", "\\", '"', "ü", "", 5, True]
)


@few(300)
@given(st.tuples(ids, ids, ids))
def test_a_numbered_record_has_its_key_whatever_its_ids_are(told: tuple[Attribute, ...]) -> None:
    own = zip(("prompt.id", "request_id", "tool_use_id"), told, strict=True)
    pairs: Pairs = [("session.id", "s"), (FIRST_OF_EVENT, "odd"), ("event.sequence", 7), *own]
    request = batch([logged(pairs, 5)] * 2, encoding=Encoding.PROTOBUF)
    raw, _ = LogReader().read(request)
    for item in decoder().decode(request):
        assert isinstance(item, Record)
        assert item.event.key == claude_code.record_key(raw, "odd", 0)
        clamped = clamped_in_log(raw.attributes, raw.time_unix_ns, T0_MS)
        assert {**item.event.attributes, **clamped} == item.event.attributes
        assert bool(clamped) == ("bridge.clamped" in item.event.attributes)


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("own", [[], [("event.sequence", None)]], ids=["none", "without a value"])
def test_twins_without_a_number_are_two_records(encoding: Encoding, own: Pairs) -> None:
    pairs: Pairs = [("session.id", "s"), (FIRST_OF_EVENT, "odd"), *own]
    request = batch([logged(pairs, 5)] * 2, encoding=encoding)
    raw, _ = LogReader().read(request)

    items = [item for item in decoder().decode(request) if isinstance(item, Record)]

    keys = [item.event.key for item in items]
    assert keys == [claude_code.record_key(raw, "odd", repeat) for repeat in range(2)]
    assert len(set(keys)) == 2


@few(400)
@given(st.lists(values, max_size=5))
def test_numbers_are_those_that_are_read_one_by_one(told: list[Value]) -> None:
    row = (*BLANKS, *told)
    numbers = Numbers(
        [place if value is not None else 0 for place, value in enumerate(row) if place > 1]
    )

    one_by_one = [count(value) for value in told]
    plain = numbers.plain(row)

    assert numbers.all(row) == one_by_one
    assert plain is None or list(plain) == one_by_one
