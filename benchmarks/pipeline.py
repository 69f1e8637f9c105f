"""Decode → correlate → map → encode → gzip, without files and network: gate 1.

Two more stages are the worker's own, over a real inbox and a real ledger: ``assemble`` ends with
what it commits, ``deliver`` with what it marks, and only Langfuse is missing.

Run as a program it takes a corpus through one stage and prints the CPU nanoseconds of it.
``counted`` has that done under valgrind's cachegrind, for two corpora, so that starting up cancels
out. Counts of instructions do not depend on what else the machine does; where there is no
valgrind, CPU time stands in for them.
"""

import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from types import MappingProxyType

from isal import igzip
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from benchmarks.corpus import Body, Corpus, bodies
from bridge.app.assembler import STEP_ENTRIES, Assembler
from bridge.clock import SteadyTime
from bridge.config import Config
from bridge.correlate.closing import Patience
from bridge.correlate.correlator import Correlator
from bridge.correlate.looks import Look
from bridge.correlate.saved import Changes
from bridge.decode.content import ContentPolicy
from bridge.decode.records import Decoder
from bridge.langfuse.deliver import BatchLimits
from bridge.langfuse.mapping import Mapper
from bridge.langfuse.trace import TraceSettings
from bridge.langfuse.wire import SpanEncoder, encode_export
from bridge.model.delivery import PendingSpan
from bridge.model.events import Record
from bridge.model.observations import Observation
from bridge.model.parts import Settled
from bridge.model.requests import Encoding, ExportRequest, Signal
from bridge.store.inbox import Inbox
from bridge.store.inbox_reader import InboxReader
from bridge.store.ledger import Ledger
from bridge.telemetry import logging

ARRIVAL_MS = 1_780_000_000_000
APART_MS = 100
"""Each of 200 sessions posts every twenty seconds: what it told before has settled by then, and its
turns stay open until the next prompt. Even a small corpus is much longer than settling takes."""
EXPORT_SPANS = 500
"""As many as delivery puts into one request (``BatchLimits``)."""
TAGS = (("member", "member"), ("department", "department"), ("team.id", "team"))
CPU_ROUNDS = 3


Decoded = tuple[int, list[Record]]
"""When a request came, Unix milliseconds, and what is in it."""


class Memory:
    """The archive of the correlator without a file: what the ledger has, in dictionaries."""

    def __init__(self) -> None:
        self._turns: dict[str, bytes] = {}
        self._conversations: dict[str, bytes] = {}
        self._looks: list[Look] = []

    def turn(self, key: str) -> bytes | None:
        """The saved state of a turn."""
        return self._turns.get(key)

    def conversation(self, key: str) -> bytes | None:
        """The saved state of a conversation."""
        return self._conversations.get(key)

    def looks(self, after: Look, limit: int) -> list[Look]:
        """The first looks of the queue behind one, in order."""
        start = bisect_right(self._looks, after)
        return self._looks[start : start + limit]

    def save(self, changes: Changes) -> None:
        """Keep what changed."""
        self._turns.update((turn.key, turn.state) for turn in changes.turns)
        self._conversations.update((each.key, each.state) for each in changes.conversations)
        for look in changes.looks.done:
            del self._looks[bisect_right(self._looks, look) - 1]
        for look in changes.looks.planned:
            insort(self._looks, look)


class Pipeline:
    """The stages joined as ``bridge.app.assembler`` joins them, with its defaults."""

    def __init__(self) -> None:
        self._memory = Memory()
        patience = Patience(settle_ms=3_000, quiet_ms=30_000, idle_ms=1_800_000)
        self._decoder = Decoder(
            policy=ContentPolicy.FULL, tag_attributes=frozenset(name for name, _ in TAGS)
        )
        self._correlator = Correlator(patience, self._memory)
        self._mapper = Mapper(
            TraceSettings(tags=TAGS, group_by=None, environment=None, join_traces=False)
        )
        self._encoder = SpanEncoder()
        self._pending: list[PendingSpan] = []

    def exports(self, step: Sequence[Decoded]) -> Iterator[bytes]:
        """Correlate, map and encode what one transaction would; gives the exports that are full."""
        for observation in self.observations(step):
            self._pending.append(
                PendingSpan(
                    position=len(self._pending),
                    span=self._encoder.encode(observation),
                    service_name=observation.trace.service_name,
                    service_version=observation.trace.service_version,
                )
            )
        while len(self._pending) >= EXPORT_SPANS:
            yield self._export()

    def observations(self, step: Sequence[Decoded]) -> Iterator[Observation]:
        """Correlate and map what one transaction would."""
        return map(self._mapper.observation, self.settle(step))

    def settle(self, step: Sequence[Decoded]) -> list[Settled]:
        """Correlate what one transaction would, and save the state."""
        settled: list[Settled] = []
        for received_at_ms, records in step:
            settled += self._correlator.due(received_at_ms)
            for record in records:
                self._correlator.fold(record)
        self._memory.save(self._correlator.take_changes())
        return settled

    def decode(self, requests: Iterable[ExportRequest]) -> list[Decoded]:
        """When each request came, and its records."""
        return [(each.received_at_ms, self._records(each)) for each in requests]

    def rest(self) -> bytes:
        """The last export."""
        return self._export()

    def _records(self, request: ExportRequest) -> list[Record]:
        records = [item for item in self._decoder.decode(request) if isinstance(item, Record)]
        if len(records) != request.records:
            raise TypeError("the corpus has something that is no record")
        return records

    def _export(self) -> bytes:
        batch, self._pending = self._pending[:EXPORT_SPANS], self._pending[EXPORT_SPANS:]
        return encode_export(batch)


def requests(given: Iterable[Body]) -> Iterator[ExportRequest]:
    """The bodies as the inbox would give them."""
    for number, body in enumerate(given):
        yield ExportRequest(
            signal=Signal.LOGS,
            encoding=Encoding.PROTOBUF,
            body=body.bytes,
            gzipped=False,
            records=body.records,
            received_at_ms=ARRIVAL_MS + number * APART_MS,
        )


def steps(path: Path) -> Iterator[list[ExportRequest]]:
    """The requests of a corpus, as many at a time as one transaction takes in."""
    given = requests(bodies(path))
    while step := list(islice(given, STEP_ENTRIES)):
        yield step


def run_all(path: Path) -> int:
    """Take a corpus through all stages; how many bytes would go out."""
    pipeline = Pipeline()
    exports = (each for step in steps(path) for each in pipeline.exports(pipeline.decode(step)))
    return sum(map(_gzipped_bytes, exports)) + _gzipped_bytes(pipeline.rest())


def run_settle(path: Path) -> int:
    """Take a corpus through the first two stages; how many parts settle."""
    pipeline = Pipeline()
    return sum(len(pipeline.settle(pipeline.decode(step))) for step in steps(path))


def run_decode(path: Path) -> int:
    """Take a corpus through the first stage alone; how many records it has."""
    pipeline = Pipeline()
    decoded = (each for step in steps(path) for each in pipeline.decode(step))
    return sum(len(records) for _, records in decoded)


def fill_inbox(path: Path, folder: Path) -> None:
    """Commit a corpus to an inbox in a folder, as the receiver does."""
    inbox = Inbox(folder / "inbox.db")
    for step in steps(path):
        inbox.append(step)
    inbox.close()


def run_assemble(path: Path) -> int:
    """Take a corpus from an inbox into a ledger; how many steps had something to do."""
    with tempfile.TemporaryDirectory() as folder:
        return _assembled(path, Path(folder))


def run_deliver(path: Path) -> int:
    """The same, and send all of it to nobody; how many bytes would go out."""
    with tempfile.TemporaryDirectory() as folder:
        _assembled(path, Path(folder))
        return sum(_delivered(Path(folder)))


def _assembled(path: Path, folder: Path) -> int:
    _run([], "fill", path, folder)  # a process of its own: its instructions are not the worker's
    config = Config.model_validate({"data_dir": folder})
    logging.configure(config.log_level, config.log_format)
    inbox, ledger = InboxReader(folder / "inbox.db"), Ledger(config.ledger_path, SteadyTime())
    assembler = Assembler(config, inbox, ledger)
    done = sum(1 for _ in iter(lambda: assembler.step(ARRIVAL_MS), 0))
    ledger.close()
    inbox.close()
    return done


def _delivered(folder: Path) -> Iterator[int]:
    ledger, limits = Ledger(folder / "ledger.db", SteadyTime()), BatchLimits()
    while batch := ledger.claim(limits.claim_bytes, limits.claim_spans):
        yield _gzipped_bytes(encode_export(batch))
        ledger.delivered([span.position for span in batch], ARRIVAL_MS)
    ledger.close()


def _gzipped_bytes(export: bytes) -> int:
    return len(igzip.compress(export, compresslevel=1, mtime=0))


def run_floor(path: Path) -> int:
    """F: parse and write each body; how many bytes that were."""
    return sum(
        len(ExportLogsServiceRequest.FromString(body.bytes).SerializeToString())
        for body in bodies(path)
    )


STAGES: Mapping[str, Callable[[Path], int]] = MappingProxyType(
    {
        "deliver": run_deliver,
        "assemble": run_assemble,
        "all": run_all,
        "settle": run_settle,
        "decode": run_decode,
        "F": run_floor,
    }
)


def has_valgrind() -> bool:
    """Whether instructions can be counted."""
    return shutil.which("valgrind") is not None


def counted(stage: str, small: Corpus, large: Corpus) -> float:
    """Instructions per record that a stage takes; CPU nanoseconds where they cannot be counted."""
    with ThreadPoolExecutor(2 if has_valgrind() else 1) as both:
        of_one = _instructions if has_valgrind() else _cpu_ns
        less, more = both.map(of_one, [stage, stage], [small.path, large.path])
    return (more - less) / (large.records - small.records)


def _instructions(stage: str, path: Path) -> int:
    valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no"]
    done = _run([*valgrind, "--cachegrind-out-file=/dev/null"], stage, path)
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if found is None:
        raise ValueError(f"valgrind printed no count: {done.stderr[-500:]}")
    return int(found[1].replace(",", ""))


def _cpu_ns(stage: str, path: Path) -> int:
    """The least of some rounds."""
    return min(int(_run([], stage, path).stdout) for _ in range(CPU_ROUNDS))


def _run(below: list[str], stage: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    named = [str(path.absolute()) for path in paths]
    program = [sys.executable, "-m", "benchmarks.pipeline", stage, *named]
    return subprocess.run(
        [*below, *program],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        env=os.environ | {"PYTHONHASHSEED": "0"},
    )


def main(stage: str, path: Path, *folder: Path) -> None:
    """Run a stage."""
    gc.freeze()  # as in a child of the bridge: what was imported is nobody's garbage
    if stage == "fill":
        fill_inbox(path, *folder)
        return
    began_ns = time.process_time_ns()
    STAGES[stage](path)
    print(time.process_time_ns() - began_ns)


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
