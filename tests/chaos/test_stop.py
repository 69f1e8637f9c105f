"""SIGTERM at random moments, while clients post: out within ten seconds, and nothing is lost."""

import random
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.accounts import account, assert_complete, first_of_each
from tests.chaos.double import Outage
from tests.chaos.figures import Figure
from tests.chaos.langfuse import LastingLangfuse
from tests.chaos.posting import Posting, longest_s
from tests.chaos.scale import SCALE, dice
from tests.chaos.watching import MIB, Watch
from tests.processes import STOP_S, Bridge, suspend, until
from tests.recordings import sessions

MOMENT_S = 1.5
"""The latest moment of a stop after the start."""
AT_ONCE_S = 6.0
"""Far less than the ladder takes for two children that do nothing at all, on a busy machine too."""
SETTLED_S = 120

OUTAGES = {
    "Langfuse answers": Outage(),
    "Langfuse is down": Outage(kind="close"),
    "Langfuse hangs": Outage(kind="hang"),
}


@pytest.mark.timeout(600)
def test_a_stop_under_load_takes_less_than_ten_seconds_and_loses_nothing(
    tmp_path: Path, langfuse: LastingLangfuse, report: Callable[[Figure], None]
) -> None:
    throws, stops_s = dice("stop"), dict[str, list[float]]()
    with Bridge(tmp_path, langfuse.url) as bridge, Watch(bridge) as watch:
        with Posting(bridge) as posting:
            for state, outage in OUTAGES.items():
                langfuse.begin(outage)
                stops_s[state] = [stop_s(bridge, posting, throws) for _ in range(SCALE.stops)]
            bridge.wait_until_up()
        langfuse.recover()
        health = bridge.wait_until_settled(SETTLED_S)

    received, unsure = langfuse.received(), set(sessions(posting.dropped))
    found = account(posting.promised, unsure, received, health["accepted"])
    report(
        Figure(
            scenario="SIGTERM",
            rounds=sum(map(len, stops_s.values())),
            **asdict(found),
            longest_answer_ms=round(1000 * longest_s(posting.answers)),
            memory_mib=round(watch.peak_bytes / MIB),
            disk_mib=round(watch.disk_bytes / MIB),
            besides={f"{state} (s)": round(max(each), 2) for state, each in stops_s.items()},
        )
    )
    found.check()
    assert max(map(max, stops_s.values())) < STOP_S
    assert found.resent == 0
    received.check()
    assert received.orphans() == []
    assert_complete(received, posting.promised, unsure)
    assert "Traceback" not in bridge.log()


def stop_s(bridge: Bridge, posting: Posting, throws: random.Random) -> float:
    """Stop it at some moment and start it again; how long it took to end."""
    posting.go_on(throws.uniform(0, MOMENT_S))
    with posting.supervisor_away():
        began_s = time.monotonic()
        assert bridge.stop() == 0
        took_s = time.monotonic() - began_s
        bridge.launch()
    return took_s


def test_a_second_stop_request_ends_everything_at_once_and_loses_nothing(
    tmp_path: Path, langfuse: LastingLangfuse, report: Callable[[Figure], None]
) -> None:
    with Bridge(tmp_path, langfuse.url) as bridge:
        with Posting(bridge) as posting:
            posting.go_on(MOMENT_S)
            with posting.supervisor_away():
                suspend(*bridge.pids().values())  # so that the first request would take its time
                bridge.send(signal.SIGTERM)
                until(lambda: "bridge.stopping" in bridge.log(), "it has begun to stop")
                began_s = time.monotonic()
                bridge.stop()
                took_s = time.monotonic() - began_s
                bridge.launch()
            bridge.wait_until_up()
        health = bridge.wait_until_settled(SETTLED_S)

    received, unsure = langfuse.received(), set(sessions(posting.dropped))
    found = account(posting.promised, unsure, received, health["accepted"])
    told = {"stop_s": round(took_s, 2)}
    report(Figure(scenario="SIGTERM twice", **asdict(found), besides=told))
    found.check()
    assert took_s < AT_ONCE_S
    assert_complete(first_of_each(received), posting.promised, unsure)
