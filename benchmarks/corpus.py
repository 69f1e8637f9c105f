"""The bodies that are posted, made once for each shape and read back."""

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import loadgen


@dataclass(frozen=True, slots=True)
class Body:
    """One request body and how many records are in it."""

    bytes: bytes
    records: int


@dataclass(frozen=True, slots=True)
class Corpus:
    """A file of bodies, and what was put into them.

    Attributes:
        truth: Records, requests, prompts, generations, tools, tokens, cost in micro-dollars.
    """

    path: Path
    truth: Mapping[str, Any]

    @property
    def records(self) -> int:
        """Log records in all bodies."""
        return int(self.truth["records"])

    @property
    def observations(self) -> int:
        """Observations that the bridge makes of it: roots, generations and tools."""
        names = ("user_prompt", "api_request", "api_error", "tool_result")
        return sum(int(self.truth[name]) for name in names)

    def bodies(self, most: int | None = None) -> Iterator[Body]:
        """The bodies in their order, the first ``most`` of them."""
        return itertools.islice(bodies(self.path), most)


def bodies(path: Path) -> Iterator[Body]:
    """The bodies in a file, in their order."""
    _, frames = loadgen.read_corpus(path)  # type: ignore[no-untyped-call]  # taken over
    for _, records, _, body in frames:
        yield Body(body, records)


def make(folder: Path, records: int, profile: str = "client", **options: int | str) -> Corpus:
    """A corpus of so many records; ``options`` are loadgen's, such as ``seed`` or ``batch``."""
    named = "-".join([profile, str(records), *(f"{key}{value}" for key, value in options.items())])
    path, truth = folder / f"{named}.bin", folder / f"{named}.json"
    if not truth.exists():
        told = [f"--{key}={value}" for key, value in options.items()]
        command = [sys.executable, loadgen.__file__, "make", "--profile", profile, *told]
        command += ["--records", str(records), "--out", str(path), "--expect", str(truth)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return Corpus(path, json.loads(truth.read_text()))


def beginning_of_session(number: int) -> bytes:
    """A body with the first prompt and the first model request of a session."""
    session = loadgen.Session(number, seed=1, prompts=1, numbers="string", content=False)
    events = itertools.islice(session.events(), 2)  # type: ignore[no-untyped-call]  # taken over
    encoder = loadgen.Protobuf()
    body: bytes = encoder.request(0, [encoder.resource_logs(session, list(events))])
    return body
