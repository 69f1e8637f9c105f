"""The bridge and its Langfuse double as real processes: started, asked, stopped, killed.

Nothing here reaches into a process: there are ports, signals, exit codes, files and ``/proc``.
Only processes started here are ever ended, by their id, and a bridge is left only when all its
processes are gone.
"""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from bridge.langfuse.wire import decode_span
from bridge.model.requests import Signal
from bridge.receive.grpc import SERVICES
from bridge.store.reader import LedgerReader
from tests.fakes import ReceivedSpans
from tests.recordings import Body

FAKES = Path(__file__).with_name("fakes.py")
PUBLIC_KEY, SECRET_KEY = "pk-lf-test", "sk-lf-test"
ROLES = ("receiver", "worker")
DEADLINE_S = 20.0
STOP_S = 10.0
"""What the bridge promises for a stop."""
ORPHAN_S = 15.0
"""A little above what it promises for children whose parent was killed."""
POLL_S = 0.01
EVERY_SESSION = 100_000
ENDPOINT = re.compile(r"bridge\.started\b.*\bendpoint\W+https?://127\.0\.0\.1:(?P<port>\d+)")
"""In both formats of the log."""
SHORT_WAITS: dict[str, float | str] = {
    "settle_s": 0.2,
    "span_settle_s": 0.4,
    "quiet_s": 0.5,
    "idle_s": 1.0,
}
OPEN_TURNS: dict[str, float | str] = {"quiet_s": 600, "idle_s": 600}
"""Besides those: no turn is closed by time."""

SINGLE_PORT = {"BRIDGE_GRPC_PORT": "0"}
"""No gRPC: its port would be the same for all bridges of a machine."""

T = TypeVar("T")


def until(
    reached: Callable[[], T | None],
    what: str,
    timeout_s: float = DEADLINE_S,
    poll_s: float = POLL_S,
) -> T:
    """Look again and again until ``reached`` gives something true; fails after ``timeout_s``."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        found = reached()
        if found:
            return found
        assert time.monotonic() < deadline_s, f"after {timeout_s} s still not: {what}"
        time.sleep(poll_s)


def suspend(*pids: int) -> None:
    """SIGSTOP; returns once they stand still.

    A signal of a lower number, as SIGTERM, overtakes it where a process has had no time for either.
    """
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    until(lambda: {_state(pid) for pid in pids} == {"T"}, "they stand still")


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def command(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``langfuse-bridge`` with these arguments to its end."""
    return subprocess.run(
        [sys.executable, "-m", "bridge", *arguments],
        cwd=cwd,
        env=os.environ | SINGLE_PORT | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Langfuse:
    """The double in ``tests/fakes.py`` as a process; ``with Langfuse(folder) as langfuse``.

    Args:
        folder: Where it writes what it receives.
        script: The program, which takes the arguments of ``tests/fakes.py``.
        arguments: More of them.

    Attributes:
        url: Stays the same when it is started again.
    """

    def __init__(self, folder: Path, *arguments: str, script: Path = FAKES) -> None:
        self.url = ""
        self._dump = folder / "received.jsonl"
        self._command = [str(script), "--dump", str(self._dump), *arguments]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; returns once it does."""
        port = self.url.rpartition(":")[2] or "0"
        self._process = subprocess.Popen(
            [sys.executable, *self._command, "--port", port],
            env=os.environ | {"PYTHONPATH": str(FAKES.parents[1])},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().removeprefix("listening on ").strip()
        assert self.url, "the double did not start"

    def stop(self) -> None:
        """End it, if it runs. What it received stays."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def end(self) -> None:
        """As ``stop``, once what it is about to answer is answered."""
        self._signal(signal.SIGTERM)
        assert self._process is not None
        self._process.wait(DEADLINE_S)
        self.stop()

    def freeze(self) -> None:
        """From now on it takes connections and answers nothing."""
        assert self._process is not None
        suspend(self._process.pid)

    def thaw(self) -> None:
        """Go on where it stood still."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    @property
    def received_bytes(self) -> int:
        """Grows with every export, before it is answered."""
        return self._dump.stat().st_size if self._dump.exists() else 0

    def received(self) -> ReceivedSpans:
        """Everything it was ever sent."""
        return ReceivedSpans.from_dump(self._dump) if self._dump.exists() else ReceivedSpans()


class Bridge:
    """``langfuse-bridge run`` on a free port that it keeps; ``with Bridge(folder) as bridge``.

    Args:
        folder: Where its data and its log go.
        langfuse_url: None leaves the keys out.
        settings: Each becomes a ``BRIDGE_`` variable.

    Attributes:
        program: What is started; another one becomes the bridge in the end.
        manager: Variables from a service manager.
        inherited: Descriptors that it is started with.
    """

    def __init__(
        self, folder: Path, langfuse_url: str | None = None, **settings: float | str
    ) -> None:
        self.port = 0
        self.data_dir = folder / "data"
        self.settings = SHORT_WAITS | settings
        self.langfuse_url = langfuse_url
        self.program = [sys.executable, "-m", "bridge", "run"]
        self.manager: dict[str, str] = {}
        self.inherited: tuple[int, ...] = ()
        self._log = folder / "bridge.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.send(signal.SIGKILL)
        if error is not None:
            sys.stdout.write(f"{self._log}:\n{self.log()[-20_000:]}")
            self.kill_child(*ROLES)
        if self._process is not None:
            self.wait()

    # -------------------------------------------------------------------------------- the process

    @property
    def environment(self) -> dict[str, str]:
        """What it is started with, besides the environment of the tests."""
        values = {f"BRIDGE_{name.upper()}": str(value) for name, value in self.settings.items()}
        values |= {"BRIDGE_DATA_DIR": str(self.data_dir), "BRIDGE_PORT": str(self.port)}
        if self.langfuse_url is not None:
            values |= {"LANGFUSE_BASE_URL": self.langfuse_url}
            values |= {"LANGFUSE_PUBLIC_KEY": PUBLIC_KEY, "LANGFUSE_SECRET_KEY": SECRET_KEY}
        return SINGLE_PORT | values | self.manager

    def launch(self) -> None:
        """Start it; returns once it listens, which is before anyone answers."""
        assert self._process is None, "it runs already"
        known_chars = len(self.log())
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.program,
                cwd=self._log.parent,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=self.inherited,
            )
        self.port = until(lambda: self._told_port(known_chars), "the bridge listens")

    def start(self) -> None:
        """Start it; returns once it answers."""
        self.launch()
        self.wait_until_up()

    def wait_until_up(self) -> None:
        """Until the receiver answers and both children are there."""
        until(lambda: self.find_health() and self.pids().keys() == set(ROLES), "the bridge answers")

    def _told_port(self, known_chars: int) -> int | None:
        assert self._process is not None
        assert self._process.poll() is None, f"it ended: {self.log()[known_chars:]}"
        told = ENDPOINT.search(self.log(), known_chars)
        return int(told["port"]) if told else None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        assert self._process is not None
        os.kill(self._process.pid, number)

    def suspend(self) -> None:
        """Have the supervisor stand still until SIGCONT."""
        assert self._process is not None
        suspend(self._process.pid)

    def wait(self, timeout_s: float = STOP_S) -> int:
        """The exit code, once it has ended and none of its processes is left."""
        assert self._process is not None
        code = self._process.wait(timeout_s)
        self._process = None
        until(lambda: not self.pids(), "its children are gone", timeout_s)
        return code

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; its exit code."""
        self.send(number)
        return self.wait()

    def kill(self) -> None:
        """SIGKILL for the supervisor; returns once the children have gone by themselves."""
        self.send(signal.SIGKILL)
        self.wait(ORPHAN_S)

    def kill_child(self, *roles: str) -> list[str]:
        """SIGKILL for children; the roles of those that were there, once they are gone."""
        pids = {role: pid for role, pid in self.pids().items() if role in roles}
        for pid in pids.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: not pids.items() & self.pids().items(), f"{roles} are dead")
        return list(pids)

    def all_pids(self) -> dict[str, int]:
        """The same with the supervisor, while it runs."""
        supervisor = {"supervisor": self._process.pid} if self._process else {}
        return supervisor | self.pids()

    def pids(self) -> dict[str, int]:
        """Role → process id of the children that are there."""
        ours = f"BRIDGE_DATA_DIR={self.data_dir}".encode()
        return {
            role: pid
            for pid, arguments in _processes_with(ours)
            for role in ROLES
            if f"bridge.app.{role}".encode() in arguments
        }

    def log(self) -> str:
        """All it has written so far, over all its starts."""
        return self._log.read_text() if self._log.exists() else ""

    # ---------------------------------------------------------------------------------- its words

    def find_health(self) -> dict[str, Any] | None:
        """What ``/healthz`` says; None while nobody answers."""
        connection = self.connection()
        try:
            connection.request("GET", "/healthz")
            found: dict[str, Any] = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return found

    def connection(self) -> http.client.HTTPConnection:
        """One to the HTTP port, not open yet."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)

    def health(self) -> dict[str, Any]:
        """What ``/healthz`` says."""
        return until(self.find_health, "/healthz is answered")

    def post(self, *bodies: Body) -> None:
        """Post as a client does, one after the other; all are answered 200."""
        with contextlib.closing(Client(self.port)) as client:
            for body in bodies:
                status = client.post(body)
                assert status == 200, f"{body.name} was answered {status}"

    def wait_until_settled(self, timeout_s: float = DEADLINE_S) -> dict[str, Any]:
        """Until every turn is closed and nothing is pending; the health then."""
        return until(lambda: self._settled(pending=False), "everything is delivered", timeout_s)

    def wait_until_assembled(self) -> dict[str, Any]:
        """Until every turn is closed; what they became may be pending."""
        return until(lambda: self._settled(pending=True), "everything is assembled")

    def _settled(self, *, pending: bool) -> dict[str, Any] | None:
        health = self.find_health()
        if health is None or "held" not in health or (health["pending"] and not pending):
            return None
        return health if health["held"] == 0 and not self.open_turns() else None

    def open_turns(self) -> int:
        """How many turns are not closed; a turn of which nothing was made yet is not seen."""
        with contextlib.closing(LedgerReader(self.data_dir / "ledger.db", decode_span)) as ledger:
            return sum(session.live for session in ledger.sessions(EVERY_SESSION))


class SecureBridge(Bridge):
    """A bridge whose health is asked for over TLS; ``trusted`` is to be set before it starts."""

    trusted: ssl.SSLContext

    def connection(self) -> http.client.HTTPConnection:
        """One over TLS, not open yet."""
        return http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=DEADLINE_S, context=self.trusted
        )


class Client:
    """Posts over one connection, opened again after every failure."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)

    def post(self, body: Body, path: str = "") -> int:
        """The answer's status; OSError or HTTPException when there was none."""
        try:
            target = path or f"/v1/{body.signal}"
            self._connection.request("POST", target, body.data, body.headers)
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        return response.status

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def post_over_grpc(bridge: Bridge, *bodies: Body) -> None:
    """As ``Bridge.post``, over gRPC; all are answered OK."""
    with grpc.insecure_channel(f"127.0.0.1:{bridge.settings['grpc_port']}") as channel:
        for body in bodies:
            method = f"/{SERVICES[Signal(body.signal)]}/Export"
            export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
            assert export(body.data, timeout=DEADLINE_S, wait_for_ready=True) == b""


def _processes_with(variable: bytes) -> Iterator[tuple[int, bytes]]:
    """(id, arguments) of every process that was started with this environment variable."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        with contextlib.suppress(OSError):  # it has just ended, or is not ours
            if variable in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name), (folder / "cmdline").read_bytes()
