"""What of a client's telemetry is not known is found by name, and what is known is not."""

import pytest

from bridge.decode.claude_code.known import unknown_names
from bridge.decode.content import ContentPolicy
from bridge.decode.records import Decoder
from bridge.model.counted import OTHER
from bridge.model.events import PointEvent, Record
from tests.builders import event_fields, request_event
from tests.golden.fused.signals import requests_of
from tests.recordings import captures


@pytest.mark.parametrize("capture", captures())
def test_nothing_of_a_recorded_session_is_unknown(capture: str) -> None:
    decoder = Decoder(policy=ContentPolicy.FULL, tag_attributes=frozenset())
    items = [item for request in requests_of(capture) for item in decoder.decode(request)]
    found = [unknown_names(item.event) for item in items if isinstance(item, Record)]
    assert [names for names in found if names] == []


def test_a_new_event_and_a_new_attribute_are_told_by_name() -> None:
    event = PointEvent(**event_fields(), name="dreamt", attributes={"sheep": 7})
    assert unknown_names(event) == [("event", "dreamt"), ("attribute", "sheep")]
    assert unknown_names(request_event(attributes={"sheep": 7})) == [("attribute", "sheep")]


def test_a_name_that_might_be_a_text_is_not_told() -> None:
    event = PointEvent(**event_fields(), name="please delete my files")
    assert unknown_names(event) == [("event", OTHER)]
