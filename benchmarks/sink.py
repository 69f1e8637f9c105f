"""What stands in for Langfuse in measurements: takes everything, keeps nothing, costs little.

Run as a program it listens on the port that it is given, 0 for a free one, prints it, and answers
200 to any request. ``GET /counts`` tells how many spans and log records have come, when the first
and the latest did (Unix seconds), and how many bytes. The strict double in ``tests/fakes.py`` is
for truth; this one is not to be what is measured.
"""

import asyncio
import json
import sys
import time
import zlib

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"
ABOUT = b'{"status":"OK","version":"4.60.0","data":[],"meta":{"totalItems":0,"totalPages":0}}'
"""Health, projects and score configs in one: a Langfuse that takes arrays of scores."""


class Counts:
    """What has come so far."""

    def __init__(self) -> None:
        self.items = 0
        self.requests = 0
        self.bytes = 0
        self.first_s = 0.0
        self.latest_s = 0.0

    def add(self, path: bytes, body: bytes) -> None:
        """Count the spans or log records of one export."""
        now_s = time.time()
        self.first_s = self.first_s or now_s
        self.latest_s = now_s
        self.requests += 1
        self.bytes += len(body)
        self.items += _items(path, body)


def _items(path: bytes, body: bytes) -> int:
    plain = zlib.decompress(body, wbits=47) if body[:2] == b"\x1f\x8b" else body
    if b"traces" in path:
        spans = ExportTraceServiceRequest.FromString(plain).resource_spans
        return sum(len(scope.spans) for each in spans for scope in each.scope_spans)
    if b"logs" in path:
        logs = ExportLogsServiceRequest.FromString(plain).resource_logs
        return sum(len(scope.log_records) for each in logs for scope in each.scope_logs)
    return 0


async def _serve(
    counts: Counts, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            method, path, _ = head.split(b" ", 2)
            body = await reader.readexactly(_length(head))
            writer.write(_answer(counts, method, path, body))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def _answer(counts: Counts, method: bytes, path: bytes, body: bytes) -> bytes:
    if method == b"POST":
        counts.add(path, body)
        return ANSWER
    told = json.dumps(vars(counts)).encode() if path == b"/counts" else ABOUT
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(told),
        told,
    )


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def main() -> None:
    """Listen until killed."""
    counts = Counts()
    server = await asyncio.start_server(
        lambda reader, writer: _serve(counts, reader, writer), "127.0.0.1", int(sys.argv[1])
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
