"""A program that measures what sessions cost: ``python -m tests.open_sessions KIND FOLDER N``.

It takes in N sessions in a process of its own and prints what their memory was as JSON. Those of
kind ``open`` are in the middle of a turn, ``unknown`` ones are each seen with one record. The first
``WARM`` fill what is bounded and are not counted.
"""

import gc
import json
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import structlog

from bridge.model.requests import ExportRequest
from tests.builders import T0_MS, a_decision, a_prompt, a_request
from tests.pipeline import Logged, Pipeline, batch

WARM = 8_000
"""The inbox has larger pages than the ledger, and SQLite keeps two megabytes of them."""
TOGETHER = 50
"""Sessions in one export request, as a collector sends them."""


def an_open_session(number: int) -> list[Logged]:
    """A prompt, a model request and a tool that has not come back."""
    session = f"5e551000-0000-4000-8000-{number:012d}"
    around = {"session": session, "prompt": f"9a0b0000-0000-4000-8000-{number:012d}"}
    return [
        a_prompt(0, "What is in this folder?", sequence=0, **around),
        a_request(300, f"req_{number}", sequence=1, **around),
        a_decision(310, f"toolu_{number}", sequence=2, **around),
    ]


def an_unknown_session(number: int) -> list[Logged]:
    """One record, of a prompt that nobody has seen."""
    return an_open_session(number)[1:2]


KINDS = {"open": an_open_session, "unknown": an_unknown_session}


def sessions(kind: str, start: int, count: int) -> Iterator[ExportRequest]:
    """Export requests of so many sessions of a kind, each in one of them."""
    for first in range(start, start + count, TOGETHER):
        numbers = range(first, min(first + TOGETHER, start + count))
        yield batch([each for n in numbers for each in KINDS[kind](n)], T0_MS + 400)


def main(kind: str, folder: Path, count: int) -> None:
    """Take them in, look once at what is due, start anew, and tell what it took."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    made = Pipeline(folder)
    _take_in(made, sessions(kind, 0, WARM))
    before_kib = _rss_kib()
    _take_in(made, sessions(kind, WARM, count))
    grown_kib = _rss_kib() - before_kib
    made.restart()
    started_s = time.perf_counter()
    made.step(T0_MS + 500)
    start_s = time.perf_counter() - started_s
    view = made.local_view()
    found = {
        "kib_per_session": round(grown_kib / count, 3),
        "rss_mib": _rss_kib() // 1024,
        "live_records": view.totals().live_records,
        "start_s": round(start_s, 4),
    }
    view.close()
    made.close()
    sys.stdout.write(json.dumps(found))


def _take_in(made: Pipeline, requests: Iterator[ExportRequest]) -> None:
    for request in requests:
        made.post(request)
        made.work(T0_MS + 400)


def _rss_kib() -> int:
    gc.collect()
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
