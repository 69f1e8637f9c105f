"""Who may send: the headers that count, and that nobody else does."""

import pytest

from bridge.model.tokens import Token, digest_of
from bridge.receive.access import ANYONE, Access, Sender, find, offered_tokens
from bridge.receive.origin import is_loopback
from bridge.receive.request import Refusal, RefusedError
from tests.intakes import NOW_MS, FixedClock

ADA = Token(name="ada", digest=digest_of("a-token"), fixed={"department": "research"})
BEN = Token(name="ben", digest=digest_of("b-token"))
SENDER = Sender("ada", {"department": "research"})


class MovingClock:
    def __init__(self) -> None:
        self.at_ms = NOW_MS

    def now_ms(self) -> int:
        return self.at_ms


def access(*tokens: Token, rate_limit: float = 0) -> Access:
    return Access(FixedClock(), tokens, rate_limit=rate_limit)


def refusal(asked: Access, headers: dict[str, str]) -> RefusedError:
    with pytest.raises(RefusedError) as refused:
        asked.admit(headers)
    return refused.value


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer a-token"},
        {"authorization": "bearer   a-token "},
        {"authorization": "Bearer%20a-token"},
        {"authorization": "Bearer a%2Dtoken"},
        {"x-api-key": "a-token"},
        {"x-api-key": " a%2dtoken"},
        {"authorization": "Basic Zm9v", "x-api-key": "a-token"},
        {"authorization": "Bearer stale", "x-api-key": "a-token"},
    ],
)
def test_a_known_token_is_its_sender_however_the_header_can_carry_it(
    headers: dict[str, str],
) -> None:
    assert access(BEN, ADA).admit(headers) == SENDER


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "a-token"},
        {"authorization": "Basic a-token"},
        {"x-api-key": ""},
        {"x-api-key": "Bearer a-token"},
        {"x-api-key": "ada"},
        {"x-api-key": ADA.digest},
        {"x-api-key": "a-toke"},
        {"x-api-key": "\udcff"},
        {"cookie": "a-token"},
    ],
)
def test_anything_else_is_refused_with_what_to_set(headers: dict[str, str]) -> None:
    refused = refusal(access(BEN, ADA), headers)
    assert refused.refusal is Refusal.UNAUTHENTICATED
    assert 'OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer TOKEN"' in str(refused)
    assert "a-toke" not in str(refused)


def test_a_token_that_is_wrong_is_told_from_one_that_is_missing() -> None:
    assert "does not know this token" in str(refusal(access(ADA), {"x-api-key": "x"}))
    assert "with a token only" in str(refusal(access(ADA), {}))


def test_where_nobody_needs_a_token_everybody_may_send() -> None:
    asked = Access(FixedClock(), None, rate_limit=0.001)
    assert [asked.admit({}) for _ in range(5)] == [ANYONE] * 5


def test_without_any_token_left_nobody_may_send() -> None:
    assert refusal(access(), {"x-api-key": "a-token"}).refusal is Refusal.UNAUTHENTICATED


def test_tokens_are_replaced_at_once() -> None:
    asked = access(ADA)
    asked.replace([BEN])
    assert asked.admit({"x-api-key": "b-token"}).name == "ben"
    assert refusal(asked, {"x-api-key": "a-token"}).refusal is Refusal.UNAUTHENTICATED


def test_every_token_is_compared_wherever_the_right_one_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[tuple[str, str]] = []

    def compare(kept: str, offered: str) -> bool:
        compared.append((kept, offered))
        return kept == offered

    monkeypatch.setattr("bridge.receive.access.hmac.compare_digest", compare)
    for text in ("a-token", "b-token", "neither"):
        compared.clear()
        find([ADA, BEN], [text])
        assert compared == [(ADA.digest, digest_of(text)), (BEN.digest, digest_of(text))]


def test_who_sends_too_fast_is_told_when_to_come_again_and_others_are_not() -> None:
    clock = MovingClock()
    asked = Access(clock, [ADA, BEN], rate_limit=0.5)
    for _ in range(5):
        asked.admit({"x-api-key": "a-token"})
    refused = refusal(asked, {"x-api-key": "a-token"})
    assert (refused.refusal, refused.retry_after_s) == (Refusal.RATE_LIMITED, 2)
    asked.admit({"x-api-key": "b-token"})
    clock.at_ms += 2000
    asked.admit({"x-api-key": "a-token"})


def test_a_reload_gives_nobody_a_fresh_allowance() -> None:
    asked = access(ADA, rate_limit=0.1)
    asked.admit({"x-api-key": "a-token"})
    asked.replace([ADA, BEN])
    assert refusal(asked, {"x-api-key": "a-token"}).refusal is Refusal.RATE_LIMITED


@pytest.mark.parametrize(
    ("headers", "peer", "all_of_it"),
    [
        ({}, "127.0.0.1", True),
        ({}, "::1", True),
        ({}, "192.0.2.1", False),
        ({}, None, False),
        ({"x-api-key": "a-token"}, "192.0.2.1", True),
        ({"x-api-key": "wrong"}, "192.0.2.1", False),
        ({"x-forwarded-for": "192.0.2.1"}, "127.0.0.1", False),
    ],
)
def test_all_of_the_health_is_for_senders_and_this_machine(
    headers: dict[str, str], peer: str | None, *, all_of_it: bool
) -> None:
    assert access(ADA).may_see(headers, peer) is all_of_it
    assert Access(FixedClock(), None).may_see(headers, peer)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - as a setting
        ("::", False),
        ("192.168.1.5", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_loopback_is_known(host: str, *, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_no_token_is_offered_twice() -> None:
    headers = {"authorization": "Bearer a", "x-api-key": "b%20c"}
    assert list(offered_tokens(headers)) == ["a", "b%20c", "b c"]
