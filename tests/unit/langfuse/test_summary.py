"""A session's summary as Langfuse is told it: a card, numbers, and counters that sum no tokens."""

from typing import Any

import msgspec
import pytest

from bridge.langfuse import wire
from bridge.langfuse.mapping import Mapper
from bridge.langfuse.summary import card
from bridge.langfuse.trace import TraceSettings
from bridge.model.events import Origin, UserPrompt
from bridge.model.measures import PICO
from bridge.model.observations import Observation, ObservationKind
from bridge.model.parts import Settled, TurnFacts
from bridge.model.sessions import (
    CostGap,
    Counter,
    GapReason,
    ModelSums,
    SessionNumbers,
    Summary,
)
from bridge.model.totals import Totals

T0_MS = 1_795_400_000_000
ORIGIN = Origin(
    product="claude-code",
    service_name="claude-code",
    service_version="2.1.330",
    attributes={"member": "Alex", "department": "engineering"},
)
SETTINGS = TraceSettings(tags=(("member", "member"), ("department", "department")))
USAGE = {"input": 1_200, "output": 30, "input_cached_tokens": 5, "input_cache_creation": 7}
PROMPT = UserPrompt(
    key=b"k",
    session_id="s",
    conversation="s",
    prompt_id="p",
    time_ms=T0_MS + 1,
    text="Fix it",
    length=6,
)


def facts(session_id: str | None = "s") -> TurnFacts:
    return TurnFacts(
        key="s\0summary\x001",
        session_id=session_id,
        prompt_id=None,
        origin=ORIGIN,
        command=None,
        synthetic=False,
        otel_trace_id=None,
        is_summary=True,
    )


def full_numbers() -> SessionNumbers:
    totals = Totals(
        requests=3,
        failures=1,
        tools=2,
        tool_errors=1,
        rejections=1,
        unpriced=1,
        cost_picousd=3_086_000_000,
        usage=USAGE,
        models=["haiku", "opus"],
    )
    return SessionNumbers(
        prompts=2,
        totals=totals,
        models={
            "opus": ModelSums(requests=2, cost_picousd=3_000_000_000, usage=USAGE),
            "haiku": ModelSums(requests=1, cost_picousd=86_000_000, usage={"output": 1}),
        },
        agents={"general-purpose": ModelSums(requests=1, cost_picousd=86_000_000)},
        series={
            "active_s\0type=cli": 65 * PICO,
            "lines\0type=added": 3 * PICO,
            "lines\0type=removed": 0,
            "commits": PICO,
            "pull_requests": 2 * PICO,
            "naps.count\0flavour=sour": PICO // 2,
        },
        lost_records=4,
    )


def a_summary(**fields: Any) -> Summary:
    defaults = {
        "start_ms": T0_MS,
        "end_ms": T0_MS + 125_000,
        "first_prompt": PROMPT,
        "numbers": full_numbers(),
        "gap": None,
    }
    return Summary(**{**defaults, **fields})


def bare(**fields: Any) -> Summary:
    return a_summary(first_prompt=None, numbers=SessionNumbers(totals=Totals(), **fields))


def mapped(part: Summary | Counter, turn: TurnFacts | None = None) -> Observation:
    settled = Settled(turn=turn or facts(), part=part, observed=0, folded=0)
    return Mapper(SETTINGS).observation(settled)


def test_the_card_is_read_in_a_few_lines() -> None:
    assert card(a_summary()).splitlines() == [
        "2 min 5 s · 1 min 5 s active",
        "2 prompts · 3 requests · 1 failed request · 2 tool calls · 1 tool error · 1 rejected tool",
        "$0.003086",
        "haiku: $0.000086, 1 out",
        "opus: $0.003, 1,200 in, 30 out, 5 cached, 7 cache written",
        "+3 \N{MINUS SIGN}0 lines · 1 commit · 2 pull requests",
    ]


def test_the_card_leaves_out_what_it_has_nothing_to_say_of() -> None:
    assert card(bare()).splitlines() == ["2 min 5 s"]


@pytest.mark.parametrize(
    ("duration_ms", "told"),
    [
        (419, "0.4 s"),
        (9_949, "9.9 s"),
        (9_950, "10 s"),
        (59_499, "59 s"),
        (59_500, "1 min 0 s"),
        (3_599_499, "59 min 59 s"),
        (3_600_000, "1 h 0 min"),
        (90_000_000, "25 h 0 min"),
    ],
)
def test_the_card_tells_times_in_their_largest_units(duration_ms: int, told: str) -> None:
    summary = a_summary(numbers=SessionNumbers(totals=Totals()), end_ms=T0_MS + duration_ms)
    assert card(summary) == told


@pytest.mark.parametrize(
    ("picousd", "told"),
    [
        (1_500_000_000, "metrics tell $0.0015 more: interrupted requests"),
        (-2_000_000_000_000, "metrics tell $2 less: interrupted requests"),
    ],
)
def test_the_card_ends_with_what_does_not_add_up(picousd: int, told: str) -> None:
    gap = CostGap(gap_picousd=picousd, reason=GapReason.INTERRUPTED)
    assert card(a_summary(gap=gap)).splitlines()[-1] == told


def test_the_root_has_the_first_prompt_and_the_card_and_is_nothing_that_costs() -> None:
    root = mapped(a_summary())
    assert (root.name, root.trace.name) == ("claude-code session", "claude-code session")
    assert (root.start_ms, root.end_ms, root.parent_id) == (T0_MS, T0_MS + 125_000, None)
    assert root.input == "Fix it"
    assert root.output == card(a_summary())
    assert root.kind is ObservationKind.SPAN
    assert (root.model, root.usage, root.cost_picousd) == (None, None, None)
    assert root.trace.tags == ("member:alex", "department:engineering", "claude-code")
    assert (root.trace.session_id, root.trace.user_id) == ("s", "Alex")


def test_the_bytes_of_the_root_hold_neither_cost_nor_usage_nor_model() -> None:
    span = wire.encode_span(mapped(a_summary()))
    assert not [word for word in (b"usage_details", b"cost_details", b"model.name") if word in span]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"text": None, "length": 45}, "[prompt: 45 characters]"),
        ({"text": None, "length": None}, "[prompt not exported]"),
    ],
)
def test_a_prompt_that_was_not_told_has_its_placeholder(fields: dict[str, Any], told: str) -> None:
    prompt = msgspec.structs.replace(PROMPT, **fields)
    assert mapped(a_summary(first_prompt=prompt)).input == told


def test_a_session_without_a_prompt_says_so() -> None:
    assert mapped(bare()).input == "[no prompt]"


def test_the_same_numbers_are_metadata_by_model_type_and_agent() -> None:
    assert mapped(a_summary()).metadata == {
        "prompts": 2,
        "requests": 3,
        "failed_requests": 1,
        "tools": 2,
        "tool_errors": 1,
        "rejected_tools": 1,
        "unpriced_requests": 1,
        "lost_records": 4,
        "cost_usd": 0.003086,
        "tokens.input": 1_200,
        "tokens.input_cache_creation": 7,
        "tokens.input_cached_tokens": 5,
        "tokens.output": 30,
        "models.haiku.requests": 1,
        "models.haiku.cost_usd": 0.000086,
        "models.haiku.tokens.output": 1,
        "models.opus.requests": 2,
        "models.opus.cost_usd": 0.003,
        "models.opus.tokens.input": 1_200,
        "models.opus.tokens.input_cache_creation": 7,
        "models.opus.tokens.input_cached_tokens": 5,
        "models.opus.tokens.output": 30,
        "agents.general-purpose.requests": 1,
        "agents.general-purpose.cost_usd": 0.000086,
        "metrics.active_s[type=cli]": 65.0,
        "metrics.commits": 1.0,
        "metrics.lines[type=added]": 3.0,
        "metrics.lines[type=removed]": 0.0,
        "metrics.naps.count[flavour=sour]": 0.5,
        "metrics.pull_requests": 2.0,
    }


def test_a_gap_stands_in_the_metadata_with_its_reason() -> None:
    gap = CostGap(gap_picousd=1_500_000_000, reason=GapReason.LOST_RECORDS)
    told = mapped(a_summary(gap=gap)).metadata
    assert (told["cost_gap_usd"], told["cost_gap_reason"]) == (0.0015, "records lost")


def test_without_a_session_the_summary_says_why() -> None:
    root = mapped(a_summary(), facts(session_id=None))
    assert root.trace.session_id is None
    assert root.metadata["session"] == (
        "The client does not tell its sessions: these are all of one installation."
    )
    assert "session" not in mapped(a_summary()).metadata


def test_a_counter_is_an_event_whose_number_sums_no_tokens() -> None:
    made = mapped(Counter(name="lines_added", value=3, start_ms=T0_MS + 1))
    assert (made.kind, made.name) == (ObservationKind.EVENT, "lines_added")
    assert (made.start_ms, made.end_ms) == (T0_MS + 1, T0_MS + 1)
    assert made.usage == {"lines_added": 3, "total": 0}
    assert (made.input, made.output, made.model, made.cost_picousd) == (None, None, None, None)
    assert made.parent_id == mapped(a_summary()).id
    assert made.trace == mapped(a_summary()).trace


def test_active_time_lasts_as_long_as_it_was() -> None:
    made = mapped(Counter(name="active_time_s", value=4, start_ms=T0_MS + 1, duration_ms=3_750))
    assert made.kind is ObservationKind.SPAN
    assert made.end_ms - made.start_ms == 3_750
    assert made.usage == {"active_time_s": 4, "total": 0}


def test_counters_of_one_summary_have_ids_of_their_own_and_keep_them() -> None:
    parts = [Counter(name=name, value=1, start_ms=T0_MS) for name in ("commits", "prompts")]
    ids = [mapped(part).id for part in parts]
    again = [mapped(Counter(name="commits", value=9, start_ms=T0_MS + 5)).id]
    assert len(set(ids)) == 2
    assert again == ids[:1]
