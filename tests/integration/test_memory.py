"""One body of the largest size goes through all three processes within bounded memory."""

import gzip
import http.client
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from bridge.store.inbox_reader import InboxReader
from tests.pipeline import Json
from tests.processes import Bridge, until

MIB = 1024 * 1024
BOUND_MIB = 250
"""What is promised for the sum over the processes."""
SAMPLE_S = 0.02
PROTOBUF, JSON = "application/x-protobuf", "application/json"


class Memory:
    """PSS of a bridge's processes, looked at again and again."""

    def __init__(self, bridge: Bridge) -> None:
        children = bridge.pids()
        self._pids = {"supervisor": _parent(children["worker"]), **children}
        self.peak_mib = 0
        self.processes_mib: dict[str, int] = {}

    def look(self) -> None:
        """Take the sum now, and keep it if it is the largest."""
        processes_mib = {role: _pss_mib(pid) for role, pid in self._pids.items()}
        total_mib = sum(processes_mib.values())
        if total_mib > self.peak_mib:
            self.peak_mib, self.processes_mib = total_mib, processes_mib


@contextmanager
def watched(bridge: Bridge) -> Iterator[Memory]:
    """What the bridge's processes had at their peak, known at the end."""
    memory, over = Memory(bridge), threading.Event()

    def look() -> None:
        while not over.wait(SAMPLE_S):
            memory.look()

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield memory
    finally:
        over.set()
        looking.join()


def a_document(text_bytes: int) -> Json:
    """A logs request with one record of another program."""
    record = {
        "timeUnixNano": "1795000000000000000",
        "body": {"stringValue": "said"},
        "attributes": [{"key": "text", "value": {"stringValue": "é" * (text_bytes // 2)}}],
    }
    scopes = [{"scope": {"name": "another.program"}, "logRecords": [record]}]
    return {"resourceLogs": [{"resource": {}, "scopeLogs": scopes}]}


def many_in_protobuf(records: int) -> bytes:
    export = ParseDict(a_document(780), ExportLogsServiceRequest())
    found = export.resource_logs[0].scope_logs[0].log_records
    found.extend([found[0]] * (records - 1))
    return export.SerializeToString()


def many_in_json(records: int) -> bytes:
    document = a_document(780)
    found = document["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    found *= records
    return json.dumps(document, ensure_ascii=False).encode()


BODIES = {
    "protobuf": (PROTOBUF, lambda: many_in_protobuf(75_000), 75_000),
    "json": (JSON, lambda: many_in_json(70_000), 70_000),
    "string-protobuf": (
        PROTOBUF,
        lambda: ParseDict(a_document(60 * MIB), ExportLogsServiceRequest()).SerializeToString(),
        1,
    ),
    "string-json": (
        JSON,
        lambda: json.dumps(a_document(60 * MIB), ensure_ascii=False).encode(),
        1,
    ),
}


@pytest.mark.parametrize(
    ("kind", "packed"),
    [*((kind, False) for kind in BODIES), ("protobuf", True), ("json", True)],
)
def test_one_large_body_stays_within_the_memory_that_is_promised(
    tmp_path: Path, kind: str, packed: bool
) -> None:
    encoding, make, records = BODIES[kind]
    body = make()
    assert 50 * MIB < len(body) < 64 * MIB
    body = gzip.compress(body, 1) if packed else body
    with Bridge(tmp_path) as bridge:
        with watched(bridge) as memory:
            assert post(bridge, body, encoding, packed=packed) == 200
            ended = until(lambda: _ended(bridge, records), "it is assembled", 60)
        bridge.stop(signal.SIGTERM)
    assert ended == {"other_scope": records}
    assert memory.peak_mib < BOUND_MIB, memory.processes_mib


def test_bomb_is_cut_off_and_refused(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(MIB), 9) * 60 + gzip.compress(bytes(300 * MIB), 9)
    with Bridge(tmp_path) as bridge:
        with watched(bridge) as memory:
            assert post(bridge, bomb, PROTOBUF, packed=True) == 413
        bridge.stop(signal.SIGTERM)
    assert memory.peak_mib < BOUND_MIB, memory.processes_mib


def post(bridge: Bridge, body: bytes, encoding: str, *, packed: bool) -> int:
    headers = {"Content-Type": encoding} | ({"Content-Encoding": "gzip"} if packed else {})
    with closing(http.client.HTTPConnection("127.0.0.1", bridge.port, timeout=60)) as connection:
        connection.request("POST", "/v1/logs", body, headers)
        return connection.getresponse().status


def _ended(bridge: Bridge, records: int) -> dict[str, int] | None:
    """The outcomes, once every record has one and the inbox is empty."""
    with closing(InboxReader(bridge.data_dir / "inbox.db")) as inbox:
        kept = inbox.totals().kept_requests
    outcomes: dict[str, int] = bridge.health()["outcomes"]
    ended = {name: count for name, count in outcomes.items() if count}
    return ended if sum(ended.values()) == records and not kept else None


def _pss_mib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, value, *_ = line.split()
        if name == "Pss:":
            return int(value) // 1024
    raise AssertionError(f"process {pid} has no PSS")


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
