"""``doctor --send``: one made-up turn through the whole chain, read back and removed again.

It goes in as Claude Code would send it and comes out of Langfuse's API: what is compared are the
tags, tokens and cost that people see. Nothing stays but what the bridge keeps of its own.
"""

import asyncio
import json
import math
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import quote

from bridge import __version__
from bridge.client.exports import headers_in
from bridge.client.layers import in_force
from bridge.doctor.langfuse import OBSERVATIONS, SUCCESS, TRACES, document
from bridge.doctor.running import connection_to
from bridge.doctor.subject import Subject
from bridge.langfuse.client import Document, LangfuseClient, LangfuseTarget, connect
from bridge.model.findings import Finding, failed, ok, warning
from bridge.model.sessions import CHECK_SESSION
from bridge.receive.access import find, offered_tokens

MARGIN_S: Final = 30.0
"""For the way into Langfuse and through its queue, which takes a second or two when it is well."""
POLL_S: Final = 0.5
ACCEPTED: Final = 200
MADE_UP: Final = "langfuse-bridge-doctor"
MODEL: Final = "made-up-model"
SCOPE: Final = "com.anthropic.claude_code.events"
FIELDS: Final = "core,basic,usage,trace_context"
USAGE: Final = {
    "input": 11,
    "output": 22,
    "input_cached_tokens": 33,
    "input_cache_creation": 44,
}
COST_USD: Final = 0.001234
OBSERVED: Final = {"AGENT": 1, "GENERATION": 1, "TOOL": 1}
TOLERANCE_USD: Final = 1e-9

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One made-up prompt with one request and one tool call, in a session of its own."""

    session_id: str = field(default_factory=lambda: f"{CHECK_SESSION}{uuid.uuid4()}")
    prompt_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    now_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)


def patience_s(subject: Subject) -> float:
    """How long the turn may take at most: until the bridge closes it, and a margin."""
    return subject.config.settle_s + subject.config.quiet_s + MARGIN_S


def send(subject: Subject) -> Iterator[Finding]:
    """Post the turn, wait for it in Langfuse, compare, remove."""
    target = subject.target
    if target is None:
        yield failed("send", "there are no keys to read it back with", "set both Langfuse keys")
        return
    turn = Turn()
    headers = headers_in(in_force(subject.layers))
    try:
        posted = _post(subject, turn, headers)
    except (OSError, HTTPException) as error:
        yield failed("send", f"the bridge does not answer: {error}", "see the lines above")
        return
    yield posted
    if not posted.remedy:
        yield from asyncio.run(_follow(subject, target, turn, headers))


def request_body(turn: Turn, attributes: Mapping[str, str]) -> bytes:
    """The turn as Claude Code exports one: an OTLP/JSON logs request."""
    resource = {"service.name": "claude-code", "service.version": __version__, **attributes}
    scope = {"name": SCOPE, "version": __version__}
    records = [_record(turn, number, event) for number, event in enumerate(_events(turn))]
    logs = {"scope": scope, "logRecords": records}
    whole = {"resource": {"attributes": _pairs(resource)}, "scopeLogs": [logs]}
    return json.dumps({"resourceLogs": [whole]}).encode()


def compare(rows: list[Row], tags: frozenset[str]) -> Iterator[Finding]:
    """What came out, beside what went in."""
    generations = [row for row in rows if row.get("type") == "GENERATION"]
    told = {kind: _sum_of(generations, kind) for kind in USAGE}
    cost = math.fsum(row.get("totalCost") or 0 for row in generations)
    for_each = [frozenset(row.get("tags") or ()) for row in rows]
    lacking = tags - frozenset.intersection(*for_each) if for_each else tags
    remedy = "something on the way changes it: look at `langfuse-bridge show` for the same session"
    yield _compared("tags", not lacking, f"{', '.join(sorted(lacking or tags))}", remedy)
    yield _compared("tokens", told == USAGE, f"{told}, sent {USAGE}", remedy)
    same_cost = math.isclose(cost, COST_USD, abs_tol=TOLERANCE_USD)
    yield _compared("cost", same_cost, f"${cost:.6f}, sent ${COST_USD:.6f}", remedy)


def expected_tags(subject: Subject, headers: Mapping[str, str]) -> frozenset[str]:
    """The tags of the turn: what the token fixes is said by the token."""
    token = find(subject.tokens or (), list(offered_tokens(headers)))
    fixed = token.fixed if token else {}
    values = {tag.key: fixed.get(tag.attribute, MADE_UP) for tag in subject.config.tags}
    return frozenset({f"{key}:{value}".lower() for key, value in values.items()} | {"claude-code"})


def _post(subject: Subject, turn: Turn, headers: Mapping[str, str]) -> Finding:
    body = request_body(turn, {tag.attribute: MADE_UP for tag in subject.config.tags})
    with closing(connection_to(subject.config)) as connection:
        connection.request(
            "POST", "/v1/logs", body, {**headers, "Content-Type": "application/json"}
        )
        response = connection.getresponse()
        words = response.read().decode(errors="replace")
    if response.status != ACCEPTED:
        return failed("send", f"the bridge answers {response.status}", words)
    return ok("send", f"a made-up turn was accepted, session {turn.session_id}")


async def _follow(
    subject: Subject, target: LangfuseTarget, turn: Turn, headers: Mapping[str, str]
) -> list[Finding]:
    async with connect(target) as client:
        started_s = time.monotonic()
        rows = await _wait(client, turn, started_s + patience_s(subject))
        took_s = time.monotonic() - started_s
        found = [_arrived(rows, took_s)]
        if rows:
            found += compare(rows, expected_tags(subject, headers))
            found.append(await _remove(client, rows))
        return found


async def _wait(client: LangfuseClient, turn: Turn, deadline_s: float) -> list[Row]:
    """The turn's observations once all are there, or those that are when time is up."""
    path = f"{OBSERVATIONS}?sessionId={quote(turn.session_id)}&fields={FIELDS}&limit=100"
    while True:
        rows = _rows(await client.get(path))
        if _kinds(rows).items() >= OBSERVED.items() or time.monotonic() > deadline_s:
            return rows
        await asyncio.sleep(POLL_S)


def _rows(answered: Document) -> list[Row]:
    """By id, since a span that was sent twice is two rows for a while."""
    data = document(answered.body).get("data", [])
    return list({row["id"]: row for row in data}.values())


def _kinds(rows: list[Row]) -> dict[str, int]:
    kinds = [str(row.get("type")) for row in rows]
    return {kind: kinds.count(kind) for kind in kinds}


def _arrived(rows: list[Row], took_s: float) -> Finding:
    kinds = _kinds(rows)
    told = ", ".join(f"{count} {kind.lower()}" for kind, count in sorted(kinds.items()))
    if kinds.items() >= OBSERVED.items():
        return ok("arrived", f"in Langfuse after {took_s:.1f} s: {told}")
    text = f"not complete in Langfuse after {took_s:.0f} s: {told or 'nothing'}"
    return failed("arrived", text, "look at the bridge's log, and at Langfuse's worker")


def _sum_of(rows: list[Row], kind: str) -> int:
    return sum((row.get("usageDetails") or {}).get(kind, 0) for row in rows)


def _compared(name: str, is_same: bool, told: str, remedy: str) -> Finding:
    return ok(name, "as sent") if is_same else failed(name, f"not as sent: {told}", remedy)


async def _remove(client: LangfuseClient, rows: list[Row]) -> Finding:
    traces = sorted({str(row["traceId"]) for row in rows})
    answers = [await client.delete(f"{TRACES}/{trace}") for trace in traces]
    if all(answer.status in SUCCESS for answer in answers):
        return ok("removed", f"trace {', '.join(traces)}")
    text = f"Langfuse answers {answers[0].status}: {answers[0].error}"
    return warning("removed", text, f"delete trace {', '.join(traces)} in Langfuse")


def _events(turn: Turn) -> list[dict[str, object]]:
    tokens = dict(zip(_TOKENS, USAGE.values(), strict=True))
    tool = {"tool_name": "Read", "tool_use_id": f"toolu_{turn.prompt_id}", "success": "true"}
    request = {"model": MODEL, "cost_usd": COST_USD, "request_id": f"req_{turn.prompt_id}"}
    return [
        {"event.name": "user_prompt", "prompt_length": "7", "prompt": "made up"},
        {"event.name": "tool_result", "duration_ms": "10", **tool},
        {
            "event.name": "api_request",
            "duration_ms": 20,
            "query_source": "sdk",
            **request,
            **tokens,
        },
    ]


_TOKENS: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens")


def _record(turn: Turn, number: int, event: Mapping[str, object]) -> dict[str, object]:
    around = {
        "session.id": turn.session_id,
        "prompt.id": turn.prompt_id,
        "user.id": MADE_UP,
        "event.sequence": number,
    }
    at_ns = str((turn.now_ms + number) * 1_000_000)
    return {
        "timeUnixNano": at_ns,
        "observedTimeUnixNano": at_ns,
        "body": {"stringValue": f"claude_code.{event['event.name']}"},
        "attributes": _pairs({**around, **event}),
    }


def _pairs(attributes: Mapping[str, object]) -> list[dict[str, object]]:
    kinds = {str: "stringValue", int: "intValue", float: "doubleValue"}
    return [{"key": key, "value": {kinds[type(value)]: value}} for key, value in attributes.items()]
