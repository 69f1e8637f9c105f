"""Memory stays below one bound whatever comes: many sessions, many records, the largest bodies.

All processes of the bridge are looked at together. Langfuse's double keeps nothing here, since
what it holds would be most of the machine's memory.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.model.requests import Encoding
from bridge.store.inbox_reader import InboxReader
from tests.chaos.bulk import (
    Template,
    gzipped,
    lone_request,
    open_prompt,
    post_pieces,
    whole_prompt,
)
from tests.chaos.double import Outage
from tests.chaos.figures import Figure
from tests.chaos.langfuse import LastingLangfuse
from tests.chaos.scale import IS_FULL, SCALE
from tests.chaos.watching import MIB, Watch
from tests.fakes import FIRST_VERSION_WITH_SCORE_ARRAYS
from tests.processes import OPEN_TURNS, Bridge, until

MOST_BYTES = 250 * MIB
BOMB_BYTES = 256 * MIB
RECORDS_PER_BODY = 512
"""What a collector's batch processor puts together by default is sixteen times as much."""
PROMPTS_PER_SESSION = 20
BODIES = ((Encoding.PROTOBUF, False), (Encoding.JSON, False), (Encoding.JSON, True))
"""Encoding, and whether it is gzip that inflates to that size."""
WORKED_OFF_S = 900
LOOK_S = 0.2


@pytest.fixture
def langfuse(tmp_path: Path) -> Iterator[LastingLangfuse]:
    """One that takes all and keeps nothing."""
    version = ".".join(map(str, FIRST_VERSION_WITH_SCORE_ARRAYS))
    with LastingLangfuse(tmp_path, "--version", version) as langfuse:
        langfuse.begin(Outage(kind="discard"))
        yield langfuse


class Flood:
    """Much that is posted to one bridge.

    Attributes:
        records: Answered 200 so far.
        longest_s: The slowest answer.
    """

    def __init__(self, bridge: Bridge, template: Template) -> None:
        self.records = 0
        self.longest_s = 0.0
        self._bridge = bridge
        self._template = template

    def post(self, copies: int, prompts_per_session: int = 1) -> None:
        """That many prompts in bodies of a collector."""
        per_body = RECORDS_PER_BODY // self._template.records
        for start in range(0, copies, per_body):
            numbers = range(start, min(start + per_body, copies))
            body = self._template.body(numbers, prompts_per_session)
            assert self._answer([body], len(body)) == 200
            self.records += len(numbers) * self._template.records

    def post_one(self, *, gzip: bool) -> None:
        """As much as one body may have."""
        copies = self._template.copies_in(SCALE.body_mb * MIB)
        pieces = self._template.pieces(range(copies), PROMPTS_PER_SESSION)
        if gzip:
            body = gzipped(pieces)
            status = self._answer([body], len(body), Content_Encoding="gzip")
        else:
            status = self._answer(pieces, self._template.size_bytes(copies))
        assert status == 200
        self.records += copies * self._template.records

    def _answer(self, pieces: Iterator[bytes] | list[bytes], size: int, **headers: str) -> int:
        began_s = time.monotonic()
        encoding = self._template.encoding
        status = post_pieces(self._bridge.port, encoding, pieces, size, **headers)
        self.longest_s = max(self.longest_s, time.monotonic() - began_s)
        return status

    def wait_until_worked_off(self) -> None:
        """Until every request is assembled and everything made of them is delivered."""
        inbox = InboxReader(self._bridge.data_dir / "inbox.db")
        with contextlib.closing(inbox):
            until(
                lambda: not sum(inbox.totals().kept_records.values()),
                "the inbox is empty",
                WORKED_OFF_S,
                LOOK_S,
            )
        until(lambda: not self._bridge.health()["pending"], "it is sent", WORKED_OFF_S, LOOK_S)


Report = Callable[[Figure], None]


def finish(scenario: str, watch: Watch, flood: Flood, report: Report) -> None:
    """Tell the figures, and hold them against the bound."""
    told: dict[str, float] = {
        f"{role}_mib": round(size / MIB) for role, size in watch.peaks.items()
    }
    report(
        Figure(
            scenario=f"memory: {scenario}",
            records=flood.records,
            longest_answer_ms=round(1000 * flood.longest_s),
            memory_mib=round(watch.peak_bytes / MIB),
            disk_mib=round(watch.disk_bytes / MIB),
            besides=told,
        )
    )
    assert watch.peak_bytes < MOST_BYTES, told


@pytest.mark.timeout(300)
def test_open_sessions_fit_into_memory(
    tmp_path: Path, langfuse: LastingLangfuse, report: Report
) -> None:
    with Bridge(tmp_path, langfuse.url, **OPEN_TURNS) as bridge, Watch(bridge) as watch:
        flood = Flood(bridge, open_prompt())
        flood.post(SCALE.open_sessions)
        flood.wait_until_worked_off()
        assert bridge.open_turns() == SCALE.open_sessions

    finish(f"{SCALE.open_sessions:,} open sessions", watch, flood, report)


@pytest.mark.timeout(600)
def test_records_of_very_many_unknown_sessions_fit_into_memory(
    tmp_path: Path, langfuse: LastingLangfuse, report: Report
) -> None:
    with Bridge(tmp_path, langfuse.url, **OPEN_TURNS) as bridge, Watch(bridge) as watch:
        flood = Flood(bridge, lone_request())
        flood.post(SCALE.unknown_sessions)
        flood.wait_until_worked_off()
        assert bridge.health()["accepted"] == flood.records

    finish(f"{SCALE.unknown_sessions:,} unknown session ids", watch, flood, report)


@pytest.mark.timeout(3600)
def test_very_many_records_fit_into_memory(
    tmp_path: Path, langfuse: LastingLangfuse, report: Report
) -> None:
    template = whole_prompt()
    with Bridge(tmp_path, langfuse.url) as bridge, Watch(bridge) as watch:
        flood = Flood(bridge, template)
        flood.post(SCALE.records // template.records, PROMPTS_PER_SESSION)
        flood.wait_until_worked_off()
        health = bridge.health()

    finish(f"{SCALE.records:,} records", watch, flood, report)
    assert health["accepted"] == flood.records
    assert health["outcomes"]["duplicate"] == health["quarantined"] == 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("encoding", "gzip"), BODIES if IS_FULL else BODIES[::2])
def test_one_body_as_large_as_allowed_fits_into_memory(
    tmp_path: Path,
    langfuse: LastingLangfuse,
    report: Report,
    encoding: Encoding,
    *,
    gzip: bool,
) -> None:
    limit = {"max_body_mb": SCALE.body_mb}
    with Bridge(tmp_path, langfuse.url, **limit) as bridge, Watch(bridge) as watch:
        flood = Flood(bridge, whole_prompt(encoding))
        flood.post_one(gzip=gzip)
        flood.wait_until_worked_off()
        health = bridge.health()

    name = f"{'gzip of ' if gzip else ''}{encoding.name}"
    finish(f"one body of {SCALE.body_mb} MiB, {name}", watch, flood, report)
    assert health["accepted"] == flood.records
    assert health["outcomes"]["duplicate"] == health["quarantined"] == 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("encoding", list(Encoding))
def test_a_bomb_is_refused_without_being_held(
    tmp_path: Path, langfuse: LastingLangfuse, report: Report, encoding: Encoding
) -> None:
    bomb = gzipped(bytes(MIB) for _ in range(BOMB_BYTES // MIB))
    with Bridge(tmp_path, langfuse.url) as bridge, Watch(bridge) as watch:
        flood = Flood(bridge, whole_prompt(encoding))
        began_s = time.monotonic()
        status = post_pieces(bridge.port, encoding, [bomb], len(bomb), Content_Encoding="gzip")
        flood.longest_s = time.monotonic() - began_s
        health = bridge.health()

    finish(f"gzip bomb of {BOMB_BYTES // MIB} MiB, {encoding.name}", watch, flood, report)
    assert status == 413
    assert health["accepted"] == 0
