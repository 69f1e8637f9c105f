from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from bridge.config import Config, Content, LogFormat, LogLevel, Tag, User, load
from bridge.errors import ConfigError
from bridge.model.tokens import digest_of

KEYS = {"LANGFUSE_PUBLIC_KEY": "pk-lf-1", "LANGFUSE_SECRET_KEY": "sk-lf-planted"}


def write(folder: Path, text: str, name: str = "config/bridge.toml") -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def loaded(folder: Path, environ: Mapping[str, str] | None = None, **options: object) -> Config:
    return load(options, environ or {}, folder).config


def problems(
    folder: Path, environ: Mapping[str, str] | None = None, **options: object
) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(options, environ or {}, folder)
    return caught.value.problems


def test_nothing_set_gives_the_documented_defaults(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    assert config.model_dump(exclude={"data_dir"}) == {
        "langfuse_base_url": "https://cloud.langfuse.com",
        "langfuse_public_key": None,
        "langfuse_secret_key": None,
        "host": "127.0.0.1",
        "port": 4318,
        "grpc_port": 4317,
        "tokens": (),
        "tokens_file": None,
        "insecure_bind": False,
        "rate_limit": 0.0,
        "allowed_hosts": "",
        "tls_cert": None,
        "tls_key": None,
        "tls_client_ca": None,
        "max_connections": 1024,
        "ca_file": None,
        "tags": (
            Tag("member", "member"),
            Tag("department", "department"),
            Tag("team.id", "team"),
            Tag("cost_center", "cost_center"),
        ),
        "group_by": "",
        "content": Content.FULL,
        "redact_patterns": (),
        "redact_emails": False,
        "user": User.PLAIN,
        "user_key": None,
        "join_traces": False,
        "forward_other_spans": False,
        "environment": "",
        "settle_s": 3.0,
        "quiet_s": 30.0,
        "idle_s": 1800.0,
        "span_settle_s": 15.0,
        "session_idle_s": 1800.0,
        "retention_days": 7.0,
        "log_level": LogLevel.INFO,
        "log_format": LogFormat.AUTO,
        "max_body_mb": 64.0,
        "max_disk_mb": 2048.0,
    }
    assert config.data_dir.name == "langfuse-bridge"
    assert not config.delivers


def test_each_source_wins_over_the_one_before(tmp_path: Path) -> None:
    write(tmp_path, "port = 1\nquiet_s = 1\nidle_s = 1\n")
    result = load(
        {"port": "3", "host": None}, {"BRIDGE_PORT": "2", "BRIDGE_QUIET_S": "2"}, tmp_path
    )
    config = result.config
    assert (config.port, config.quiet_s, config.idle_s, config.settle_s) == (3, 2.0, 1.0, 3.0)
    assert {name: result.sources[name] for name in ("port", "quiet_s", "idle_s", "host")} == {
        "port": "--port",
        "quiet_s": "BRIDGE_QUIET_S",
        "idle_s": "idle_s in config/bridge.toml",
        "host": "default",
    }


@pytest.mark.parametrize(
    ("environ", "options"),
    [
        ({"BRIDGE_CONFIG": "mine.toml"}, {}),
        ({"BRIDGE_CONFIG": "other.toml"}, {"config": "mine.toml"}),
    ],
    ids=["by variable", "by option, which wins"],
)
def test_another_file_can_be_named(
    tmp_path: Path, environ: dict[str, str], options: dict[str, object]
) -> None:
    write(tmp_path, "port = 1")
    write(tmp_path, "port = 2", "mine.toml")
    assert loaded(tmp_path, environ, **options).port == 2


def test_a_named_file_that_is_missing_is_a_problem(tmp_path: Path) -> None:
    assert problems(tmp_path, {"BRIDGE_CONFIG": "gone.toml"}) == [
        "gone.toml: there is no such file"
    ]


@pytest.mark.parametrize("content", [b"port = = 1", b"host = '\xff'"], ids=["syntax", "encoding"])
def test_a_file_that_is_no_toml_is_a_problem_beside_the_others(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "bad.toml").write_bytes(content)
    bad_file, bad_port = problems(tmp_path, {"BRIDGE_PORT": "x"}, config="bad.toml")
    assert bad_file.startswith("bad.toml: is no TOML: ")
    assert bad_port.startswith("BRIDGE_PORT: ")


def test_everything_wrong_anywhere_is_reported_at_once_as_the_user_wrote_it(tmp_path: Path) -> None:
    write(tmp_path, 'prot = 4318\nport = "many"\nsettle_s = true\n[proxy]\nhost = "x"\n')
    environ = {"BRIDGE_PORT": "4319", "BRIDGE_QUIET_S": "-1", "LANGFUSE_HOST": "example.com"}
    assert problems(tmp_path, {**environ, "LANGFUSE_PUBLIC_KEY": "pk"}, log_level="loud") == [
        (
            "port in config/bridge.toml: should be a valid integer, "
            "unable to parse string as an integer; it is 'many'"
        ),
        "settle_s in config/bridge.toml: should be a number; it is True",
        "prot in config/bridge.toml: is not a setting; did you mean port?",
        "proxy in config/bridge.toml: is not a setting",
        "LANGFUSE_HOST: should be an http:// or https:// address",
        "BRIDGE_QUIET_S: should be greater than or equal to 0; it is '-1'",
        "--log-level: should be 'debug', 'info', 'warning' or 'error'; it is 'loud'",
        "LANGFUSE_SECRET_KEY: is missing, though LANGFUSE_PUBLIC_KEY is set; set both or neither",
    ]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BRIDGE_PORT", "65536"),
        ("BRIDGE_PORT", "-1"),
        ("BRIDGE_PORT", "43.18"),
        ("BRIDGE_SETTLE_S", "nan"),
        ("BRIDGE_QUIET_S", "inf"),
        ("BRIDGE_IDLE_S", "1e300"),
        ("BRIDGE_IDLE_S", "30m"),
        ("BRIDGE_RETENTION_DAYS", "0"),
        ("BRIDGE_MAX_BODY_MB", "0"),
        ("BRIDGE_MAX_CONNECTIONS", "0"),
        ("BRIDGE_ALLOWED_HOSTS", "http://bridge"),
        ("BRIDGE_ALLOWED_HOSTS", "bridge:4318"),
        ("BRIDGE_CA_FILE", "~nobody-of-this-name/x"),
        ("BRIDGE_CONTENT", "masked"),
        ("BRIDGE_USER", "anonymous"),
        ("BRIDGE_LOG_FORMAT", "xml"),
        ("BRIDGE_TAGS", "member,,team"),
        ("BRIDGE_TAGS", "team.id:"),
        ("BRIDGE_TAGS", "team,team.id:team"),
        ("BRIDGE_GROUP_BY", "member,team"),
        ("BRIDGE_ENVIRONMENT", "langfuse-dev"),
        ("BRIDGE_ENVIRONMENT", "two words"),
        ("BRIDGE_ENVIRONMENT", "x" * 41),
        ("BRIDGE_TOKENS", "no-name"),
        ("BRIDGE_TOKENS", "ada:one,ada:two"),
        ("BRIDGE_TOKENS_FILE", "~nobody-of-this-name/x"),
        ("BRIDGE_RATE_LIMIT", "-1"),
        ("BRIDGE_INSECURE_BIND", "perhaps"),
        ("BRIDGE_DATA_DIR", "~nobody-of-this-name/x"),
        ("LANGFUSE_BASE_URL", "cloud.langfuse.com"),
        ("LANGFUSE_BASE_URL", "https://"),
        ("LANGFUSE_BASE_URL", "https://h:99999"),
        ("LANGFUSE_BASE_URL", "https://h/?project=1"),
    ],
)
def test_a_wrong_value_is_a_problem_under_its_variables_name(
    tmp_path: Path, variable: str, value: str
) -> None:
    (problem,) = problems(tmp_path, {variable: value})
    assert problem.startswith(f"{variable}: ")


@pytest.mark.parametrize(
    ("variable", "value", "setting", "expected"),
    [
        ("BRIDGE_PORT", "0", "port", 0),
        ("BRIDGE_SETTLE_S", "0.25", "settle_s", 0.25),
        ("BRIDGE_QUIET_S", "0", "quiet_s", 0.0),
        ("BRIDGE_RETENTION_DAYS", ".5", "retention_days", 0.5),
        ("BRIDGE_CONTENT", "Metadata", "content", Content.METADATA),
        ("BRIDGE_LOG_LEVEL", "DEBUG", "log_level", LogLevel.DEBUG),
        (
            "BRIDGE_TAGS",
            " team.id : team ,member",
            "tags",
            (Tag("team.id", "team"), Tag("member", "member")),
        ),
        ("BRIDGE_TAGS", "", "tags", ()),
        ("BRIDGE_TAGS", " ", "tags", ()),
        ("BRIDGE_GROUP_BY", "team.id", "group_by", "team.id"),
        ("BRIDGE_ENVIRONMENT", "Prod-EU_1", "environment", "prod-eu_1"),
        ("BRIDGE_DATA_DIR", "/var/lib/x", "data_dir", Path("/var/lib/x")),
        ("BRIDGE_CA_FILE", "/etc/ca.pem", "ca_file", Path("/etc/ca.pem")),
        ("BRIDGE_ALLOWED_HOSTS", " Bridge.lan, b ,", "allowed_hosts", "bridge.lan,b"),
        ("BRIDGE_MAX_CONNECTIONS", "10", "max_connections", 10),
        ("LANGFUSE_BASE_URL", "http://langfuse:3000/", "langfuse_base_url", "http://langfuse:3000"),
        ("LANGFUSE_HOST", "https://h/path/", "langfuse_base_url", "https://h/path"),
    ],
)
def test_a_variable_sets_its_setting(
    tmp_path: Path, variable: str, value: str, setting: str, expected: object
) -> None:
    assert getattr(loaded(tmp_path, {variable: value}), setting) == expected


@pytest.mark.parametrize("base_url", ["", " "], ids=["empty", "blank"])
def test_an_empty_value_means_not_set(tmp_path: Path, base_url: str) -> None:
    write(tmp_path, 'host = ""\ndata_dir = ""\n')
    environ = {"BRIDGE_PORT": "", "LANGFUSE_SECRET_KEY": "", "LANGFUSE_BASE_URL": base_url}
    result = load({}, {**environ, "LANGFUSE_HOST": "http://h"}, tmp_path)
    assert result.config == Config(langfuse_base_url="http://h")
    assert result.sources["langfuse_base_url"] == "LANGFUSE_HOST"


def test_the_newer_name_of_the_base_url_wins(tmp_path: Path) -> None:
    environ = {"LANGFUSE_HOST": "http://old", "LANGFUSE_BASE_URL": "http://new"}
    assert loaded(tmp_path, environ).langfuse_base_url == "http://new"


def test_tags_may_be_a_list_in_the_file(tmp_path: Path) -> None:
    write(tmp_path, 'tags = ["member", "team.id:team"]')
    assert loaded(tmp_path).tags == (Tag("member", "member"), Tag("team.id", "team"))


@pytest.mark.parametrize("value", ["3", "[3]", '[["a"]]', "{a = 1}"])
def test_tags_of_another_shape_are_a_problem(tmp_path: Path, value: str) -> None:
    write(tmp_path, f"tags = {value}")
    (problem,) = problems(tmp_path)
    assert problem.startswith("tags in config/bridge.toml: should be attributes")


@pytest.mark.parametrize(
    ("environ", "data_dir"),
    [
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, "/var/lib/a"),
        ({"STATE_DIRECTORY": "/var/lib/a", "BRIDGE_DATA_DIR": "/srv/b"}, "/srv/b"),
        ({"BRIDGE_DATA_DIR": "state"}, "{folder}/state"),
    ],
    ids=["first of systemd's", "own name wins", "relative to the working folder"],
)
def test_the_data_folder_is_found(tmp_path: Path, environ: dict[str, str], data_dir: str) -> None:
    assert loaded(tmp_path, environ).data_dir == Path(data_dir.format(folder=tmp_path))


def test_a_user_without_a_home_has_a_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless(*_: object, **__: object) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr("bridge.config.values.user_state_path", homeless)
    assert loaded(tmp_path).data_dir == Path("/var/lib/langfuse-bridge")
    assert loaded(tmp_path, {"STATE_DIRECTORY": "/srv/b"}).data_dir == Path("/srv/b")


def test_a_home_folder_is_expanded(tmp_path: Path) -> None:
    assert loaded(tmp_path, {"BRIDGE_DATA_DIR": "~/x"}).data_dir == Path.home() / "x"


def test_an_unknown_variable_of_ours_is_a_warning_and_others_are_not(tmp_path: Path) -> None:
    environ = {
        "BRIDGE_SETTLE": "1",
        "BRIDGE_XYZZY": "1",
        "LANGFUSE_TRACING": "1",
        "BRIDGE_CONFIG": "",
    }
    assert load({}, environ, tmp_path).warnings == (
        "BRIDGE_SETTLE: is not a setting; did you mean BRIDGE_SETTLE_S?",
        "BRIDGE_XYZZY: is not a setting",
    )


@pytest.mark.parametrize("lone", list(KEYS))
def test_one_key_without_the_other_is_a_problem(tmp_path: Path, lone: str) -> None:
    (missing,) = set(KEYS) - {lone}
    assert problems(tmp_path, {lone: "k"}) == [
        f"{missing}: is missing, though {lone} is set; set both or neither"
    ]


def test_half_of_tls_is_a_problem(tmp_path: Path) -> None:
    needs = "TLS needs both BRIDGE_TLS_CERT and BRIDGE_TLS_KEY"
    assert problems(tmp_path, {"BRIDGE_TLS_CERT": "c"}) == [
        f"BRIDGE_TLS_KEY: is missing, though BRIDGE_TLS_CERT is set; {needs}"
    ]
    assert problems(tmp_path, {"BRIDGE_TLS_CLIENT_CA": "c"}) == [
        f"BRIDGE_TLS_CERT: is missing, though BRIDGE_TLS_CLIENT_CA is set; {needs}",
        f"BRIDGE_TLS_KEY: is missing, though BRIDGE_TLS_CLIENT_CA is set; {needs}",
    ]


def test_files_are_relative_to_the_working_folder(tmp_path: Path) -> None:
    environ = {"BRIDGE_TLS_CERT": "cert.pem", "BRIDGE_TLS_KEY": "/etc/key.pem"}
    config = loaded(tmp_path, {**environ, "BRIDGE_CA_FILE": "ca.pem"})
    assert config.tls_cert == tmp_path / "cert.pem"
    assert config.tls_key == Path("/etc/key.pem")
    assert config.ca_file == tmp_path / "ca.pem"


def test_the_keys_may_come_from_different_sources(tmp_path: Path) -> None:
    write(tmp_path, 'langfuse_public_key = "pk-lf-1"')
    assert problems(tmp_path) == [
        (
            "LANGFUSE_SECRET_KEY: is missing, though langfuse_public_key in config/bridge.toml "
            "is set; set both or neither"
        )
    ]
    config = loaded(tmp_path, {"LANGFUSE_SECRET_KEY": "sk-lf-2"})
    assert config.delivers
    assert config.langfuse_secret_key == SecretStr("sk-lf-2")


CREDENTIALS = {
    "langfuse_public_key": "pk-lf-1\n",
    "langfuse_secret_key": "sk-planted\n",
    "tokens": "",
    "tls_cert": "PEM",
    "tls_key": "PEM",
    "somebody_elses": "planted",
}


def credentials(folder: Path, **others: str) -> dict[str, str]:
    """The environment of a service whose manager put these files there for it."""
    folder.mkdir()
    for name, text in (CREDENTIALS | others).items():
        (folder / name).write_text(text)
    return {"CREDENTIALS_DIRECTORY": str(folder)}


def test_credentials_are_values_or_the_files_that_settings_name(tmp_path: Path) -> None:
    folder = tmp_path / "credentials"
    result = load({}, credentials(folder), tmp_path)
    assert result.config.langfuse_secret_key == SecretStr("sk-planted")
    assert result.config.tokens_file == folder / "tokens"
    assert result.config.tls_key == folder / "tls_key"
    assert result.sources["langfuse_public_key"] == "credential langfuse_public_key"
    assert result.sources["tokens_file"] == "credential tokens"
    assert "planted" not in repr(result)
    assert "planted" not in str(result.config.masked)


def test_credentials_win_over_the_file_and_lose_to_the_environment(tmp_path: Path) -> None:
    write(tmp_path, 'langfuse_public_key = "pk-file"\nlangfuse_secret_key = "sk-file"')
    environ = credentials(tmp_path / "credentials") | {"LANGFUSE_PUBLIC_KEY": "pk-variable"}
    config = loaded(tmp_path, environ)
    assert config.langfuse_public_key == "pk-variable"
    assert config.langfuse_secret_key == SecretStr("sk-planted")


def test_an_empty_credential_is_none(tmp_path: Path) -> None:
    environ = credentials(tmp_path / "credentials", langfuse_secret_key="\n")  # noqa: S106  empty
    (problem,) = problems(tmp_path, environ)
    assert problem.startswith("LANGFUSE_SECRET_KEY: is missing, though credential langfuse_public_")


def test_a_credential_that_cannot_be_read_is_a_problem_under_its_name(tmp_path: Path) -> None:
    environ = credentials(tmp_path / "credentials")
    (tmp_path / "credentials" / "langfuse_secret_key").write_bytes(b"\xff")
    assert problems(tmp_path, environ) == ["credential langfuse_secret_key: is no UTF-8 text"]


def test_secrets_are_never_repeated(tmp_path: Path) -> None:
    write(
        tmp_path,
        'langfuse_secret_key = ["sk-planted"]\nlangfuse_secret_kee = "sk-planted"\n'
        'langfuse_base_url = "https://user:planted@h"\n',
    )
    told = problems(tmp_path)
    assert len(told) == 4
    assert "planted" not in str(told)
    assert "planted" not in repr(loaded(tmp_path / "elsewhere", KEYS))
    assert "planted" not in loaded(tmp_path / "elsewhere", KEYS).to_json()


def test_tokens_are_never_repeated_and_only_their_digests_are_kept(tmp_path: Path) -> None:
    assert "planted" not in str(problems(tmp_path, {"BRIDGE_TOKENS": "ada:planted,ben planted"}))
    planted = {"BRIDGE_TOKENS": "ada:planted-token-of-ada"}
    result = load({}, planted, tmp_path)
    for text in (repr(result), str(result.config), result.config.to_json()):
        assert "planted" not in text
    piped = result.config.to_json(reveal_secrets=True)
    assert "planted" not in piped
    assert Config.from_json(piped).tokens == result.config.tokens
    assert result.config.tokens[0].digest == digest_of("planted-token-of-ada")


def test_a_token_that_could_be_guessed_is_a_warning(tmp_path: Path) -> None:
    (warning,) = load({}, {"BRIDGE_TOKENS": f"ada:{'x' * 15},ben:{'y' * 16}"}, tmp_path).warnings
    assert warning.startswith("BRIDGE_TOKENS: the token of ada is shorter than 16 characters")


def test_the_tokens_file_is_in_the_data_folder_unless_it_is_named(tmp_path: Path) -> None:
    environ = {"BRIDGE_DATA_DIR": "/srv/x"}
    assert loaded(tmp_path, environ).tokens_path == Path("/srv/x/tokens")
    named = loaded(tmp_path, environ | {"BRIDGE_TOKENS_FILE": "mine"})
    assert named.tokens_path == tmp_path / "mine"


def test_a_configuration_survives_the_pipe_to_another_process(tmp_path: Path) -> None:
    environ = {**KEYS, "BRIDGE_TAGS": "team.id:team", "BRIDGE_CONTENT": "metadata"}
    config = loaded(tmp_path, environ, data_dir="state", quiet_s=0.5)
    assert Config.from_json(config.to_json(reveal_secrets=True)) == config


def test_durations_and_sizes_come_in_the_units_the_code_counts_in() -> None:
    config = Config(settle_s=0.25, quiet_s=1.5, idle_s=0, retention_days=0.5, max_body_mb=0.5)
    assert (config.settle_ms, config.quiet_ms, config.idle_ms) == (250, 1_500, 0)
    assert (config.retention_ms, config.max_body_bytes) == (43_200_000, 524_288)


def test_a_configuration_cannot_be_changed_and_hides_what_is_wrong_with_it() -> None:
    config = Config()
    with pytest.raises(ValidationError):
        config.port = 1  # type: ignore[misc]  # that is the point
    with pytest.raises(ValidationError) as caught:
        Config(langfuse_base_url="planted")
    assert "planted" not in str(caught.value)


def test_the_environment_of_the_process_is_not_read_behind_ones_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("BRIDGE_PORT", "1")
    assert Config().port == 4318


def test_the_ledger_is_in_the_data_folder() -> None:
    assert Config(data_dir=Path("/srv/x")).ledger_path == Path("/srv/x/ledger.db")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("a(", "pattern 1 is no regular expression of RE2 (missing ))"),
        ("(?=planted)", "pattern 1 is no regular expression of RE2 (invalid perl operator)"),
        ("fine\nplanted*|", "pattern 2 matches the empty text, and would mask everywhere"),
    ],
)
def test_a_pattern_that_cannot_mask_is_named_and_not_quoted(
    tmp_path: Path, pattern: str, reason: str
) -> None:
    (problem,) = problems(tmp_path, {"BRIDGE_REDACT_PATTERNS": pattern})
    assert problem.startswith(f"BRIDGE_REDACT_PATTERNS: {reason}")
    assert "planted" not in problem


def test_patterns_come_as_lines_or_as_a_list_and_reach_the_children(tmp_path: Path) -> None:
    write(tmp_path, "redact_patterns = ['EMP-\\d+', 'a,b']\n")
    config = loaded(tmp_path)
    assert config.redact_patterns == (r"EMP-\d+", "a,b")
    assert Config.from_json(config.to_json(reveal_secrets=True)) == config
    assert loaded(tmp_path, {"BRIDGE_REDACT_PATTERNS": "x+\ny+"}).redact_patterns == ("x+", "y+")


def test_a_user_key_is_long_enough_and_shown_to_nobody(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, {"BRIDGE_USER_KEY": "planted"})
    assert problem == (
        "BRIDGE_USER_KEY: should be 16 to 64 bytes; `openssl rand -hex 32` makes one"
    )
    config = loaded(tmp_path, {"BRIDGE_USER_KEY": "planted" * 5})
    assert "planted" not in config.to_json() + repr(config)
    assert Config.from_json(config.to_json(reveal_secrets=True)) == config
