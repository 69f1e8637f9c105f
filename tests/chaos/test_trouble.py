"""Langfuse in every kind of trouble while clients go on: answered fast, nothing lost, no hammering.

An outage lasts some seconds in the ordinary run and longer than any time limit of the bridge in
the full one. The ordinary run has one of each kind, and leaves out those that the bridge looks at
only twice a minute.
"""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from tests.accounts import Account, account, assert_complete, first_of_each
from tests.chaos.double import Outage
from tests.chaos.figures import Figure
from tests.chaos.langfuse import Arrival, LastingLangfuse, export_gaps_s
from tests.chaos.posting import Answer, Posting, longest_s, p99_s
from tests.chaos.scale import IS_FULL, SCALE
from tests.chaos.watching import MIB, Watch
from tests.fakes import ReceivedSpans
from tests.processes import Bridge, until
from tests.recordings import Body, sessions

LONGEST_ANSWER_S = 5.0
RESUMED_S = 100.0
"""A minute of backoff, or half a minute until the next look and half a minute for an answer."""
DRAINED_S = 120
LOOPS = 2
"""Spans and scores are delivered apart, and each waits by itself."""
SHORTEST_WAIT_S = 0.5
RETRY_AFTER_S = 2
TOLERANCE_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One kind of trouble.

    Attributes:
        outage: What the double does; None: it is not there at all.
        lasts_s: How long in the full run.
        min_gap_s: What has to pass between two exports at least.
        resends: How many exports Langfuse may have stored without an answer in time.
        rejects: How many observations it refuses for good.
        short: Whether it is part of the ordinary run.
    """

    name: str
    outage: Outage | None = None
    lasts_s: float = 30.0
    min_gap_s: float = SHORTEST_WAIT_S
    resends: int = 0
    rejects: int = 0
    short: bool = False

    @contextlib.contextmanager
    def begun(self, langfuse: LastingLangfuse) -> Iterator[None]:
        """Langfuse is in trouble meanwhile."""
        if self.outage is None:
            langfuse.end()
            yield
            langfuse.start()
        else:
            langfuse.begin(self.outage)
            yield
            langfuse.recover()

    def most_requests(self, seconds: float) -> float:
        """What backoff may come to: the first waits are short, the later ones double."""
        return LOOPS * (6 + seconds / 2)


def answering(status: int, **headers: str) -> Outage:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Outage(kind="answer", status=status, headers=named)


TROUBLES = [
    Trouble(name="connection refused", short=True),
    Trouble(name="500", outage=answering(500)),
    Trouble(name="502", outage=answering(502)),
    Trouble(name="503", outage=answering(503), short=True),
    Trouble(
        name="429 with Retry-After",
        outage=answering(429, Retry_After=str(RETRY_AFTER_S)),
        min_gap_s=RETRY_AFTER_S,
        short=True,
    ),
    Trouble(name="closes mid-body", outage=Outage(kind="close"), short=True),
    Trouble(name="garbage", outage=Outage(kind="garbage")),
    Trouble(
        name="400 for one poison span",
        outage=Outage(kind="poison"),
        min_gap_s=0,
        rejects=1,
        short=True,
    ),
    Trouble(
        name="413 for large exports",
        outage=Outage(kind="too_many", max_spans=4),
        min_gap_s=0,
        short=True,
    ),
    Trouble(name="hangs", outage=Outage(kind="hang"), lasts_s=45),
    Trouble(
        name="answers after 60 s",
        outage=Outage(kind="slow", wait_s=60),
        lasts_s=75,
        resends=4,
    ),
    Trouble(name="trickles", outage=Outage(kind="trickle"), lasts_s=45),
    Trouble(name="401", outage=answering(401), min_gap_s=29),
    Trouble(name="403", outage=answering(403), min_gap_s=29),
    Trouble(name="404", outage=answering(404), min_gap_s=29),
    Trouble(
        name="redirects",
        outage=answering(302, Location="http://127.0.0.1:9/"),
        min_gap_s=29,
    ),
]
SHORT_S = 2.5
SERIES = (
    [[trouble] for trouble in TROUBLES]
    if IS_FULL
    else [[trouble for trouble in TROUBLES if trouble.short]]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endured:
    """One trouble as it went.

    Attributes:
        answers: Those of clients meanwhile.
        arrivals: Requests at Langfuse meanwhile.
        attempts: Failures that the bridge's log tells of meanwhile.
        lasted_s: How long.
        resumed_s: From its end to the first export taken.
    """

    trouble: Trouble
    answers: Sequence[Answer]
    arrivals: Sequence[Arrival]
    attempts: int
    lasted_s: float
    resumed_s: float

    @property
    def requests(self) -> int:
        """Nobody counts connections to a port where nobody listens, but the bridge itself."""
        return len(self.arrivals) if self.trouble.outage else self.attempts

    def check(self) -> None:
        """Answered fast, and without hammering."""
        name = self.trouble.name
        assert longest_s(self.answers) < LONGEST_ANSWER_S, name
        gaps_s = export_gaps_s(self.arrivals)
        assert all(gap_s > self.trouble.min_gap_s - TOLERANCE_S for gap_s in gaps_s), name
        if self.trouble.min_gap_s:
            assert self.requests <= self.trouble.most_requests(self.lasted_s), name

    def besides(self, calm: Sequence[Answer]) -> dict[str, float]:
        """For the table."""
        ratio = p99_s(self.answers) / p99_s(calm)
        told = {"requests": self.requests, "lasted_s": self.lasted_s}
        told |= {"resumed_s": self.resumed_s, "p99_ratio": ratio}
        return {name: round(value, 2) for name, value in told.items()}


def endure(
    trouble: Trouble, bridge: Bridge, langfuse: LastingLangfuse, posting: Posting
) -> Endured:
    """Trouble, and recovery until the first export is taken."""
    with trouble.begun(langfuse):
        began_s, known_chars = time.monotonic(), len(bridge.log())
        answers = posting.go_on(trouble.lasts_s if IS_FULL else SHORT_S)
        known_bytes, ended_s = langfuse.received_bytes, time.monotonic()
        attempts = bridge.log().count("retry_scheduled", known_chars)
    until(lambda: langfuse.received_bytes > known_bytes, f"{trouble.name} is over", RESUMED_S)
    return Endured(
        trouble=trouble,
        answers=answers,
        arrivals=langfuse.arrivals(began_s, ended_s),
        attempts=attempts,
        lasted_s=ended_s - began_s,
        resumed_s=time.monotonic() - ended_s,
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("series", SERIES, ids=lambda it: it[0].name if len(it) == 1 else "all")
def test_a_langfuse_in_trouble_keeps_nobody_waiting_and_gets_everything_once_it_is_over(
    series: Sequence[Trouble],
    tmp_path: Path,
    langfuse: LastingLangfuse,
    report: Callable[[Figure], None],
) -> None:
    with Bridge(tmp_path, langfuse.url, log_level="debug") as bridge, Watch(bridge) as watch:
        with Posting(bridge) as posting:
            calm = posting.go_on(SCALE.calm_s)
            endured = [endure(trouble, bridge, langfuse, posting) for trouble in series]
        health = bridge.wait_until_settled(DRAINED_S)

    received = langfuse.received()
    poisoned = rejected(bridge.data_dir)
    found = account(posting.promised, poisoned, received, health["accepted"])
    for each in endured:
        report(
            Figure(
                scenario=f"Langfuse: {each.trouble.name}",
                **asdict(found),
                longest_answer_ms=round(1000 * longest_s(each.answers)),
                memory_mib=round(watch.peak_bytes / MIB),
                disk_mib=round(watch.disk_bytes / MIB),
                besides=each.besides(calm),
            )
        )
    for each in endured:
        each.check()
    assert_delivered(found, received, posting.promised, poisoned)
    assert found.resent <= sum(trouble.resends for trouble in series)
    assert health["dead_lettered"] == sum(trouble.rejects for trouble in series)
    assert health["quarantined"] == 0
    assert_oldest_first(received, bridge.data_dir)


def assert_delivered(
    found: Account, received: ReceivedSpans, promised: Sequence[Body], poisoned: set[str]
) -> None:
    """Everything but the sessions of which a span was refused, whose tree has a hole."""
    found.check()
    once = first_of_each(received)
    whole = ReceivedSpans()
    whole.add([span for span in once.spans if span.session_id not in poisoned])
    whole.check()
    assert whole.orphans() == []
    sound = [body for body in promised if poisoned.isdisjoint(sessions([body]))]
    assert_complete(whole, sound, unsure=set())


def rejected(data_dir: Path) -> set[str]:
    """The sessions of which Langfuse refused a span for good."""
    query = "SELECT session_id FROM observations WHERE reason IS NOT NULL"
    with contextlib.closing(sqlite3.connect(data_dir / "ledger.db")) as ledger:
        return {session for (session,) in ledger.execute(query)}


def assert_oldest_first(received: ReceivedSpans, data_dir: Path) -> None:
    """Spans came in the order in which they were finished."""
    query = "SELECT lower(hex(span_id)), position FROM observations"
    with contextlib.closing(sqlite3.connect(data_dir / "ledger.db")) as ledger:
        positions = dict(ledger.execute(query))
    came = [positions[span.span_id] for span in first_of_each(received).spans]
    assert came == sorted(came)
