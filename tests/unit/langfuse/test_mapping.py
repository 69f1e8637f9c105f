"""Settled parts become observations by the rules of Langfuse's data model."""

from typing import Any

import pytest

from bridge.langfuse import ids
from bridge.langfuse.mapping import Mapper
from bridge.langfuse.trace import TraceSettings
from bridge.model.events import PointEvent, RawBody, UserPrompt
from bridge.model.observations import Level, Observation, ObservationKind
from bridge.model.parts import (
    AnyPart,
    ClosedBy,
    Generation,
    Moment,
    Root,
    SubAgent,
    ToolCall,
)
from bridge.model.totals import Totals
from tests.builders import (
    SESSION,
    T0_MS,
    answer_event,
    decision_event,
    event_fields,
    failure_event,
    prompt_event,
    request_event,
    result_event,
    settled,
)

TAGS = (("member", "member"), ("department", "department"), ("team.id", "team"))
TRACE = ids.trace_id(f"{SESSION}\0p1")
ROOT = ids.root_id(TRACE)


def test_a_generation_is_a_request_with_its_answer() -> None:
    request = request_event(
        1000, ttft_ms=23, parameters={"speed": "fast"}, attributes={"query_source": "sdk"}
    )
    made = _map(_generation(request, answer=answer_event(1001)))

    assert (made.kind, made.name, made.model) == (
        ObservationKind.GENERATION,
        "claude-opus-5-5",
        "claude-opus-5-5",
    )
    assert (made.start_ms, made.end_ms) == (T0_MS + 900, T0_MS + 1000)
    assert made.completion_start_ms == T0_MS + 923
    assert (made.usage, made.cost_picousd) == ({"input": 11, "output": 7}, 3_086_000_000)
    assert (made.output, made.model_parameters) == ("Done", {"speed": "fast"})
    assert made.metadata["query_source"] == "sdk"
    assert (made.trace_id, made.parent_id) == (TRACE, ROOT)


def test_a_models_suffix_is_kept_for_people_and_not_for_prices() -> None:
    made = _map(_generation(request_event(model="claude-opus-4-8[1m]")))

    assert (made.name, made.model) == ("claude-opus-4-8", "claude-opus-4-8")
    assert made.metadata["model"] == "claude-opus-4-8[1m]"


def test_usage_is_always_told_lest_langfuse_counts_the_text() -> None:
    made = _map(_generation(request_event(usage={})))

    assert made.usage == {"input": 0, "output": 0}


def test_a_cost_that_is_not_told_is_left_to_langfuse() -> None:
    assert _map(_generation(request_event(cost_picousd=None))).cost_picousd is None


def test_a_failed_request_costs_nothing_and_says_why() -> None:
    made = _map(_generation(failure_event()))

    assert (made.level, made.status_message, made.output) == (
        Level.ERROR,
        "invalid x-api-key (HTTP 401)",
        "invalid x-api-key (HTTP 401)",
    )
    assert (made.usage, made.cost_picousd) == ({"input": 0, "output": 0}, 0)
    assert made.model == "claude-opus-5-5"


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        ("no", 500, "no (HTTP 500)"),
        ("no", None, "no"),
        (None, 500, "HTTP 500"),
        (None, None, "request failed"),
    ],
)
def test_a_failure_is_told_as_far_as_it_is_known(
    error: str | None, status: int | None, message: str
) -> None:
    made = _map(_generation(failure_event(error=error, status_code=status)))

    assert made.status_message == message


def test_raw_bodies_are_the_input_and_the_output() -> None:
    fields: dict[str, Any] = {"body_id": "b1", "request_id": None}
    bodies = (
        RawBody(is_response=False, text="asked", **fields, **event_fields(900)),
        RawBody(is_response=True, text="answered", **fields, **event_fields(1000)),
    )

    bare = _map(_generation(request_event(), bodies=bodies))
    told = _map(_generation(request_event(), answer=answer_event(), bodies=bodies))

    assert (bare.input, bare.output) == ("asked", "answered")
    assert (told.input, told.output) == ("asked", "Done")


@pytest.mark.parametrize(
    ("length", "text"), [(15, "[answer: 15 characters]"), (None, "[answer not exported]")]
)
def test_an_answer_kept_back_leaves_a_note_in_its_place(length: int | None, text: str) -> None:
    made = _map(_generation(request_event(), answer=answer_event(text=None, length=length)))

    assert made.output == text


def test_a_tool_is_its_result_with_the_decision_folded_in() -> None:
    result = result_event(1000, arguments='{"command":"ls"}', result_bytes=60)
    made = _map(_tool(decision=decision_event(940), result=result))

    assert (made.kind, made.name, made.level) == (ObservationKind.TOOL, "Bash", Level.DEFAULT)
    assert (made.start_ms, made.end_ms) == (T0_MS + 950, T0_MS + 1000)
    assert made.input == '{"command":"ls"}'
    assert (made.model, made.usage, made.cost_picousd) == (None, None, None)
    assert made.metadata == {
        "decision": "accept",
        "decision_source": "config",
        "result_bytes": 60,
        "tool_use_id": "toolu_1",
    }


@pytest.mark.parametrize("source", ["config", "user_reject", "user_abort", "hook"])
def test_a_rejected_tool_is_a_warning_that_says_by_whom(source: str) -> None:
    rejected = decision_event(1000, accepted=False, source=source)
    made = _map(_tool(decision=rejected))

    assert (made.kind, made.level) == (ObservationKind.TOOL, Level.WARNING)
    assert made.status_message == made.output == f"rejected by {source}"
    assert made.start_ms == made.end_ms == T0_MS + 1000


def test_a_tool_that_never_came_back_is_a_warning() -> None:
    made = _map(_tool(decision=decision_event()))

    assert (made.level, made.output) == (Level.WARNING, "no result was reported")


@pytest.mark.parametrize(
    ("error", "error_type", "message"),
    [
        ("exit 3", "ShellError", "exit 3"),
        (None, "ShellError", "ShellError"),
        (None, None, "failed"),
    ],
)
def test_a_failed_tool_has_its_error_as_output(
    error: str | None, error_type: str | None, message: str
) -> None:
    result = result_event(success=False, error=error, error_type=error_type)
    made = _map(_tool(result=result))

    assert (made.level, made.status_message, made.output) == (Level.ERROR, message, message)


def test_the_title_of_a_tool_wins_over_its_placeholder() -> None:
    decision = decision_event(name="mcp_tool", title="weather/forecast")
    made = _map(_tool(decision=decision, result=result_event(name="mcp_tool", title="mcp_tool")))

    assert made.name == "weather/forecast"


def test_an_agent_hangs_below_the_call_that_started_it_and_holds_its_own() -> None:
    agent = _map(_agent(call_key="t:toolu_1", answer=answer_event(), task="Look"))
    call = _map(_tool(result=result_event()))
    child = _map(_generation(request_event(), owner="a1"))

    assert (agent.kind, agent.name, agent.parent_id) == (
        ObservationKind.AGENT,
        "general-purpose",
        call.id,
    )
    assert child.parent_id == agent.id
    assert (agent.input, agent.output) == ("Look", "Done")
    assert agent.metadata["agent_id"] == "a1"
    assert (agent.model, agent.usage, agent.cost_picousd) == (None, None, None)


def test_agents_nest_below_the_agent_that_started_them_when_the_call_is_not_known() -> None:
    outer, inner = _map(_agent()), _map(_agent(key="a2", owner="a1"))

    assert (outer.parent_id, inner.parent_id) == (ROOT, outer.id)


def test_an_agent_of_several_possible_calls_names_them() -> None:
    made = _map(_agent(key="call:t:1|t:2", calls=("t:1", "t:2"), type=None))

    assert (made.name, made.metadata["parallel_calls"]) == ("agent", ["1", "2"])
    assert "agent_id" not in made.metadata


def test_a_point_event_moved_to_the_edge_says_when_it_happened() -> None:
    event = PointEvent(name="at_mention", level=Level.DEFAULT, **event_fields(5))
    inside = _map(_moment(event, shown_ms=T0_MS + 5, moved=False))
    moved = _map(_moment(event, shown_ms=T0_MS + 10, moved=True))

    assert (inside.kind, inside.name, inside.start_ms) == (
        ObservationKind.EVENT,
        "at_mention",
        T0_MS + 5,
    )
    assert moved.start_ms == moved.end_ms == T0_MS + 10
    assert "occurred_at" not in inside.metadata
    assert str(moved.metadata["occurred_at"]).startswith("2026-11-18T11:06:40.005")


def test_halves_that_stayed_alone_are_shown_as_what_they_are() -> None:
    answer = _map(_moment(answer_event(), key="a:1"))
    prompt = _map(_moment(prompt_event(text="again"), key="p:1"))
    body = RawBody(is_response=True, request_id=None, body_id=None, text="b", **event_fields())

    assert (answer.name, answer.output) == ("assistant_response", "Done")
    assert (prompt.name, prompt.input) == ("user_prompt", "again")
    assert (_map(_moment(body)).name, _map(_moment(body)).level) == (
        "api_response_body",
        Level.DEBUG,
    )


def test_a_root_has_prompt_and_answer_and_no_cost_of_its_own() -> None:
    made = _map(_root(answer=answer_event(text="4")))

    assert (made.id, made.parent_id, made.name) == (ROOT, None, "claude-code")
    assert (made.kind, made.level) == (ObservationKind.AGENT, Level.DEFAULT)
    assert (made.input, made.output) == ("Do it", "4")
    assert (made.model, made.usage, made.cost_picousd) == (None, None, None)
    assert made.metadata["closed_by"] == "quiet"


def test_sums_are_told_in_the_roots_metadata() -> None:
    totals = Totals()
    totals.add(request_event(1))
    totals.add(request_event(2, cost_picousd=None))
    totals.add(failure_event(3))
    totals.add(result_event(4, success=False))
    totals.add(decision_event(5, accepted=False))

    told = _map(_root(totals=totals)).metadata

    assert {
        key: told[key] for key in sorted(told) if key not in {"closed_by", "prompt_length"}
    } == {
        "cost_usd": 0.003086,
        "failed_requests": 1,
        "models": ["claude-opus-5-5"],
        "rejected_tools": 1,
        "requests": 2,
        "tokens.input": 22,
        "tokens.output": 14,
        "tool_errors": 1,
        "tools": 1,
        "unpriced_requests": 1,
    }


@pytest.mark.parametrize(
    ("fields", "facts", "expected"),
    [
        (
            {"prompt": prompt_event(text=None, length=45)},
            {},
            ("[prompt: 45 characters]", "[answer not exported]", Level.DEFAULT, None),
        ),
        (
            {"prompt": prompt_event(text=None)},
            {},
            ("[prompt not exported]", "[answer not exported]", Level.DEFAULT, None),
        ),
        (
            {"prompt": None},
            {},
            ("[prompt not exported]", "[answer not exported]", Level.DEFAULT, None),
        ),
        (
            {"prompt": None},
            {"prompt_id": None},
            ("[no prompt]", "[answer not exported]", Level.DEFAULT, None),
        ),
        (
            {"interrupted": True},
            {},
            ("Do it", "[interrupted]", Level.WARNING, "interrupted"),
        ),
        (
            {"prompt": prompt_event(text="/exit", command="exit", built_in=True)},
            {"command": "exit"},
            ("/exit", "[no answer: /exit]", Level.DEFAULT, None),
        ),
        (
            {"failure": failure_event(), "answer": answer_event()},
            {},
            (
                "Do it",
                "invalid x-api-key (HTTP 401)",
                Level.ERROR,
                "invalid x-api-key (HTTP 401)",
            ),
        ),
    ],
)
def test_a_root_always_has_an_input_and_an_output(
    fields: dict[str, Any], facts: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    made = _map(_root(**fields), **facts)

    assert (made.input, made.output, made.level, made.status_message) == expected


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({}, "claude-code"),
        ({"command": "compact"}, "claude-code /compact"),
        ({"synthetic": True}, "claude-code background"),
    ],
)
def test_trace_and_root_have_one_name_of_few(facts: dict[str, Any], name: str) -> None:
    made = _map(_root(), **facts)

    assert (made.name, made.trace.name) == (name, name)


def test_a_background_prompt_says_so() -> None:
    assert _map(_root(), synthetic=True).metadata["synthetic"] is True


@pytest.mark.parametrize(
    ("attributes", "user"),
    [
        ({"member": "Alex", "user.email": "a@b.c", "user.id": "f"}, "Alex"),
        ({"user.email": "a@b.c", "user.account_uuid": "u", "user.id": "f"}, "a@b.c"),
        ({"user.account_uuid": "u", "user.account_id": "i", "user.id": "f"}, "u"),
        ({"user.account_id": "i", "user.id": "f"}, "i"),
        ({"user.id": "f"}, "f"),
        ({}, None),
    ],
)
def test_the_user_is_the_member_else_the_best_that_is_known(
    attributes: dict[str, str], user: str | None
) -> None:
    assert _map(_root(), attributes=attributes).trace.user_id == user


def test_tags_are_in_the_configured_order_and_lower_case_and_metadata_is_not() -> None:
    attributes = {"team.id": "Core", "member": "Alex Doe", "organization.id": "org"}
    made = _map(_root(), attributes=attributes, otel_trace_id="ab" * 16)

    assert made.trace.tags == ("member:alex doe", "team:core", "claude-code")
    assert made.trace.metadata == {
        "member": "Alex Doe",
        "team": "Core",
        "organization.id": "org",
        "prompt_id": "p1",
        "otel_trace_id": "ab" * 16,
    }


def test_long_values_are_cut_where_langfuses_lists_cut_them() -> None:
    made = _map(_root(), attributes={"member": "x" * 300})

    assert made.trace.user_id == "x" * 200
    assert made.trace.metadata["member"] == "x" * 200
    assert all(len(tag) <= 200 for tag in made.trace.tags)


def test_one_attribute_may_be_sent_as_the_release() -> None:
    mapper = Mapper(TraceSettings(tags=TAGS, group_by="department", environment="prod"))
    made = mapper.observation(settled(_root(), attributes={"department": "Research"}))
    none = mapper.observation(settled(_root(), attributes={}))

    assert (made.trace.release, none.trace.release) == ("Research", None)
    assert made.trace.environment == "prod"


def test_the_environment_is_the_clients_where_none_is_configured() -> None:
    made = _map(_root(), attributes={"deployment.environment": "staging"})

    assert made.trace.environment == "staging"


def test_an_end_before_the_start_is_moved_to_the_start() -> None:
    made = _map(_agent(start_ms=T0_MS + 10, end_ms=T0_MS))

    assert (made.start_ms, made.end_ms) == (T0_MS + 10, T0_MS + 10)


def test_no_prompts_text_gets_into_a_name() -> None:
    parts: list[AnyPart] = [
        _root(prompt=prompt_event(text="SECRET")),
        _moment(prompt_event(text="SECRET")),
        _agent(task="SECRET"),
    ]

    assert not [part for part in parts if "SECRET" in _map(part).name + _map(part).trace.name]


def _map(part: AnyPart, **facts: Any) -> Observation:
    return Mapper(TraceSettings(tags=TAGS)).observation(settled(part, **facts))


def _generation(request: Any, **fields: Any) -> Generation:
    told: dict[str, Any] = {"key": "g:req_1", "owner": None, "answer": None, "bodies": ()}
    return Generation(request=request, **(told | fields))


def _tool(**fields: Any) -> ToolCall:
    told: dict[str, Any] = {"key": "t:toolu_1", "owner": None, "decision": None, "result": None}
    return ToolCall(**(told | fields))


def _agent(**fields: Any) -> SubAgent:
    told: dict[str, Any] = {
        "key": "a1",
        "owner": None,
        "call_key": None,
        "calls": (),
        "type": "general-purpose",
        "start_ms": T0_MS,
        "end_ms": T0_MS + 500,
        "completed": None,
        "task": None,
        "answer": None,
        "totals": Totals(),
    }
    return SubAgent(**(told | fields))


def _moment(event: PointEvent | UserPrompt | Any, **fields: Any) -> Moment:
    told: dict[str, Any] = {"key": "p:1", "owner": None, "shown_ms": T0_MS, "moved": False}
    return Moment(event=event, **(told | fields))


def _root(**fields: Any) -> Root:
    told: dict[str, Any] = {
        "prompt": prompt_event(),
        "start_ms": T0_MS,
        "end_ms": T0_MS + 1000,
        "answer": None,
        "failure": None,
        "interrupted": False,
        "totals": Totals(),
        "closed_by": ClosedBy.QUIET,
    }
    return Root(**(told | fields))
