"""When a turn's root is made, why, and what it tells."""

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
from tests.golden.fused.signals import span_batch
from tests.pipeline import (
    IDLE_MS,
    QUIET_MS,
    SETTLE_MS,
    Logged,
    Pipeline,
    Seen,
    batch,
    of_prompts,
    pipeline,
)
from tests.unit.correlate.test_spans import IN_TURN, a_model_span

REJECT = {"decision": "reject", "source": "user_reject"}


def test_a_finished_turn_closes_when_it_was_quiet() -> None:
    with pipeline() as made:
        _arrive(made, a_prompt(0), a_request(1000), an_answer(1001))

        assert _root(made, 1001 + QUIET_MS - 1) is None
        assert _closed_by(made, 1001 + QUIET_MS) == "quiet"


def test_the_next_prompt_closes_a_turn_once_it_has_settled() -> None:
    with pipeline() as made:
        _arrive(made, a_prompt(0), a_request(1000), an_answer(1001))
        _arrive(made, a_prompt(2000, "next", prompt="p2"))

        assert _root(made, 1001 + SETTLE_MS - 1) is None
        assert _closed_by(made, 1001 + SETTLE_MS) == "next_prompt"


def test_an_unfinished_turn_waits_until_it_was_idle() -> None:
    with pipeline() as made:
        _arrive(made, a_prompt(0), a_request(1000), a_decision(1001), a_result(1100))

        assert _root(made, 1100 + IDLE_MS - 1) is None
        assert _closed_by(made, 1100 + IDLE_MS) == "idle"


def test_a_decision_without_call_id_is_the_half_of_a_failure_that_has_one() -> None:
    """Claude Code 2.1.59 to 2.1.110 names the call where it failed and nowhere else."""
    with pipeline() as made:
        _arrive(made, a_prompt(0), a_request(1000), a_decision(1001, call_id=None))
        _arrive(made, a_result(1100, more={"success": "false"}), a_request(2000, "req_2"))

        assert _closed_by(made, 2000 + QUIET_MS) == "quiet"
        (tool,) = [span for span in _spans(made) if span.type == "tool"]
        assert (tool.metadata["tool_use_id"], tool.level) == ("toolu_1", "ERROR")
        assert tool.metadata["decision"] == "accept"


def test_a_running_tool_keeps_a_turn_open_beyond_quiet() -> None:
    with pipeline() as made:
        _arrive(made, a_prompt(0), a_decision(900), a_request(1000), an_answer(1001))

        assert _root(made, 1001 + 10 * QUIET_MS) is None


def test_a_prompt_that_nothing_followed_is_interrupted() -> None:
    with pipeline() as made:
        _arrive(made, a_prompt(0))
        _arrive(made, a_prompt(5000, "next", prompt="p2"))
        root = _root(made, 5000 + SETTLE_MS)

        assert root is not None
        assert (root.output, root.level, root.status) == (
            "[interrupted]",
            "WARNING",
            "interrupted",
        )
        assert (root.start_ms, root.end_ms) == (T0_MS, T0_MS)


def test_events_whose_prompt_never_came_stand_where_they_happened() -> None:
    """What happens between prompts names the last one, which may be older than the bridge."""
    with pipeline() as made:
        _arrive(made, a_record("mcp_server_connection", 1000, {"status": "disconnected"}))
        made.finish(T0_MS + 1000)
        root, event = sorted(_spans(made), key=lambda s: s.start_ms)

        assert (root.start_ms, event.start_ms) == (T0_MS + 1000, T0_MS + 1001)
        assert (root.input, root.output) == ("[prompt not exported]", "[answer not exported]")
        assert (root.level, event.parent_id) == ("DEFAULT", root.id)


def test_a_mention_waits_for_the_prompt_that_it_is_in() -> None:
    """It comes before its prompt, and the two may be in different requests."""
    with pipeline() as made:
        _arrive(made, a_prompt(0, prompt="p0"), a_request(1000, "r0", prompt="p0"))
        _arrive(made, a_record("at_mention", 9_999))
        made.work(T0_MS + 9_999 + SETTLE_MS)
        _arrive(made, a_prompt(10_000 + SETTLE_MS, "@a"), a_request(15_000, "r1"))
        made.finish(T0_MS + 15_000)
        roots = [s for s in _spans(made) if s.parent_id is None]

        assert [(s.input, s.metadata["requests"]) for s in roots] == [("Do it", 1), ("@a", 1)]
        assert "user_prompt" not in {s.name for s in _spans(made)}


def test_a_built_in_command_needs_no_answer() -> None:
    command = {"command_name": "exit", "command_source": "builtin"}
    with pipeline() as made:
        _arrive(made, a_prompt(0, "/exit", command))
        root = _root(made, QUIET_MS)

        assert root is not None
        assert (root.output, root.level) == ("[no answer: /exit]", "DEFAULT")


def test_a_built_in_command_that_asks_the_model_is_not_over_before_it_has() -> None:
    """To compact a long session takes minutes, and nothing is told of it before its end."""
    command = {"command_name": "compact", "command_source": "builtin"}
    summary = {"query_source": "compact", "duration_ms": 4 * QUIET_MS}
    with pipeline() as made:
        _arrive(made, a_prompt(0, "/compact", command))
        early = _root(made, 3 * QUIET_MS)
        _arrive(made, a_request(4 * QUIET_MS, more=summary))
        _arrive(made, a_record("compaction", 4 * QUIET_MS + 1, {"success": "true"}))
        root = _root(made, 5 * QUIET_MS + SETTLE_MS)

        assert early is None
        assert root is not None
        assert (root.output, root.metadata["requests"]) == ("[no answer: /compact]", 1)
        assert root.end_ms == T0_MS + 4 * QUIET_MS + 1


def test_a_persons_rejection_ends_a_turn() -> None:
    with pipeline() as made:
        _arrive(made, a_prompt(0), a_request(1000), a_decision(1100, more=REJECT))

        assert _closed_by(made, 1100 + QUIET_MS) == "quiet"


@pytest.mark.parametrize("source", ["config", "hook"])
def test_a_rejection_by_rule_does_not_for_the_model_goes_on(source: str) -> None:
    by_rule = {"decision": "reject", "source": source}
    with pipeline() as made:
        _arrive(made, a_prompt(0), a_request(1000), a_decision(1100, more=by_rule))

        assert _root(made, 1100 + QUIET_MS) is None


@pytest.mark.parametrize("source", ["generate_session_title", "prompt_suggestion", "auto_mode"])
def test_an_auxiliary_request_does_not_make_a_turn_look_finished(source: str) -> None:
    """A title is made at once, while the answer may take minutes."""
    with pipeline() as made:
        _arrive(made, a_prompt(0), a_request(500, "r0", {"query_source": source}))
        made.wait(T0_MS + 500, T0_MS + 90_000)
        _arrive(made, a_request(90_000, "r1", {"duration_ms": 89_000}), an_answer(90_001, "r1"))
        root = _root(made, 90_001 + QUIET_MS)

        assert root is not None
        assert (root.output, root.metadata["requests"]) == ("Done", 2)


def test_an_auxiliary_request_that_fails_is_not_the_turns_failure() -> None:
    failure = {"model": "m", "error": "overloaded", "query_source": "prompt_suggestion"}
    with pipeline() as made:
        _arrive(made, a_prompt(0), a_request(1000), an_answer(1001))
        _arrive(made, a_record("api_error", 1500, failure))
        root = _root(made, 1500 + QUIET_MS)

        assert root is not None
        assert (root.output, root.level) == ("Done", "DEFAULT")


def test_a_compaction_in_mid_turn_does_not_make_it_look_finished() -> None:
    with pipeline() as made:
        _arrive(made, a_prompt(0), a_request(1000), a_decision(1001), a_result(1100))
        _arrive(made, a_record("compaction", 5000, {"trigger": "auto", "success": "true"}))
        made.wait(T0_MS + 5000, T0_MS + 60_000)
        _arrive(made, a_request(60_000, "r2", {"duration_ms": 50_000}), an_answer(60_001, "r2"))
        root = _root(made, 60_001 + QUIET_MS)

        assert root is not None
        assert root.output == "Done"


def test_a_request_that_failed_for_good_is_the_turns_failure() -> None:
    failure = {"model": "m", "error": "overloaded", "status_code": 529, "query_source": "sdk"}
    with pipeline() as made:
        _arrive(made, a_prompt(0), a_record("api_error", 1500, failure))
        root = _root(made, 1500 + QUIET_MS)

        assert root is not None
        assert (root.output, root.level) == ("overloaded (HTTP 529)", "ERROR")


def test_a_failure_that_work_followed_is_not_the_turns_failure() -> None:
    failure = {"model": "m", "error": "overloaded", "status_code": 529, "query_source": "sdk"}
    with pipeline() as made:
        _arrive(made, a_prompt(0), a_record("api_error", 1500, failure))
        _arrive(made, a_request(2000), an_answer(2001))
        root = _root(made, 2001 + QUIET_MS)

        assert root is not None
        assert (root.output, root.level) == ("Done", "DEFAULT")


def test_a_sub_agents_answer_is_not_the_turns_answer() -> None:
    agent = {"query_source": "agent:builtin:x", "agent_id": "a1"}
    with pipeline() as made:
        _arrive(made, a_prompt(0), a_request(1000), an_answer(1001, text="mine"))
        _arrive(made, a_request(1500, "r2", agent), an_answer(1501, "r2", "theirs", agent))
        made.finish(T0_MS + 1501)

        assert next(s.output for s in _spans(made) if s.parent_id is None) == "mine"


def test_a_late_request_joins_the_trace_whose_root_was_sent() -> None:
    with pipeline() as made:
        _arrive(made, a_prompt(0), a_request(1000), an_answer(1001))
        root = _root(made, 1001 + QUIET_MS)
        _arrive(made, a_request(50_000, "r2"))
        made.work(T0_MS + 50_000 + SETTLE_MS)

        late = _spans(made)[-1]
        assert root is not None
        assert (late.type, late.parent_id, late.trace_facts) == (
            "generation",
            root.id,
            root.trace_facts,
        )
        assert sum(s.parent_id is None for s in _spans(made) if s.trace_id == root.trace_id) == 1


def test_an_answer_that_comes_after_its_request_was_sent_is_counted_as_late() -> None:
    with pipeline() as made:
        _arrive(made, a_prompt(0), a_request(1000))
        made.work(T0_MS + 1000 + SETTLE_MS)
        _arrive(made, an_answer(5000))
        made.finish(T0_MS + 5000)

        assert made.outcomes() == {"observed": 2, "late": 1}
        assert _spans(made)[1].output == "Done", "the root still tells the answer"


def test_answer_and_bodies_whose_request_was_lost_are_all_shown() -> None:
    """The batch with the request never came: the client drops what it cannot deliver."""
    body = {"request_id": "req_1", "body": "{}", "request_body_id": "b1"}
    with pipeline() as made:
        _arrive(made, a_prompt(0), a_record("api_response_body", 1000, body), an_answer(1001))
        made.finish(T0_MS + 1001)

        assert sorted(s.name for s in _spans(made) if s.parent_id) == [
            "api_response_body",
            "assistant_response",
        ]
        assert "duplicate" not in made.outcomes()


def test_two_requests_of_one_request_id_both_cost_money() -> None:
    """A gateway may answer every request with the same id."""
    with pipeline() as made:
        _arrive(made, a_prompt(0, sequence=0))
        _arrive(made, a_request(1000, "same", sequence=1))
        _arrive(made, a_request(2000, "same", sequence=2))
        made.finish(T0_MS + 2000)
        _arrive(made, a_request(3000, "same", sequence=3))
        made.finish(T0_MS + 4 * IDLE_MS)

        assert sum(s.cost or 0 for s in _spans(made)) * 1000 == 3


def test_requests_of_one_request_id_that_failed_are_all_shown() -> None:
    failed = {"error": "overloaded", "status_code": 529, "request_id": "same"}
    with pipeline() as made:
        _arrive(made, a_prompt(0, sequence=0))
        for number in (1, 2):
            _arrive(made, a_record("api_error", number * 1000, failed, sequence=number))
        _arrive(made, a_request(3000, "same", sequence=3))
        made.finish(T0_MS + 3000)
        root = next(s for s in _spans(made) if s.parent_id is None)

        assert [s.level for s in _spans(made) if s.type == "generation"] == [
            "ERROR", "ERROR", "DEFAULT",
        ]  # fmt: skip
        assert (root.metadata["failed_requests"], root.metadata["requests"]) == (2, 1)


def test_an_answer_that_does_not_say_what_it_is_for_is_the_turns_answer() -> None:
    """A limit on attributes takes the last of them away, where query_source stands."""
    unsaid = {"query_source": None}
    with pipeline() as made:
        _arrive(made, a_prompt(0), a_request(1000, more=unsaid), an_answer(1001, more=unsaid))
        made.finish(T0_MS + 1001)

        assert next(s.output for s in _spans(made) if s.parent_id is None) == "Done"


def test_point_events_keep_their_order_inside_a_millisecond_and_at_the_edges() -> None:
    names = [f"event_{number}" for number in range(5)]
    early = [a_record(f"early_{n}", -100, prompt=None, sequence=n) for n in range(3)]
    inside = [a_record(name, 500, sequence=5 + n) for n, name in enumerate(names)]
    after = [a_record(f"after_{n}", 2000 + n, sequence=20 + n) for n in range(3)]
    with pipeline() as made:
        _arrive(made, *early, a_prompt(0, sequence=4), *inside, a_request(1000, sequence=15))
        _arrive(made, *after)
        made.finish(T0_MS + 2002)
        events = sorted((s for s in _spans(made) if s.type == "event"), key=lambda s: s.start_ms)

        assert [s.name for s in events if s.name.startswith("early")] == [
            "early_0", "early_1", "early_2",
        ]  # fmt: skip
        assert [(s.name, s.start_ms - T0_MS) for s in events if s.name.startswith("event")] == [
            (name, 500 + number) for number, name in enumerate(names)
        ]
        assert len({s.start_ms for s in events}) == len(events), "siblings of one ms are shuffled"
        assert [s.name for s in events if s.name.startswith("after")] == [
            "after_0", "after_1", "after_2",
        ]  # fmt: skip


def test_a_point_event_stays_where_it_happened_when_an_earlier_one_comes_later() -> None:
    with pipeline() as made:
        _arrive(made, a_prompt(0), a_request(2000))
        _post(made, a_record("second", 1000), 2100)
        _post(made, a_record("first", 500), 2100 + SETTLE_MS - 1)
        made.wait(T0_MS + 2100 + SETTLE_MS, T0_MS + 60_000)
        made.finish(T0_MS + 60_000)

        assert {s.name: s.start_ms - T0_MS for s in _spans(made) if s.type == "event"} == {
            "first": 500,
            "second": 1000,
        }


def test_a_look_that_comes_late_sees_what_one_in_time_would_have_seen() -> None:
    """Records without prompt id wait a settle time; no turn is closed over their heads."""
    with pipeline() as made:
        _post(made, a_prompt(0, prompt=None), 0)
        _post(made, a_prompt(1000, "next", prompt=None), 1000)
        _post(made, a_request(900, None, prompt=None), 2500)
        made.work(T0_MS + 60_000)
        made.finish(T0_MS + 60_000)
        first = next(s for s in _spans(made) if s.input == "Do it")

        assert first.metadata.get("requests") == 1


def test_a_restart_does_not_close_a_turn_over_the_heads_of_waiting_records() -> None:
    with pipeline() as made:
        _post(made, a_prompt(0, prompt=None), 0)
        _post(made, a_prompt(1000, "next", prompt=None), 1000)
        _post(made, a_request(900, None, prompt=None), 2500)
        made.restart()
        made.work(T0_MS + 2500 + SETTLE_MS + 100)
        made.finish(T0_MS + 60_000)
        first = next(s for s in _spans(made) if s.input == "Do it")

        assert first.metadata.get("requests") == 1


def test_a_clock_that_is_set_back_a_little_does_not_send_unfinished_work() -> None:
    with pipeline() as made:
        _arrive(made, a_prompt(0), a_decision(9000), a_record("behind_the_edge", 9100))
        made.wait(T0_MS + 9100, T0_MS + 20_000)
        made.post(batch([a_record("later", 20_000)]))
        assert made.step(T0_MS + 20_000) == 1
        made.work(T0_MS + 19_990)

        assert "Bash" not in {s.name for s in _spans(made)}


def test_a_turn_goes_on_while_a_person_thinks_about_a_tool_that_the_model_asked_for() -> None:
    with pipeline() as made:
        _asks(made, "tool_use")
        rejected_ms = 3 * QUIET_MS
        assert _root(made, rejected_ms) is None
        _arrive(made, a_decision(rejected_ms, more=REJECT, span=IN_TURN))

        assert _root(made, rejected_ms + QUIET_MS - 1) is None
        assert _closed_by(made, rejected_ms + QUIET_MS) == "quiet"


def test_a_turn_whose_last_request_asked_for_nothing_closes_when_it_was_quiet() -> None:
    with pipeline() as made:
        _asks(made, "end_turn")

        assert _closed_by(made, 3 * QUIET_MS) == "quiet"


def test_a_turn_whose_tool_never_came_closes_when_it_was_idle() -> None:
    with pipeline() as made:
        _asks(made, "tool_use")

        assert _root(made, 1001 + IDLE_MS - 1) is None
        assert _closed_by(made, 1001 + IDLE_MS) == "idle"


def _asks(made: Pipeline, stop_reason: str) -> None:
    _arrive(made, a_prompt(0, span=IN_TURN), a_request(1000, span=IN_TURN))
    made.post(span_batch([a_model_span(stop_reason=stop_reason)], T0_MS + 1000))
    _arrive(made, an_answer(1001, text="I will run it.", span=IN_TURN))


def _spans(made: Pipeline) -> list[Seen]:
    return of_prompts(made.spans())


def _arrive(made: Pipeline, *records: Logged) -> None:
    """Each record arrives when it was made, in a request of its own."""
    for record in records:
        made.post(batch([record]))
        made.work(record.at_ms)


def _post(made: Pipeline, record: Logged, arrived_ms: int) -> None:
    made.post(batch([record], T0_MS + arrived_ms))
    made.work(T0_MS + arrived_ms)


def _root(made: Pipeline, now_ms: int) -> Seen | None:
    """The first root that is there at that time."""
    made.work(T0_MS + now_ms)
    return next((span for span in _spans(made) if span.parent_id is None), None)


def _closed_by(made: Pipeline, now_ms: int) -> str | None:
    root = _root(made, now_ms)
    return root and root.metadata["closed_by"]
