"""Under the policy ``metadata`` no content gets behind the decode step."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.decode.content import ContentPolicy
from bridge.model.events import ModelFailure, PointEvent, RawBody, ToolResult, UserPrompt
from tests.builders import a_prompt, a_record, a_request, a_result, an_answer, an_event
from tests.pipeline import (
    ALL_CAPTURES,
    IDLE_MS,
    Logged,
    Pipeline,
    batch,
    capture_records,
    capture_requests,
)

CONTENT = {
    "prompt", "prompt_text", "response", "error", "tool_input", "tool_parameters", "body",
    "body_ref", "hook_definitions", "system_prompt", "tool",
}  # fmt: skip
"""Attributes that hold a prompt, an answer, a command, a path, an input, an output or an error."""

NAMES = {
    "mcp_server_name", "mcp_tool_name", "subagent_type", "skill", "skill_name",
    "git_branch", "git_commit_id",
}  # fmt: skip
"""Keys inside tool arguments whose values are names and may be told."""

MARKER = "MARKER-7f3a"


@pytest.mark.parametrize("capture", ALL_CAPTURES)
def test_nothing_of_a_captures_content_is_in_spans_or_ledger(capture: str, tmp_path: Path) -> None:
    planted = sorted(set(_contents(capture_records(capture))), key=len)
    made = Pipeline(tmp_path, content="metadata")
    requests = capture_requests(capture)
    made.post(*requests)
    made.work(requests[-1].received_at_ms)
    midway = _ledger_bytes(tmp_path)
    made.finish(requests[-1].received_at_ms)

    spans = b"".join(span.span for span in made.spans())
    made.close()

    for text in planted:
        assert text.encode() not in spans, text
        assert text.encode() not in midway, text
        assert text.encode() not in _ledger_bytes(tmp_path), text


def test_planted_text_is_nowhere_in_spans_or_ledger(tmp_path: Path) -> None:
    """In every attribute of every event, known or not, that is not a name."""
    made = Pipeline(tmp_path, content="metadata")
    made.post(batch(list(_marked())))
    made.finish(_marked_end_ms())

    spans = made.spans()
    made.close()

    assert spans
    assert not any(MARKER.encode() in span.span for span in spans)
    assert MARKER.encode() not in _ledger_bytes(tmp_path)


def test_a_record_that_cannot_be_read_leaves_no_content_in_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise LookupError(MARKER)

    monkeypatch.setattr("bridge.decode.claude_code.decode", failing)
    record = a_prompt(0, MARKER)
    made = Pipeline(tmp_path, content="metadata")
    made.post(batch([record]))
    made.work(record.at_ms)

    assert made.outcomes() == {"quarantined": 1}
    made.close()
    assert MARKER.encode() not in _ledger_bytes(tmp_path)


def test_sizes_names_and_numbers_pass() -> None:
    prompt = an_event(a_prompt(0, "secret"), ContentPolicy.METADATA)
    result = an_event(
        a_result(0, more={"tool_input": '{"a":1}', "tool_result_size_bytes": "60", "b": "12.5"}),
        ContentPolicy.METADATA,
    )

    assert isinstance(prompt, UserPrompt)
    assert (prompt.text, prompt.length) == (None, 6)
    assert isinstance(result, ToolResult)
    assert (result.arguments, result.result_bytes, result.name) == (None, 60, "Bash")
    assert result.attributes == {"b": "12.5"}


@pytest.mark.parametrize(
    ("name", "attributes", "kind", "field"),
    [
        ("api_error", {"model": "m", "error": "no such file: /home/x"}, ModelFailure, "error"),
        ("api_request_body", {"body": "{}"}, RawBody, "text"),
        ("system_prompt", {"system_prompt": "You are"}, PointEvent, "text"),
        ("api_retries_exhausted", {"error": "prompt is too long: …"}, PointEvent, "message"),
        ("tool_result", {"tool_name": "B", "error": "no such file"}, ToolResult, "error"),
    ],
)
def test_texts_of_every_kind_of_event_are_removed(
    name: str, attributes: dict[str, str], kind: type, field: str
) -> None:
    record = a_record(name, 0, attributes)

    full, cut = an_event(record), an_event(record, ContentPolicy.METADATA)

    assert isinstance(full, kind)
    assert getattr(full, field) is not None
    assert getattr(cut, field) is None


def test_the_full_policy_changes_nothing() -> None:
    event = an_event(a_record("new", 0, {"a": MARKER}))

    assert event.attributes == {"a": MARKER}


def _marked() -> Iterator[Logged]:
    yield a_prompt(0, f"{MARKER} prompt", {"prompt_text": MARKER}, sequence=0)
    yield a_request(200, more={"new_text": MARKER}, sequence=1)
    yield an_answer(201, text=MARKER, sequence=2)
    yield a_result(
        300,
        "Agent",
        more={
            "tool_input": {"prompt": MARKER, "subagent_type": "x"},
            "tool_parameters": {"full_command": MARKER},
            "error": MARKER,
            "success": "false",
        },
        sequence=3,
    )
    yield a_record("api_error", 400, {"model": "m", "error": MARKER, "x": MARKER}, sequence=4)
    yield a_record("api_retries_exhausted", 401, {"error": MARKER}, sequence=5)
    yield a_record("api_request_body", 402, {"body": MARKER, "body_ref": f"/{MARKER}"}, sequence=6)
    yield a_record("api_response_body", 403, {"body": MARKER, "request_id": "r9"}, sequence=7)
    yield a_record("system_prompt", 404, {"system_prompt": MARKER}, sequence=8)
    yield a_record("tool", 405, {"tool": MARKER, "tool_name": "Bash"}, sequence=9)
    yield a_record("hook_execution_start", 406, {"hook_definitions": MARKER}, sequence=10)
    yield a_record("never_heard_of", 407, {"a": MARKER, "b": [MARKER, "1"]}, sequence=11)
    yield a_record("early", 1, {"a": MARKER}, prompt=None, sequence=12)


def _marked_end_ms() -> int:
    return max(record.at_ms for record in _marked()) + IDLE_MS


def _contents(records: list[Logged]) -> Iterator[str]:
    """Texts that no one may read; short words would be found by chance."""
    for record in records:
        for key in CONTENT & record.attributes.keys():
            value = record.attributes[key]
            if value not in {"<REDACTED>", f"/{record.attributes.get('command_name')}"}:
                yield from (text for text in _texts(value) if _is_telling(text))


def _texts(value: Any) -> Iterator[str]:
    if not isinstance(value, str):
        return
    yield value
    try:
        inner = json.loads(value)
    except ValueError:
        return
    if isinstance(inner, dict):
        for key, item in inner.items():
            if key not in NAMES:
                yield from _texts(item)


def _is_telling(text: str) -> bool:
    return len(text) > 5 and not text.replace(".", "").isdigit()


def _ledger_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("ledger.db*")))
