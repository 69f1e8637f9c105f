"""The peers: rotel, which passes OTLP through, and a server that only spools."""

import contextlib
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import processes
from benchmarks.corpus import Corpus
from benchmarks.processes import Measured

ROTEL = "rotel==0.0.1a15"
PACKAGES = "lib/python{}.{}/site-packages/rotel/rotel-agent"


class NotAvailableError(Exception):
    """A peer cannot be had on this machine; the figures that need it are left out."""


def installed_rotel(folder: Path) -> Path:
    """The agent's binary, from PyPI, in a virtual environment of its own.

    Raises:
        NotAvailableError: It could not be installed.
    """
    binary = folder / PACKAGES.format(*sys.version_info)
    if not binary.exists():
        venv.create(folder, with_pip=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", ROTEL]
        done = subprocess.run(pip, check=False, capture_output=True, text=True)
        if done.returncode or not binary.exists():
            raise NotAvailableError(f"{ROTEL} cannot be installed: {done.stderr[-300:]}")
    return binary


@contextlib.contextmanager
def rotel(binary: Path, sink_url: str, folder: Path) -> Iterator[Measured]:
    """Receives OTLP over HTTP and passes it on; keeps nothing on disk."""
    port, grpc_port = processes.free_port(), processes.free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(binary), "start", "--otlp-http-endpoint", f"127.0.0.1:{port}"]
    command += ["--otlp-grpc-endpoint", f"127.0.0.1:{grpc_port}", "--exporter", "otlp"]
    command += ["--otlp-exporter-endpoint", sink_url, "--otlp-exporter-protocol", "http"]
    command += ["--pid-file", str(folder / "rotel.pid"), "--log-file", str(folder / "rotel.log")]
    with processes.started(command, url) as measured:
        processes.until(lambda: processes.listens(port), "rotel listens", 30.0)
        yield measured


@contextlib.contextmanager
def spool_only(folder: Path) -> Iterator[Measured]:
    """Appends, syncs, answers."""
    port = processes.free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "benchmarks.spool_only", str(port), str(folder / "spool.db")]
    with processes.started(command, url) as measured:
        processes.until(lambda: processes.answers(url, "/healthz"), "the spool answers", 30.0)
        yield measured


@dataclass(frozen=True, slots=True)
class Observed:
    """What creating observations took, and how many of them came to the sink."""

    cpu_s: float
    delivered: int

    @property
    def each_s(self) -> float:
        """CPU seconds of one."""
        return self.cpu_s / self.delivered


def observed(client: str, corpus: Corpus) -> Observed:
    """The bridge's observations of a corpus, created with an SDK."""
    return _observed("benchmarks.observing", client, "{sink}", str(corpus.path.absolute()))


def observed_by_bridge(corpus: Corpus) -> Observed:
    """The same created by the bridge, from decoded records on."""
    return _observed("benchmarks.own_observing", "{sink}", str(corpus.path.absolute()))


def _observed(module: str, *arguments: str) -> Observed:
    """What a program says that it took, and how many observations then were at its sink."""
    with processes.sink() as sink_url:
        told = [argument.format(sink=sink_url) for argument in arguments]
        done = subprocess.run(
            [sys.executable, "-m", module, *told], check=True, capture_output=True, text=True
        )
        return Observed(float(done.stdout), processes.get(sink_url, "/counts")["items"])
