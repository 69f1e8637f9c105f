"""``langfuse-bridge provision`` as a process, against a Langfuse over HTTP."""

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.model.provisioned import TileOutcome
from bridge.provision.panels import all_panels
from tests.fakes import FakeLangfuse, Reply
from tests.processes import PUBLIC_KEY, SECRET_KEY, command

ALL = len(all_panels(None))


class Run:
    """The command against one Langfuse: ``await run("--dry-run")``."""

    def __init__(self, langfuse: FakeLangfuse, folder: Path) -> None:
        self.langfuse = langfuse
        self._folder = folder

    async def __call__(
        self, *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        keys = {"LANGFUSE_PUBLIC_KEY": PUBLIC_KEY, "LANGFUSE_SECRET_KEY": SECRET_KEY}
        values = {"LANGFUSE_BASE_URL": self.langfuse.url, **keys, **environment}
        run = asyncio.to_thread(command, "provision", *arguments, cwd=self._folder, **values)
        ended = await run
        assert "Traceback" not in ended.stderr
        assert SECRET_KEY not in ended.stdout + ended.stderr
        return ended

    async def json(self, *arguments: str, **environment: str) -> dict[str, Any]:
        ended = await self("--json", *arguments, **environment)
        assert (ended.returncode, ended.stderr) == (0, "")
        return dict(json.loads(ended.stdout))

    @property
    def writes(self) -> int:
        assert self.langfuse.dashboards is not None
        return len(self.langfuse.dashboards.writes)


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    async with FakeLangfuse() as langfuse:
        yield Run(langfuse, tmp_path)
        if langfuse.dashboards is not None:
            assert langfuse.dashboards.violations == []


async def test_the_first_run_makes_the_dashboard_and_says_where_it_is(run: Run) -> None:
    ended = await run()

    assert ended.returncode == 0
    lines = ended.stdout.splitlines()
    assert lines[:3] == [
        "dashboard\ttile\toutcome\tnote",
        "Claude Code\t-\tcreated\t",
        "Claude Code\tTotal cost\tcreated\t",
    ]
    assert len(lines) == 1 + 1 + ALL
    assert f"tiles: {ALL} created; {ALL + 1} changes written\n" in ended.stderr
    made = run.langfuse.dashboards.named("Claude Code")["id"]
    link = f"{run.langfuse.url}/project/project-1/dashboards/{made}?dateRange=30d"
    assert f"Claude Code: {link}\n" in ended.stderr


async def test_the_second_run_writes_nothing(run: Run) -> None:
    await run("--department", "Sales")
    written = run.writes

    told = await run.json("--department", "Sales")

    assert run.writes == written
    assert told["writes"] == 0
    assert {step["outcome"] for step in told["steps"]} == {"kept"}


async def test_a_dry_run_writes_nothing_and_says_what_would_be(run: Run) -> None:
    ended = await run("--dry-run", "--department", "Sales")

    assert ended.returncode == 0
    assert run.writes == 0
    assert "Claude Code: sales\tTotal cost\twould be created\t\n" in ended.stdout
    assert f"{ALL + 2} changes would be written, none was\n" in ended.stderr
    assert {call.method for call in run.langfuse.calls} == {"GET"}


async def test_a_dry_run_plans_what_the_run_then_does(run: Run) -> None:
    planned = await run.json("--dry-run")
    done = await run.json()

    assert planned["steps"] == done["steps"]
    assert planned["writes"] == done["writes"] == run.writes


async def test_each_department_has_a_dashboard_that_is_filtered_by_its_tag(run: Run) -> None:
    await run("--department", "Engineering", "--department", "Data Science")

    saved = {
        each["name"]: [it["value"] for it in each["filters"]]
        for each in run.langfuse.dashboards.dashboards.values()
    }
    assert saved == {
        "Claude Code": [],
        "Claude Code: engineering": [["department:engineering"]],
        "Claude Code: data science": [["department:data science"]],
    }


async def test_a_department_is_found_under_the_name_its_tag_has(run: Run) -> None:
    await run("--department", "Sales", BRIDGE_TAGS="member,department:unit")

    (saved,) = run.langfuse.dashboards.named("Claude Code: sales")["filters"]
    assert saved["value"] == ["unit:sales"]


async def test_departments_without_a_tag_are_a_wrong_configuration(run: Run) -> None:
    ended = await run("--department", "Sales", BRIDGE_TAGS="member")

    assert ended.returncode == 2
    assert "tags: department is not among them" in ended.stderr
    assert run.langfuse.calls == []


async def test_a_group_brings_charts_that_are_truly_grouped(run: Run) -> None:
    told = await run.json(BRIDGE_GROUP_BY="department")

    assert {"Cost by department", "Cost by department and member"} <= {
        step["tile"] for step in told["steps"]
    }


async def test_a_deleted_tile_is_told_and_stays_deleted(run: Run) -> None:
    await run()
    store = run.langfuse.dashboards
    store.delete_tile(store.named("Claude Code")["id"], "cc-versions")
    written = run.writes

    ended = await run()

    assert run.writes == written
    assert "Claude Code\tClaude Code versions\tskipped\tdeleted in Langfuse" in ended.stdout
    assert f"tiles: {ALL - 1} kept, 1 skipped; nothing to write\n" in ended.stderr


async def test_more_than_a_page_of_widgets_and_dashboards_is_read(run: Run) -> None:
    store = run.langfuse.dashboards
    chart = all_panels(None)[0].chart
    for number in range(230):
        name = f"own {number}"
        widget = {"name": name, "view": chart.view, "dimensions": [], "metrics": chart.metrics}
        widget |= {"filters": chart.filters, "chartType": "NUMBER"}
        store.answer("POST", "dashboard-widgets", {}, json.dumps(widget).encode())
        dashboard = {"name": name, "description": ""}
        store.answer("POST", "dashboards", {}, json.dumps(dashboard).encode())
    await run()

    told = await run.json()

    assert told["writes"] == 0


async def test_a_server_without_the_api_is_told_plainly(run: Run) -> None:
    run.langfuse.dashboards = None

    ended = await run()

    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "this server has no API for dashboards" in ended.stderr
    assert "update Langfuse, or make the charts by hand" in ended.stderr


async def test_wrong_keys_are_told_with_the_settings_to_correct(run: Run) -> None:
    ended = await run(LANGFUSE_PUBLIC_KEY="pk-lf-other")

    assert ended.returncode == 1
    assert "Langfuse answered 401" in ended.stderr
    assert "check LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY" in ended.stderr


async def test_without_keys_nothing_is_asked(run: Run) -> None:
    ended = await run(LANGFUSE_PUBLIC_KEY="", LANGFUSE_SECRET_KEY="")

    assert ended.returncode == 2
    assert "dashboards need the keys of a Langfuse project" in ended.stderr


async def test_a_langfuse_that_is_away_is_told_with_what_to_check(run: Run) -> None:
    ended = await run(LANGFUSE_BASE_URL="http://127.0.0.1:1")

    assert ended.returncode == 1
    assert "Langfuse cannot be reached" in ended.stderr
    assert "check LANGFUSE_BASE_URL" in ended.stderr


async def test_a_redirect_is_not_followed(run: Run) -> None:
    elsewhere = {"Location": "http://127.0.0.1:1/"}
    run.langfuse.script_route("dashboards", Reply(status=302, headers=elsewhere))

    ended = await run()

    assert ended.returncode == 1
    assert "Langfuse answered 302" in ended.stderr


@pytest.mark.parametrize("trouble", [500, "close", "lose_answer", "break_answer"])
async def test_a_run_that_fails_in_the_middle_is_completed_by_the_next(
    run: Run, trouble: int | str
) -> None:
    run.langfuse.script_route("dashboards", *[200] * 12, trouble)

    failed = await run("--department", "Sales")
    assert failed.returncode == 1
    assert f"10 of {ALL + 2} changes were written; run this again" in failed.stderr

    assert (await run("--department", "Sales")).returncode == 0
    store = run.langfuse.dashboards
    for name in ("Claude Code", "Claude Code: sales"):
        assert len(store.tiles(store.named(name)["id"])) == ALL
    assert len(store.widgets) == ALL


@pytest.mark.parametrize(
    "body",
    ["[]", "{}", "no JSON", '{"data": [{}], "meta": {"totalPages": 1}}'],
    ids=["a list", "empty", "text", "without names"],
)
async def test_an_answer_of_another_kind_is_told_and_nothing_is_written(
    run: Run, body: str
) -> None:
    run.langfuse.script_route("dashboards", Reply(status=201, body=body))

    ended = await run()

    assert ended.returncode == 1
    assert "is not what 4.16.0 answers" in ended.stderr
    assert run.writes == 0


async def test_what_langfuse_would_have_taken_is_repeated(run: Run) -> None:
    details = {"field": "measure", "allowedValues": ["count", "latency"]}
    body = json.dumps({"message": "Invalid measure", "code": "invalid_body", "details": details})
    run.langfuse.script_route("dashboards", 200, 200, Reply(status=400, body=body))

    ended = await run()

    assert 'It says: "Invalid measure measure may be: count, latency"' in ended.stderr


async def test_a_rate_limit_is_waited_out(run: Run) -> None:
    limited = Reply(status=429, headers={"Retry-After": "0"})
    run.langfuse.script_route("dashboards", 200, 200, limited)

    ended = await run()

    assert ended.returncode == 0
    assert "Langfuse's rate limit is reached; going on in" in ended.stderr
    assert run.writes == ALL + 1


async def test_the_readme_shows_what_the_command_prints(run: Run) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    section = readme.split("## Dashboards in Langfuse")[1].split("\n### ")[0]
    shown, remarks = re.findall(r"```text\n(.*?)```", section, re.DOTALL)

    ended = await run("--department", "Engineering", "--department", "Sales")

    assert set(shown.splitlines()) <= set(ended.stdout.splitlines())
    made = run.langfuse.dashboards.named("Claude Code")["id"]
    told = ended.stderr.replace(run.langfuse.url, "https://cloud.langfuse.com")
    told = told.replace("project-1", "PROJECT").replace(f"{made}?", "ID?")
    assert set(remarks.splitlines()) <= set(told.splitlines())
    outcomes = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    assert outcomes == set(TileOutcome)
