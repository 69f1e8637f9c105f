"""What a settled part adds to the usage totals, and by which labels."""

import pytest

from bridge.metrics import usage
from bridge.metrics.usage import Usage, label_name, label_value, tag_labels, usage_of
from bridge.model.counted import OTHER, Labels
from bridge.model.measures import PICO
from bridge.model.parts import AnyPart, Generation, ToolCall
from bridge.model.sessions import SessionNumbers, Summary
from bridge.model.totals import Totals
from tests.builders import (
    decision_event,
    failure_event,
    request_event,
    result_event,
    settled,
)

RULES = tag_labels({"member": "member", "department": "department"})
TAGS: Labels = (("member", "ada"), ("department", "research"))


def test_a_request_adds_its_cost_and_tokens_by_model_and_tags() -> None:
    made = _added(_generation(request_event(model="claude-opus-4-8[1m]")))

    model = (("model", "claude-opus-4-8"), *TAGS)
    assert made == {
        ("model_requests", (("outcome", "ok"), *model)): 1,
        ("cost_usd", model): 3_086_000_000,
        ("tokens", (("type", "input"), *model)): 11,
        ("tokens", (("type", "output"), *model)): 7,
    }


def test_a_failed_request_adds_itself_alone() -> None:
    made = _added(_generation(failure_event()))
    assert [(name, dict(labels)["outcome"]) for name, labels in made] == [
        ("model_requests", "error")
    ]


@pytest.mark.parametrize(
    ("call", "outcome"),
    [
        ({"result": result_event()}, "ok"),
        ({"result": result_event(success=False)}, "error"),
        ({"decision": decision_event(accepted=False)}, "rejected"),
        ({"decision": decision_event()}, "unknown"),
    ],
    ids=["ran", "failed", "rejected", "never heard of again"],
)
def test_a_tool_call_is_counted_by_how_it_ended(call: dict[str, object], outcome: str) -> None:
    part = ToolCall(key="t", owner=None, **({"decision": None, "result": None} | call))  # type: ignore[arg-type]  # halves by name
    (told,) = [dict(labels) for name, labels in _added(part) if name == "tool_calls"]
    assert told["outcome"] == outcome


def test_a_summary_adds_what_its_stretch_measured() -> None:
    series = {
        "lines\0type=added": 9 * PICO,
        "commits": PICO,
        "pull_requests": 2 * PICO,
        "active_s": PICO + PICO // 2,
    }
    numbers = SessionNumbers(totals=Totals(), series=series)
    part = Summary(start_ms=0, end_ms=1, first_prompt=None, numbers=numbers, gap=None)

    made = {name: n for (name, _), n in _added(part).items() if n}

    assert made == {
        "sessions": 1,
        "lines": 9,
        "commits": 1,
        "pull_requests": 2,
        "active_seconds": 1500,
    }


def test_labels_are_never_a_session_or_an_account() -> None:
    personal = {"user.email": "user", "session.id": "session", "member": "who"}
    assert tag_labels(personal) == (("member", "who"),)
    assert label_value("ada@example.org") == OTHER


def test_a_label_is_short_and_named_as_prometheus_wants_it() -> None:
    assert len(label_value("x" * 1000)) == 64
    assert [label_name(key) for key in ("cost-center", "model", "1st", "team")] == [
        "cost_center",
        "tag_model",
        "tag_1st",
        "team",
    ]


def test_what_is_remembered_of_origins_mixes_no_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "KEPT_ORIGINS", 3)
    remembering = Usage(RULES)
    for number in (0, 1, 2, 3, 4, 0, 0, 4, 1):
        attributes = {"member": f"m{number}", "session": "one of many"}
        part = settled(_generation(request_event()), attributes=attributes)
        assert remembering.of(part) == usage_of(part, RULES)


def _generation(request: object) -> Generation:
    return Generation(key="r", owner=None, request=request, answer=None, bodies=())  # type: ignore[arg-type]  # either kind


def _added(part: AnyPart) -> dict[tuple[str, Labels], int]:
    whole = settled(part, attributes={"member": "ada", "department": "research"})
    made = usage_of(whole, RULES)
    return {(series.name, series.labels + series.told): n for series, n in made.items()}
