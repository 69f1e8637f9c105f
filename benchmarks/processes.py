"""The bridge, its peers and the sink as processes: started, measured from outside, ended."""

import contextlib
import http
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
POLL_S = 0.005
DEADLINE_S = 600.0


def until(
    reached: Callable[[], bool], what: str, timeout_s: float = DEADLINE_S, poll_s: float = POLL_S
) -> None:
    """Look again and again until it is so.

    Raises:
        TimeoutError: It never was.
    """
    deadline_s = time.monotonic() + timeout_s
    while not reached():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"after {timeout_s} s still not: {what}")
        time.sleep(poll_s)


class Measured:
    """A process with its children, as ``/proc`` tells of it."""

    def __init__(self, process: subprocess.Popen[Any], url: str) -> None:
        self.process = process
        self.url = url

    def pids(self) -> list[int]:
        """Its own id and those of its children."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [self.process.pid, *map(int, children.read_text().split())]

    def pid_of(self, role: str) -> int:
        """The child of that role."""
        return next(pid for pid in self.pids() if _role(pid) == role)

    def cpu_by_role_s(self) -> Mapping[str, float]:
        """CPU seconds since they started, by the module that each runs (``receiver``)."""
        return {_role(pid): _cpu_s(pid) for pid in self.pids()}

    def pss_bytes(self) -> int:
        """Memory of all of them; what they share is counted once."""
        return sum(map(_pss_bytes, self.pids()))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _role(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    modules = [word.rpartition(".")[2] for word in words if word.startswith("bridge.app.")]
    return modules[-1] if modules else "supervisor"


def _pss_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


@contextlib.contextmanager
def started(command: list[str], url: str, **environment: str) -> Iterator[Measured]:
    """Run a command for as long as the block lasts."""
    process = subprocess.Popen(
        command, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        yield Measured(process, url)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def sink(port: int = 0) -> Iterator[str]:
    """The sink's URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sink", str(port)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        if process.stdout is None:
            raise RuntimeError("the sink was started without a pipe")
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def bridge(folder: Path, port: int, sink_url: str | None, **settings: str) -> Iterator[Measured]:
    """A bridge that keeps its data in ``folder``; without a sink it only receives and assembles."""
    url = f"http://127.0.0.1:{port}"
    told = {f"BRIDGE_{name.upper()}": value for name, value in settings.items()}
    told |= {"BRIDGE_DATA_DIR": str(folder), "BRIDGE_PORT": str(port), "BRIDGE_GRPC_PORT": "0"}
    told |= {"BRIDGE_LOG_LEVEL": "error"}
    if sink_url:
        told |= {"LANGFUSE_BASE_URL": sink_url}
        told |= {"LANGFUSE_PUBLIC_KEY": "pk-lf-b", "LANGFUSE_SECRET_KEY": "sk-lf-b"}
    folder.mkdir(parents=True, exist_ok=True)
    with started([sys.executable, "-m", "bridge", "run"], url, **told) as measured:
        until(lambda: answers(url, "/healthz"), "the bridge answers", 30.0)
        yield measured


def free_port() -> int:
    """A port below those of outgoing connections, on which nothing listens."""
    while True:
        port = random.randrange(20_000, 32_000)  # noqa: S311 - no secret
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def listens(port: int) -> bool:
    """Whether something takes connections on a port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False


def get(url: str, path: str) -> Any:  # noqa: ANN401 - JSON
    """A JSON document."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())


def post(url: str, path: str, body: bytes) -> None:
    """Post protobuf.

    Raises:
        ValueError: It was not answered 200.
    """
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    with contextlib.closing(connection):
        connection.request("POST", path, body, {"Content-Type": "application/x-protobuf"})
        status = connection.getresponse().status
        if status != http.HTTPStatus.OK:
            raise ValueError(f"answered {status}")


def answers(url: str, path: str) -> bool:
    """Whether something there answers."""
    try:
        get(url, path)
    except (OSError, http.client.HTTPException, ValueError):
        return False
    return True
