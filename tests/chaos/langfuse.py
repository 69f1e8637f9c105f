"""The double of ``tests/chaos/double.py`` as a process, and what it is told and asked."""

import json
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tests.chaos.double import CONTROL, EXPORTS, Outage
from tests.processes import DEADLINE_S, Langfuse

DOUBLE = Path(__file__).with_name("double.py")


class Arrival(NamedTuple):
    """A request that came to Langfuse: when on the machine's monotonic clock, and where to."""

    at_s: float
    path: str


class LastingLangfuse(Langfuse):
    """``with LastingLangfuse(folder) as langfuse``: a Langfuse that can be in trouble for long."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        super().__init__(folder, *arguments, script=DOUBLE)

    def begin(self, outage: Outage) -> None:
        """From now on every request gets this."""
        self._call("PUT", json.dumps(asdict(outage)).encode())

    def recover(self) -> None:
        """From now on it answers as it should."""
        self.begin(Outage())

    def arrivals(self, since_s: float = 0.0, until_s: float = float("inf")) -> list[Arrival]:
        """Every request between two moments, the failed ones too, in order."""
        told = [Arrival(*each) for each in json.loads(self._call("GET", None))]
        return [arrival for arrival in told if since_s <= arrival.at_s < until_s]

    def _call(self, method: str, body: bytes | None) -> bytes:
        request = urllib.request.Request(self.url + CONTROL, body, method=method)  # noqa: S310 - ours
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:  # noqa: S310 - likewise
            read: bytes = answer.read()
        return read


def export_gaps_s(arrivals: Sequence[Arrival]) -> list[float]:
    """Seconds between one export and the next."""
    times = [arrival.at_s for arrival in arrivals if arrival.path == EXPORTS]
    return [later - earlier for earlier, later in pairwise(times)]
