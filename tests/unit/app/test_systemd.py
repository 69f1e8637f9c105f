import socket
from collections.abc import Iterator

import pytest

from bridge.app import systemd
from bridge.app.systemd import Notifier, activated, descriptor, handed_socket
from bridge.app.watch import Look, news, pause_s, status
from bridge.config import Config
from bridge.errors import BridgeError

PID = 4711
OURS = {"LISTEN_PID": "4711", "LISTEN_FDS": "1"}
HEALTH = {"accepted": 12, "held": 3, "pending": 4, "langfuse": "unreachable"}


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What systemd would have made descriptor 3."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setattr(systemd, "FIRST_DESCRIPTOR", listening.fileno())
        yield listening


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, None),
        (OURS | {"LISTEN_PID": "1"}, None),
        (OURS | {"LISTEN_FDS": "0"}, None),
        (OURS, 3),
        (OURS | {"LISTEN_FDNAMES": "langfuse-bridge.socket"}, 3),
        (OURS | {"LISTEN_FDS": "2", "LISTEN_FDNAMES": "other:http"}, 4),
    ],
    ids=["nothing", "for another process", "none", "one", "one of any name", "the one named http"],
)
def test_the_handed_descriptor_is_found(environ: dict[str, str], found: int | None) -> None:
    assert descriptor(environ, PID) == found


@pytest.mark.parametrize("names", ["", "a:b", "http:http"])
def test_of_several_sockets_one_has_to_be_named(names: str) -> None:
    with pytest.raises(BridgeError, match="FileDescriptorName=http"):
        descriptor(OURS | {"LISTEN_FDS": "2", "LISTEN_FDNAMES": names}, PID)


def test_where_the_handed_socket_listens_is_where_we_do(handed: socket.socket) -> None:
    config = activated(Config(host="192.0.2.1", port=1), OURS, PID)
    assert (config.host, config.port) == handed.getsockname()


def test_a_socket_is_taken_over_once_and_not_inherited(handed: socket.socket) -> None:
    handed.set_inheritable(True)  # as after an exec
    environ = OURS | {"LISTEN_FDNAMES": "http", "HOME": "/"}
    taken = handed_socket(environ, PID)
    assert taken is not None
    assert taken.getsockname() == handed.getsockname()
    assert not taken.get_inheritable()
    assert environ == {"HOME": "/"}
    taken.detach()


def test_what_is_no_listening_socket_is_refused_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as unbound:
        monkeypatch.setattr(systemd, "FIRST_DESCRIPTOR", unbound.fileno())
        with pytest.raises(BridgeError, match=r"ListenStream=127\.0\.0\.1:4318"):
            activated(Config(), OURS, PID)


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "4711"}, 30),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdogs_time_is_known_where_it_is_ours(
    environ: dict[str, str], watchdog_s: float | None
) -> None:
    notifier = Notifier.taken_from(environ, PID)
    assert notifier.watchdog_s == watchdog_s
    assert not notifier.wanted
    assert environ == {}


@pytest.mark.parametrize(
    ("found", "ready", "signs"),
    [
        (Look((), HEALTH), False, {"READY", "WATCHDOG"}),
        (Look((), HEALTH), True, {"WATCHDOG"}),
        (Look((), {}), True, {"WATCHDOG"}),
        (Look(("worker",), HEALTH), True, set()),
        (Look(("worker",), HEALTH), False, set()),
        (Look((), None), True, set()),
    ],
)
def test_signs_of_life_are_told_while_all_is_well(
    found: Look, ready: bool, signs: set[str]
) -> None:
    assert news(found, ready=ready).keys() == signs | {"STATUS"}


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (Look(("receiver", "worker"), None), "Waiting for: receiver, worker"),
        (Look((), None), "The receiver has not answered within 5 s"),
        (
            Look((), {"reason": "disk I/O error"}),
            "Receiving; the store is degraded: disk I/O error",
        ),
        (Look((), {"status": "ok"}), "Receiving"),
        (
            Look((), HEALTH),
            "Receiving: 12 records accepted, 3 held, 4 observations pending, Langfuse unreachable",
        ),
    ],
)
def test_the_status_says_what_is_going_on(found: Look, text: str) -> None:
    assert status(found) == text


def test_it_looks_three_times_within_what_the_watchdog_allows() -> None:
    assert pause_s(6, ready=True) == 2
    assert pause_s(600, ready=True) == pause_s(None, ready=True) == 10
    assert pause_s(600, ready=False) < 1
