"""The tokens in force, and where a bridge may listen therefore."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bridge.app.senders import Senders, by_tag, checked
from bridge.config import Config, Tag
from bridge.errors import ConfigError, StoreError
from bridge.model.tokens import Token, digest_of, line_of, tokens_of_variable
from bridge.store.token_file import rewrite

ADA = Token(name="ada", digest=digest_of("1"))
BEN = Token(name="ben", digest=digest_of("2"))
EVERYWHERE = "0.0.0.0"  # noqa: S104 - as a setting


def put(path: Path, *tokens: Token) -> None:
    rewrite(path, lambda _: [line_of(token) for token in tokens])


def names(senders: Senders) -> list[str] | None:
    return None if senders.tokens is None else [token.name for token in senders.tokens]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(data_dir=tmp_path)


def test_without_tokens_anywhere_nobody_needs_one(config: Config) -> None:
    assert names(Senders(config)) is None


def test_tokens_of_settings_and_file_are_all_in_force(config: Config) -> None:
    put(config.tokens_path, BEN)
    assert names(Senders(config)) == ["ben"]
    of_both = config.model_copy(update={"tokens": tokens_of_variable("ada:1")})
    assert names(Senders(of_both)) == ["ada", "ben"]


def test_a_file_without_tokens_lets_nobody_send(config: Config) -> None:
    put(config.tokens_path)
    assert names(Senders(config)) == []


def test_changes_are_followed_and_what_is_wrong_changes_nothing(config: Config) -> None:
    senders = Senders(config)
    put(config.tokens_path, ADA)
    assert (senders.renew(), names(senders)) == (True, ["ada"])
    assert senders.renew() is False
    with capture_logs() as lines:
        config.tokens_path.write_text("planted")
        assert [senders.renew() for _ in range(3)] == [False] * 3
        config.tokens_path.unlink()
        assert [senders.renew() for _ in range(3)] == [False] * 3
    assert names(senders) == ["ada"]
    assert [line["event"] for line in lines] == ["tokens.not_reloaded"] * 2
    assert "planted" not in str(lines)
    put(config.tokens_path, ADA, BEN)
    assert (senders.renew(), names(senders)) == (True, ["ada", "ben"])


@pytest.mark.parametrize("of_settings", ["ada:other", "other:1"], ids=["name", "token"])
def test_one_name_or_token_in_both_places_is_refused(config: Config, of_settings: str) -> None:
    put(config.tokens_path, ADA)
    both = config.model_copy(update={"tokens": tokens_of_variable(of_settings)})
    with pytest.raises(StoreError, match="together with BRIDGE_TOKENS"):
        Senders(both)


def test_a_named_file_that_is_missing_stops_the_start(config: Config) -> None:
    named = config.model_copy(update={"tokens_file": config.data_dir / "gone"})
    with pytest.raises(StoreError, match="no such file; `langfuse-bridge token new"):
        checked(named)


def test_a_receiver_that_starts_again_without_the_file_does_not_open_to_all(
    config: Config,
) -> None:
    put(config.tokens_path, ADA)
    told = checked(config)
    config.tokens_path.unlink()
    with pytest.raises(StoreError):
        Senders(told)


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.0.2.1", "example.org"])
def test_another_host_needs_tokens_or_a_clear_word(config: Config, host: str) -> None:
    there = config.model_copy(update={"host": host})
    with pytest.raises(ConfigError) as refused:
        checked(there)
    for way_out in (
        "langfuse-bridge token new",
        "BRIDGE_TOKENS",
        "127.0.0.1",
        "BRIDGE_INSECURE_BIND",
    ):
        assert way_out in str(refused.value)
    with capture_logs() as lines:
        checked(there.model_copy(update={"insecure_bind": True}))
    assert [line["event"] for line in lines] == ["bridge.open_to_all"]
    with capture_logs() as lines:
        checked(there.model_copy(update={"tokens": (ADA,)}))
    assert lines == []


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_this_machine_alone_needs_none(config: Config, host: str) -> None:
    checked(config.model_copy(update={"host": host}))


def test_a_tag_may_be_fixed_by_its_name_or_its_attribute() -> None:
    tags = (Tag("team.id", "team"), Tag("member", "member"))
    both = {"team.id": "x", "team": "x", "room": "7"}
    assert by_tag({"team": "x", "room": "7"}, tags) == both
    assert by_tag({"team.id": "x", "room": "7"}, tags) == both
    assert by_tag({}, tags) == {}
