"""Sub-agents are found, nested, and hang below the calls that started them."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.builders import (
    T0_MS,
    a_decision,
    a_prompt,
    a_record,
    a_request,
    a_result,
    an_answer,
)
from tests.pipeline import Json, Logged, Pipeline, Seen, assemble, batch, of_prompts, pipeline

ROOT_SPAN = ("ab" * 16, "00" * 8)


def test_parallel_agents_hang_below_their_own_calls() -> None:
    """Both start together; the one that ends first belongs to the call that ends first."""
    assert _tree(
        a_prompt(0),
        _call(1000, "c1"),
        _call(1002, "c2"),
        *_agent("a2", 1100, 2000),
        _returned(2001, "c2", 999),
        *_agent("a1", 1110, 5000),
        _returned(5001, "c1", 4001),
    ) == ["Agent c1", "  a1", "Agent c2", "  a2"]


def test_a_nested_agent_hangs_below_the_call_in_its_parent() -> None:
    inner = {"agent_id": "outer"}
    assert _tree(
        a_prompt(0),
        _call(1000, "c1"),
        _call(1500, "c2", inner),
        *_agent("inner", 1600, 2000, {"parent_agent_id": "outer"}),
        _returned(2001, "c2", 500, inner),
        *_agent("outer", 1100, 3000),
        _returned(3001, "c1", 2000),
    ) == ["Agent c1", "  outer", "    Agent c2", "      inner"]


def test_agents_of_other_types_are_not_confused() -> None:
    assert _tree(
        a_prompt(0),
        _call(1000, "c1", kind="reviewer"),
        _call(1000, "c2", kind="tester"),
        *_agent("a1", 1100, 2000, kind="tester"),
        *_agent("a2", 1100, 2000, kind="reviewer"),
        _returned(2001, "c1", 1001, kind="reviewer"),
        _returned(2001, "c2", 1001, kind="tester"),
    ) == ["Agent c1", "  a2", "Agent c2", "  a1"]


def test_a_background_agent_goes_on_after_its_call_and_after_the_turn() -> None:
    """Its call comes back at once, the next prompt is asked, and nothing of it is lost."""
    with pipeline() as made:
        for record in (
            a_prompt(0),
            _call(1000, "c1"),
            _returned(1010, "c1", 5),
            a_request(2000, "r1"),
            an_answer(2001, "r1"),
            a_prompt(3000, "next", prompt="p2"),
            *_agent("a1", 1100, 20_000, {"is_async": True}),
        ):
            made.wait(record.at_ms - 1000, record.at_ms)
            made.post(batch([record]))
            made.work(record.at_ms)
        made.finish(T0_MS + 20_000)
        spans = of_prompts(made.spans())

        assert _drawn(spans) == ["Agent c1", "  a1"]
        assert sum(s.type == "generation" for s in spans) == 2
        assert made.accepted() == sum(made.outcomes().values())


def test_background_agents_stay_with_the_prompt_that_started_them() -> None:
    """Their records name the prompt of the moment; a completion tells when its agent began."""
    meanwhile: Json = {"prompt": "p2"}
    spans = _assembled(
        a_prompt(0),
        _call(1000, "c1"),
        _returned(1020, "c1", 20),
        _call(1100, "c2"),
        _returned(1120, "c2", 20),
        a_request(2000, "r1"),
        _ran(2100, "t1", "a1"),
        _ran(2110, "t2", "a2"),
        a_prompt(3000, "next", **meanwhile),
        _came_back(3100, "t2", "a2", **meanwhile),
        _completed(3200, "a2", 2100, **meanwhile),
        _came_back(3300, "t1", "a1", **meanwhile),
        a_request(3400, "r2", {"agent_id": "a3", "parent_agent_id": "a1"}, **meanwhile),
        _completed(3500, "a1", 2500, **meanwhile),
    )

    assert _drawn(spans) == ["Agent c1", "  a1", "    a3", "Agent c2", "  a2"]
    assert [s.status for s in spans if s.name == "Bash"] == [None, None]
    assert [s.name for s in spans if s.trace_id == _trace_of(spans, "next")] == ["claude-code"]


def test_an_agent_that_a_later_prompt_sends_on_works_for_that_prompt() -> None:
    again: Json = {"prompt": "p2"}
    spans = _assembled(
        a_prompt(0),
        _call(1000, "c1"),
        _ran(1100, "t1", "a1"),
        _came_back(1200, "t1", "a1"),
        _completed(1300, "a1", 300),
        a_prompt(3000, "next", **again),
        _ran(3100, "t2", "a1", **again),
        _came_back(3200, "t1", "a1"),  # and a repetition stays with the first
        _came_back(3300, "t2", "a1", **again),
        _completed(3400, "a1", 300, **again),
    )

    calls = {s.metadata["tool_use_id"]: s.trace_id for s in spans if s.name == "Bash"}
    assert len({s.trace_id for s in spans}) == 2
    assert calls["t2"] == _trace_of(spans, "next") != calls["t1"]


@pytest.mark.parametrize("twice", [False, True])
def test_a_tool_that_comes_back_during_the_next_prompt_is_one(twice: bool) -> None:
    """Of a background agent that its records do not name, as before 2.1.330."""
    result = a_result(9000, more={"duration_ms": "8000"}, prompt="p2")
    with pipeline() as made:
        for at_ms, records in (
            (1001, [a_prompt(0), a_decision(1000), a_request(1001)]),
            (9000, [a_prompt(8000, "next", prompt="p2"), result]),
            (60_000, [result] if twice else []),
        ):
            made.wait(T0_MS, T0_MS + at_ms)
            made.post(*[batch(records, T0_MS + at_ms)] * bool(records))
            made.work(T0_MS + at_ms)
        made.finish(T0_MS + 60_000)
        spans = of_prompts(made.spans())

        (tool,) = [s for s in spans if s.type == "tool"]
        assert (tool.status, tool.end_ms) == (None, T0_MS + 9000)
        assert tool.trace_id != _trace_of(spans, "next")
        assert made.outcomes().get("duplicate", 0) == twice


def test_an_agent_whose_call_was_lost_hangs_below_the_root() -> None:
    assert _tree(a_prompt(0), *_agent("a1", 1100, 2000)) == ["a1"]


def test_without_agent_ids_a_single_running_call_is_the_one() -> None:
    assert _tree(
        a_prompt(0),
        _call(1000, "c1"),
        _asked(1300, "r1"),
        a_result(1400, "Read", "t1"),
        _asked(1500, "r2"),
        _returned(2001, "c1", 1001),
    ) == ["Agent c1", "  general-purpose"]


def test_without_agent_ids_calls_one_after_the_other_are_told_apart() -> None:
    assert _tree(
        a_prompt(0),
        _call(1000, "c1"),
        _asked(1300, "r1"),
        _returned(2000, "c1", 1000),
        _call(3000, "c2"),
        _asked(3300, "r2"),
        _returned(4000, "c2", 1000),
    ) == ["Agent c1", "  general-purpose", "Agent c2", "  general-purpose"]


def test_without_agent_ids_parallel_calls_share_one_agent_that_names_them() -> None:
    spans = _assembled(
        a_prompt(0),
        _call(1000, "c1"),
        _call(1001, "c2"),
        _asked(1300, "r1"),
        _asked(1400, "r2"),
        _returned(2000, "c1", 1000),
        _returned(2001, "c2", 1000),
    )

    (agent,) = [s for s in spans if s.type == "agent" and s.parent_id]
    assert agent.metadata["parallel_calls"] == ["c1", "c2"]
    assert sum(s.parent_id == agent.id for s in spans) == 2


def test_without_agent_ids_the_main_threads_tools_stay_the_main_threads() -> None:
    """A tool that ran before the agent began to ask, and one that outlived its call."""
    spans = _assembled(
        a_prompt(0),
        _call(1000, "c1"),
        a_result(1100, "Read", "t1", {"duration_ms": "10"}),
        _asked(1500, "r1"),
        _returned(2000, "c1", 1000),
        a_result(2500, "Bash", "t2", {"duration_ms": "100"}),
    )
    root = next(s for s in spans if s.parent_id is None)

    assert {s.name for s in spans if s.type == "tool" and s.parent_id == root.id} == {
        "Agent",
        "Read",
        "Bash",
    }


def test_agents_are_told_apart_by_the_span_they_share_with_their_calls() -> None:
    one, other = ("ab" * 16, "01" * 8), ("ab" * 16, "02" * 8)
    spans = _assembled(
        a_prompt(0, span=ROOT_SPAN),
        _call(1000, "c1"),
        _call(1001, "c2"),
        _asked(1300, "r1", one),
        _asked(1310, "r2", other),
        a_result(1400, "Read", "t1", span=one),
        a_record("subagent_completed", 1500, {"duration_ms": 495}, span=one),
        _returned(1501, "c1", 501),
        a_record("subagent_completed", 3000, {"duration_ms": 1990}, span=other),
        _returned(3001, "c2", 2000),
    )

    assert _drawn(spans) == ["Agent c1", "  general-purpose", "Agent c2", "  general-purpose"]
    agent = next(s for s in spans if s.name == "general-purpose" and s.end_ms == T0_MS + 1500)
    assert {s.name for s in spans if s.parent_id == agent.id} == {"claude-opus-5-5", "Read"}


def test_an_agents_sums_and_answer_are_its_own() -> None:
    spans = _assembled(
        a_prompt(0),
        _call(1000, "c1", task="Look closely"),
        *_agent("a1", 1100, 2000),
        _returned(2001, "c1", 1001, task="Look closely"),
        a_request(3000, "r9"),
        an_answer(3001, "r9", "All done"),
    )
    agent = next(s for s in spans if s.type == "agent" and s.parent_id)

    assert (agent.input, agent.output) == ("Look closely", "done a1")
    assert (agent.metadata["requests"], agent.metadata["cost_usd"]) == (1, 0.001)
    assert (agent.start_ms, agent.end_ms) == (T0_MS + 1100, T0_MS + 2000)


@pytest.mark.parametrize("knows_agents", [True, False])
def test_an_event_hangs_below_its_agent_only_where_that_is_shown(knows_agents: bool) -> None:
    """Hooks named their agent before requests did: then nothing else of that agent is known."""
    hook = a_record("hook_execution_start", 1050, {"agent_id": "a1"})
    named = [*_agent("a1", 1100, 2000)]
    unnamed = [_asked(1300, "r1")]
    with pipeline() as made:
        _arrive(made, a_prompt(0), _call(1000, "c1"), hook)
        _arrive(made, *(named if knows_agents else unnamed), at_ms=9_000)
        _arrive(made, _returned(2001, "c1", 1001), a_request(2500, "r2"), at_ms=9_000)
        made.finish(T0_MS + 9_000)
        spans = {span.name: span for span in of_prompts(made.spans())}
        (agent,) = (s for s in spans.values() if s.type == "agent" and s.parent_id)
        (root,) = (s for s in spans.values() if s.parent_id is None)

        shown = spans["hook_execution_start"].parent_id
        assert shown == (agent.id if knows_agents else root.id)


@pytest.mark.parametrize("missing", ["completion", "call", "both"])
def test_an_agent_leaves_at_last_whatever_is_missing(missing: str) -> None:
    records: list[Logged] = [a_prompt(0), _call(1000, "c1"), *_agent("a1", 1100, 2000)]
    records.append(_returned(2001, "c1", 1001))
    lost = {"completion": {"subagent_completed"}, "call": {"tool_decision", "tool_result"}}
    gone = lost.get(missing, {"subagent_completed", "tool_decision", "tool_result"})

    spans = _assembled(*(r for r in records if r.name not in gone))

    assert sum(s.type == "agent" and s.parent_id is not None for s in spans) == 1


def _call(
    at_ms: int,
    call_id: str,
    more: Json | None = None,
    kind: str = "general-purpose",
    task: str = "Do",
) -> Logged:
    arguments = {"subagent_type": kind, "prompt": task}
    return a_decision(at_ms, "Agent", call_id, {"tool_parameters": arguments} | (more or {}))


def _returned(
    at_ms: int,
    call_id: str,
    duration_ms: int,
    more: Json | None = None,
    *,
    kind: str = "general-purpose",
    task: str = "Do",
) -> Logged:
    attributes = {
        "duration_ms": str(duration_ms),
        "tool_input": {"subagent_type": kind, "prompt": task},
    }
    return a_result(at_ms, "Agent", call_id, attributes | (more or {}))


def _agent(
    agent_id: str,
    start_ms: int,
    end_ms: int,
    more: Json | None = None,
    kind: str = "general-purpose",
) -> Iterator[Logged]:
    own = {"agent_id": agent_id, "query_source": f"agent:builtin:{kind}"} | (more or {})
    yield a_request(start_ms + 200, f"r_{agent_id}", own)
    yield an_answer(start_ms + 201, f"r_{agent_id}", f"done {agent_id}", own)
    done = {"agent_type": kind, "duration_ms": end_ms - start_ms}
    yield a_record("subagent_completed", end_ms, own | done | {"query_source": None})


def _ran(at_ms: int, call_id: str, agent_id: str, **around: Any) -> Logged:
    return a_decision(at_ms, "Bash", call_id, {"agent_id": agent_id}, **around)


def _came_back(at_ms: int, call_id: str, agent_id: str, **around: Any) -> Logged:
    return a_result(at_ms, "Bash", call_id, {"agent_id": agent_id}, **around)


def _completed(at_ms: int, agent_id: str, duration_ms: int, **around: Any) -> Logged:
    told = {"agent_type": "general-purpose", "is_async": True, "duration_ms": duration_ms}
    return a_record("subagent_completed", at_ms, told | {"agent_id": agent_id}, **around)


def _trace_of(spans: list[Seen], prompt: str) -> str:
    (root,) = [s for s in spans if s.parent_id is None and s.input == prompt]
    return root.trace_id


def _asked(at_ms: int, request_id: str, span: tuple[str, str] | None = None) -> Logged:
    own = {"query_source": "agent:builtin:general-purpose"}
    return a_request(at_ms, request_id, own, span=span)


def _assembled(*records: Logged) -> list[Seen]:
    made = assemble([batch(records, max(r.at_ms for r in records))])
    assert made.held == 0
    assert made.accepted == sum(made.outcomes.values())
    return made.of_prompts


def _arrive(made: Pipeline, *records: Logged, at_ms: int = 2_000) -> None:
    """They come at that time, and what is due by then leaves."""
    made.post(batch(records, T0_MS + at_ms))
    made.work(T0_MS + at_ms)


def _tree(*records: Logged) -> list[str]:
    return _drawn(_assembled(*records))


def _drawn(spans: list[Seen]) -> list[str]:
    """Agents and the calls that start them, indented as they are nested."""
    roots = {s.id for s in spans if s.parent_id is None and s.input != "next"}
    return [line for root in sorted(roots) for line in _below(root, spans, 0)]


def _below(parent_id: str, spans: list[Seen], depth: int) -> Iterator[str]:
    shown = [
        s for s in spans if s.parent_id == parent_id and (s.type == "agent" or s.name == "Agent")
    ]
    for span in sorted(shown, key=lambda s: (s.start_ms, str(s.metadata.get("tool_use_id")))):
        own = span.metadata.get("tool_use_id") or span.metadata.get("agent_id") or span.name
        yield f"{'  ' * depth}{'Agent ' if span.type == 'tool' else ''}{own}"
        yield from _below(span.id, spans, depth + 1)
