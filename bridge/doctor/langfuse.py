"""Langfuse as it answers: reachable, which version, whose keys, what can be read back."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, Final

from bridge.doctor.subject import Subject
from bridge.errors import BridgeError
from bridge.langfuse.client import LangfuseClient, LangfuseTarget, connect
from bridge.langfuse.retry import Answer
from bridge.model.findings import Finding, failed, ok, warning

OBSERVATIONS: Final = "/api/public/v2/observations"
TRACES: Final = "/api/public/traces"
SUCCESS: Final = range(200, 300)
ABSENT: Final = 404
REFUSED: Final = (401, 403)
OLDEST_MAJOR: Final = 4
EVENTS_ONLY: Final = "events_only"


def langfuse(subject: Subject) -> Iterator[Finding]:
    """All that can be told of the server and the project."""
    target = subject.target
    if target is None:
        remedy = "set LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY"
        yield warning("Langfuse", "no keys: traces are kept and shown here only", remedy)
        return
    try:
        yield from asyncio.run(_asked(target))
    except BridgeError as error:
        yield failed("Langfuse", *str(error).split(". ", 1))


def document(body: bytes) -> dict[str, Any]:
    """A JSON object; empty when it is none."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


async def _asked(target: LangfuseTarget) -> list[Finding]:
    async with connect(target) as client:
        health = await client.get_health()
        if health.answer.status is None:
            remedy = "check LANGFUSE_BASE_URL, HTTPS_PROXY and NO_PROXY"
            text = f"{target.base_url} does not answer: {health.answer.error}"
            return [failed("Langfuse", text, remedy)]
        version = document(health.body).get("version")
        projects = await client.get("/api/public/projects")
        findings = [_version(target.base_url, version), _project(projects.answer, projects.body)]
        if projects.answer.status in SUCCESS:
            findings.append(await _mode(client))
        return findings


def _version(base_url: str, version: object) -> Finding:
    if not isinstance(version, str):
        return failed("Langfuse", f"{base_url} is no Langfuse", "check LANGFUSE_BASE_URL")
    major = version.partition(".")[0]
    if major.isdecimal() and int(major) < OLDEST_MAJOR:
        remedy = "update it: the bridge is made for Langfuse 4 and Langfuse Cloud"
        return warning("Langfuse", f"{base_url}, version {version}", remedy)
    return ok("Langfuse", f"{base_url}, version {version}")


def _project(answer: Answer, body: bytes) -> Finding:
    if answer.status in REFUSED:
        remedy = "take the keys of a project (not of an organisation) at this LANGFUSE_BASE_URL"
        return failed("keys", f"Langfuse answers {answer.status}: {answer.error}", remedy)
    names = [project.get("name") for project in document(body).get("data", [])]
    if answer.status not in SUCCESS or not names:
        text = f"Langfuse answers {answer.status or 'nothing'}: {answer.error}"
        return failed("keys", text, "check LANGFUSE_BASE_URL, and try again")
    return ok("keys", f"accepted, project {names[0]}")


async def _mode(client: LangfuseClient) -> Finding:
    """Which of the two data models answers: without the newer one nothing can be read back."""
    newer = await client.get(f"{OBSERVATIONS}?limit=1")
    if newer.answer.status == ABSENT:
        text = "the server has no v2/observations"
        return warning("data model", text, "nothing; `doctor --send` cannot read back there")
    if newer.answer.status not in SUCCESS:
        text = f"reading is answered {newer.answer.status}: {newer.answer.error}"
        return warning("data model", text, "try again later")
    older = await client.get(f"{TRACES}?limit=1")
    is_only = older.answer.status == ABSENT and EVENTS_ONLY in older.answer.error
    return ok("data model", "v4 (events_only)" if is_only else "v4 beside v3 (dual)")
