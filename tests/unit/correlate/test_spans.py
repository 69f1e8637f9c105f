"""Spans join the records of the same work, and stand for it where no record tells of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.builders import (
    RESOURCE,
    SESSION,
    T0_MS,
    a_decision,
    a_prompt,
    a_request,
    a_result,
    an_answer,
)
from tests.golden.fused.signals import SPAN_SETTLE_MS, Item, Spanned, span_batch
from tests.pipeline import (
    IDLE_MS,
    QUIET_MS,
    SETTLE_MS,
    Json,
    Logged,
    Pipeline,
    Seen,
    batch,
    by_trace,
    of_prompts,
    pipeline,
)

TRACE, OTHER_TRACE = "a" * 32, "b" * 32
TURN, MODEL, TOOL, WAIT, RUN, HOOK, OUTSIDE = (f"{n:016x}" for n in range(1, 8))
REMOTE = 0x300
IN_TURN = (TRACE, TURN)

PROMPTED = [
    a_prompt(0, span=IN_TURN),
    a_request(1000, span=IN_TURN),
    an_answer(1001, span=IN_TURN),
]


def a_span(
    name: str, ids: tuple[str, str | None], times_ms: tuple[int, int], **told: Any
) -> Spanned:
    """A span of the client: ``ids`` are its own and its parent's, arriving when it ends."""
    flags, trace = told.pop("flags", 0x100), told.pop("trace", TRACE)
    span = Span(
        trace_id=bytes.fromhex(trace),
        span_id=bytes.fromhex(ids[0]),
        parent_span_id=bytes.fromhex(ids[1] or ""),
        name=f"claude_code.{name}",
        start_time_unix_nano=(T0_MS + times_ms[0]) * 10**6,
        end_time_unix_nano=(T0_MS + times_ms[1]) * 10**6,
        flags=flags,
    )
    for key, value in ({"session.id": SESSION, "user.id": "f" * 64} | told).items():
        holder = span.attributes.add(key=key).value
        kind = {bool: "bool_value", int: "int_value"}.get(type(value), "string_value")
        setattr(holder, kind, value)
    resource = Resource()
    for key, value in RESOURCE.items():
        resource.attributes.add(key=key).value.string_value = value
    scope = InstrumentationScope(name="com.anthropic.claude_code.tracing", version="1.0.0")
    return Spanned(
        resource.SerializeToString(),
        scope.SerializeToString(),
        span.SerializeToString(),
        T0_MS + times_ms[1],
    )


def a_turn(start_ms: int = 0, end_ms: int = 1100, **told: Any) -> Spanned:
    """The span of a turn."""
    parent = told.pop("parent", None)
    asked = {"user_prompt": "Do it", "user_prompt_length": 5}
    return a_span("interaction", (told.pop("id", TURN), parent), (start_ms, end_ms), **asked | told)


def a_model_span(start_ms: int = 800, end_ms: int = 1000, **told: Any) -> Spanned:
    """The span of a request."""
    ids = (told.pop("id", MODEL), told.pop("parent", TURN))
    common: Json = {
        "model": "claude-opus-5-5",
        "request_id": "req_1",
        "success": True,
        "attempt": 1,
        "input_tokens": 11,
        "output_tokens": 7,
        "query_source_safe": "sdk",
    }
    return a_span("llm_request", ids, (start_ms, end_ms), **common | told)


def tool_spans() -> list[Spanned]:
    """The three spans of a call that waited 400 ms for a person and ran for 50."""
    call = {"tool_name": "Bash", "tool_use_id": "toolu_1"}
    return [
        a_span("tool.blocked_on_user", (WAIT, TOOL), (1100, 1500), decision="accept"),
        a_span("tool.execution", (RUN, TOOL), (1500, 1550), tool_use_id="toolu_1", success=True),
        a_span("tool", (TOOL, TURN), (1100, 1550), **call),
    ]


TOOL_RECORDS = [a_decision(1500, span=(TRACE, WAIT)), a_result(1550, span=IN_TURN)]


@pytest.mark.parametrize("spans_first", [False, True])
def test_a_tools_three_spans_and_two_records_are_one_observation(spans_first: bool) -> None:
    halves: list[Sequence[Item]] = [[*PROMPTED, *TOOL_RECORDS], tool_spans()]
    with _assembled(*(halves[::-1] if spans_first else halves)) as made:
        (tool,) = (s for s in _seen(made) if s.type == "tool")

        assert (tool.start_ms - T0_MS, tool.end_ms - T0_MS) == (1500, 1550)
        assert tool.metadata["waited_ms"] == 400
        assert made.held() == 0


def test_the_first_token_is_known_from_the_span_where_the_record_does_not_tell() -> None:
    with _assembled([*PROMPTED, a_model_span(ttft_ms=30), a_turn()]) as made:
        (generation,) = (s for s in _seen(made) if s.type == "generation")
        first = generation.attributes["langfuse.observation.completion_start_time"]

        assert datetime.fromisoformat(first).timestamp() * 1000 == T0_MS + 900 + 30


def test_a_span_that_comes_too_late_is_counted_and_adds_nothing() -> None:
    with _pipeline() as made:
        _arrive(made, [*PROMPTED, a_turn()], at_ms=1100)
        made.wait(T0_MS + 1100, T0_MS + 1100 + SPAN_SETTLE_MS + 2 * SETTLE_MS)
        before = [s.span for s in made.spans()]
        _arrive(made, [a_model_span()], at_ms=40_000)
        made.finish(T0_MS + 40_000)

        assert [s.span for s in made.spans() if s.type == "generation"] != []
        assert {s.span for s in of_prompts(made.spans())} == set(before)
        assert made.outcomes()["late"] == 1


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_request_whose_span_was_shown_is_not_counted_again_when_its_record_comes(
    is_closed: bool,
) -> None:
    """Nobody waits long for the record of an auxiliary request; it may come all the same."""
    told = a_model_span(1200, 1300, id=WAIT, request_id="req_2", query_source_safe="auto_mode")
    record = a_request(1300, "req_2", {"query_source": "auto_mode"}, span=IN_TURN)
    with _pipeline() as made:
        _arrive(made, [*PROMPTED, a_model_span(), told], at_ms=1300)
        made.wait(T0_MS + 1300, T0_MS + 1300 + SPAN_SETTLE_MS + 2 * SETTLE_MS)
        if is_closed:
            made.wait(T0_MS + 20_000, T0_MS + 20_000 + 2 * QUIET_MS)
        late_ms = 2 * SPAN_SETTLE_MS + (2 * QUIET_MS if is_closed else 0)
        _arrive(made, [record], at_ms=late_ms)
        made.finish(T0_MS + late_ms)

        (root,) = _roots(made)
        generations = [s for s in _seen(made) if s.type == "generation"]
        assert len(generations) == root.metadata["requests"] == 2
        assert root.metadata["tokens.input"] == sum(s.usage["input"] for s in generations)
        assert made.outcomes()["late"] == 1


@pytest.mark.parametrize("span_settle_s", [4, 15])
def test_a_promised_span_is_waited_for_so_long_and_no_longer(span_settle_s: int) -> None:
    with _pipeline(span_settle_s=span_settle_s) as made:
        _arrive(made, PROMPTED, at_ms=1001)
        due_ms = T0_MS + 1001 + span_settle_s * 1000
        made.work(due_ms - 1)
        before = [s.type for s in made.spans()]
        made.work(due_ms)

        assert "generation" not in before
        assert "generation" in [s.type for s in made.spans()]


def test_the_span_of_the_turn_closes_it_once_everything_has_settled() -> None:
    with _pipeline() as made:
        _arrive(made, [*PROMPTED, a_model_span(), a_turn()], at_ms=1100)
        made.work(T0_MS + 1100 + SETTLE_MS - 1)
        assert _roots(made) == []
        made.work(T0_MS + 1100 + SETTLE_MS)
        (root,) = _roots(made)

        assert root.metadata["closed_by"] == "interaction"
        assert (root.input, root.output) == ("Do it", "Done")
        assert (root.start_ms - T0_MS, root.end_ms - T0_MS) == (0, 1100)


def test_a_root_is_not_closed_before_the_record_of_its_last_request_has_come() -> None:
    """The request's span says that it was made; its record, and its answer's, come later."""
    with _pipeline() as made:
        _arrive(made, [PROMPTED[0], a_model_span(), a_turn()], at_ms=1100)
        made.wait(T0_MS + 1100, T0_MS + 1100 + SPAN_SETTLE_MS - 1000)
        early = _roots(made)
        _arrive(made, PROMPTED[1:], at_ms=SPAN_SETTLE_MS)
        made.finish(T0_MS + SPAN_SETTLE_MS)
        (root,) = _roots(made)

        assert early == []
        assert root.output == "Done"
        assert all(s.cost is not None for s in _seen(made) if s.type == "generation")


@pytest.mark.parametrize("ended_ms", [995, 1000, 1005])
def test_a_turn_is_not_over_while_a_tool_that_was_asked_for_waits_for_a_person(
    ended_ms: int,
) -> None:
    """Nothing tells of the tool until it is decided; only why the request stopped does."""
    asked = a_model_span(end_ms=ended_ms, stop_reason="tool_use")
    later_ms = 10 * QUIET_MS
    answered = [
        a_request(later_ms + 900, "req_2", span=IN_TURN),
        an_answer(later_ms + 901, "req_2", "Really done", span=IN_TURN),
    ]
    ended = a_model_span(later_ms, later_ms + 900, id=OUTSIDE, request_id="req_2")
    with _pipeline() as made:
        _arrive(made, [*PROMPTED, asked], at_ms=1100)
        made.wait(T0_MS + 1100, T0_MS + later_ms)
        early = _roots(made)
        _arrive(made, [*TOOL_RECORDS, *answered, ended], at_ms=later_ms + 1000)
        made.finish(T0_MS + later_ms + 1000)
        (root,) = _roots(made)

        assert early == []
        assert (root.output, root.metadata["requests"]) == ("Really done", 2)
        assert root.metadata["closed_by"] == "quiet"


def test_a_classifier_that_only_spans_tell_of_stands_below_its_tool_without_cost() -> None:
    classifier = a_model_span(
        1200, 1300, id=HOOK, parent=WAIT, request_id="req_c", query_source_safe="auto_mode"
    )
    with _assembled([*PROMPTED, *TOOL_RECORDS, *tool_spans(), classifier, a_turn()]) as made:
        seen = _seen(made)
        tool = next(s for s in seen if s.type == "tool")
        below = [s for s in seen if s.parent_id == tool.id]

        assert [(s.type, s.usage["input"], s.cost) for s in below] == [("generation", 11, None)]
        assert sum(s.type == "generation" for s in seen) == 2
        (root,) = _roots(made)
        assert root.output == "Done"


@pytest.mark.parametrize(("success", "level"), [(True, "DEBUG"), (False, "ERROR")])
def test_a_hook_is_a_span_of_its_own(success: bool, level: str) -> None:
    told = {"hook_event": "UserPromptSubmit", "num_hooks": 2, "success": success}
    hook = a_span("hook", (HOOK, TURN), (10, 60), **told)
    with _assembled([*PROMPTED, a_model_span(), hook, a_turn()]) as made:
        (seen,) = (s for s in _seen(made) if s.type == "span")
        (root,) = _roots(made)

        assert (seen.name, seen.level, seen.parent_id) == ("hook", level, root.id)
        assert (seen.start_ms - T0_MS, seen.end_ms - T0_MS) == (10, 60)
        assert seen.metadata["hook_event"] == "UserPromptSubmit"


def test_a_tool_that_runs_for_long_keeps_its_wait_where_only_spans_tell_of_it() -> None:
    wait, run, tool = tool_spans()
    with _pipeline() as made:
        _arrive(made, [a_model_span(), wait], at_ms=1500)
        made.wait(T0_MS + 1500, T0_MS + 120_000)
        _arrive(made, [run, tool, a_turn()], at_ms=120_000)
        made.finish(T0_MS + 120_000)
        (seen,) = (s for s in _seen(made) if s.type == "tool")

        assert seen.metadata["waited_ms"] == 400
        assert "late" not in made.outcomes()


def test_spans_that_came_before_their_trace_was_known_are_part_of_it() -> None:
    """The first export has a hook and a wait, whose tool runs on: they tell of no turn."""
    wait, run, tool = tool_spans()
    hook = a_span("hook", (HOOK, TURN), (10, 20), hook_name="UserPromptSubmit")
    with _pipeline() as made:
        _arrive(made, [hook, wait], at_ms=1500)
        made.wait(T0_MS + 1500, T0_MS + 5_000)
        _arrive(made, [a_model_span()], at_ms=5_000)
        made.wait(T0_MS + 5_000, T0_MS + 60_000)
        _arrive(made, [run, tool, a_turn()], at_ms=60_000)
        made.finish(T0_MS + 60_000)
        by_name = {s.name: s for s in _seen(made)}

        assert by_name["Bash"].metadata["waited_ms"] == 400
        assert by_name["hook"].parent_id == by_name["claude-code"].id
        assert made.outcomes() == {"observed": 4, "folded": 2}


def test_spans_alone_are_one_trace_with_usage_and_without_cost() -> None:
    with _assembled([a_model_span(), *tool_spans(), a_turn()]) as made:
        seen = _seen(made)
        (root,) = _roots(made)
        generation = next(s for s in seen if s.type == "generation")

        assert len(by_trace(seen)) == 1
        assert (root.input, root.output) == ("Do it", "[answer not exported]")
        assert (generation.usage["input"], generation.usage["output"]) == (11, 7)
        assert generation.cost is None
        assert root.attributes["langfuse.session.id"] == SESSION
        assert root.attributes["langfuse.user.id"] == "alex"
        assert root.attributes["langfuse.trace.tags"] == [
            "member:alex",
            "department:engineering",
            "claude-code",
        ]


def test_whatever_a_span_tells_is_shown_with_what_it_tells_of() -> None:
    """Newer clients' attributes among it; the id of a request is there without its record too."""
    wait, run, tool = tool_spans()
    spans = [a_model_span(), *(_saying(each, "news") for each in (wait, run, tool, a_turn()))]
    for items in (spans, [*PROMPTED, *TOOL_RECORDS, *spans]):
        with _assembled(items) as made:
            by_type = {s.type: s.metadata for s in _seen(made)}

            assert by_type["generation"]["request_id"] == "req_1"
            assert by_type["agent"]["news.interaction"] == "told"
            called = by_type["tool"]
            assert called.items() >= {"decision": "accept", "tool_use_id": "toolu_1"}.items()
            for name in ("tool", "tool.blocked_on_user", "tool.execution"):
                assert called[f"news.{name}"] == "told"


def _saying(told: Spanned, what: str) -> Spanned:
    """The same span with an attribute that no client has so far."""
    span = told.message
    span.attributes.add(key=f"{what}.{told.name}").value.string_value = "told"
    return replace(told, span=span.SerializeToString())


# --- an outside trace ----------------------------------------------------------------------------


def test_a_turn_in_an_outside_trace_names_it_and_stays_in_its_own() -> None:
    with _assembled([*PROMPTED, a_model_span(), _called()]) as made:
        (root,) = _roots(made)

        assert root.trace_id != TRACE
        assert root.attributes["langfuse.trace.metadata.otel_trace_id"] == TRACE
        assert root.metadata["otel_parent_span_id"] == OUTSIDE
        assert "langfuse.internal.is_app_root" not in root.attributes


def test_a_turn_joins_the_outside_trace_below_its_parent_when_told_to() -> None:
    with (
        _assembled([*PROMPTED, a_model_span(), _called()]) as apart,
        _assembled([*PROMPTED, a_model_span(), _called()], join_traces=True) as joined,
    ):
        ours, theirs = _seen(joined), _seen(apart)
        (root,) = (s for s in ours if s.id == _roots(apart)[0].id)

        assert {s.trace_id for s in ours} == {TRACE}
        assert {s.id for s in ours} == {s.id for s in theirs}
        assert root.parent_id == OUTSIDE
        assert [s.id for s in ours if s.attributes.get("langfuse.internal.is_app_root")] == [
            root.id
        ]
        assert [(s.id, s.parent_id) for s in ours if s.id != root.id] == [
            (s.id, s.parent_id) for s in theirs if s.parent_id
        ]


@pytest.mark.parametrize("join_traces", [False, True])
def test_the_prompts_score_is_on_the_trace_the_turn_is_sent_into(join_traces: bool) -> None:
    with _assembled([*PROMPTED, a_model_span(), _called()], join_traces=join_traces) as made:
        pending = made.ledger.claim_scores(T0_MS + 10 * IDLE_MS, 100)
        costs = {each.score.trace_id for each in pending if each.score.name == "cost_usd"}

        assert costs == {_seen(made)[0].trace_id}
        assert (costs == {TRACE}) is join_traces


def test_several_turns_in_one_outside_trace_keep_their_own_ids() -> None:
    second: list[Item] = [
        a_prompt(5000, prompt="p2", span=(TRACE, HOOK)),
        a_request(6000, "req_2", prompt="p2", span=(TRACE, HOOK)),
        an_answer(6001, "req_2", "Also", prompt="p2", span=(TRACE, HOOK)),
    ]
    with _assembled([*PROMPTED, *second], join_traces=True) as made:
        roots = [s for s in _seen(made) if s.type == "agent"]

        assert {s.trace_id for s in _seen(made)} == {TRACE}
        assert len({s.id for s in roots}) == 2
        assert sorted(s.output or "" for s in roots) == ["Also", "Done"]
        assert len({s.id for s in _seen(made)}) == len(_seen(made))


@pytest.mark.parametrize("spans_first", [False, True])
def test_spans_of_several_turns_in_one_outside_trace_meet_their_own_records(
    spans_first: bool,
) -> None:
    """A CI job and the Agent SDK give every prompt of a session the same ``TRACEPARENT``."""
    around: Json = {"prompt": "p2", "span": (TRACE, HOOK)}
    logs: list[Item] = [
        a_prompt(5000, **around),
        a_request(6000, "req_2", **around),
        a_result(6100, call_id="toolu_2", **around),
        a_request(6200, "req_3", **around),
    ]
    spans: list[Item] = [
        a_model_span(5900, 6000, id=WAIT, parent=HOOK, request_id="req_2"),
        a_span("tool", (TOOL, HOOK), (6050, 6100), tool_name="Bash", tool_use_id="toolu_2"),
        a_model_span(6100, 6200, id=RUN, parent=HOOK, request_id="req_3"),
        a_turn(5000, 6250, id=HOOK, parent=OUTSIDE, flags=REMOTE | 1),
    ]
    halves = [PROMPTED, [a_model_span(), _called()], logs, spans]
    with _assembled(*(halves[n] for n in ((1, 0, 3, 2) if spans_first else range(4)))) as made:
        assert _kinds_by_trace(made) == [
            ["agent", "generation"],
            ["agent", "generation", "generation", "tool"],
        ]
        assert all("attempts" in s.metadata for s in _seen(made) if s.type == "generation")


@pytest.mark.parametrize("spans_first", [False, True])
def test_work_that_ends_during_the_next_prompt_is_told_once_and_with_its_own(
    spans_first: bool,
) -> None:
    """A background agent's, or a title's: its records name the prompt of the moment."""
    logs: list[Item] = [
        a_prompt(5000, prompt="p2", span=(OTHER_TRACE, HOOK)),
        a_request(6000, "req_2", prompt="p2", span=(OTHER_TRACE, HOOK)),
        a_request(7000, "req_3", prompt="p2", span=IN_TURN),
        a_result(7100, call_id="toolu_2", prompt="p2", span=IN_TURN),
    ]
    spans: list[Item] = [
        a_model_span(5900, 6000, id=WAIT, parent=HOOK, request_id="req_2", trace=OTHER_TRACE),
        a_turn(5000, 6100, id=HOOK, trace=OTHER_TRACE),
        a_model_span(6900, 7000, id=OUTSIDE, request_id="req_3"),
        a_span("tool", (TOOL, TURN), (7050, 7100), tool_name="Bash", tool_use_id="toolu_2"),
    ]
    second = [spans, logs] if spans_first else [logs, spans]
    with _assembled([*PROMPTED, a_model_span(), a_turn()], *second) as made:
        assert _kinds_by_trace(made) == [
            ["agent", "generation"],
            ["agent", "generation", "generation", "tool"],
        ]
        assert all("attempts" in s.metadata for s in _seen(made) if s.type == "generation")


@pytest.mark.parametrize("told", [{"mcp_server_name": "lab", "mcp_tool_name": "fail"}, None])
def test_a_tool_of_a_server_meets_its_span_though_its_record_calls_it_otherwise(
    told: Json | None,
) -> None:
    """Claude Code up to 2.1.169, with its tool details and without."""
    records: list[Item] = [
        a_result(1100 + n, "mcp_tool", call, {"tool_parameters": told and told | more})
        for n, call, more in ((0, "toolu_1", {"mcp_tool_name": "echo"}), (8, "toolu_2", {}))
    ]
    spans: list[Item] = [
        a_span("tool", (TOOL, TURN), (1050, 1099), tool_name="mcp__lab__echo"),
        a_span("tool", (RUN, TURN), (1050, 1109), tool_name="mcp__lab__fail"),
        a_turn(),
    ]
    with _assembled([*PROMPTED, *records], [a_model_span(), *spans]) as made:
        tools = {s.metadata["tool_use_id"]: s.name for s in _seen(made) if s.type == "tool"}

        assert tools == {"toolu_1": "lab/echo", "toolu_2": "lab/fail"}
        assert made.outcomes().get("late") is None


@pytest.mark.parametrize("rejected_too", [False, True])
def test_a_tool_that_only_its_spans_tell_was_denied_is_shown(rejected_too: bool) -> None:
    """Of a rule's denial no record tells up to 2.1.169, and one that does may be this very one."""
    spans: list[Item] = [
        a_model_span(),
        a_span("tool", (TOOL, TURN), (1100, 1150), tool_name="Bash"),
        a_span("tool.blocked_on_user", (WAIT, TOOL), (1100, 1150), decision="reject"),
        a_turn(),
    ]
    told = {"decision": "reject", "source": "user_reject"}
    records: list[Item] = (
        [a_decision(9000, "Write", "toolu_9", told, span=IN_TURN)] if rejected_too else []
    )
    with _assembled([*PROMPTED, *records], spans) as made:
        tools = [(s.name, s.level) for s in _seen(made) if s.type == "tool"]

        assert tools == [("Write" if rejected_too else "Bash", "WARNING")]
        assert made.outcomes().get("late", 0) == (2 if rejected_too else 0)


@pytest.mark.parametrize("spans_first", [False, True])
def test_a_request_is_told_once_where_its_span_and_its_record_name_two_prompts(
    spans_first: bool,
) -> None:
    """The title of a session: Claude Code 2.1.207 gives its record no trace."""
    logs: list[Item] = [
        a_prompt(5000, prompt="p2", span=(OTHER_TRACE, HOOK)),
        a_request(5050, "req_2", {"query_source": "generate_session_title"}, prompt="p2"),
    ]
    spans: list[Item] = [a_model_span(4900, 5050, id=WAIT, request_id="req_2")]
    second = [spans, logs] if spans_first else [logs, spans]
    with _assembled([*PROMPTED, a_model_span(), a_turn()], *second) as made:
        assert _kinds_by_trace(made) == [["agent", "generation"], ["agent", "generation"]]
        assert all("attempts" in s.metadata for s in _seen(made) if s.type == "generation")
        assert made.outcomes().get("late") is None


@pytest.mark.parametrize("spans_first", [False, True])
def test_a_request_that_names_a_prompt_of_another_session_is_told_once(spans_first: bool) -> None:
    """After /clear Claude Code 2.1.126 asks for a title under the id of the prompt before it."""
    logs: list[Item] = [
        a_request(900, "req_9", {"query_source": "generate_session_title"}, prompt="p0"),
        a_prompt(950),
        a_request(1000),
    ]
    spans: list[Item] = [
        a_model_span(850, 900, id=WAIT, parent=None, trace=OTHER_TRACE, request_id="req_9"),
        a_model_span(),
        a_turn(950, 1100),
    ]
    with _assembled(*([spans, logs] if spans_first else [logs, spans])) as made:
        assert _kinds_by_trace(made) == [["agent", "generation"], ["agent", "generation"]]
        assert all("attempts" in s.metadata for s in _seen(made) if s.type == "generation")
        assert made.outcomes().get("late") is None


@pytest.mark.parametrize("spans_first", [False, True])
def test_background_work_of_one_of_several_prompts_in_an_outside_trace_stays_with_it(
    spans_first: bool,
) -> None:
    own = {"agent_id": "a1", "query_source": "agent:builtin:general-purpose"}
    around: Json = {"prompt": "p2", "span": (TRACE, HOOK)}
    logs: list[Item] = [
        a_prompt(5000, **around),
        a_request(6000, "req_2", own, **around),
        a_result(6100, "Bash", "toolu_2", {"agent_id": "a1"}, **around),
    ]
    spans: list[Item] = [
        a_model_span(5900, 6000, id=WAIT, parent=OUTSIDE, request_id="req_2", agent_id="a1"),
        a_span("tool.execution", (RUN, TOOL), (6010, 6100), tool_use_id="toolu_2", success=True),
        a_span(
            "tool",
            (TOOL, OUTSIDE),
            (6000, 6101),
            tool_name="Bash",
            tool_use_id="toolu_2",
            agent_id="a1",
        ),
        a_turn(5000, 6250, id=HOOK, parent=OUTSIDE, flags=REMOTE | 1),
    ]
    started = a_decision(1500, "Bash", "toolu_1", {"agent_id": "a1"}, span=IN_TURN)
    second = [spans, logs] if spans_first else [logs, spans]
    with _assembled([*PROMPTED, a_model_span(), started], [_called()], *second) as made:
        first, other = by_trace(_seen(made)).values()
        assert sorted(s.type for s in other) == ["agent"]
        assert sorted(s.type for s in first) == [
            "agent",
            "agent",
            "generation",
            "generation",
            "tool",
            "tool",
        ]


def _called() -> Spanned:
    """A turn whose parent is another program's span."""
    told: Json = {"parent.source": "env", "parent": OUTSIDE, "flags": REMOTE | 1}
    return a_turn(**told)


# --- helpers -------------------------------------------------------------------------------------


@contextmanager
def _pipeline(**settings: Any) -> Iterator[Pipeline]:
    with pipeline(**settings) as made:
        yield made


@contextmanager
def _assembled(*parts: Sequence[Item], **settings: Any) -> Iterator[Pipeline]:
    """The parts one second after another, and then so much time that nothing is held."""
    with pipeline(**settings) as made:
        for second, part in enumerate(parts):
            _arrive(made, part, at_ms=2000 + second * 1000)
        made.finish(T0_MS + 2000 + len(parts) * 1000)
        yield made


def _arrive(made: Pipeline, items: Sequence[Item], *, at_ms: int) -> None:
    logs = [item for item in items if isinstance(item, Logged)]
    spans = [item for item in items if isinstance(item, Spanned)]
    requests = [batch(logs, T0_MS + at_ms)] if logs else []
    requests += [span_batch(spans, T0_MS + at_ms)] if spans else []
    made.post(*requests)
    made.work(T0_MS + at_ms)


def _seen(made: Pipeline) -> list[Seen]:
    return of_prompts(made.spans())


def _roots(made: Pipeline) -> list[Seen]:
    return [s for s in _seen(made) if s.parent_id is None]


def _kinds_by_trace(made: Pipeline) -> list[list[str]]:
    return sorted(sorted(s.type for s in trace) for trace in by_trace(_seen(made)).values())
