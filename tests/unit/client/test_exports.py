from collections.abc import Mapping

import pytest

from bridge.client.exports import Receiving, findings
from bridge.client.layers import SHELL, Layer
from bridge.client.variables import Wanted, environment_of
from bridge.model.findings import Finding, State

HERE = "http://127.0.0.1:4318"
WORKING = environment_of(
    Wanted(endpoint=HERE, attributes={"member": "alex"}, token="lfb_abc")  # noqa: S106  made up
)


def found(
    *layers: Layer, grpc: str | None = "http://127.0.0.1:4317", needs_token: bool = True
) -> list[Finding]:
    def admits(headers: Mapping[str, str]) -> bool:
        return not needs_token or headers.get("authorization") == "Bearer lfb_abc"

    return list(findings(layers, Receiving(HERE, grpc, admits)))


def shell(**changed: str | None) -> Layer:
    environment: dict[str, str | None] = {**WORKING, **changed}
    return Layer(
        name=SHELL, environment={name: value for name, value in environment.items() if value}
    )


def test_what_the_command_sets_up_is_well() -> None:
    assert {each.state for each in found(shell())} == {State.OK}


@pytest.mark.parametrize(
    ("name", "value", "check", "state", "words"),
    [
        ("CLAUDE_CODE_ENABLE_TELEMETRY", None, "telemetry", State.FAILED, "is not set"),
        ("CLAUDE_CODE_ENABLE_TELEMETRY", "0", "telemetry", State.FAILED, "=0 (the shell)"),
        ("OTEL_LOGS_EXPORTER", "console", "logs", State.FAILED, "=console"),
        ("OTEL_METRICS_EXPORTER", "none", "metrics", State.WARNING, "no active time"),
        ("OTEL_TRACES_EXPORTER", "otlp", "spans", State.WARNING, "half set up"),
        ("CLAUDE_CODE_ENHANCED_TELEMETRY_BETA", "1", "spans", State.WARNING, "half set up"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http", "protocol", State.FAILED, "=http "),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "protocol", State.WARNING, "lost"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "endpoint", State.WARNING, "not this bridge"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", None, "endpoint", State.FAILED, "is not set"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", f"{HERE}/v1/logs", "endpoint", State.FAILED, "one signal"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x:4318", "endpoint", State.WARNING, "not this"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x:port", "endpoint", State.WARNING, "not this"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://x/y", "endpoint", State.WARNING, "_LOGS_"),
        ("OTEL_EXPORTER_OTLP_HEADERS", None, "token", State.FAILED, "is not set"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=no", "token", State.FAILED, "does not know"),
        ("OTEL_RESOURCE_ATTRIBUTES", None, "attributes", State.WARNING, "nobody is told"),
        ("OTEL_RESOURCE_ATTRIBUTES", "member=A B", "attributes", State.WARNING, "drops member"),
    ],
)
def test_each_reason_for_silence_is_named_with_a_remedy(
    name: str, value: str | None, check: str, state: State, words: str
) -> None:
    matching = [each for each in found(shell(**{name: value})) if each.name == check]
    assert [each for each in matching if each.state is state and words in each.text and each.remedy]


def test_localhost_is_the_same_as_its_address() -> None:
    told = found(shell(OTEL_EXPORTER_OTLP_ENDPOINT="http://localhost:4318/"))
    assert {each.state for each in told} == {State.OK}


def test_grpc_to_a_bridge_without_it_fails() -> None:
    told = found(shell(OTEL_EXPORTER_OTLP_PROTOCOL="grpc"), grpc=None)
    assert [each.name for each in told if each.state is State.FAILED] == ["endpoint"]


def test_a_bridge_that_needs_no_token_takes_none() -> None:
    told = found(shell(OTEL_EXPORTER_OTLP_HEADERS=None), needs_token=False)
    assert {each.state for each in told} == {State.OK}


def test_attributes_that_a_settings_file_replaces_are_named() -> None:
    file = Layer(name="/s.json", environment={"OTEL_RESOURCE_ATTRIBUTES": "team=x"})
    (told,) = [each for each in found(shell(), file) if each.state is not State.OK]
    assert told.text == "member=alex of the shell is replaced by /s.json"


def test_a_settings_file_that_cannot_be_read_fails() -> None:
    broken = Layer(name="/s.json", environment={}, trouble="it is no JSON")
    (told,) = [each for each in found(shell(), broken) if each.state is State.FAILED]
    assert told.text == "/s.json: it is no JSON"


def test_no_finding_tells_the_token() -> None:
    told = found(shell(OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer lfb_planted"))
    assert "lfb_planted" not in repr(told)
