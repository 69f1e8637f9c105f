"""``langfuse-bridge run`` as systemd sees it: its units, its socket, what it is told."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from bridge.app.supervisor import RECEIVER_STOP_S, WORKER_STOP_S
from bridge.config import MASK
from tests.certificates import issue
from tests.processes import PUBLIC_KEY, SECRET_KEY, Bridge, Client, command, suspend, until
from tests.recordings import Body, as_session, capture, count

UNITS = Path(__file__).parents[2] / "systemd"
SERVICE, SOCKET = UNITS / "langfuse-bridge.service", UNITS / "langfuse-bridge.socket"
SUBAGENT = capture("2.1.330/e-subagent")
ROLES = ("receiver", "worker")
WATCHDOG = {"WATCHDOG_USEC": "600000"}
MAX_EXPOSURE = "20"
"""2.0, as systemd-analyze takes it."""
HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "http"}
os.execv(sys.executable, [sys.executable, "-m", "bridge", "run"])
"""
"""What systemd does between fork and exec."""

Notice = dict[str, str]


class Manager:
    """The end of NOTIFY_SOCKET that a service manager holds."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.notices: list[Notice] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))
        self._socket.setblocking(False)

    def read(self) -> list[Notice]:
        """What came since it was last read."""
        fresh: list[Notice] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                lines = self._socket.recv(65_536).decode().splitlines()
                fresh.append(dict(line.split("=", 1) for line in lines))
        self.notices += fresh
        return fresh

    def wait_for(self, field: str, text: str = "") -> Notice:
        """The first notice from now on whose field contains a text."""
        found: list[Notice] = []

        def came() -> bool:
            found.extend(each for each in self.read() if field in each and text in each[field])
            return bool(found)

        until(came, f"{field}={text} is told")
        return found[0]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    abstract = getattr(request, "param", "") == "abstract"
    found = Manager(f"@bridge-{os.getpid()}" if abstract else str(tmp_path / "notify"))
    yield found
    found.close()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield held


@pytest.fixture
def hangups_count() -> Iterator[None]:
    """Hangups as a service manager leaves them, where the tests run under nohup too."""
    before = signal.signal(signal.SIGHUP, lambda *_: None)  # a program that follows has none
    yield
    signal.signal(signal.SIGHUP, before)


def managed(bridge: Bridge, manager: Manager) -> Bridge:
    bridge.manager = {"NOTIFY_SOCKET": manager.address} | WATCHDOG
    return bridge


def activated(bridge: Bridge, held: socket.socket) -> Bridge:
    """The bridge, to be started with a socket that somebody else keeps."""
    bridge.program = [sys.executable, "-c", HAND_OVER, str(held.fileno())]
    bridge.inherited = (held.fileno(),)
    return bridge


# ---------------------------------------------------------------------------------------- notices


@pytest.mark.parametrize("manager", ["path", "abstract"], indirect=True)
def test_ready_is_told_once_records_are_taken_and_the_ledger_is_open(
    tmp_path: Path, manager: Manager
) -> None:
    bridge = managed(Bridge(tmp_path), manager)
    with bridge:
        manager.wait_for("READY", "1")
        health = bridge.find_health()
        assert health is not None
        assert health["status"] == "ok"
        assert (bridge.data_dir / "ledger.db").exists()
        bridge.post(*SUBAGENT)
        told = f"{count(SUBAGENT).total()} records accepted"
        notice = manager.wait_for("STATUS", told)
        assert notice["STATUS"].endswith("Langfuse local")
        assert notice["WATCHDOG"] == "1"
        assert bridge.stop() == 0
        manager.read()

    assert [notice["READY"] for notice in manager.notices if "READY" in notice] == ["1"]
    assert manager.notices[-1]["STOPPING"] == "1"
    assert [notice for notice in manager.notices if "STOPPING" in notice] == manager.notices[-1:]


def test_ready_is_not_told_while_the_worker_has_no_ledger(tmp_path: Path, manager: Manager) -> None:
    bridge = managed(Bridge(tmp_path), manager)
    ledger = bridge.data_dir / "ledger.db"
    ledger.mkdir(parents=True)
    with bridge:
        until(lambda: '"assemble.store_unavailable"' in bridge.log(), "the worker tells")
        manager.wait_for("STATUS", "Waiting for: worker")
        assert not [each for each in manager.notices if each.keys() & {"READY", "WATCHDOG"}]
        ledger.rmdir()
        manager.wait_for("READY", "1")


@pytest.mark.parametrize("role", ROLES)
def test_no_sign_of_life_while_a_child_is_away(tmp_path: Path, manager: Manager, role: str) -> None:
    with managed(Bridge(tmp_path), manager) as bridge:
        manager.wait_for("WATCHDOG")

        def told() -> list[Notice]:
            bridge.kill_child(role)  # again, since a look between two lives finds nothing amiss
            away = f"Waiting for: {role}"
            return [each for each in manager.read() if away in each.get("STATUS", "")]

        notices = until(told, "it is told", poll_s=0.5)
        assert not [notice for notice in notices if "WATCHDOG" in notice]
        manager.wait_for("WATCHDOG")


def test_no_sign_of_life_while_the_receiver_hangs(tmp_path: Path, manager: Manager) -> None:
    with managed(Bridge(tmp_path), manager) as bridge:
        manager.wait_for("WATCHDOG")
        receiver = bridge.pids()["receiver"]
        suspend(receiver)
        manager.read()  # one look may have been over just before
        known = len(manager.notices)
        manager.wait_for("STATUS", "has not answered")
        manager.wait_for("STATUS", "has not answered")
        assert [each for each in manager.notices[known:] if "WATCHDOG" in each][1:] == []
        os.kill(receiver, signal.SIGCONT)
        manager.wait_for("WATCHDOG")


def test_it_is_ready_too_where_only_clients_with_a_certificate_are_answered(
    tmp_path: Path, manager: Manager
) -> None:
    files = issue(tmp_path / "tls", trustme.CA())
    settings = {"tls_cert": files.cert, "tls_key": files.key, "tls_client_ca": files.ca}
    bridge = Bridge(tmp_path, **{name: str(path) for name, path in settings.items()})
    managed(bridge, manager).launch()
    try:
        assert manager.wait_for("READY", "1")["STATUS"] == "Receiving"
    finally:
        bridge.stop()


def test_its_children_know_nothing_of_the_manager(
    tmp_path: Path, manager: Manager, listening: socket.socket
) -> None:
    with activated(managed(Bridge(tmp_path), manager), listening) as bridge:
        for pid in bridge.pids().values():
            environ = Path(f"/proc/{pid}/environ").read_bytes()
            assert not re.search(rb"(?:^|\0)(?:NOTIFY_SOCKET|WATCHDOG_|LISTEN_)", environ)
        worker = Path(f"/proc/{bridge.pids()['worker']}/fd")
        links = {str(each.readlink()) for each in worker.iterdir() if each.is_symlink()}
        inode = os.fstat(listening.fileno()).st_ino
        assert f"socket:[{inode}]" not in links


def test_a_manager_that_went_away_disturbs_nothing(tmp_path: Path) -> None:
    with Bridge(tmp_path) as running:
        assert running.stop() == 0
    bridge = Bridge(tmp_path)
    bridge.manager = {"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "nonsense"}
    with bridge:
        bridge.post(*SUBAGENT)
        until(lambda: '"systemd.not_told"' in bridge.log(), "it is told in the log")
        assert bridge.stop() == 0


# ---------------------------------------------------------------------------------- handed sockets


def test_no_connection_is_refused_and_nothing_lost_while_it_is_started_again(
    tmp_path: Path, listening: socket.socket
) -> None:
    """The test keeps the socket, as systemd does."""
    bridge = activated(Bridge(tmp_path), listening)
    bodies = [body for number in range(400) for body in as_session(SUBAGENT, number)]
    answers: list[int | str] = []
    enough = threading.Event()

    def post_all_the_while(port: int) -> None:
        for body in bodies:
            if enough.is_set():
                return
            with contextlib.closing(Client(port)) as client:  # a connection each, as refused ones
                try:
                    answers.append(client.post(body))
                except OSError as error:
                    answers.append(repr(error))

    posting = threading.Thread(
        target=post_all_the_while, args=(listening.getsockname()[1],), daemon=True
    )
    posting.start()  # before there is anybody behind the socket
    with bridge:
        for _ in range(3):
            known = len(answers)
            until(lambda known=known: len(answers) > known + 10, "requests are answered")
            assert bridge.stop() == 0
            bridge.start()
        enough.set()
        posting.join(20)
        accepted = bridge.health()["accepted"]
    assert set(answers) == {200}
    assert accepted == count(bodies[: len(answers)]).total()


def test_a_socket_that_strangers_reach_needs_tokens_whatever_the_settings_say(
    tmp_path: Path,
) -> None:
    with socket.create_server(("0.0.0.0", 0)) as held:  # noqa: S104  which is what is refused
        made = subprocess.run(
            [sys.executable, "-c", HAND_OVER, str(held.fileno())],
            env=os.environ | {"BRIDGE_DATA_DIR": str(tmp_path), "BRIDGE_HOST": "127.0.0.1"},
            pass_fds=(held.fileno(),),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert made.returncode == 2
    assert "on 0.0.0.0 anyone who reaches this machine could send" in made.stderr


def test_the_first_connection_starts_it_behind_systemds_socket(tmp_path: Path) -> None:
    activate = shutil.which("systemd-socket-activate")
    if activate is None:
        pytest.skip("systemd-socket-activate is not installed: apt-get install systemd")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    bridge = Bridge(tmp_path)
    bridge.port = port
    variables = [f"--setenv={name}={value}" for name, value in bridge.environment.items()]
    listen = ["--listen", f"127.0.0.1:{port}", "--fdname", "http"]
    bridge.program = [activate, *listen, *variables, sys.executable, "-m", "bridge", "run"]
    posted: list[int] = []

    def post_until_answered() -> None:
        with contextlib.closing(Client(port)) as client:
            posted.append(until(lambda: first_answer(client, SUBAGENT[0]), "it is answered"))
            posted.extend(map(client.post, SUBAGENT[1:]))

    posting = threading.Thread(target=post_until_answered, daemon=True)
    posting.start()
    with bridge:
        posting.join(20)
        assert posted == [200] * len(SUBAGENT)
        assert bridge.port == port
        assert bridge.health()["accepted"] == count(SUBAGENT).total()
        assert bridge.stop() == 0


def first_answer(client: Client, body: Body) -> int | None:
    """None until somebody listens; systemd-socket-activate itself takes a moment to."""
    try:
        return client.post(body)
    except ConnectionRefusedError:
        return None


# ------------------------------------------------------------------------------- signals and log


@pytest.mark.usefixtures("hangups_count")
def test_a_hangup_ends_none_of_its_processes(tmp_path: Path, manager: Manager) -> None:
    with managed(Bridge(tmp_path), manager) as bridge:
        manager.wait_for("READY")
        pids = bridge.pids()
        for pid in pids.values():
            os.kill(pid, signal.SIGHUP)
        bridge.send(signal.SIGHUP)
        until(lambda: '"bridge.hangup_ignored"' in bridge.log(), "it is told")
        bridge.post(*SUBAGENT)
        assert bridge.pids() == pids
        assert bridge.stop() == 0
    assert '"bridge.child_ended"' not in bridge.log()


def test_a_hundred_requests_leave_no_line_in_the_log(tmp_path: Path) -> None:
    with Bridge(tmp_path) as bridge:
        known = len(bridge.log().splitlines())
        sessions = [as_session(SUBAGENT, number) for number in range(100)]
        bodies = [body for session in sessions for body in session][:100]
        bridge.post(*bodies)
        bridge.find_health()
        fresh = bridge.log().splitlines()[known:]
        assert bridge.stop() == 0
    assert [line for line in fresh if "receive." in line or "/v1/" in line] == []
    assert len(fresh) < 10, "\n".join(fresh)


def test_the_first_line_tells_version_and_settings_and_no_secret(tmp_path: Path) -> None:
    settings = {"quiet_s": 0.75, "tokens": "ada:token-of-ada-planted"}
    with Bridge(tmp_path, "http://127.0.0.1:9", **settings) as bridge:
        (line,) = [each for each in bridge.log().splitlines() if '"bridge.started"' in each]
    told = json.loads(line)
    assert told["version"]
    assert told["settings"]["quiet_s"] == 0.75
    assert told["settings"]["langfuse_public_key"] == PUBLIC_KEY
    assert told["settings"]["langfuse_secret_key"] == MASK
    assert told["settings"]["tokens"] == [f"ada:{MASK}"]
    assert SECRET_KEY not in bridge.log()
    assert "planted" not in bridge.log()


# ------------------------------------------------------------------------------------ credentials


def test_credentials_are_read_and_never_shown(tmp_path: Path) -> None:
    values = {"langfuse_public_key": "pk-lf-a\n", "langfuse_secret_key": "sk-planted\n"}
    for name, value in values.items():
        (tmp_path / name).write_text(value)
    shown = command("check-config", "--json", cwd=tmp_path, CREDENTIALS_DIRECTORY=str(tmp_path))
    assert shown.returncode == 0
    assert "credential langfuse_secret_key" in shown.stdout
    assert "planted" not in shown.stdout + shown.stderr


def test_a_token_of_a_credential_lets_in_and_everybody_else_is_refused(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    made = command("token", "new", "ada", cwd=tmp_path, BRIDGE_TOKENS_FILE="credentials/tokens")
    assert made.returncode == 0, made.stderr
    token = re.search(r"lfb_[\w-]+", made.stdout)
    assert token is not None
    bridge = Bridge(tmp_path)
    bridge.manager = {"CREDENTIALS_DIRECTORY": str(credentials)}
    with bridge:
        for headers, status in (({}, 401), ({"Authorization": f"Bearer {token[0]}"}, 200)):
            connection = bridge.connection()
            body = SUBAGENT[0]
            connection.request(
                "POST", f"/v1/{body.signal}", body.data, dict(body.headers) | headers
            )
            assert connection.getresponse().status == status
            connection.close()
    assert token[0] not in bridge.log()


# ------------------------------------------------------------------------------------------ units


@pytest.fixture(scope="module")
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")
    return found


def test_systemd_finds_nothing_wrong_with_the_units(analyze: str, tmp_path: Path) -> None:
    for unit in (SERVICE, SOCKET):
        text = unit.read_text()
        text = re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", text)
        (tmp_path / unit.name).write_text(text)
    units = [str(tmp_path / unit.name) for unit in (SERVICE, SOCKET)]
    made = subprocess.run(
        [analyze, "verify", *units], capture_output=True, text=True, timeout=60, check=False
    )
    assert (made.returncode, made.stderr) == (0, "")


def test_systemd_rates_the_service_as_hardened(analyze: str) -> None:
    made = subprocess.run(
        [analyze, "security", "--offline=true", f"--threshold={MAX_EXPOSURE}", str(SERVICE)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert made.returncode == 0, made.stdout[-2000:]


def test_systemd_waits_longer_than_an_orderly_stop_takes() -> None:
    settings = dict(re.findall(r"(?m)^(\w+)=(.*)$", SERVICE.read_text()))
    assert float(settings["TimeoutStopSec"].removesuffix("s")) > RECEIVER_STOP_S + WORKER_STOP_S
    assert settings["KillMode"] == "mixed"
    assert settings["Type"] == "notify"
