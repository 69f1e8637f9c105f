"""A flame graph of one process of the bridge under load: ``python -m benchmarks.flames worker``.

The picture is taken from outside by py-spy, which slows nothing down, and needs the right to trace
a process: root, or ``kernel.yama.ptrace_scope`` 0. Only threads that hold the interpreter are
looked at, so widths are the time of Python code: waiting is not in it, nor what SQLite and zlib do
meanwhile.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from benchmarks import gates, loads, processes
from benchmarks.__main__ import BUILD, SEED
from benchmarks.scale import QUICK

RECORDS = 40_000
SAMPLES_PER_S = 200


def main() -> int:
    """Post a corpus, and look at the process until all is delivered."""
    options = _arguments()
    py_spy = shutil.which("py-spy", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if py_spy is None:
        print("py-spy is not installed: pip install py-spy", file=sys.stderr)
        return 1
    bench = gates.Bench(QUICK, BUILD, SEED)
    load = bench.corpus(RECORDS)
    with ExitStack() as stack:
        sink_url = stack.enter_context(processes.sink())
        bridge = bench.bridge(stack, sink_url)
        command = [py_spy, "record", "--format", "flamegraph", "--rate", str(SAMPLES_PER_S)]
        command += ["--gil", "--function", "--output", str(options.output), "--pid"]
        with subprocess.Popen([*command, str(bridge.pid_of(options.role))]) as watching:
            loads.cost_of(load, bridge, sink_url, loads.nothing_held(bridge.url))
            watching.send_signal(signal.SIGINT)  # its way to be told that it is enough
    _entitle(options.output, f"{options.role} of langfuse-bridge under load")
    return watching.returncode


def _entitle(picture: Path, title: str) -> None:
    """py-spy writes its own command line there."""
    named = re.sub(r'(<text id="title"[^>]*>)[^<]*', rf"\g<1>{title}", picture.read_text())
    picture.write_text(named)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flames", description=__doc__)
    parser.add_argument("role", choices=("worker", "receiver"))
    parser.add_argument("output", type=Path, help="where the SVG goes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
