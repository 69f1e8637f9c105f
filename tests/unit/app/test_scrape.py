"""What a scrape is made of, and what it costs a process that nobody scrapes."""

import subprocess
import sys

from bridge.app.scrape import Answers, of_health
from bridge.metrics import exposition
from bridge.metrics.families import BY_NAME


def test_a_receiver_that_nobody_scrapes_does_not_import_the_client() -> None:
    look = "import sys, bridge.app.receiver; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0


def test_a_degraded_health_gives_what_it_has() -> None:
    report = {"status": "degraded", "reason": "cannot use it", "version": "1", "uptime_s": 2.5}
    assert list(of_health(report)) == [("uptime_seconds", {}, 2.5)]


def test_the_state_of_langfuse_is_one_of_all_there_are() -> None:
    states = [s for s in of_health({"langfuse": "unreachable"}) if s[0] == "langfuse_state"]
    assert [labels["state"] for _, labels, value in states if value] == ["unreachable"]
    assert len(states) > 1


def test_answers_are_told_by_door() -> None:
    answers = Answers()
    answers.note("http", "200", 0.002)
    answers.note("grpc", "OK", 0.002)
    answers.note("grpc", "UNAVAILABLE", 0.002)

    samples = list(answers.samples())
    text = exposition.text(samples).decode()

    assert {name for name, *_ in samples} <= BY_NAME.keys()
    assert 'langfuse_bridge_answers_total{code="UNAVAILABLE",protocol="grpc"} 1.0' in text
    assert 'langfuse_bridge_answer_seconds_count{protocol="grpc"} 2.0' in text
