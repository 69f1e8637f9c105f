"""Claude Code's spans, in all their versions, become our span events."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from bridge.decode import claude_code, content
from bridge.decode.claude_code.spans import AnySpanEvent, decode_span
from bridge.decode.content import ContentPolicy
from bridge.decode.otlp import LogReader
from bridge.decode.otlp_spans import STATUS_ERROR, RawSpan, RawSpanEvent, raw_spans
from bridge.model.events import Purpose
from bridge.model.requests import Encoding, ExportRequest, Signal
from bridge.model.spans import ModelSpan, OtherSpan, ToolRun, ToolSpan, ToolWait, TurnSpan
from tests.recordings import JSON, capture, captures

TRACE, SPAN, PARENT = "0123456789abcdef0123456789abcdef", "0123456789abcdef", "fedcba9876543210"
T0_MS = 1_795_000_000_000
SESSION = "5e551011-0000-4000-8000-000000000001"
MARKER = "MARKER-7f3a"
KINDS: dict[str, type] = {
    "claude_code.interaction": TurnSpan,
    "claude_code.llm_request": ModelSpan,
    "claude_code.tool": ToolSpan,
    "claude_code.tool.blocked_on_user": ToolWait,
    "claude_code.tool.execution": ToolRun,
}
CONTENT = {
    "user_prompt", "file_path", "full_command", "error", "output", "content", "diff",
    "bash_command", "bash_argv0",
}  # fmt: skip
"""Attributes of recorded spans and span events that quote."""


# ---------------------------------------------------------------------------------- every span


@pytest.mark.parametrize("name", captures())
def test_every_span_of_a_capture_becomes_the_event_of_its_kind(name: str) -> None:
    for raw in _recorded(name):
        event = _decoded(raw)

        assert type(event) is KINDS[raw.name]
        assert (event.otel_trace_id, event.otel_span_id) == (raw.trace_id, raw.span_id)
        assert event.otel_parent_id == raw.parent_span_id
        assert event.began_ms <= event.time_ms
        assert event.session_id == raw.attributes.get("session.id")
        assert event.prompt_id is None
        assert not event.attributes.keys() & {"span.type", "duration_ms", "session.id", "model"}
        assert not [key for key in event.attributes if key.startswith("gen_ai.")]


def test_all_versions_with_spans_are_recorded() -> None:
    versions = {name.split("/")[0] for name in captures() if _recorded(name)}

    assert versions == {"2.0.76", "2.1.45", "2.1.126", "2.1.207", "2.1.330"}


def test_a_span_has_one_key_and_no_other_span_has_it() -> None:
    spans = [raw for name in captures() for raw in _recorded(name)]
    keys = Counter(_decoded(raw).key for raw in spans)
    ids = {(raw.trace_id, raw.span_id) for raw in spans}

    assert len(keys) == len(ids)
    assert {len(key) for key in keys} == {8}
    assert _event("tool", {"a": 1}).key == _event("llm_request", {"b": 2}).key
    assert _event("tool").key != _decoded(_raw("tool", span_id=PARENT)).key


@pytest.mark.parametrize("lost", [{"trace_id": None}, {"span_id": None}])
def test_a_span_without_ids_cannot_be_read(lost: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no trace id or no span id"):
        _decoded(_raw("tool", **lost))


def test_times_are_the_spans_own_to_the_millisecond() -> None:
    event = _event("tool", start_unix_ns=T0_MS * 10**6 + 999_999, end_unix_ns=T0_MS * 10**6 + 10**6)

    assert (event.began_ms, event.time_ms) == (T0_MS, T0_MS + 1)


def test_a_time_that_is_missing_or_impossible_does_not_make_a_negative_duration() -> None:
    endless = _event("tool", start_unix_ns=0, end_unix_ns=0)
    backwards = _event("tool", start_unix_ns=(T0_MS + 9) * 10**6, end_unix_ns=T0_MS * 10**6)

    assert (endless.began_ms, endless.time_ms) == (T0_MS + 5000, T0_MS + 5000)
    assert (backwards.began_ms, backwards.time_ms) == (T0_MS, T0_MS)


def test_a_span_without_session_meets_the_records_without_session() -> None:
    """Its ``gen_ai.conversation.id`` would keep it away from them."""
    bodies = capture("2.1.330/a-json-includes")
    logs = [
        raw for body in bodies if body.signal == "logs" for raw in LogReader().read(_request(body))
    ]
    spans = [_decoded(raw) for raw in _recorded("2.1.330/a-json-includes")]

    (of_logs,) = {claude_code.session_and_conversation(r.attributes, r.head.resource) for r in logs}
    assert of_logs[0] is None
    assert {(span.session_id, span.conversation) for span in spans} == {of_logs}


def test_agents_are_told_by_id_parent_and_type() -> None:
    event = _event(
        "llm_request",
        {"agent_id": "a1", "parent_agent_id": "a0", "query_source_safe": "agent.builtin.Explore"},
    )

    assert (event.agent_id, event.parent_agent_id, event.agent_type) == ("a1", "a0", "Explore")
    assert event.attributes == {"query_source": "agent:builtin:Explore"}


# --------------------------------------------------------------------------------------- turns


def test_an_interaction_tells_the_prompt() -> None:
    turn = _event(
        "interaction",
        {
            "user_prompt": "Do it",
            "user_prompt_length": 5,
            "interaction.sequence": 2,
            "interaction.duration_ms": 157,
            "parent.source": "none",
            "queued_sends": 0,
        },
    )

    assert isinstance(turn, TurnSpan)
    assert (turn.text, turn.length, turn.remote_parent) == ("Do it", 5, False)
    assert turn.attributes == {
        "interaction.sequence": 2,
        "parent.source": "none",
        "queued_sends": 0,
    }


def test_a_redacted_prompt_is_no_text_unless_detailed_mode_tells_it() -> None:
    redacted = {"user_prompt": "<REDACTED>", "user_prompt_length": 5}
    plain = _event("interaction", redacted)
    detailed = _event("interaction", redacted | {"new_context": "[USER PROMPT]\nDo it\nnow"})

    assert isinstance(plain, TurnSpan)
    assert isinstance(detailed, TurnSpan)
    assert (plain.text, plain.length) == (None, 5)
    assert (detailed.text, detailed.attributes) == ("Do it\nnow", {})


@pytest.mark.parametrize(
    ("flags", "source", "parent", "remote"),
    [
        (257, "none", PARENT, False),
        (769, None, PARENT, True),
        (257, "env", PARENT, True),
        (0, "env", PARENT, True),
        (769, "env", None, False),
        (257, None, None, False),
    ],
)
def test_an_outside_trace_is_told_by_flags_or_by_where_the_parent_came_from(
    flags: int, source: str | None, parent: str | None, *, remote: bool
) -> None:
    told = {"parent.source": source} if source else {}
    turn = _event("interaction", told, flags=flags, parent_span_id=parent)

    assert isinstance(turn, TurnSpan)
    assert (turn.remote_parent, turn.otel_parent_id) == (remote, parent)


# ------------------------------------------------------------------------------------- requests


def test_a_request_is_read_whole() -> None:
    request = _event(
        "llm_request",
        {
            "model": "claude-opus-4-8[1m]",
            "gen_ai.request.model": "claude-opus-4-8[1m]",
            "gen_ai.system": "anthropic",
            "llm_request.context": "interaction",
            "speed": "normal",
            "effort": "medium",
            "query_source_safe": "sdk",
            "duration_ms": 29,
            "input_tokens": 11,
            "output_tokens": 10,
            "cache_read_tokens": 1010,
            "cache_creation_tokens": 100,
            "success": True,
            "attempt": 2,
            "request_id": "req_1",
            "gen_ai.response.id": "req_1",
            "ttft_ms": 16,
            "first_content_ms": 17,
            "stop_reason": "end_turn",
            "gen_ai.response.finish_reasons": ["end_turn"],
            "something_new": "x",
        },
    )

    assert isinstance(request, ModelSpan)
    assert (request.request_id, request.model) == ("req_1", "claude-opus-4-8[1m]")
    assert request.usage == {
        "input": 11,
        "output": 10,
        "input_cached_tokens": 1010,
        "input_cache_creation": 100,
    }
    assert (request.success, request.error, request.status_code) == (True, None, None)
    assert (request.ttft_ms, request.attempts, request.stop_reason) == (16, 2, "end_turn")
    assert request.purpose is Purpose.MAIN
    assert request.parameters == {"speed": "normal", "effort": "medium"}
    assert request.attributes == {
        "llm_request.context": "interaction",
        "query_source": "sdk",
        "request_id": "req_1",
        "first_content_ms": 17,
        "something_new": "x",
    }


@pytest.mark.parametrize(
    ("told", "purpose", "agent_type"),
    [
        ({"query_source_safe": "sdk"}, Purpose.MAIN, None),
        ({"query_source_safe": "repl_main_thread.outputStyle.custom"}, Purpose.MAIN, None),
        (
            {"query_source_safe": "agent.builtin.general-purpose"},
            Purpose.AGENT,
            "general-purpose",
        ),
        ({"query_source_safe": "agent.custom"}, Purpose.AGENT, "custom"),
        (
            {"query_source_safe": "agent.custom", "query_source": "agent:custom:reviewer"},
            Purpose.AGENT,
            "reviewer",
        ),
        ({"query_source_safe": "auto_mode"}, Purpose.AUXILIARY, None),
        ({"query_source_safe": "compact"}, Purpose.AUXILIARY, None),
        ({}, Purpose.UNKNOWN, None),
    ],
)
def test_either_spelling_of_the_query_source_tells_what_a_request_is_for(
    told: dict[str, Any], purpose: Purpose, agent_type: str | None
) -> None:
    request = _event("llm_request", told)

    assert isinstance(request, ModelSpan)
    assert (request.purpose, request.agent_type) == (purpose, agent_type)


@pytest.mark.parametrize(
    ("told", "events", "attempts"),
    [
        ({}, 0, 1),
        ({"attempt": 3}, 0, 3),
        ({"attempt": 1}, 1, 1),
        ({"attempt": 3}, 2, 3),
        ({"attempt": 2}, 4, 4),
        ({"attempt": 0}, 0, 1),
    ],
)
def test_attempts_are_as_many_as_were_told(
    told: dict[str, Any], events: int, attempts: int
) -> None:
    tried = [_span_event("gen_ai.request.attempt", {"attempt": n}) for n in range(1, events + 1)]
    request = _event("llm_request", told, events=(*tried, _span_event("other", {})))

    assert isinstance(request, ModelSpan)
    assert request.attempts == attempts


def test_a_failed_request_has_an_error_and_no_usage() -> None:
    request = _event(
        "llm_request",
        {"success": False, "error": "api error", "status_code": 500, "error_class": "server_error"},
        status_code=STATUS_ERROR,
        status_message="api error",
    )

    assert isinstance(request, ModelSpan)
    assert (request.success, request.error, request.status_code) == (False, "api error", 500)
    assert (request.usage, request.stop_reason) == ({}, None)
    assert request.attributes == {"error_class": "server_error"}


def test_the_status_stands_in_for_what_attributes_do_not_say() -> None:
    failed = _event("llm_request", {}, status_code=STATUS_ERROR, status_message="gone")
    fine = _event("llm_request", {"gen_ai.response.finish_reasons": ["tool_use"]}, status_code=0)

    assert isinstance(failed, ModelSpan)
    assert isinstance(fine, ModelSpan)
    assert (failed.success, failed.error, failed.model) == (False, "gone", "unknown")
    assert (fine.success, fine.stop_reason) == (True, "tool_use")


def test_requests_of_a_capture_have_the_usage_of_its_records() -> None:
    bodies = capture("2.1.330/b-tools-full")
    logs = [
        raw for body in bodies if body.signal == "logs" for raw in LogReader().read(_request(body))
    ]
    told = {
        raw.attributes["request_id"]: raw.attributes["output_tokens"]
        for raw in logs
        if raw.attributes["event.name"] == "api_request"
    }
    spans = [_decoded(raw) for raw in _recorded("2.1.330/b-tools-full")]

    seen = {s.request_id: s.usage["output"] for s in spans if isinstance(s, ModelSpan)}
    assert seen == told


# ---------------------------------------------------------------------------------------- tools


@pytest.mark.parametrize(
    ("told", "output", "shown"),
    [
        ({"output": "fine", "bash_command": "echo fine"}, "fine", {}),
        ({"content": "print(1)", "file_path": "/a.py"}, "print(1)", {}),
        ({"diff": '[{"lines":[]}]', "file_path": "/a.py"}, '[{"lines":[]}]', {}),
        ({"output": "", "bash_command": "true"}, None, {}),
        ({"output": "<REDACTED>"}, None, {}),
        (
            {"output": "cut", "output_truncated": True, "output_original_length": 90000},
            "cut",
            {"output_truncated": True, "output_original_length": 90000},
        ),
        ({"bash_command": "echo"}, None, {}),
    ],
)
def test_the_output_of_a_tool_is_in_its_span_event(
    told: dict[str, Any], output: str | None, shown: dict[str, Any]
) -> None:
    events = (_span_event("other", {"output": "no"}), _span_event("tool.output", told))
    tool = _event("tool", {"tool_name": "Bash", "tool_use_id": "toolu_1"}, events=events)

    assert isinstance(tool, ToolSpan)
    assert (tool.call_id, tool.output, tool.attributes) == ("toolu_1", output, shown)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("Bash", "Bash"),
        ("mcp__weather__forecast", "weather/forecast"),
        ("mcp__a__b__c", "a/b__c"),
        ("mcp_tool", "mcp_tool"),
    ],
)
def test_an_mcp_tool_is_titled_by_server_and_tool(name: str, title: str) -> None:
    tool = _event("tool", {"tool_name": name, "tool_name_safe": "mcp_other"})

    assert isinstance(tool, ToolSpan)
    assert (tool.name, tool.title, tool.spawns) == (name, title, None)


@pytest.mark.parametrize(
    ("told", "arguments"),
    [
        ({"full_command": "ls -la"}, {"command": "ls -la"}),
        ({"file_path": "/a.py"}, {"file_path": "/a.py"}),
        ({"skill_name": "greet"}, {"skill": "greet"}),
        (
            {"tool_input": '[TOOL INPUT: Bash]\n{"command":"ls","description":"List"}'},
            {"command": "ls", "description": "List"},
        ),
        (
            {"tool_input": '[TOOL INPUT: Bash]\n{"command":"cut…"}', "full_command": "whole"},
            {"command": "whole"},
        ),
        ({}, None),
    ],
)
def test_arguments_are_what_is_told_of_them(
    told: dict[str, Any], arguments: dict[str, Any] | None
) -> None:
    tool = _event("tool", {"tool_name": "Bash"} | told)

    assert isinstance(tool, ToolSpan)
    assert (tool.arguments and json.loads(tool.arguments)) == arguments


def test_a_tool_input_that_is_no_json_object_is_kept_as_it_is() -> None:
    tool = _event("tool", {"tool_name": "New", "tool_input": "[TOOL INPUT: New]\n[1, 2]\nx"})

    assert isinstance(tool, ToolSpan)
    assert tool.arguments == "[1, 2]\nx"


def test_detailed_mode_tells_a_result_that_has_no_span_event() -> None:
    tool = _event("tool", {"tool_name": "Read", "new_context": "[TOOL RESULT: Read]\nline one"})

    assert isinstance(tool, ToolSpan)
    assert (tool.output, tool.attributes) == ("line one", {})


@pytest.mark.parametrize(
    ("name", "told", "spawns"),
    [
        ("Agent", {"subagent_type": "reviewer"}, "reviewer"),
        ("Task", {}, ""),
        ("Bash", {"subagent_type": "reviewer"}, None),
    ],
)
def test_a_call_that_starts_an_agent_says_so(
    name: str, told: dict[str, Any], spawns: str | None
) -> None:
    tool = _event("tool", {"tool_name": name} | told)

    assert isinstance(tool, ToolSpan)
    assert tool.spawns == spawns


def test_the_second_name_of_a_call_id_does_as_well() -> None:
    tool = _event("tool", {"gen_ai.tool.call.id": "toolu_2"})
    run = _event("tool.execution", {"gen_ai.tool.call.id": "toolu_2"})

    assert isinstance(tool, ToolSpan)
    assert isinstance(run, ToolRun)
    assert (tool.call_id, run.call_id, tool.name) == ("toolu_2", "toolu_2", "unknown")


@pytest.mark.parametrize(
    ("decision", "source", "told"),
    [
        ("accept", "user_temporary", ("accept", "user_temporary")),
        ("reject", "user_reject", ("reject", "user_reject")),
        ("unknown", "unknown", (None, None)),
    ],
)
def test_a_wait_tells_who_decided_what(
    decision: str, source: str, told: tuple[str | None, str | None]
) -> None:
    wait = _event(
        "tool.blocked_on_user", {"decision": decision, "source": source, "duration_ms": 9}
    )

    assert isinstance(wait, ToolWait)
    assert ((wait.decision, wait.source), wait.attributes) == (told, {})


def test_a_run_that_failed_says_how() -> None:
    run = _event(
        "tool.execution",
        {
            "tool_use_id": "toolu_1",
            "success": False,
            "error": "Shell command failed",
            "error.type": "tool_error",
            "error_class": "ShellError",
        },
        status_code=STATUS_ERROR,
    )

    assert isinstance(run, ToolRun)
    assert (run.call_id, run.success, run.error) == ("toolu_1", False, "Shell command failed")
    assert run.attributes == {"error.type": "tool_error", "error_class": "ShellError"}


# --------------------------------------------------------------------------------- all the rest


def test_a_hook_keeps_all_it_says() -> None:
    hook = _event(
        "hook",
        {
            "hook_event": "PreToolUse",
            "hook_name": "PreToolUse:Bash",
            "num_hooks": 1,
            "num_blocking": 1,
            "hook_definitions": '[{"command":"exit 2"}]',
        },
        status_code=STATUS_ERROR,
        status_message="blocked",
    )

    assert isinstance(hook, OtherSpan)
    assert (hook.name, hook.failed, hook.message) == ("hook", True, "blocked")
    assert hook.attributes == {
        "hook_event": "PreToolUse",
        "hook_name": "PreToolUse:Bash",
        "num_hooks": 1,
        "num_blocking": 1,
        "hook_definitions": '[{"command":"exit 2"}]',
    }


@pytest.mark.parametrize(
    ("name", "ours"),
    [("claude_code.dream", "dream"), ("elsewhere.dream", "elsewhere.dream"), ("", "unnamed")],
)
def test_an_unknown_span_keeps_its_name_and_attributes(name: str, ours: str) -> None:
    span = _decoded(_raw("", {"a": "b", "success": True}, name=name))

    assert isinstance(span, OtherSpan)
    assert (span.name, span.failed, span.message, span.attributes) == (
        ours,
        False,
        None,
        {"a": "b"},
    )


def test_what_the_trace_tells_is_not_told_again() -> None:
    raw = _raw("tool", {"member": "alex", "user.id": "u", "num": "5"})

    event = decode_span(raw, received_at_ms=0, hidden=frozenset({"member", "user.id"}))

    assert event.attributes == {"num": "5"}


# --------------------------------------------------------------------------------- no content


@pytest.mark.parametrize("name", captures())
def test_nothing_of_a_captures_content_passes_the_metadata_policy(name: str) -> None:
    for raw in _recorded(name):
        quoted = {str(value) for value in _contents(raw)} - {"<REDACTED>", ""}
        passed = msgspec.json.encode(_without_content(_decoded(raw))).decode()
        decoded = json.loads(passed)

        assert not quoted & set(_strings(decoded)), raw.name
        assert not [text for text in quoted if len(text) > 20 and text in passed], raw.name


@pytest.mark.parametrize("kind", [*KINDS, "claude_code.hook", "claude_code.new"])
def test_planted_text_passes_in_no_kind_of_span(kind: str) -> None:
    names = CONTENT | {
        "tool_input", "new_context", "system_prompt_preview", "system_reminders", "tools",
        "response.model_output", "hook_definitions", "never_heard_of",
    }  # fmt: skip
    planted = dict.fromkeys(names, MARKER) | {"success": False, "list": [MARKER]}
    events = (_span_event("tool.output", planted), _span_event("new", planted))
    raw = _raw("", planted, name=kind, events=events, status_code=2, status_message=MARKER)

    assert MARKER in repr(_decoded(raw))
    assert MARKER not in repr(_without_content(_decoded(raw)))


@pytest.mark.parametrize(
    ("kind", "attribute"),
    [
        ("interaction", "user_prompt"),
        ("interaction", "new_context"),
        ("llm_request", "response.model_output"),
        ("llm_request", "error"),
        ("tool", "full_command"),
        ("tool", "file_path"),
        ("tool", "tool_input"),
        ("tool", "new_context"),
        ("tool.execution", "error"),
        ("hook", "error"),
    ],
)
def test_a_text_that_is_a_number_does_not_pass_as_one(kind: str, attribute: str) -> None:
    event = _without_content(_event(kind, {attribute: "424242", "success": False}))

    assert "424242" not in repr(event)


def test_an_output_that_is_a_number_does_not_pass_as_one() -> None:
    for key in ("output", "content", "diff", "file_path", "bash_command"):
        event = _event("tool", events=(_span_event("tool.output", {key: "424242"}),))

        assert "424242" not in repr(_without_content(event))


def test_names_and_numbers_pass() -> None:
    told = {
        "llm_request.context": "tool",
        "error_class": "client_error",
        "error.type": "tool_error",
        "parent.source": "env",
        "anthropic.mcp.server.name": "weather",
        "skill_name": "greet",
        "bash_command_class": "file_search",
        "queued_sends": 3,
        "fast": True,
    }

    assert _without_content(_event("new", told)).attributes == told


# ------------------------------------------------------------------------------------- builders


def _raw(kind: str, attributes: dict[str, Any] | None = None, **fields: Any) -> RawSpan:
    told: dict[str, Any] = {
        "resource": {"service.name": "claude-code"},
        "scope_name": "com.anthropic.claude_code.tracing",
        "scope_version": "1.0.0",
        "trace_id": TRACE,
        "span_id": SPAN,
        "parent_span_id": PARENT,
        "name": f"claude_code.{kind}",
        "start_unix_ns": T0_MS * 10**6,
        "end_unix_ns": (T0_MS + 100) * 10**6,
        "status_code": 0,
        "status_message": "",
        "flags": 257,
        "attributes": {"session.id": SESSION, "gen_ai.conversation.id": SESSION}
        | (attributes or {}),
        "events": (),
    }
    return RawSpan(**(told | fields))


def _span_event(name: str, attributes: dict[str, Any]) -> RawSpanEvent:
    return RawSpanEvent(name=name, time_unix_ns=T0_MS * 10**6, attributes=attributes)


def _decoded(raw: RawSpan) -> AnySpanEvent:
    return decode_span(raw, received_at_ms=T0_MS + 5000, hidden=frozenset(raw.resource))


def _event(kind: str, attributes: dict[str, Any] | None = None, **fields: Any) -> AnySpanEvent:
    return _decoded(_raw(kind, attributes, **fields))


def _without_content(event: AnySpanEvent) -> AnySpanEvent:
    return content.apply(event, ContentPolicy.METADATA, claude_code.SAFE_STRINGS)


def _recorded(name: str) -> list[RawSpan]:
    return [
        raw
        for body in capture(name)
        if body.signal == "traces"
        for raw in raw_spans(_request(body))
    ]


def _request(body: Any) -> ExportRequest:
    return ExportRequest(
        signal=Signal(body.signal),
        encoding=Encoding.JSON if body.content_type == JSON else Encoding.PROTOBUF,
        body=body.data,
        gzipped=body.gzipped,
        records=1,
        received_at_ms=T0_MS,
    )


def _contents(raw: RawSpan) -> Iterable[object]:
    attributes = raw.attributes
    if attributes.get("error") != attributes.get("error_class"):  # else it is only its name
        yield attributes["error"]
    yield from (attributes[key] for key in (CONTENT - {"error"}) & attributes.keys())
    for event in raw.events:
        yield from (event.attributes[key] for key in CONTENT & event.attributes.keys())


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, str):
        yield value
