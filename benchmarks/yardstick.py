"""F: CPU time of upb's ``FromString`` plus ``SerializeToString`` of a body, per record.

It is the least that anything can cost which reads a body and writes one, so costs are told as
multiples of it. Measured beside the bridge at the moment it runs: the same call costs three times
as much between other processes as in a quiet loop.
"""

import itertools
import threading
import time
from collections.abc import Sequence
from typing import Self

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from benchmarks.corpus import Body

PAUSE_S = 0.01
"""Between two samples: long enough for caches to forget, short enough for hundreds of samples."""


class InSitu:
    """F while others work: ``with InSitu(bodies) as f``, then ``f.per_record_s``.

    A thread of the process that only waits for those others meanwhile.
    """

    def __init__(self, bodies: Sequence[Body]) -> None:
        self._bodies = bodies
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._measure)
        self._cpu_s = 0.0
        self._records = 0

    @property
    def per_record_s(self) -> float:
        """CPU seconds per record over all samples."""
        return self._cpu_s / self._records

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _measure(self) -> None:
        for body in itertools.cycle(self._bodies):
            began_s = time.thread_time()
            ExportLogsServiceRequest.FromString(body.bytes).SerializeToString()
            self._cpu_s += time.thread_time() - began_s
            self._records += body.records
            if self._done.wait(PAUSE_S):
                return
