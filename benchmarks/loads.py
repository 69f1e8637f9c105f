"""A corpus posted to a running bridge or peer, and what that cost until all of it was delivered."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks import loadgen
from benchmarks.corpus import Corpus
from benchmarks.processes import Measured, get, until
from benchmarks.yardstick import InSitu

SAMPLED_BODIES = 400
LOOK_EVERY_S = 1.0
"""Health is asked so rarely that the asking does not show."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a corpus cost.

    Attributes:
        cpu_s: CPU seconds by role, from the first post to the last delivery.
        f_s: F per record in CPU seconds, measured at the same time.
        pss_bytes: Memory of all processes when the last body was answered.
        delivered: Items that came to the sink.
    """

    records: int
    cpu_s: Mapping[str, float]
    f_s: float
    pss_bytes: int
    delivered: int

    @property
    def per_record_s(self) -> float:
        """CPU seconds of all processes."""
        return sum(self.cpu_s.values()) / self.records

    @property
    def per_record_f(self) -> float:
        """The same in F."""
        return self.per_record_s / self.f_s

    def per_record_of_s(self, role: str) -> float:
        """CPU seconds of one process."""
        return self.cpu_s[role] / self.records


def send(corpus: Corpus, url: str, **options: float) -> Mapping[str, Any]:
    """Post a corpus; the answer times in milliseconds, and how many were answered with what.

    Args:
        corpus: What to post.
        url: Where.
        options: The generator's: ``rate`` in requests per second, ``connections``, ``seconds``.

    Raises:
        ValueError: Not everything was answered 200.
    """
    with sending(corpus, url, **options) as process:
        return sent(process)


def sending(corpus: Corpus, url: str, **options: float) -> subprocess.Popen[str]:
    """The same under way; ``sent`` waits for it."""
    told = [f"--{key}={value}" for key, value in options.items()]
    return subprocess.Popen(
        [sys.executable, loadgen.__file__, "send", str(corpus.path), "--url", url, *told],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def sent(process: subprocess.Popen[str]) -> Mapping[str, Any]:
    """What a generator says at its end."""
    told, _ = process.communicate()
    found: dict[str, Any] = json.loads(told)
    if found["status"].keys() != {"200"}:
        raise ValueError(f"answers: {found['status']}")
    return found


def cost_of(
    corpus: Corpus, measured: Measured, sink_url: str, delivered: Callable[[int], bool]
) -> Cost:
    """Post it as fast as it is answered, wait until all is delivered, and tell what it took.

    Args:
        corpus: What to post.
        measured: To whom.
        sink_url: Where it delivers to.
        delivered: Whether all is delivered, by the items that have come to the sink.
    """
    items_before = get(sink_url, "/counts")["items"]
    before_s = measured.cpu_by_role_s()
    with InSitu(list(corpus.bodies(SAMPLED_BODIES))) as f:
        send(corpus, measured.url)
        pss_bytes = measured.pss_bytes()
        until(
            lambda: delivered(get(sink_url, "/counts")["items"] - items_before),
            "all is delivered",
            timeout_s=3_600,
            poll_s=LOOK_EVERY_S,
        )
    after_s = measured.cpu_by_role_s()
    return Cost(
        records=corpus.records,
        cpu_s={role: after_s[role] - before_s[role] for role in after_s},
        f_s=f.per_record_s,
        pss_bytes=pss_bytes,
        delivered=get(sink_url, "/counts")["items"] - items_before,
    )


def nothing_held(url: str) -> Callable[[int], bool]:
    """Whether a bridge has delivered everything: no record and no span is left in it."""

    def delivered(_items: int) -> bool:
        health = get(url, "/healthz")
        return bool(health["accepted"]) and not health["held"] and not health["pending"]

    return delivered
