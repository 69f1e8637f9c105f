import json

import pytest

from bridge.client.merging import difference, environment_in, merged
from bridge.client.variables import SetupError

BEFORE = """{
    "model": "opus",
    "env": {
        "FIRST": 1,
        "OTEL_LOGS_EXPORTER": "console",
        "LAST": "ü"
    },
    "hooks": {}
}
"""


def test_other_keys_their_order_and_the_indent_stay() -> None:
    after = merged(BEFORE, {"OTEL_LOGS_EXPORTER": "otlp", "NEW": "1"})
    assert after == BEFORE.replace("console", "otlp").replace('"ü"', '"ü",\n        "NEW": "1"')


def test_what_says_so_already_stays_as_it_is_to_the_byte() -> None:
    text = '{"env":{"A":"1","B":2}}'
    assert merged(text, {"A": "1"}) == text


def test_no_file_becomes_one() -> None:
    assert merged(None, {"A": "1"}) == '{\n  "env": {\n    "A": "1"\n  }\n}\n'


def test_a_file_without_environment_gets_one_at_its_end() -> None:
    assert list(json.loads(merged('{"model": "x"}', {"A": "1"}))) == ["model", "env"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"env": {},}', "no JSON"),
        ("", "no JSON"),
        ("[]", "JSON object"),
        ('{"env": []}', "object of names"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, words: str) -> None:
    with pytest.raises(SetupError, match=words):
        merged(text, {"A": "1"})


def test_numbers_and_booleans_in_the_file_are_read_as_text() -> None:
    assert environment_in({"env": {"A": 1, "B": True, "C": "x"}}) == {
        "A": "1",
        "B": "true",
        "C": "x",
    }


def test_the_difference_shows_no_token() -> None:
    headers = "OTEL_EXPORTER_OTLP_HEADERS"
    before = merged(None, {headers: "Authorization=Bearer old"})
    after = merged(before, {headers: "Authorization=Bearer new", "A": "1"})
    lines = difference(before, after, "settings.json")
    assert '+    "A": "1"' in lines
    assert not [line for line in lines if "Bearer" in line]
