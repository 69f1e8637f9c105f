"""What a sender's token fixes is so in everything sent with it, whatever the client says."""

import json
from typing import Any

import msgspec
import pytest

from bridge.model.requests import ExportRequest, Signal
from tests.golden.fused.signals import requests_of
from tests.pipeline import Assembly, assemble

CAPTURES = ["2.1.330/k-resattr", "2.1.330/a-json-includes", "2.0.76/b-tools-full"]
FIXED = {"member": "Ada", "department": "Research", "team.id": "ai", "team": "ai", "room": "7"}
TAGS = ["member:ada", "department:research", "team:ai"]
CLAIMED = ("member", "department", "team.id", "team", "room")


def fixed(request: ExportRequest, **more: str) -> ExportRequest:
    return msgspec.structs.replace(request, sender="ada", fixed=FIXED | more)


def claiming(request: ExportRequest) -> ExportRequest:
    """The same request from a client that says otherwise, of its resource and of each record."""
    document = json.loads(request.body)
    for holder in holders(document):
        told = [pair for pair in holder.get("attributes", []) if pair["key"] not in CLAIMED]
        claims = [{"key": key, "value": {"stringValue": "claimed"}} for key in CLAIMED]
        holder["attributes"] = told + claims
    return msgspec.structs.replace(request, body=json.dumps(document).encode())


def holders(value: Any) -> list[dict[str, Any]]:
    """Resources, records, spans and points: whatever has attributes, but for a span's events.

    Those are what a tool put out, and not who it was.
    """
    if isinstance(value, list):
        return [found for item in value for found in holders(item)]
    if not isinstance(value, dict):
        return []
    inner = [found for key, item in value.items() if key != "events" for found in holders(item)]
    return [*inner, value] if "attributes" in value else inner


def assembled(capture: str, *signals: Signal, **settings: Any) -> Assembly:
    requests = [fixed(claiming(request)) for request in requests_of(capture, *signals)]
    return assemble(requests, **settings)


@pytest.mark.parametrize("capture", CAPTURES)
@pytest.mark.parametrize(
    "signals",
    [(), (Signal.LOGS,), (Signal.TRACES,), (Signal.METRICS,)],
    ids=["all", "logs", "spans", "metrics"],
)
def test_a_clients_own_word_loses_in_every_signal(
    capture: str, signals: tuple[Signal, ...]
) -> None:
    if not requests_of(capture, *signals):
        pytest.skip("the capture has none")
    made = assembled(capture, *signals, group_by="department")

    assert made.spans
    assert made.held == 0
    for span in made.spans:
        assert span.attributes["langfuse.trace.tags"][:3] == TAGS  # cost_center is its own
        assert span.attributes["langfuse.user.id"] == "Ada"
        assert span.attributes["langfuse.release"] == "Research"
        for name, value in {"department": "Research", "team": "ai", "room": "7"}.items():
            assert span.attributes[f"langfuse.trace.metadata.{name}"] == value
        assert b"claimed" not in span.span


def test_without_a_token_the_clients_word_counts() -> None:
    made = assemble([claiming(request) for request in requests_of(CAPTURES[0])])

    assert {tuple(span.attributes["langfuse.trace.tags"][:2]) for span in made.spans} == {
        ("member:claimed", "department:claimed")
    }


def test_what_a_token_fixes_takes_nothing_else_from_a_record() -> None:
    """A token that fixes a name that records use does not empty them of it."""
    requests = requests_of(CAPTURES[2])
    plain = assemble(requests)
    made = assemble([fixed(each, **{"session.id": "x", "model": "x"}) for each in requests])

    for name in ("langfuse.session.id", "langfuse.observation.model.name"):
        assert [s.attributes.get(name) for s in made.spans] == [
            s.attributes.get(name) for s in plain.spans
        ]


def test_two_senders_without_sessions_are_two_installations() -> None:
    requests = requests_of("2.1.330/a-json-min", Signal.LOGS)
    without_session = [
        msgspec.structs.replace(each, body=each.body.replace(b'"session.id"', b'"no.session"'))
        for each in requests
    ]
    both = [
        *(fixed(each) for each in without_session),
        *(fixed(each, member="Ben") for each in without_session),
    ]

    made = assemble(sorted(both, key=lambda each: each.received_at_ms))

    users = {
        trace: {s.attributes["langfuse.user.id"] for s in spans}
        for trace, spans in made.traces.items()
    }
    assert sorted(map(sorted, users.values())) == sorted([["Ada"], ["Ben"]] * (len(users) // 2))
