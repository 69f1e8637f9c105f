"""A record taken out of its request is a request that says the same of it."""

import json
from typing import Any

import pytest

from bridge.decode.apart import single_records
from bridge.decode.content import ContentPolicy
from bridge.decode.records import Decoder
from bridge.errors import UndecodableError
from bridge.model.measures import Measurement
from bridge.model.requests import ExportRequest
from bridge.receive import records
from tests.builders import a_prompt
from tests.golden.fused.signals import requests_of
from tests.measurements import all_requests
from tests.pipeline import batch

CAPTURES = ["2.1.330/b-tools-full", "2.1.330/e-subagent", "2.0.76/f-resume"]
DECODER = Decoder(policy=ContentPolicy.FULL, tag_attributes=frozenset({"member"}))


def decoded(request: ExportRequest) -> list[Any]:
    return [item for item in DECODER.decode(request) if not is_second_half(item)]


def is_second_half(item: Any) -> bool:
    return isinstance(item, Measurement) and item.records == 0


@pytest.mark.parametrize("capture", CAPTURES)
def test_every_record_of_a_capture_reads_alone_as_it_did_among_others(capture: str) -> None:
    for request in [*all_requests(capture), *requests_of(capture)]:
        alone = list(single_records(request, range(request.records)))

        assert [decoded(single)[0] for single in alone] == decoded(request)
        for single in alone:
            assert records.count(single.signal, single.encoding, single.body) == 1


def test_only_those_asked_for_are_taken_out() -> None:
    request = batch([a_prompt(n, f"number {n}") for n in range(5)])
    texts = [single.body for single in single_records(request, {1, 3})]

    assert [b"number 1" in texts[0], b"number 3" in texts[1], len(texts)] == [True, True, 2]


def test_a_record_nested_too_deeply_to_be_written_again_is_said_to_be() -> None:
    deep = json.loads("[" * 900 + "]" * 900)
    request = batch([a_prompt(0)])
    body = request.body.replace(
        b'"attributes": [', b'"odd": %s, "attributes": [' % json.dumps(deep).encode()
    )
    found = single_records(
        ExportRequest(
            signal=request.signal,
            encoding=request.encoding,
            body=body,
            gzipped=False,
            records=1,
            received_at_ms=0,
        ),
        {0},
    )
    try:
        (single,) = found
    except UndecodableError:
        return
    assert b"odd" in single.body
