"""Claude Code's names, in all their versions, become our events."""

import json
from typing import Any

import pytest

from bridge.decode import claude_code
from bridge.decode.otlp import RawLog
from bridge.model.events import (
    AgentCompleted,
    ModelAnswer,
    ModelFailure,
    ModelRequest,
    PointEvent,
    Purpose,
    RawBody,
    Record,
    ToolDecision,
    ToolResult,
    UserPrompt,
)
from bridge.model.observations import Level
from bridge.model.requests import Encoding
from tests.builders import (
    SESSION,
    T0_MS,
    a_decision,
    a_prompt,
    a_record,
    a_request,
    a_result,
    an_answer,
    an_event,
    decoded,
)
from tests.pipeline import ALL_CAPTURES, Json, capture_records


@pytest.mark.parametrize(
    "attributes",
    [
        {"cost_usd": 0.003086, "duration_ms": 146, "input_tokens": 11},
        {"cost_usd": "0.003086", "duration_ms": "146", "input_tokens": "11"},
        {"cost_usd": 0.0030860000000000002, "duration_ms": 146.0, "input_tokens": 11.0},
        {"cost": 0.003086, "duration": 146, "input_tokens": 11},
        {"cost": "0.003086", "api.response_time": "146", "input_tokens": 11},
        {"cost_usd": 0.1, "cost_usd_micros": 3086, "duration_ms": 146, "input_tokens": 11},
        {"cost_usd_micros": "3086", "duration_ms": 146, "input_tokens": 11},
    ],
)
def test_a_request_is_read_under_all_names_and_types_of_its_numbers(attributes: Json) -> None:
    event = an_event(a_record("api_request", 1000, {"model": "m"} | attributes))

    assert isinstance(event, ModelRequest)
    assert (event.cost_picousd, event.duration_ms, event.usage) == (
        3_086_000_000,
        146,
        {"input": 11},
    )


def test_token_counts_get_langfuses_names() -> None:
    more = {"cache_read_tokens": "1010", "cache_creation_tokens": 100, "ttft_ms": 23}
    event = an_event(a_request(0, more=more))

    assert isinstance(event, ModelRequest)
    assert event.usage == {
        "input": 11,
        "output": 7,
        "input_cached_tokens": 1010,
        "input_cache_creation": 100,
    }
    assert event.ttft_ms == 23


def test_a_request_without_cost_has_none_and_one_of_zero_has_zero() -> None:
    unpriced = an_event(a_request(0, more={"cost_usd": None, "cost_usd_micros": None}))
    free = an_event(a_request(0, more={"cost_usd": 0, "cost_usd_micros": None}))

    assert isinstance(unpriced, ModelRequest)
    assert isinstance(free, ModelRequest)
    assert (unpriced.cost_picousd, free.cost_picousd) == (None, 0)


@pytest.mark.parametrize(
    ("query_source", "purpose", "agent_type"),
    [
        ("sdk", Purpose.MAIN, None),
        ("repl_main_thread", Purpose.MAIN, None),
        ("repl_main_thread:outputStyle:custom", Purpose.MAIN, None),
        ("agent:builtin:general-purpose", Purpose.AGENT, "general-purpose"),
        ("agent:custom", Purpose.AGENT, "custom"),
        ("compact", Purpose.AUXILIARY, None),
        ("generate_session_title", Purpose.AUXILIARY, None),
        ("quota_check", Purpose.AUXILIARY, None),
        (None, Purpose.UNKNOWN, None),
    ],
)
def test_the_query_source_tells_what_a_request_is_for(
    query_source: str | None, purpose: Purpose, agent_type: str | None
) -> None:
    for record in (
        a_request(0, more={"query_source": query_source}),
        an_answer(0, more={"query_source": query_source}),
    ):
        event = an_event(record)
        assert isinstance(event, ModelRequest | ModelAnswer)
        assert (event.purpose, event.agent_type) == (purpose, agent_type)


def test_the_agents_name_is_better_than_its_query_source() -> None:
    event = an_event(a_request(0, more={"query_source": "agent:custom", "agent.name": "reviewer"}))

    assert event.agent_type == "reviewer"


@pytest.mark.parametrize("status", [401, "401", 401.0])
def test_a_failed_request_tells_its_status(status: object) -> None:
    attributes = {"model": "m", "error": "invalid x-api-key", "status_code": status, "attempt": 3}
    event = an_event(a_record("api_error", 0, attributes))

    assert isinstance(event, ModelFailure)
    assert (event.error, event.status_code, event.attributes["attempt"]) == (
        "invalid x-api-key",
        401,
        3,
    )


def test_a_placeholder_is_no_content() -> None:
    prompt = an_event(a_prompt(0, "<REDACTED>", {"prompt_length": "28"}))
    answer = an_event(an_answer(0, text="<REDACTED>", more={"response_length": 15}))

    assert isinstance(prompt, UserPrompt)
    assert isinstance(answer, ModelAnswer)
    assert (prompt.text, prompt.length) == (None, 28)
    assert (answer.text, answer.length) == (None, 15)


def test_a_prompt_is_read_under_both_names() -> None:
    event = an_event(a_record("user_prompt", 0, {"prompt_text": "Hello"}))

    assert isinstance(event, UserPrompt)
    assert event.text == "Hello"


def test_a_slash_command_and_a_finished_background_agent_are_told_apart_from_people() -> None:
    command = {"command_name": "compact", "command_source": "builtin"}
    typed = an_event(a_prompt(0, "/compact", command))
    custom = an_event(a_prompt(0, "/hello", {"command_name": "hello", "command_source": "custom"}))
    put_in = an_event(a_prompt(0, "<task-notification>\n<task-id>a1</task-id>"))

    assert isinstance(typed, UserPrompt)
    assert isinstance(custom, UserPrompt)
    assert isinstance(put_in, UserPrompt)
    assert (typed.command, typed.built_in, typed.synthetic) == ("compact", True, False)
    assert (custom.command, custom.built_in) == ("hello", False)
    assert (put_in.command, put_in.synthetic) == (None, True)


@pytest.mark.parametrize(
    ("attributes", "call_id"),
    [
        ({"tool_name": "Bash", "tool_use_id": "toolu_1"}, "toolu_1"),
        ({"tool_name": "Bash", "use_id": "toolu_1"}, "toolu_1"),
        ({"tool": "Bash"}, None),
    ],
)
def test_a_tool_is_read_under_all_its_names(attributes: Json, call_id: str | None) -> None:
    event = an_event(a_record("tool_result", 0, {"success": "true", "duration": 5} | attributes))

    assert isinstance(event, ToolResult)
    assert (event.name, event.title, event.call_id, event.duration_ms) == (
        "Bash",
        "Bash",
        call_id,
        5,
    )


@pytest.mark.parametrize(
    ("success", "expected"), [("true", True), ("false", False), (False, False)]
)
def test_success_is_a_string_or_a_boolean(success: object, expected: bool) -> None:
    event = an_event(a_result(0, more={"success": success}))

    assert isinstance(event, ToolResult)
    assert event.success is expected


@pytest.mark.parametrize(
    ("name", "parameters", "title"),
    [
        (
            "mcp_tool",
            {"mcp_server_name": "weather", "mcp_tool_name": "forecast"},
            "weather/forecast",
        ),
        ("mcp_tool", {}, "mcp_tool"),
        ("mcp__weather__forecast", {}, "weather/forecast"),
        ("mcp__a__b__c", {}, "a/b__c"),
        ("mcp__odd", {}, "mcp__odd"),
    ],
)
def test_mcp_tools_are_called_by_server_and_tool(name: str, parameters: Json, title: str) -> None:
    event = an_event(a_decision(0, name, more={"tool_parameters": parameters}))

    assert isinstance(event, ToolDecision)
    assert (event.name, event.title) == (name, title)


def test_a_command_that_was_cut_in_tool_input_is_put_back_whole() -> None:
    """Values over 512 characters are cut to 128 in one attribute and whole in the other."""
    whole = "echo " + "x" * 5000
    cut = {"command": whole[:128] + "…[5005 chars]", "description": "Print"}
    more = {"tool_input": cut, "tool_parameters": {"full_command": whole, "bash_command": "echo"}}

    event = an_event(a_result(0, more=more))

    assert isinstance(event, ToolResult)
    assert json.loads(event.arguments or "") == {"command": whole, "description": "Print"}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"tool_input": '{"a":1}', "tool_parameters": '{"b":2}'}, '{"a":1}'),
        ({"tool_parameters": '{"b":2}'}, '{"b":2}'),
        ({"tool_input": "not json"}, "not json"),
        ({}, None),
    ],
)
def test_arguments_are_what_was_told_of_them(more: Json, expected: str | None) -> None:
    event = an_event(a_result(0, more=more))

    assert isinstance(event, ToolResult)
    assert event.arguments == expected


@pytest.mark.parametrize("tool", ["Task", "Agent"])
def test_both_names_of_the_agent_tool_start_agents(tool: str) -> None:
    arguments = {"subagent_type": "reviewer", "prompt": "Look closely", "description": "Review"}
    known = an_event(a_result(0, tool, more={"tool_input": arguments}))
    unknown = an_event(a_decision(0, tool))
    other = an_event(a_decision(0, "Bash"))

    assert isinstance(known, ToolResult)
    assert isinstance(unknown, ToolDecision)
    assert isinstance(other, ToolDecision)
    assert (known.spawns, known.task) == ("reviewer", "Look closely")
    assert (unknown.spawns, other.spawns) == ("", None)


@pytest.mark.parametrize(
    ("decision", "source", "accepted", "by_person"),
    [
        ("accept", "config", True, False),
        ("accept", "user_temporary", True, True),
        ("reject", "user_reject", False, True),
        ("reject", "user_abort", False, True),
        ("reject", "hook", False, False),
        ("reject", "config", False, False),
    ],
)
def test_a_decision_tells_who_decided(
    decision: str, source: str, accepted: bool, by_person: bool
) -> None:
    event = an_event(a_decision(0, more={"decision": decision, "source": source}))

    assert isinstance(event, ToolDecision)
    assert (event.accepted, event.source, event.by_person) == (accepted, source, by_person)


def test_raw_bodies_are_joined_by_their_own_id() -> None:
    request = an_event(
        a_record("api_request_body", 0, {"body": "{}", "request_body_id": "b1", "body_length": "2"})
    )
    response = an_event(
        a_record("api_response_body", 1, {"request_id": "req_1", "request_body_id": "b1"})
    )

    assert isinstance(request, RawBody)
    assert isinstance(response, RawBody)
    assert (request.is_response, request.request_id, request.body_id, request.text) == (
        False,
        None,
        "b1",
        "{}",
    )
    assert (response.is_response, response.request_id, response.body_id, response.text) == (
        True,
        "req_1",
        "b1",
        None,
    )


def test_an_agents_end_tells_its_type_and_whether_it_ran_in_the_background() -> None:
    attributes = {"agent_type": "reviewer", "is_async": True, "duration_ms": 377, "agent_id": "a1"}
    event = an_event(a_record("subagent_completed", 0, attributes | {"total_tokens": 1169}))

    assert isinstance(event, AgentCompleted)
    assert (event.agent_type, event.is_async, event.duration_ms, event.agent_id) == (
        "reviewer",
        True,
        377,
        "a1",
    )
    assert event.attributes["total_tokens"] == 1169


@pytest.mark.parametrize(
    ("name", "attributes", "level"),
    [
        ("hook_execution_start", {}, Level.DEBUG),
        ("plugin_loaded", {}, Level.DEBUG),
        ("mcp_server_connection", {"status": "connected"}, Level.DEBUG),
        ("mcp_server_connection", {"status": "failed"}, Level.WARNING),
        ("api_refusal", {}, Level.WARNING),
        ("api_retries_exhausted", {"error": "api error"}, Level.ERROR),
        ("compaction", {"success": "true"}, Level.DEFAULT),
        ("compaction", {"success": "false"}, Level.ERROR),
        ("auth", {"success": "false"}, Level.ERROR),
        ("permission_mode_changed", {}, Level.DEFAULT),
        ("at_mention", {}, Level.DEFAULT),
        ("never_heard_of", {}, Level.DEFAULT),
    ],
)
def test_everything_else_is_a_point_event_with_a_level(
    name: str, attributes: Json, level: Level
) -> None:
    event = an_event(a_record(name, 0, attributes))

    assert isinstance(event, PointEvent)
    assert (event.name, event.level, event.message) == (name, level, attributes.get("error"))


def test_an_unknown_event_keeps_all_its_attributes() -> None:
    """Unknown is data."""
    attributes: dict[str, Any] = {"a": "x", "b": 5, "c": True, "d": ["y", 1], "e": 0.5}
    event = an_event(a_record("never_heard_of", 0, attributes))

    assert event.attributes == attributes


def test_metadata_does_not_repeat_what_the_trace_tells() -> None:
    event = an_event(a_record("at_mention", 0, {"member": "alex", "mention_type": "file"}))

    assert event.attributes == {"mention_type": "file"}


def test_the_event_is_named_by_attribute_else_by_body() -> None:
    event = an_event(a_record("at_mention", 0, {"event.name": None}))

    assert isinstance(event, PointEvent)
    assert event.name == "at_mention"


def test_a_record_without_time_happened_when_it_arrived() -> None:
    record = a_prompt(0)
    timeless = record.record | {"timeUnixNano": "0", "observedTimeUnixNano": "0"}

    event = an_event(_with(record, timeless))

    assert event.time_ms == T0_MS


def test_a_session_named_in_the_resource_does_not_count() -> None:
    """OTEL_RESOURCE_ATTRIBUTES is the user's to set."""
    resource = {"service.name": "foo", "session.id": "evil", "prompt.id": "evil", "user.id": "bob"}
    (item,) = decoded(a_prompt(0, resource=resource))

    assert isinstance(item, Record)
    assert (item.event.session_id, item.event.prompt_id) == (SESSION, "p1")
    assert item.origin.attributes["user.id"] == "f" * 64
    assert "session.id" not in item.origin.attributes
    assert (item.origin.service_name, item.origin.product) == ("foo", "claude-code")


def test_an_attribute_of_the_resource_is_not_taken_for_the_clients_own_of_that_name() -> None:
    """Nor the other way round: what a record says of its event is told by no trace."""
    resource = {"trigger": "laptop", "prompt": "none", "team": "x"}
    (prompt,) = decoded(a_prompt(0, "Private words", resource=resource))
    (happened,) = decoded(a_record("compaction", 0, {"trigger": "manual"}, resource=resource))

    assert isinstance(prompt, Record)
    assert isinstance(happened, Record)
    assert prompt.origin.attributes == resource | {"user.id": "f" * 64}
    assert happened.origin.attributes == resource | {"user.id": "f" * 64}
    assert happened.event.attributes == {"trigger": "manual"}


def test_the_commit_that_a_command_made_is_told_beside_its_arguments() -> None:
    """Up to 2.1.307 nothing else tells it."""
    made = {"git_commit_id": "6f30a9e", "git_branch": "main"}
    parameters = {"bash_command": "git", "full_command": "git commit", **made}
    more = {"tool_input": {"command": "git commit"}, "tool_parameters": parameters}
    event = an_event(a_result(0, more=more))

    assert isinstance(event, ToolResult)
    assert event.arguments == '{"command":"git commit"}'
    assert event.attributes == made


@pytest.mark.parametrize("name", [["a"], "", 7])
def test_an_odd_name_is_read_alike_in_both_encodings(name: object) -> None:
    """The body tells the name too, where the attribute has none."""
    record = a_record("compaction", 0, {"event.name": name})

    read = [decoded(record, encoding=encoding)[0] for encoding in Encoding]

    assert read[0] == read[1]
    assert isinstance(read[0], Record)
    assert isinstance(read[0].event, PointEvent)
    assert read[0].event.name == ("7" if name == 7 else "compaction")


def test_nested_values_are_kept_as_json() -> None:
    """A record's own ones, and what identifies: ``user.groups`` may be several."""
    more: Json = {"news": [1, ["x"]], "user.groups": ["ops", "web"]}
    (item,) = decoded(a_record("mention", 0, more))

    assert isinstance(item, Record)
    assert item.event.attributes == {"news": [1, '["x"]']}
    assert item.origin.attributes["user.groups"] == '["ops","web"]'


def test_without_a_session_the_installation_orders_events() -> None:
    event = an_event(a_prompt(0, session=None))

    assert event.session_id is None
    assert event.conversation.startswith("user:" + "f" * 64)


def test_other_programs_records_are_told_apart_by_scope() -> None:
    ours, theirs = decoded(a_prompt(0), a_prompt(0, scope="com.example.other"))

    assert isinstance(ours, Record)
    assert not isinstance(theirs, Record)


def test_a_record_that_cannot_be_read_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = claude_code.decode

    def failing(raw: RawLog, *rest: Any, **more: Any) -> Any:
        if raw.attributes["event.name"] == "odd":
            raise LookupError("a bug of ours")
        return read(raw, *rest, **more)

    monkeypatch.setattr(claude_code, "decode", failing)
    first, second = decoded(a_record("odd", 0), a_prompt(1))

    assert not isinstance(first, Record)
    assert isinstance(second, Record)


@pytest.mark.parametrize("capture", ALL_CAPTURES)
def test_no_two_records_of_a_capture_have_the_same_key(capture: str) -> None:
    records = capture_records(capture)
    keys = [item.event.key for item in decoded(*records) if isinstance(item, Record)]

    assert len(set(keys)) == len(records)


@pytest.mark.parametrize("capture", ALL_CAPTURES)
def test_a_record_is_the_same_event_alone_and_in_the_other_encoding(capture: str) -> None:
    records = capture_records(capture)
    together = decoded(*records)

    alone = [item for record in records for item in decoded(record, encoding=Encoding.PROTOBUF)]

    assert [item.event for item in alone if isinstance(item, Record)] == [
        item.event for item in together if isinstance(item, Record)
    ]


def test_twins_in_one_request_of_an_old_client_are_two_records() -> None:
    """Clients before 2.1.20 number nothing, so equal records of one request are told apart."""
    first, second = decoded(a_result(0, call_id=None), a_result(0, call_id=None))
    numbered = decoded(a_result(0, sequence=1), a_result(0, sequence=1))

    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert first.event.key != second.event.key
    assert len({item.event.key for item in numbered if isinstance(item, Record)}) == 1


def _with(record: Any, replaced: Json) -> Any:
    return type(record)(record.resource, record.scope, replaced, record.at_ms)
