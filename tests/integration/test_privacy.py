"""Markers planted wherever a client can put text, looked for wherever they must not come out."""

import io
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.model.requests import Encoding, ExportRequest, Signal
from bridge.telemetry.logging import configure
from tests.pipeline import Pipeline

TOKEN = "ghp_" + "m4Rk" * 9
MARKER = "planted words 7f3a"
SCOPE = "com.anthropic.claude_code"
T0_NS = 1_795_000_000_000_000_000
LATER_MS = 1_795_000_000_000


@pytest.fixture(params=["json", "console"])
def log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure("debug", request.param, stream)
    yield stream
    configure("info", "auto")


@pytest.mark.parametrize("user", ["plain", "hash"])
def test_a_secret_is_nowhere_but_in_the_raw_request(
    tmp_path: Path, log: io.StringIO, user: str
) -> None:
    made = worked(tmp_path, TOKEN, content="redacted", forward_other_spans=True, user=user)
    view = made.local_view()
    counted = view.totals().redacted
    view.close()
    sent = b"".join(span.span for span in made.ledger.claim(2**40, 2**40))
    made.close()

    assert b"[redacted:github_token]" in sent
    assert TOKEN.encode() not in sent + ledger(tmp_path)
    assert counted > 30
    assert TOKEN not in log.getvalue()


def test_under_metadata_no_words_get_behind_the_decode_step(
    tmp_path: Path, log: io.StringIO
) -> None:
    made = worked(tmp_path, MARKER, content="metadata", forward_other_spans=True)
    sent = b"".join(span.span for span in made.ledger.claim(2**40, 2**40))
    made.close()

    assert sent
    assert MARKER.encode() not in sent + ledger(tmp_path)
    assert MARKER not in log.getvalue()


def test_under_full_words_arrive_and_are_not_logged(tmp_path: Path, log: io.StringIO) -> None:
    made = worked(tmp_path, MARKER, session=MARKER, content="full", forward_other_spans=True)
    sent = b"".join(span.span for span in made.ledger.claim(2**40, 2**40))
    made.close()

    assert MARKER.encode() in sent
    assert MARKER not in log.getvalue()


@pytest.mark.parametrize(
    "settings", [{"content": "redacted"}, {"content": "metadata"}, {"user": "hash"}]
)
@pytest.mark.parametrize("signal", list(Signal))
def test_of_what_cannot_be_decoded_only_a_reason_is_kept_that_quotes_nothing(
    tmp_path: Path, log: io.StringIO, settings: dict[str, Any], signal: Signal
) -> None:
    made = Pipeline(tmp_path, **settings)
    document = {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": MARKER}]}]}]}
    for body in (f'{{"{MARKER}'.encode(), f"[{MARKER}]".encode(), json.dumps(document).encode()):
        for encoding in Encoding:
            made.post(posted(signal, body, encoding))
    made.work(LATER_MS)
    made.close()

    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        rows = connection.execute("SELECT reason, body FROM quarantine").fetchall()
    connection.close()
    assert rows
    assert not any(body or MARKER in reason for reason, body in rows)
    assert MARKER not in log.getvalue()


def worked(folder: Path, planted: str, *, session: str = "s-1", **settings: Any) -> Pipeline:
    """A pipeline that has assembled one request of each signal with text planted everywhere."""
    made = Pipeline(folder, **settings)
    for signal, document in (
        (Signal.LOGS, logs(planted, session)),
        (Signal.TRACES, traces(planted, session)),
        (Signal.METRICS, metrics(planted, session)),
    ):
        made.post(posted(signal, json.dumps(document).encode()))
    made.finish(LATER_MS)
    return made


def posted(signal: Signal, body: bytes, encoding: Encoding = Encoding.JSON) -> ExportRequest:
    return ExportRequest(
        signal=signal, encoding=encoding, body=body, gzipped=False, records=1,
        received_at_ms=LATER_MS,
    )  # fmt: skip


def pairs(**texts: str) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in texts.items()]


def everywhere(planted: str, session: str, **known: str) -> list[dict[str, Any]]:
    """Attributes with the text as value, as name, in JSON, in lists and in names of persons."""
    inner = json.dumps({"command": f"use {planted}", planted: [planted, {"a": planted}]})
    texts = {key: value.format(planted, json=inner) for key, value in known.items()}
    nested = {"arrayValue": {"values": [{"stringValue": planted}]}}
    return [
        *pairs(**texts, unknown=planted, unknown_json=inner, **{planted: planted}),
        *pairs(**{"session.id": session, "user.email": "ann@example.com"}),
        {"key": "list", "value": nested},
        {"key": f"{planted} number", "value": {"intValue": 5}},
    ]  # fmt: skip


def logs(planted: str, session: str) -> dict[str, Any]:
    events = {
        "user_prompt": {"prompt": "{}", "prompt.id": "p1"},
        "tool_result": {
            "tool_name": "Bash", "tool_input": "{json}", "tool_parameters": "{json}",
            "error": "{}", "success": "false", "prompt.id": "p1", "tool_use_id": "t1",
        },
        "api_error": {"model": "m", "error": "{}", "prompt.id": "p1"},
        "assistant_response": {"response": "{}", "request_id": "r1", "prompt.id": "p1"},
        "api_request_body": {"body": "{json}", "body_ref": "/{}/x", "prompt.id": "p1"},
        "never heard of " + planted: {"prompt.id": "p1"},
    }  # fmt: skip
    records = [
        {
            "timeUnixNano": str(T0_NS + number * 10**6),
            "body": {"stringValue": planted},
            "attributes": everywhere(planted, session, **{"event.name": name}, **known),
        }
        for number, (name, known) in enumerate(events.items())
    ]
    return enclosed("Logs", "logRecords", records, "{}")


def traces(planted: str, session: str) -> dict[str, Any]:
    names = ["claude_code.interaction", "claude_code.tool", f"claude_code.{planted}"]
    spans = [
        {
            "traceId": "ab" * 16,
            "spanId": f"{number:016x}",
            "name": name,
            "startTimeUnixNano": str(T0_NS),
            "endTimeUnixNano": str(T0_NS + 10**9),
            "status": {"code": 2, "message": planted},
            "attributes": everywhere(planted, session, user_prompt="{}", full_command="{}"),
            "events": [
                {"name": "tool.output", "attributes": pairs(output=planted, content=planted)},
                {"name": planted, "attributes": pairs(**{planted: planted})},
            ],
        }
        for number, name in enumerate(names, start=1)
    ]
    ours = enclosed("Spans", "spans", spans, "{}")
    theirs = enclosed("Spans", "spans", [spans[0] | {"spanId": "ff" * 8, "name": planted}], planted)
    theirs["resourceSpans"][0]["scopeSpans"][0]["scope"]["name"] = planted
    return {"resourceSpans": ours["resourceSpans"] + theirs["resourceSpans"]}


def metrics(planted: str, session: str) -> dict[str, Any]:
    point = {"timeUnixNano": str(T0_NS), "asDouble": 1.0}
    told = [
        {
            "name": name,
            "unit": planted,
            "description": planted,
            "sum": {
                "aggregationTemporality": 1,
                "dataPoints": [point | {"attributes": everywhere(planted, session, model="m")}],
            },
        }
        for name in ("claude_code.token.usage", f"claude_code.{planted}")
    ]
    return enclosed("Metrics", "metrics", told, "{}")


def enclosed(kind: str, items: str, found: list[Any], version: str) -> dict[str, Any]:
    scope = {"scope": {"name": SCOPE, "version": version}, items: found}
    resource = {"attributes": pairs(**{"service.name": "claude-code"})}
    return {f"resource{kind}": [{"resource": resource, f"scope{kind}": [scope]}]}


def ledger(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("ledger.db*")))
