"""Secrets are masked wherever they stand, and nothing else is."""

import json
import re
import time
from collections import Counter

import pytest
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.decode.content import ContentPolicy
from bridge.decode.records import Decoder
from bridge.decode.redaction import MAX_DEPTH, MOST_MATCHES, Redactor
from bridge.model.events import Record, ToolResult
from tests.builders import a_prompt, a_result, an_event
from tests.pipeline import ALL_CAPTURES, batch, capture_requests

REDACTOR = Redactor()
HEX = "0123456789abcdef" * 4
KEY_LINE = "MIIEpAIBAAKCAQEA7bq0Pm3VtZ1X9n2w" * 2

SECRETS = {
    "anthropic_api_key": f"sk-ant-api03-{HEX[:40]}-AA",
    "openai_api_key": f"sk-proj-{HEX[:40]}",
    "langfuse_key": "sk-lf-01234567-89ab-cdef-0123-456789abcdef",
    "bridge_token": f"lfb_{HEX[:32]}",
    "github_token": f"ghp_{HEX[:36]}",
    "gitlab_token": "glpat-a1B2c3D4e5F6g7H8i9J0",
    "aws_access_key": "AKIAIOSFODNN7EXAMPLE",
    "slack_token": "xoxb-123456789012-abcdefABCDEF",
    "stripe_key": f"sk_live_{HEX[:24]}",
    "google_api_key": "AIzaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
    "npm_token": f"npm_{HEX[:36]}",
    "pypi_token": f"pypi-AgEIcHlwaS5vcmc{HEX}{HEX}",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N",
    "azure_key": f"AccountKey={'Ab1+' * 22}",
    "twilio_key": f"SK{HEX[:32]}",
    "sendgrid_key": f"SG.{'a1B2' * 5}cd.{'e5F6' * 10}ghi",
}
ASSIGNED = [
    ("psql postgres://ann:{}@db/x", "url_password"),
    ("mysql -u root -p{} shop", "password"),
    ("sshpass -p {} ssh host", "password"),
    ("docker login -u ann -p {} ghcr.io", "password"),
    ("curl -u ann:{} https://x", "password"),
    ("deploy --password {} --force", "secret"),
    ("deploy --api-key={}", "secret"),
    ("export DB_PASSWORD={}", "secret"),
    ("password: {}", "secret"),
    ('{{\\"db_password\\": \\"{}\\"}} and more', "secret"),
    ("Server=db;User=ann;Pwd={};", "secret"),
    ("machine x login ann password {}", "password"),
    ("curl -H 'Authorization: Bearer {}'", "authorization"),
    ("Set-Cookie: sid={}", "cookie"),
]
HARMLESS = [
    "5e551011-0000-4000-8000-000000000001",
    "toolu_01AbCdEfGhIjKlMnOpQrStUv",
    "req_011CabcDEFghiJKLmnoPQRst",
    "claude-opus-5-5-20260101",
    "commit 3f2a9c8e7d6b5a4f3e2d1c0b9a8f7e6d5c4b3a2f",
    "def login(password: str, token: str | None = None) -> None:",
    "connect(password=password, token=settings.token, key=get_key())",
    "password = getpass.getpass()",
    "the task-management-system of risk-2024-assessment",
    "max_tokens=4096 input_tokens: 512 token_count: 3",
    "http://localhost:3000/path http://127.0.0.1:4318",
    "export TOKEN=$GITHUB_TOKEN PASSWORD=${PASSWORD}",
    "basic understanding, bearer of good news",
    '{"cost": 1.10, "n": 12345678901234567890123}',
]


def masked(text: str, redactor: Redactor = REDACTOR) -> tuple[str, dict[str, int]]:
    found: Counter[str] = Counter()
    return redactor.value(text, found), dict(found)


@pytest.mark.parametrize("kind", SECRETS)
def test_a_key_is_masked_by_its_kind(kind: str) -> None:
    assert masked(f"use {SECRETS[kind]} please")[1] == {kind: 1}
    assert SECRETS[kind][-12:] not in masked(f"use {SECRETS[kind]} please")[0]


@pytest.mark.parametrize("kind", SECRETS)
def test_a_key_behind_an_escaped_newline_is_masked(kind: str) -> None:
    assert SECRETS[kind][-12:] not in masked(rf"…cut\n{SECRETS[kind]}\nmore")[0]


@pytest.mark.parametrize("kind", [kind for kind in SECRETS if kind != "twilio_key"])
def test_what_a_cut_left_of_a_key_is_masked(kind: str) -> None:
    visible = SECRETS[kind][: len(SECRETS[kind]) * 3 // 4]
    assert visible not in masked(f"it is {visible}")[0]


@pytest.mark.parametrize(("text", "kind"), ASSIGNED)
def test_a_password_is_masked_where_its_place_tells_it(text: str, kind: str) -> None:
    shown, found = masked(text.format("hunter2-Xy77"))
    assert found == {kind: 1}
    assert shown == text.format(f"[redacted:{kind}]")


@pytest.mark.parametrize("text", HARMLESS)
def test_ids_names_numbers_and_code_stay_as_they_are(text: str) -> None:
    assert masked(text) == (text, {})


@pytest.mark.parametrize("newline", ["\n", "\\n", "\\\\n", "\n     7→"])
def test_a_private_key_is_masked_whole_or_as_far_as_it_goes(newline: str) -> None:
    lines = ["-----BEGIN RSA PRIVATE KEY-----", KEY_LINE, KEY_LINE]
    whole = newline.join([*lines, "-----END RSA PRIVATE KEY-----"])
    cut = newline.join([*lines, KEY_LINE[:20]])
    assert masked(f"a {whole} b")[0] == "a [redacted:private_key] b"
    assert masked(f"a {cut}")[0] == "a [redacted:private_key]"


def test_json_stays_json_and_keys_tell_what_their_values_are() -> None:
    document = {"password": 'a"b\\c', "pin": 5, "db": {"api_key": 1234}, "l": ["x", "Pwd=s3cret77"]}
    shown, found = masked(json.dumps(document))
    assert json.loads(shown) == {
        "password": "[redacted:secret]",
        "pin": 5,
        "db": {"api_key": "[redacted:secret]"},
        "l": ["x", "Pwd=[redacted:secret]"],
    }
    assert found == {"secret": 3}


def test_json_escapes_and_nesting_hide_nothing() -> None:
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in SECRETS["github_token"])
    inner = json.dumps({"a": json.dumps({"command": f"git clone {SECRETS['github_token']}"})})
    for text in (f'{{"a": "{escaped}"}}', inner):
        event = an_event(a_result(0, more={"tool_input": text}), ContentPolicy.REDACTED)
        assert isinstance(event, ToolResult)
        assert "[redacted:github_token]" in str(event.arguments)
        assert event.attributes["redacted"] == 1
        assert event.attributes["redacted.github_token"] == 1


def test_what_is_nested_too_deep_to_be_read_is_masked() -> None:
    deep = '{"a":' * (MAX_DEPTH + 1) + '"x"' + "}" * (MAX_DEPTH + 1)
    assert masked(deep)[1] == {"too_deep": 1}


def test_more_secrets_than_anyone_writes_are_masked_unread() -> None:
    shown, found = masked(f"{SECRETS['github_token']} " * (MOST_MATCHES + 5) + "tail")
    assert shown.endswith("[redacted:rest]")
    assert found["github_token"] == MOST_MATCHES


def test_masked_text_is_masked_once() -> None:
    for text in [*SECRETS.values(), *(text.format("hunter2-Xy77") for text, _ in ASSIGNED)]:
        once, _ = masked(text)
        assert masked(once) == (once, {})


def test_emails_and_own_patterns_are_masked_where_asked_for() -> None:
    redactor = Redactor([r"EMP-\d{6}"], emails=True)
    text = "EMP-123456 is ann@example.com, see git@github.com:team/repo"
    assert masked(text) == (text, {})
    shown, _ = masked(text, redactor)
    assert shown == "[redacted:pattern] is [redacted:email], see git@github.com:team/repo"


@pytest.mark.parametrize("capture", ALL_CAPTURES)
def test_nothing_in_a_real_session_is_taken_for_a_secret(capture: str) -> None:
    full, redacted = (
        Decoder(policy=policy, tag_attributes=frozenset())
        for policy in (ContentPolicy.FULL, ContentPolicy.REDACTED)
    )
    for request in capture_requests(capture):
        assert list(redacted.decode(request)) == list(full.decode(request))


LEFT_TO_OTHERS = {
    "IPPublicDetector": "addresses are no secrets",
    "CloudantDetector": "its bare words of 24 letters are words",
    "IbmCloudIamDetector": "any name that ends with key or pass",
    "IbmCosHmacDetector": "covered by the names of values",
    "SoftlayerDetector": "covered by the names of values",
}
THEIRS = [
    (plugin.__name__, pattern.pattern)
    for plugin in get_mapping_from_secret_type_to_class().values()
    for pattern in getattr(plugin, "denylist", [])
    if plugin.__name__ not in LEFT_TO_OTHERS and not pattern.pattern.startswith("BEGIN ")
    # AP and three letters or digits begin too many words; the first lines of keys stand alone.
    and "AP[" not in pattern.pattern and "SSH" not in pattern.pattern
    and "PuTTY" not in pattern.pattern
]  # fmt: skip


@pytest.mark.parametrize(("plugin", "pattern"), THEIRS)
def test_what_detect_secrets_recognises_is_masked(plugin: str, pattern: str) -> None:
    simple = re.sub(r"\(\?![^)]*\)", "", pattern).replace("{20,50}", "{20,30}")

    @settings(max_examples=20, deadline=None, database=None, derandomize=True)
    @given(st.from_regex(re.compile(simple, re.ASCII), fullmatch=True))
    def every_one(secret: str) -> None:
        # Without a digit it may be a word; quotes and line ends are the end of any value.
        if any(map(str.isdigit, secret)) and not set(secret) & set("\"'<>\\\n"):
            assert "[redacted:" in masked(f" {secret} ")[0], (plugin, secret)

    every_one()


NEAR_MISSES = [
    "a", "sk-", "eyJaaaaaaaa", "://a:", "://a:b@", "-----BEGIN PRIVATE KEY-----", 'password: "',
    "password='a\\", "--token ", "mysql -x ", "curl -u a ", "cookie: a", "aws key '", "a@", "a@b.",
    "login a password b ", "authorization: bearer ", "M" * 26 + ".", "1234567890:", "[", '{"a":',
    "\\", " ", "\n", "\\u0041", "\0", "é", "…", "secret.secret_key=", "basic aaaa",
]  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "size"), [*((unit, 500_000) for unit in NEAR_MISSES), ("eyJaaaaaaaa", 10_000_000)]
)
def test_no_text_takes_more_time_than_its_length_explains(unit: str, size: int) -> None:
    """Texts that almost match, with a secret at their end that is masked all the same."""
    secret = SECRETS["github_token"]
    text = (unit * (size // len(unit) + 1))[:size] + f" \n{secret}"
    began_s = time.process_time()
    shown, _ = masked(text, Redactor(emails=True))
    assert time.process_time() - began_s < size * 4e-6, "four microseconds for a byte"
    assert secret not in shown


def test_no_attribute_of_a_client_widens_the_policy() -> None:
    secret = SECRETS["github_token"]
    record = a_prompt(
        0, secret, {"content": "full", "BRIDGE_CONTENT": "full", "redacted": False, "a": secret},
        resource={"bridge.content": "full", "content": "full"},
    )  # fmt: skip
    decoder = Decoder(policy=ContentPolicy.REDACTED, tag_attributes=frozenset())
    (item,) = decoder.decode(batch([record]))
    assert isinstance(item, Record)
    assert secret not in repr(item)
    assert item.event.attributes["redacted"] == 2
