"""Which requests are a browser's, and which are meant for somebody else."""

import pytest
from multidict import CIMultiDict

from bridge.receive.origin import check_origin, is_loopback
from bridge.receive.request import Refusal, RefusedError

OWN = frozenset[str]()


def refusal(headers: dict[str, str], hosts: frozenset[str] | None) -> Refusal | None:
    try:
        check_origin(CIMultiDict(headers), hosts)
    except RefusedError as refused:
        return refused.refusal
    return None


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"origin": "null"},
        {"Origin": "http://127.0.0.1:4318"},
        {"Sec-Fetch-Site": "cross-site"},
        {"sec-fetch-site": "Same-Site"},
    ],
)
def test_what_a_page_sends_is_refused_whatever_host_it_names(headers: dict[str, str]) -> None:
    for hosts in (None, OWN):
        assert refusal({"Host": "127.0.0.1", **headers}, hosts) is Refusal.CROSS_SITE


@pytest.mark.parametrize("site", ["none", "same-origin"])
def test_an_address_that_somebody_typed_is_fine(site: str) -> None:
    assert refusal({"Host": "localhost", "Sec-Fetch-Site": site}, OWN) is None


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:4318",
        "127.0.0.1",
        "127.0.0.1:4318",
        "127.8.8.8:1",
        "[::1]",
        "[::1]:4318",
    ],
)
def test_loopback_names_are_ours_with_any_port(host: str) -> None:
    assert refusal({"Host": host}, OWN) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:4318",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil@127.0.0.1.nip.io",
        "10.0.0.1",
        "[::2]",
        "[::1",
        "",
    ],
)
def test_any_other_host_is_refused_and_fine_where_none_is_asked_for(host: str) -> None:
    assert refusal({"Host": host}, OWN) is Refusal.HOST
    assert refusal({"Host": host}, None) is None


def test_a_request_without_host_is_refused() -> None:
    assert refusal({}, OWN) is Refusal.HOST


def test_a_name_that_was_allowed_is_ours_with_any_port() -> None:
    hosts = frozenset({"bridge.internal"})
    assert refusal({"Host": "Bridge.internal:4318"}, hosts) is None
    assert refusal({"Host": "127.0.0.1"}, hosts) is None
    assert refusal({"Host": "other.internal"}, hosts) is Refusal.HOST


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False)],  # noqa: S104
)
def test_loopback_is_this_machine_to_itself(*, host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
