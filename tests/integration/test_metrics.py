"""``GET /metrics`` of a real bridge that has seen work: all that is promised, and to whom."""

import importlib.util
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.metrics.families import FAMILIES, Kind
from tests.processes import Bridge, Langfuse
from tests.recordings import cost_usd, usage
from tests.scraping import (
    ALERTS,
    CONFIG,
    DASHBOARDS,
    SETTINGS,
    named_in,
    play,
    samples,
    scrape,
    total,
    work,
)

TOKEN = "lfb_planted-token-of-ada"  # noqa: S105 - made up


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """A bridge that has done a little of everything."""
    folder = tmp_path_factory.mktemp("metrics")
    with Langfuse(folder) as langfuse, Bridge(folder, langfuse.url, **SETTINGS) as bridge:
        play(bridge, work())
        yield bridge


def test_every_metric_of_the_table_is_there_with_its_labels(bridge: Bridge) -> None:
    found = {sample.name: set(sample.labels) for sample in samples(bridge)}
    for family in FAMILIES:
        suffix = "_count" if family.kind is Kind.HISTOGRAM else ""
        labels = found.get(family.shown_name + suffix)
        assert labels is not None, f"{family.shown_name} is not shown"
        assert set(family.labels) <= labels
        assert family.tagged == ("member" in labels)


@pytest.mark.parametrize("path", [*DASHBOARDS, ALERTS], ids=lambda path: path.name)
def test_every_metric_that_a_dashboard_or_alert_names_exists(bridge: Bridge, path: Path) -> None:
    assert named_in(path)
    assert named_in(path) <= {sample.name for sample in samples(bridge)}


def test_cost_and_tokens_are_those_of_the_records(bridge: Bridge) -> None:
    costs, tokens = cost_usd(work()), usage(work())
    assert total(bridge, "cost_usd_total") == pytest.approx(float(sum(costs.values())))
    for kind in ("input", "output", "input_cached_tokens", "input_cache_creation"):
        told = sum(each.get(kind, 0) for each in tokens.values())
        assert total(bridge, "tokens_total", type=kind) == told


def test_accepted_records_are_held_or_settled(bridge: Bridge) -> None:
    ended = total(bridge, "records_settled_total") + total(bridge, "records_held")
    assert total(bridge, "records_accepted_total") == ended


def test_what_clients_send_that_is_not_known_is_told_by_name(bridge: Bridge) -> None:
    assert total(bridge, "unknown_names_total", kind="event", name="dreamt") == 1


def test_answers_are_counted_by_code_and_refusals_by_reason(bridge: Bridge) -> None:
    answers = total(bridge, "answers_total")
    assert total(bridge, "answers_total", protocol="http", code="400") == 1
    assert total(bridge, "refusals_total", reason="malformed") == 1
    assert total(bridge, "answer_seconds_count") == answers == len(work()) + 2


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (apt: prometheus)")
def test_promtool_finds_nothing_to_say_of_the_metrics(bridge: Bridge) -> None:
    _, text = scrape(bridge)
    said = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (apt: prometheus)")
@pytest.mark.parametrize(
    "arguments",
    [("config", "prometheus.yml"), ("rules", "alerts.yml")],
    ids=["the example", "the alerts"],
)
def test_promtool_takes_the_configuration(arguments: tuple[str, str]) -> None:
    kind, file = arguments
    command = ["promtool", "check", kind, file]
    said = subprocess.run(
        command, cwd=CONFIG / "prometheus", capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (apt: prometheus)")
def test_alerts_fire_when_they_should_and_not_before() -> None:
    rules = Path(__file__).with_name("alerts_test.yml")
    said = subprocess.run(
        ["promtool", "test", "rules", str(rules)], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr


def test_repetitions_and_restarts_add_nothing_to_the_usage(tmp_path: Path) -> None:
    with Langfuse(tmp_path) as langfuse, Bridge(tmp_path, langfuse.url, **SETTINGS) as bridge:
        play(bridge, work())
        names = [family.shown_name for family in FAMILIES if family.tagged]
        once = _values(bridge, names)
        bridge.post(*work())
        bridge.wait_until_settled()
        assert bridge.stop() == 0
        bridge.start()
        again = _values(bridge, names)

    assert again == once


def test_metrics_are_for_who_may_see_all_of_health(tmp_path: Path) -> None:
    with Bridge(tmp_path, tokens=f"ada:{TOKEN}") as bridge:
        proxied = {"X-Forwarded-For": "192.0.2.7"}
        assert scrape(bridge)[0] == 200
        status, text = scrape(bridge, **proxied)
        assert (status, "give Prometheus a token" in text) == (401, True)
        assert scrape(bridge, **proxied, Authorization=f"Bearer {TOKEN}")[0] == 200
        assert scrape(bridge, Origin="https://example.org")[0] == 403
        assert scrape(bridge, Host="rebound.example.org")[0] == 421


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_the_dashboards_are_those_that_the_script_writes(path: Path) -> None:
    # To renew them: .venv/bin/python config/grafana/make_dashboards.py
    spec = importlib.util.spec_from_file_location(
        "make_dashboards", CONFIG / "grafana" / "make_dashboards.py"
    )
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert path.name in script.DASHBOARDS
    assert path.read_text() == script.text(path.name)


def test_the_usage_dashboard_has_its_panels_and_filters() -> None:
    (usage_board,) = [json.loads(p.read_text()) for p in DASHBOARDS if "usage" in p.name]
    assert len(usage_board["panels"]) == 12
    names = [variable["name"] for variable in usage_board["templating"]["list"]]
    assert names == ["datasource", "member", "department"]


def _values(bridge: Bridge, names: list[str]) -> dict[str, float]:
    return {f"{s.name} {s.labels}": s.value for s in samples(bridge) if s.name in names}
