import pytest

from bridge.client.variables import (
    ATTRIBUTES,
    HEADERS,
    Exported,
    SetupError,
    Wanted,
    attributes_of,
    base_address,
    dropped,
    environment_of,
    written_attributes,
)

HERE = "http://127.0.0.1:4318"


def wanted(**changed: object) -> Wanted:
    return Wanted(**{"endpoint": HERE, "attributes": {}} | changed)  # type: ignore[arg-type]  # of many types


def test_the_least_sends_logs_and_metrics_without_texts() -> None:
    assert environment_of(wanted()) == {
        "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_ENDPOINT": HERE,
        "OTEL_LOG_USER_PROMPTS": "0",
        "OTEL_LOG_ASSISTANT_RESPONSES": "0",
        "OTEL_LOG_TOOL_DETAILS": "0",
        "OTEL_LOG_TOOL_CONTENT": "0",
    }


def test_the_most_adds_spans_texts_token_and_who_it_is() -> None:
    environment = environment_of(
        wanted(
            grpc=True,
            traces=True,
            content=Exported.FULL,
            token="lfb_abc",  # noqa: S106  made up
            attributes={"member": "alex", "team.id": "a b"},
        )
    )
    assert environment["OTEL_EXPORTER_OTLP_PROTOCOL"] == "grpc"
    assert environment["OTEL_TRACES_EXPORTER"] == "otlp"
    assert environment["CLAUDE_CODE_ENHANCED_TELEMETRY_BETA"] == "1"
    assert environment[HEADERS] == "Authorization=Bearer lfb_abc"
    assert environment[ATTRIBUTES] == "member=alex,team.id=a%20b"
    assert environment["OTEL_LOG_TOOL_CONTENT"] == "1"


def test_prompts_are_prompts_and_answers_and_nothing_of_tools() -> None:
    environment = environment_of(wanted(content=Exported.PROMPTS, traces=True))
    logged = {name for name, value in environment.items() if "_LOG_" in name and value == "1"}
    assert logged == {"OTEL_LOG_USER_PROMPTS", "OTEL_LOG_ASSISTANT_RESPONSES"}


def test_what_tools_returned_needs_spans() -> None:
    assert environment_of(wanted(content=Exported.FULL))["OTEL_LOG_TOOL_CONTENT"] == "0"


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("bridge:4318", "http:// or https://"),
        ("http://bridge:port", "http:// or https://"),
        ("http://bridge:0", "http:// or https://"),
        ("http://bridge:4318/v1/logs", "appends /v1/logs"),
    ],
)
def test_an_address_that_nothing_would_arrive_at_is_refused(endpoint: str, words: str) -> None:
    with pytest.raises(SetupError, match=words):
        base_address(endpoint)


def test_an_address_may_have_a_path() -> None:
    assert base_address("https://bridge.example/otlp/") == "https://bridge.example/otlp"


@pytest.mark.parametrize("token", ["", "two words", "a,b", "a\nb", "ü"])
def test_a_token_that_cannot_stand_in_a_header_is_refused(token: str) -> None:
    with pytest.raises(SetupError, match="without spaces and commas"):
        environment_of(wanted(token=token))


def test_attributes_are_written_as_the_client_keeps_them_and_read_back_the_same() -> None:
    attributes = {"member": "Alex Doe", "department": "r&d, x;y", "team": 'dü"\\%20'}
    written = written_attributes(attributes)
    assert written.startswith("member=Alex%20Doe,department=r&d%2C%20x%3By,team=d%C3%BC%22%5C%2520")
    assert attributes_of(written) == attributes
    assert dropped(written) == {}


def test_attributes_that_the_client_would_drop_are_named_with_what_to_write() -> None:
    assert dropped("member=Alex Doe,ok=1/2%20x,team=dü") == {
        "member": "member=Alex%20Doe",
        "team": "team=d%C3%BC",
    }


def test_attributes_without_a_value_are_refused() -> None:
    with pytest.raises(SetupError, match="KEY=VALUE"):
        attributes_of("member")
