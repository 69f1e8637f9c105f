"""Money, tokens and records add up, compared with the raw files read with plain JSON."""

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from bridge.model.requests import ExportRequest
from tests.pipeline import (
    ALL_CAPTURES,
    QUIET_MS,
    SETTLE_MS,
    Logged,
    Pipeline,
    Seen,
    assemble,
    assemble_capture,
    capture_records,
    capture_requests,
    pipeline,
)

USAGE = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "input_cached_tokens",
    "cache_creation_tokens": "input_cache_creation",
}
TWELVE_DECIMALS = Decimal("0.000000000001")

Sums = dict[str | None, Counter[str]]


@pytest.mark.parametrize("capture", ALL_CAPTURES)
def test_cost_and_tokens_of_each_session_are_those_of_its_requests(capture: str) -> None:
    made = assemble_capture(capture)

    assert _told(made.spans) == _asked(capture_records(capture))


@pytest.mark.parametrize("capture", ALL_CAPTURES)
def test_only_generations_have_cost_usage_or_a_model(capture: str) -> None:
    for span in assemble_capture(capture).of_prompts:
        if span.type != "generation":
            assert (span.cost, span.usage) == (None, {}), span.name
            assert "langfuse.observation.model.name" not in span.attributes


def test_a_request_that_was_refused_and_accepted_and_came_twice_counts_once() -> None:
    requests = capture_requests("2.1.330/x-503-ra", refused_too=True)
    again = [*requests, *requests]
    last_ms = requests[-1].received_at_ms

    made = assemble([_at(request, last_ms + n) for n, request in enumerate(again)])

    assert _told(made.spans) == _asked(capture_records("2.1.330/x-503-ra"))
    assert made.accepted == sum(request.records for request in again)
    assert made.outcomes["duplicate"] == made.accepted - len(capture_records("2.1.330/x-503-ra"))


@pytest.mark.parametrize("capture", ALL_CAPTURES)
def test_records_have_ended_or_are_held_at_every_moment(capture: str) -> None:
    with pipeline() as made:
        for request in capture_requests(capture):
            made.post(request)
            _assert_balanced(made)
            made.work(request.received_at_ms)
            _assert_balanced(made)
        end_ms = request.received_at_ms
        for later_ms in (0, SETTLE_MS - 1, SETTLE_MS, SETTLE_MS + 1, QUIET_MS, QUIET_MS + 1):
            made.work(end_ms + later_ms)
            _assert_balanced(made)
        made.finish(end_ms)
        _assert_balanced(made)
        assert made.held() == 0


@pytest.mark.parametrize("capture", ALL_CAPTURES)
def test_observed_records_are_those_that_have_an_observation_of_their_own(capture: str) -> None:
    """A root without prompt and an agent without completion stand for no record."""
    made = assemble_capture(capture)
    completions = sum(r.name == "subagent_completed" for r in capture_records(capture))
    agents = [s for s in made.of_prompts if s.type == "agent" and s.parent_id is not None]
    unprompted = [s for s in made.of_prompts if s.parent_id is None and s.input == "[no prompt]"]

    assert made.outcomes["observed"] == len(made.of_prompts) - (len(agents) - completions) - len(
        unprompted
    )


def _assert_balanced(made: Pipeline) -> None:
    assert made.accepted() == sum(made.outcomes().values()) + made.held()


def _told(spans: list[Seen]) -> Sums:
    sums: Sums = {}
    for span in spans:
        if span.type == "generation":
            session = sums.setdefault(span.attributes.get("langfuse.session.id"), Counter())
            session.update(span.usage)
            session["cost"] += _exact(span.cost)
            session["requests"] += 1
    return sums


def _asked(records: list[Logged]) -> Sums:
    sums: Sums = {}
    for record in records:
        if record.name in {"api_request", "api_error"}:
            session = sums.setdefault(record.attributes.get("session.id"), Counter())
            session["requests"] += 1
            for theirs, ours in USAGE.items():
                session[ours] += int(record.attributes.get(theirs, 0))
            session["cost"] += _exact(_cost_of(record.attributes))
    return sums


def _cost_of(attributes: dict[str, Any]) -> Decimal:
    if "cost_usd_micros" in attributes:
        return Decimal(attributes["cost_usd_micros"]) / 1_000_000
    return Decimal(str(attributes.get("cost_usd", 0))).quantize(TWELVE_DECIMALS)


def _exact(cost: Decimal | None) -> int:
    """In units of Langfuse's last decimal, which a counter can hold."""
    assert cost is not None
    units = cost / TWELVE_DECIMALS
    assert units == int(units)
    return int(units)


def _at(request: ExportRequest, at_ms: int) -> ExportRequest:
    return ExportRequest(
        signal=request.signal,
        encoding=request.encoding,
        body=request.body,
        gzipped=request.gzipped,
        records=request.records,
        received_at_ms=at_ms,
    )
