"""What the configuration means for the ports."""

from pathlib import Path

import pytest

from bridge.app import doors, edges
from bridge.config import Config


@pytest.mark.parametrize(
    ("host", "allowed_hosts", "expected"),
    [
        ("127.0.0.1", "", frozenset[str]()),
        ("::1", "", frozenset[str]()),
        ("localhost", "bridge.lan,b", frozenset({"bridge.lan", "b"})),
        ("0.0.0.0", "", None),  # noqa: S104
        ("0.0.0.0", "bridge.lan", frozenset({"bridge.lan"})),  # noqa: S104
    ],
)
def test_a_host_header_matters_on_loopback_and_where_names_are_given(
    host: str, allowed_hosts: str, expected: frozenset[str] | None
) -> None:
    assert doors.hosts(Config(host=host, allowed_hosts=allowed_hosts)) == expected


def test_clients_are_told_https_where_there_is_a_certificate() -> None:
    assert edges.url(Config(), 4318) == "http://127.0.0.1:4318"
    secure = Config(host="::1", tls_cert=Path("c"), tls_key=Path("k"))
    assert edges.url(secure, 4317) == "https://[::1]:4317"


@pytest.mark.parametrize(
    ("files", "wanted", "allowed"), [(100_000, 2048, 2048), (1024, 2048, 256), (10, 2048, 1)]
)
def test_connections_leave_files_for_the_rest(files: int, wanted: int, allowed: int) -> None:
    assert doors.connections_within(files, wanted) == allowed
