"""A bridge's metrics as Prometheus would read them, and what is played into it to have them all."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.processes import Bridge, Client, until
from tests.recordings import JSON, Body, capture

CONFIG = Path(__file__).parents[1] / "config"
DASHBOARDS = sorted((CONFIG / "grafana").glob("*.json"))
ALERTS = CONFIG / "prometheus" / "alerts.yml"
NAME = re.compile(r"\blangfuse_bridge_\w+")

SETTINGS: dict[str, float | str] = {"session_idle_s": 0.5}
"""A summary comes at once, and with it what is counted of a session's metrics."""

WORK = ("2.1.330/b-tools-full", "2.1.330/c-denied", "2.1.330/h-commit")
DREAM = Body(
    name="an event that nobody knows",
    signal="logs",
    content_type=JSON,
    gzipped=False,
    data=json.dumps(
        {
            "resourceLogs": [
                {
                    "scopeLogs": [
                        {
                            "scope": {"name": "com.anthropic.claude_code.events"},
                            "logRecords": [
                                {
                                    "timeUnixNano": "1795331975000000000",
                                    "attributes": [
                                        {"key": name, "value": {"stringValue": value}}
                                        for name, value in (
                                            ("event.name", "dreamt"),
                                            ("session.id", "a-dreamer"),
                                        )
                                    ],
                                }
                            ],
                        }
                    ]
                }
            ]
        }
    ).encode(),
)
MALFORMED = Body(name="no JSON", signal="logs", content_type=JSON, gzipped=False, data=b"{")


def work() -> list[Body]:
    """Bodies of sessions that do a little of everything."""
    return [body for name in WORK for body in capture(name)]


def play(bridge: Bridge, bodies: Iterable[Body]) -> None:
    """Post what leads to every metric, and wait until it has led there."""
    sessions = total(bridge, "sessions_total")
    bridge.post(*bodies, DREAM)
    client = Client(bridge.port)
    assert client.post(MALFORMED) == 400
    client.close()
    bridge.wait_until_settled()
    until(lambda: total(bridge, "sessions_total") > sessions, "summaries are made")
    bridge.wait_until_settled()
    delivered = bridge.health()["delivered"]
    until(lambda: total(bridge, "delivery_batch_spans_sum") >= delivered, "deliveries are counted")


def scrape(bridge: Bridge, **headers: str) -> tuple[int, str]:
    """Status and body of ``/metrics``."""
    connection = bridge.connection()
    try:
        connection.request("GET", "/metrics", headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def samples(bridge: Bridge) -> list[Sample]:
    """Every sample of a scrape, read by Prometheus' own client."""
    status, text = scrape(bridge)
    assert status == 200, text
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def total(bridge: Bridge, name: str, /, **labels: str) -> float:
    """The sum over a metric's series with these labels."""
    return sum(
        sample.value
        for sample in samples(bridge)
        if sample.name == f"langfuse_bridge_{name}" and labels.items() <= sample.labels.items()
    )


def named_in(path: Path) -> set[str]:
    """Metrics of ours that a file of Grafana or Prometheus names."""
    return set(NAME.findall(path.read_text()))


def queries(path: Path) -> list[str]:
    """Every panel's queries, with Grafana's variables as a person's first look has them."""
    values = {
        "$__rate_interval": "1m",
        "$__interval": "1m",
        "$__range": "1h",
        "$member": ".*",
        "$department": ".*",
    }
    found = []
    for panel in json.loads(path.read_text())["panels"]:
        for target in panel["targets"]:
            expression = target["expr"]
            for variable, value in values.items():
                expression = expression.replace(variable, value)
            found.append(pytest.param(expression, id=f"{path.stem}: {panel['title']}"))
    return found
