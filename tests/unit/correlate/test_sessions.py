"""Which turn a record belongs to, and what becomes of those that belong to none."""

import pytest

from bridge.correlate.conversation import Conversation
from bridge.correlate.sessions import learn_trace
from tests.builders import (
    SESSION,
    a_prompt,
    a_record,
    a_request,
    a_result,
    an_answer,
)
from tests.pipeline import Assembly, Json, Logged, assemble, batch, by_trace

OTHER = "5e551011-0000-4000-8000-000000000002"


def test_records_find_their_turn_by_prompt_id_whatever_the_order_in_a_batch() -> None:
    made = _at_once(
        an_answer(1200, "r2", "two", prompt="p2", sequence=5),
        a_request(300, "r1", prompt="p1", sequence=1),
        a_prompt(1000, "second", prompt="p2", sequence=3),
        a_request(1100, "r2", prompt="p2", sequence=4),
        a_prompt(0, "first", prompt="p1", sequence=0),
        an_answer(301, "r1", "one", prompt="p1", sequence=2),
    )

    assert _turns(made) == [("first", "one", 1), ("second", "two", 1)]


def test_sessions_in_one_batch_are_told_apart_even_with_equal_prompt_ids() -> None:
    made = _at_once(
        a_prompt(0, "mine", sequence=0),
        a_prompt(5, "theirs", session=OTHER, sequence=0),
        a_request(300, "r1", session=OTHER, sequence=1),
    )

    assert _turns(made) == [
        ("mine", "[interrupted]", 0),
        ("theirs", "[answer not exported]", 1),
    ]


def test_a_turn_without_prompt_record_is_shown_all_the_same() -> None:
    """Bash mode in the terminal makes a prompt id and no ``user_prompt``."""
    made = _at_once(a_request(300, sequence=1), an_answer(301, sequence=2))

    assert _turns(made) == [("[prompt not exported]", "Done", 1)]


def test_a_second_prompt_of_the_same_id_is_something_that_happened() -> None:
    made = _at_once(
        a_prompt(0, "first", sequence=0), a_prompt(500, "again", sequence=2), a_request(400)
    )

    (turn,) = by_trace(made.of_prompts).values()
    assert [(s.name, s.input) for s in turn if s.type in {"agent", "event"}] == [
        ("claude-code", "first"),
        ("user_prompt", "again"),
    ]
    assert made.held == 0


def test_without_prompt_ids_records_belong_to_the_prompt_before_them() -> None:
    made = _at_once(
        a_prompt(0, "first", prompt=None),
        a_request(300, None, prompt=None),
        a_result(400, call_id=None, prompt=None),
        a_prompt(1000, "second", prompt=None),
        a_request(1300, None, prompt=None),
        a_request(1500, None, prompt=None),
    )

    assert [(s, g) for s, _, g in _turns(made)] == [("first", 1), ("second", 2)]


def test_what_a_process_does_before_its_first_prompt_belongs_to_that_prompt() -> None:
    made = _at_once(
        a_request(100, "r0", prompt=None, sequence=0),
        a_record("plugin_loaded", 50, prompt=None, sequence=1),
        a_prompt(1000, "first", sequence=2),
        a_request(1300, "r1", sequence=3),
    )

    assert [(s, g) for s, _, g in _turns(made)] == [("first", 2)]
    assert made.outcomes == {"observed": 4}


def test_start_up_of_a_resumed_session_belongs_to_the_next_prompt() -> None:
    """Its sequence numbers begin at 0 again, so they are lower than those of the prompt before."""
    made = _at_once(
        a_prompt(0, "first", prompt="p1", sequence=4),
        a_request(300, "r1", prompt="p1", sequence=5),
        a_record("hook_execution_start", 400, prompt=None, sequence=6),
        a_record("plugin_loaded", 5000, prompt=None, sequence=0),
        a_prompt(6000, "second", prompt="p2", sequence=4),
        a_request(6300, "r2", prompt="p2", sequence=5),
    )

    first, second = by_trace(made.of_prompts).values()
    assert "hook_execution_start" in {s.name for s in first}
    assert "plugin_loaded" in {s.name for s in second}


def test_start_up_of_a_resumed_session_may_have_more_events_than_the_one_before() -> None:
    """Then some of its numbers are higher than that of the prompt before."""
    start_up = [a_record(f"start_{n}", 5000 + n, prompt=None, sequence=n) for n in range(3)]
    made = _at_once(
        a_request(-100, "r0", prompt=None, sequence=0),
        a_prompt(0, "first", prompt=None, sequence=1),
        a_request(300, "r1", prompt=None, sequence=2),
        *start_up,
        a_request(5500, "r2", prompt=None, sequence=3),
        a_prompt(6000, "second", prompt=None, sequence=4),
    )

    first, second = by_trace(made.of_prompts).values()
    assert [s.metadata["request_id"] for s in first if s.type == "generation"] == ["r0", "r1"]
    assert {s.name for s in second} >= {"start_0", "start_1", "start_2"}
    assert [s.metadata["request_id"] for s in second if s.type == "generation"] == ["r2"]


def test_start_up_without_a_prompt_shows_nothing_and_is_counted() -> None:
    made = _at_once(
        a_record("plugin_loaded", 0, prompt=None, sequence=0),
        a_record("managed_settings_resolved", 1, prompt=None, sequence=1),
    )

    assert (made.spans, made.outcomes) == ([], {"no_prompt": 2})


def test_requests_without_a_prompt_cost_money_and_are_shown() -> None:
    made = _at_once(
        a_record("plugin_loaded", 0, prompt=None, sequence=0),
        a_request(300, "r1", prompt=None, sequence=1),
    )

    assert _turns(made) == [("[no prompt]", "[answer not exported]", 1)]


def test_a_session_that_goes_on_under_another_id_is_two_sessions() -> None:
    """``/clear`` changes the session id in mid-process, and the sequence goes on."""
    made = _at_once(
        a_prompt(0, "first", prompt="p1", sequence=0),
        a_request(300, "r1", prompt="p1", sequence=1),
        a_prompt(1000, "/clear", {"command_name": "clear", "command_source": "builtin"},
                 prompt="p2", sequence=2),
        a_record("hook_execution_start", 1100, prompt="p2", session=OTHER, sequence=3),
        a_prompt(2000, "second", prompt="p3", session=OTHER, sequence=4),
        a_request(2300, "r2", prompt="p3", session=OTHER, sequence=5),
    )  # fmt: skip

    sessions = {s.attributes["langfuse.session.id"] for s in made.of_prompts if s.input == "first"}
    assert sessions == {SESSION}
    assert {
        s.attributes["langfuse.session.id"] for s in made.of_prompts if s.input == "second"
    } == {OTHER}
    assert made.accepted == sum(made.outcomes.values())


def test_events_without_session_id_are_kept_by_installation() -> None:
    made = _at_once(
        a_prompt(0, "first", session=None, sequence=0), a_request(300, session=None, sequence=1)
    )

    assert [(s, g) for s, _, g in _turns(made)] == [("first", 1)]
    assert all("langfuse.session.id" not in s.attributes for s in made.of_prompts)


def test_other_programs_records_are_counted_and_not_shown() -> None:
    made = _at_once(a_prompt(0, scope="com.example.other"))

    assert (made.spans, made.outcomes) == ([], {"other_scope": 1})


def test_a_synthetic_prompt_is_a_background_turn() -> None:
    made = _at_once(a_prompt(0, "<task-notification>done</task-notification>", sequence=0))

    (root,) = made.of_prompts
    assert (root.name, root.metadata["synthetic"]) == ("claude-code background", True)


def test_the_prompts_record_tells_whose_turn_it_is() -> None:
    """Records of one turn should agree; where they do not, the prompt's word counts."""
    other: Json = {"service.name": "claude-code", "member": "sam"}
    made = _at_once(a_request(300, resource=other, sequence=1), a_prompt(0, sequence=0))

    assert {s.attributes["langfuse.user.id"] for s in made.of_prompts} == {"alex"}


def _at_once(*records: Logged) -> Assembly:
    return assemble([batch(records, max(r.at_ms for r in records))])


def _turns(made: Assembly) -> list[tuple[str | None, str | None, int]]:
    """(input, output, generations) of every turn in order."""
    return [
        (spans_root.input, spans_root.output, sum(s.type == "generation" for s in spans))
        for spans in by_trace(made.of_prompts).values()
        for spans_root in spans
        if spans_root.parent_id is None
    ]


@pytest.mark.parametrize("trace_id", [None, ""])
def test_what_names_no_trace_teaches_none(trace_id: str | None) -> None:
    """Else all spans without a trace would belong to one turn."""
    conversation = Conversation(key="s")
    learn_trace(conversation, trace_id, "s\0p")

    assert conversation.traces == {}
