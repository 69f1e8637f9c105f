"""kill -9 at random moments, while clients post: what was answered 200 arrives, and arrives once.

A round kills one or more processes of a running bridge.
"""

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Container
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.accounts import account, assert_complete, first_of_each
from tests.chaos.figures import Figure
from tests.chaos.langfuse import LastingLangfuse
from tests.chaos.posting import Posting, longest_s
from tests.chaos.scale import SCALE, dice
from tests.chaos.watching import MIB, Watch
from tests.fakes import ReceivedSpans, SpanKey
from tests.processes import ROLES, Bridge, Langfuse, until
from tests.recordings import sessions

MOMENT_S = 1.2
"""The latest moment of a round, as long as a restart takes: some fall into the start of a child."""
KINDS = ("receiver", "worker", "worker at delivery", "both", "supervisor")
"""One round each in every life of the bridge, the supervisor's last."""
SETTLED_S = 120


class Killer:
    """Does the rounds.

    Attributes:
        rounds: What was killed, in order.
        worker_kills: How many of them found a worker to kill.
    """

    def __init__(
        self, bridge: Bridge, langfuse: Langfuse, posting: Posting, dice: random.Random
    ) -> None:
        self.rounds: list[str] = []
        self.worker_kills = 0
        self._bridge = bridge
        self._langfuse = langfuse
        self._posting = posting
        self._dice = dice
        self._pause = threading.Event()

    def live(self) -> None:
        """One life of the bridge: a round of each kind, then a new start."""
        *kinds, last = KINDS
        for kind in (*self._dice.sample(kinds, len(kinds)), last):
            self._pause.wait(self._dice.uniform(0, MOMENT_S))
            self._kill(kind)
            self.rounds.append(kind)

    def _kill(self, kind: str) -> None:
        match kind:
            case "supervisor":
                with self._posting.supervisor_away():
                    self._bridge.kill()
                    self._bridge.launch()
            case "worker at delivery":
                self._kill_at_delivery()
            case "both":
                self.worker_kills += "worker" in self._bridge.kill_child(*ROLES)
            case role:
                self.worker_kills += "worker" in self._bridge.kill_child(role)

    def _kill_at_delivery(self) -> None:
        """When Langfuse has written an export and is about to answer: there are milliseconds."""
        worker = until(lambda: self._bridge.pids().get("worker"), "there is a worker")
        known_bytes = self._langfuse.received_bytes
        until(lambda: self._langfuse.received_bytes > known_bytes, "a delivery", poll_s=0)
        os.kill(worker, signal.SIGKILL)
        self.worker_kills += 1


@pytest.mark.timeout(1200)
def test_what_was_answered_200_survives_kill_9_of_anything_at_any_moment(
    tmp_path: Path, langfuse: LastingLangfuse, report: Callable[[Figure], None]
) -> None:
    with Bridge(tmp_path, langfuse.url) as bridge, Watch(bridge) as watch:
        with Posting(bridge) as posting:
            killer = Killer(bridge, langfuse, posting, dice("kill"))
            for _ in range(SCALE.lives):
                killer.live()
            bridge.wait_until_up()
        health = bridge.wait_until_settled(SETTLED_S)

    received, unsure = langfuse.received(), set(sessions(posting.dropped))
    found = account(posting.promised, unsure, received, health["accepted"])
    report(
        Figure(
            scenario="kill -9",
            rounds=len(killer.rounds),
            **asdict(found),
            longest_answer_ms=round(1000 * longest_s(posting.answers)),
            memory_mib=round(watch.peak_bytes / MIB),
            disk_mib=round(watch.disk_bytes / MIB),
            besides={"bodies": len(posting.promised), "repeats": posting.repeats},
        )
    )
    found.check()
    assert len(killer.rounds) >= 20
    assert posting.refusals == []
    assert found.resent <= killer.worker_kills
    once = first_of_each(received)
    once.check()
    assert once.orphans() == []
    assert_complete(once, posting.promised, unsure)
    assert (health["quarantined"], health["dead_lettered"]) == (0, 0)
    assert health["delivered"] == len(once.spans)
    assert "Traceback" not in bridge.log()
    assert_same_as_without_kills(once, posting, tmp_path / "calm")


def assert_same_as_without_kills(received: ReceivedSpans, posting: Posting, folder: Path) -> None:
    """Sessions whose logs came in one body are, byte for byte, what they are on a calm day.

    In others a restart may take longer than the short settle time between their bodies.
    """
    bodies = [body for body in posting.promised if body.signal == "logs"]
    times = Counter(session for body in bodies for session in sessions([body]))
    unsure = set(sessions(posting.dropped)) | {session for session, n in times.items() if n > 1}
    whole = [body for body in bodies if unsure.isdisjoint(sessions([body]))]
    folder.mkdir()
    with Langfuse(folder) as langfuse:
        with Bridge(folder, langfuse.url) as bridge:
            bridge.post(*whole)
            bridge.wait_until_settled(SETTLED_S)
        calm = langfuse.received()

    wanted = sessions(whole)
    assert len(wanted) >= 20
    assert raw_by_key(calm, wanted) == raw_by_key(received, wanted)


def raw_by_key(received: ReceivedSpans, wanted: Container[str | None]) -> dict[SpanKey, bytes]:
    return {span.key: span.raw for span in received.spans if span.session_id in wanted}
