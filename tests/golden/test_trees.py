"""Captures become the trees that were written by hand from their records.

A line is kind and name, then for agents ``input -> output`` (``-`` for none), then level and
status message unless the level is the default. Siblings stand in the order in which they begin;
observations of level DEBUG are counted in the last line of their trace. Summaries of sessions are
left out.
"""

from collections.abc import Iterator

import pytest

from tests.golden.trees import TREES
from tests.pipeline import (
    Assembly,
    Json,
    Seen,
    assemble_capture,
    below,
    by_trace,
    capture_notes,
    capture_records,
)

MEMBER_TAGS = ["member:alex", "department:engineering", "team:platform", "cost_center:eng-123"]


@pytest.mark.parametrize("capture", TREES)
def test_a_capture_becomes_the_tree_written_by_hand(capture: str) -> None:
    made = "\n".join(_forest(assemble_capture(capture)))

    assert made == TREES[capture].strip()


def test_trees_were_written_for_all_six_versions() -> None:
    versions = {capture.split("/")[0] for capture in TREES}

    assert versions == {"1.0.60", "2.0.76", "2.1.45", "2.1.126", "2.1.207", "2.1.330"}


@pytest.mark.parametrize(
    "capture",
    [
        "2.1.207/b-tools-full",
        "2.1.207/e-subagent",
        "2.1.330/a-json-full",
        "2.1.330/a-pb-full",
        "2.1.330/b-tools-slow",
        "2.1.330/c-denied",
        "2.1.330/d-429-then-ok",
        "2.1.330/d-refusal",
        "2.1.330/e-subagent",
        "2.1.330/f-resume",
        "2.1.330/h-commit",
        "2.1.330/i-ext",
        "2.1.330/x-503-ra",
    ],
)
def test_the_roots_output_is_what_the_client_printed(capture: str) -> None:
    first = next(iter(by_trace(assemble_capture(capture).of_prompts).values()))
    root = next(span for span in first if span.parent_id is None)

    assert root.output == capture_notes(capture)["stdout"].strip()


def test_a_turn_ends_with_its_last_work_and_not_with_what_merely_happens_later() -> None:
    """Two mode changes follow the answer by more than a second, a mention precedes its prompt."""
    records = capture_records("2.1.330/g-interactive")
    prompt = next(r for r in records if r.attributes.get("prompt") == "Look at @README.md now")
    answer = next(r for r in records if r.attributes.get("response") == "Looked at the file.")
    spans = _trace_of("2.1.330/g-interactive", prompt.attributes["prompt.id"])
    root = spans[0]

    assert (root.start_ms, root.end_ms) == (_time_ms(prompt.record), _time_ms(answer.record))
    assert [(s.name, s.start_ms - root.start_ms) for s in spans if s.type == "event"] == [
        ("at_mention", 1),
        ("permission_mode_changed", root.end_ms - root.start_ms - 1),
        ("permission_mode_changed", root.end_ms - root.start_ms),
    ]


def test_agents_that_cannot_be_told_apart_name_all_the_calls_they_may_belong_to() -> None:
    spans = assemble_capture("2.1.126/e-subagent").spans
    shared = next(s for s in spans if s.type == "agent" and s.metadata.get("parallel_calls"))

    assert shared.metadata["parallel_calls"] == [
        "toolu_01Lab40a6110001",
        "toolu_01Lab40a6110002",
    ]


def test_a_ghost_session_shows_nothing_and_is_counted() -> None:
    """Under --continue the client starts up with a session id that it never uses again."""
    made = assemble_capture("2.1.330/f-resume")
    sessions = [r.attributes["session.id"] for r in capture_records("2.1.330/f-resume")]
    ghost = next(s for s in sessions if not s.startswith("11111111"))

    assert made.outcomes["no_prompt"] == sessions.count(ghost) == 4
    assert {s.attributes["langfuse.session.id"] for s in made.spans} == {
        "11111111-2222-4333-8444-555555555555"
    }


@pytest.mark.parametrize(
    ("capture", "facts"),
    [
        (
            "1.0.60/a-json-full",
            {"user.id": "alex", "trace.tags": [*MEMBER_TAGS, "claude-code"], "version": "1.0.60"},
        ),
        (
            "2.1.330/a-pb-gzip",
            {"user.id": "alex", "trace.tags": [*MEMBER_TAGS, "claude-code"], "version": "2.1.330"},
        ),
        (
            "2.1.330/a-json-includes",
            {"user.id": "alex", "trace.tags": [*MEMBER_TAGS, "claude-code"], "session.id": None},
        ),
        (
            "2.1.330/k-resattr",
            {
                "user.id": "Alex Doe",
                "trace.tags": ["member:alex doe", "claude-code"],
                "session.id": "40265988-6d09-48fc-89eb-42dd043fc2c2",
                "environment": "prod",
            },
        ),
        (
            "2.1.330/k-resattr-space",
            {"user.id": "Alex Doe", "trace.tags": ["member:alex doe", "claude-code"]},
        ),
    ],
)
def test_a_trace_tells_whose_it_is_on_every_span(capture: str, facts: Json) -> None:
    spans = assemble_capture(capture).spans

    for span in spans:
        told = below("langfuse.", span.attributes)
        assert {key: told.get(key) for key in facts} == facts, span.name


def test_the_name_of_the_service_is_the_clients_own() -> None:
    assert {s.service for s in assemble_capture("2.1.330/k-resattr").spans} == {("foo", "2.1.330")}
    assert {s.service for s in assemble_capture("2.1.330/a-json-includes").spans} == {
        ("my-claude", "2.1.330")
    }


def _trace_of(capture: str, prompt_id: str) -> list[Seen]:
    traces = by_trace(assemble_capture(capture).of_prompts).values()
    key = "langfuse.trace.metadata.prompt_id"
    return next(spans for spans in traces if spans[0].attributes[key] == prompt_id)


def _time_ms(record: Json) -> int:
    return int(record["timeUnixNano"]) // 1_000_000


def _forest(assembly: Assembly) -> Iterator[str]:
    for spans in by_trace(assembly.of_prompts).values():
        shown = [span for span in spans if span.level != "DEBUG"]
        (root,) = [span for span in shown if span.parent_id is None]
        yield from _lines(root, shown, 0)
        if hidden := len(spans) - len(shown):
            yield f"  debug x{hidden}"


def _lines(span: Seen, spans: list[Seen], depth: int) -> Iterator[str]:
    head = f"{span.type} {span.name}"
    if span.type == "agent":
        head += f": {span.input or '-'} -> {span.output or '-'}"
    level = "" if span.level == "DEFAULT" else f"  {span.level} {span.status or ''}"
    yield f"{'  ' * depth}{head}{level}".rstrip()
    children = (child for child in spans if child.parent_id == span.id)
    for child in sorted(children, key=lambda s: (s.start_ms, s.end_ms)):
        yield from _lines(child, spans, depth + 1)
