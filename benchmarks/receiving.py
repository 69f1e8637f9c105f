"""What a POST costs the receiver: instructions, and CPU time by user and system.

The receiver runs as its supervisor runs it, and is sent a load over loopback. When all is answered
a ledger says that all is assembled, so that deleting it is counted too, and the receiver is
stopped. Two loads are compared, one twice the other: starting and stopping cancel out.

``python -m benchmarks.receiving`` prints it for bodies of clients and of gateways. Instructions are
those of its own code under valgrind's cachegrind; what the kernel does for it is in the CPU time
alone, which varies with whatever else the machine does.
"""

import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from benchmarks import corpus, loads, processes
from benchmarks.corpus import Corpus
from bridge.app import lean
from bridge.app.handed import hand_over
from bridge.config import load
from bridge.store.inbox_reader import InboxReader
from bridge.store.ledger import Ledger
from bridge.store.step import Step

CORPORA: Final = Path(__file__).parents[1] / "build" / "corpora"
COUNTING: Final = ("valgrind", "--tool=cachegrind", "--cache-sim=no")
KEPT_NOWHERE: Final = "--cachegrind-out-file=/dev/null"
INSTRUCTIONS: Final = re.compile(r"I\s+refs:\s+([\d,]+)")
LOADS: Final = MappingProxyType(
    {"client": (1_500, {}), "gateway": (20_480, {"batch": 512})}  # records, and loadgen's options
)
TIMED_TIMES: Final = 6
"""CPU time is told in steps of some milliseconds, so loads are larger where it is measured."""
ROUNDS: Final = 3
READY_S: Final = 60.0
US: Final = 1e6


class Spent(NamedTuple):
    """What a receiver took, with whatever started it."""

    instructions: float
    user_s: float
    system_s: float


def per_post(profile: str, folder: Path, *, counted: bool) -> Spent:
    """What one POST more costs; without ``counted`` its CPU time, and no instructions.

    Args:
        profile: Of the load.
        folder: For corpora.
        counted: Whether instructions are counted.
    """
    records, options = LOADS[profile]
    times = 1 if counted else TIMED_TIMES
    small, large = (
        corpus.make(folder, factor * times * records, profile, seed=7, **options)
        for factor in (1, 2)
    )
    posts = int(large.truth["requests"]) - int(small.truth["requests"])
    pairs = zip(spent(small, counted=counted), spent(large, counted=counted), strict=True)
    return Spent(*((more - less) / posts for less, more in pairs))


def spent(load_sent: Corpus, *, counted: bool) -> Spent:
    """What a receiver takes for a load, from its start to its end."""
    below = [*COUNTING, KEPT_NOWHERE] if counted else []
    with (
        tempfile.TemporaryDirectory(prefix="langfuse-bridge-receiving-") as folder,
        _receiver(Path(folder), below) as (process, url),
    ):
        loads.send(load_sent, url)
        _assemble(Path(folder))
        process.send_signal(signal.SIGTERM)
        told = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ValueError(f"the receiver ended with {process.returncode}: {told.decode()[-2000:]}")
    found = INSTRUCTIONS.search(told.decode())
    instructions = int(found[1].replace(",", "")) if found else 0
    return Spent(instructions, usage.ru_utime, usage.ru_stime)


@contextmanager
def _receiver(folder: Path, below: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A receiver that answers, and its URL."""
    told = {"BRIDGE_DATA_DIR": str(folder), "BRIDGE_GRPC_PORT": "0", "BRIDGE_LOG_LEVEL": "error"}
    config = load({}, told, folder).config
    with (
        closing(socket.create_server(("127.0.0.1", 0), backlog=1024)) as listening,
        subprocess.Popen(
            [*below, *lean.command("bridge.app.receiver", listening.fileno())],
            env={**lean.environment(), "PYTHONHASHSEED": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(listening.fileno(),),
        ) as process,
    ):
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            if process.stdin is None:
                raise RuntimeError("the receiver was started without a pipe")
            process.stdin.write(hand_over(config))
            process.stdin.flush()
            processes.until(lambda: processes.answers(url, "/healthz"), "it answers", READY_S)
            yield process, url
        finally:
            if process.returncode is None:
                process.kill()


def _assemble(folder: Path) -> None:
    """Have a ledger say what the worker would: all of the inbox is assembled."""
    inbox, ledger = InboxReader(folder / "inbox.db"), Ledger(folder / "ledger.db")
    with closing(inbox), closing(ledger):
        last = inbox.totals().kept_requests  # nothing was released yet, so positions are numbers
        ledger.take_up(inbox.generation or "", 0)
        ledger.commit(_step(last))


def _step(watermark: int) -> Step:
    return Step(
        watermark=watermark,
        turns=(),
        conversations=(),
        finished=(),
        quarantined=(),
        outcomes={},
        at_ms=0,
    )


def main(profiles: list[str]) -> None:
    """Print instructions, then the median CPU time of some rounds."""
    CORPORA.mkdir(parents=True, exist_ok=True)
    for profile in profiles or list(LOADS):
        counted = per_post(profile, CORPORA, counted=True)
        print(f"{profile:8} {counted.instructions:12,.0f} instructions per POST", flush=True)
        timed = [per_post(profile, CORPORA, counted=False) for _ in range(ROUNDS)]
        user, system = (statistics.median(each[n] for each in timed) * US for n in (1, 2))
        print(f"{profile:8} {user:8.0f} us user + {system:.0f} us system per POST", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
