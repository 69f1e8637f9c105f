"""Prometheus scrapes a running bridge: every panel has numbers, every alert is evaluated."""

import http.client
import json
import math
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.processes import Bridge, Langfuse, until
from tests.recordings import as_session
from tests.scraping import ALERTS, DASHBOARDS, SETTINGS, play, queries, work

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="needs prometheus (apt: prometheus)"
)

START_S = 30.0
EVERYTHING_S = 60.0
CONFIG = """
global: {{scrape_interval: 250ms, evaluation_interval: 1s}}
rule_files: ["{alerts}"]
scrape_configs:
  - job_name: langfuse-bridge
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


@dataclass
class Prometheus:
    """A running Prometheus, asked over its API."""

    port: int

    def get(self, path: str, **parameters: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", f"{path}?{urlencode(parameters)}")
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def is_ready(self) -> bool:
        try:
            return bool(self.get("/api/v1/status/runtimeinfo")["status"] == "success")
        except (OSError, ValueError):
            return False

    def values(self, query: str) -> list[float]:
        answer = self.get("/api/v1/query", query=query)
        assert answer["status"] == "success", answer
        return [float(series["value"][1]) for series in answer["data"]["result"]]

    def counts_up(self, metric: str) -> bool:
        return any(value > 0 for value in self.values(f"increase({metric}[1m])"))


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that has seen a bridge at work: sessions before its first scrape, and more after it."""
    folder = tmp_path_factory.mktemp("prometheus")
    with Langfuse(folder) as langfuse, Bridge(folder, langfuse.url, **SETTINGS) as bridge:
        play(bridge, work())
        with _started(folder, bridge.port) as found:
            until(lambda: found.values("langfuse_bridge_healthy"), "it has scraped", START_S)
            play(bridge, as_session(work(), 1))
            metric = "langfuse_bridge_delivery_batch_spans_count"
            until(lambda: found.counts_up(metric), "it has seen more", START_S)
            yield found


@contextmanager
def _started(folder: Path, scraped_port: int) -> Iterator[Prometheus]:
    (folder / "prometheus.yml").write_text(CONFIG.format(alerts=ALERTS, port=scraped_port))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    options = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "tsdb",
        "web.listen-address": f"127.0.0.1:{port}",
        "log.level": "error",
    }
    command = ["prometheus", *(f"--{name}={value}" for name, value in options.items())]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        found = Prometheus(port)
        until(found.is_ready, "Prometheus answers", START_S)
        yield found
    finally:
        process.terminate()
        process.wait(START_S)


@pytest.mark.timeout(EVERYTHING_S + 3 * START_S)
@pytest.mark.parametrize("query", [each for path in DASHBOARDS for each in queries(path)])
def test_a_panel_shows_numbers(prometheus: Prometheus, query: str) -> None:
    values = prometheus.values(query)
    assert values, f"nothing is found by {query}"
    assert all(math.isfinite(value) for value in values), f"{values} by {query}"


def test_what_was_added_in_a_range_is_exact(prometheus: Prometheus) -> None:
    shown = queries(next(path for path in DASHBOARDS if "usage" in path.name))
    (cost,) = [each.values[0] for each in shown if str(each.id).endswith("Total cost")]
    (sessions,) = [each.values[0] for each in shown if str(each.id).endswith("Sessions")]
    assert prometheus.values(cost) == prometheus.values("sum(langfuse_bridge_cost_usd_total)")
    assert prometheus.values(sessions) == prometheus.values("sum(langfuse_bridge_sessions_total)")


def test_every_alert_is_evaluated_without_an_error(prometheus: Prometheus) -> None:
    def rules() -> list[dict[str, Any]]:
        groups = prometheus.get("/api/v1/rules")["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    until(lambda: all(rule["health"] != "unknown" for rule in rules()), "they are evaluated")
    assert {rule["name"]: rule.get("lastError") for rule in rules() if rule["health"] != "ok"} == {}
