"""The inbox against a list: any order of append, read, release and reopen gives the same."""

import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bridge.model.requests import Encoding, ExportRequest, InboxEntry, Signal
from bridge.store import inbox_append, inbox_reader, packing
from bridge.store.inbox import Inbox
from bridge.store.inbox_reader import InboxReader
from bridge.store.inbox_schema import InboxTotals

PART_BYTES = 7
"""So that bodies of a few bytes are kept in parts."""

RUN_BYTES = 150
"""So that some groups of them are appended in one statement, and some are not."""

LEAST_BYTES = 30
"""So that some bodies are compressed, to more and to less than a part."""

SIGNALS = st.sampled_from(Signal)

REQUESTS = st.builds(
    ExportRequest,
    signal=SIGNALS,
    encoding=st.sampled_from(Encoding),
    body=st.binary(max_size=20) | st.builds(bytes, st.integers(30, 200)),
    gzipped=st.booleans(),
    records=st.integers(min_value=1, max_value=9),
    received_at_ms=st.integers(min_value=0, max_value=2**45),
)


class InboxAgainstList(RuleBasedStateMachine):
    """The model numbers requests from one; nothing but a rolled-back append would skip a number."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        for module in (inbox_append, inbox_reader):
            self.patch.setattr(module, "PART_BYTES", PART_BYTES)
        self.patch.setattr(inbox_append, "RUN_BYTES", RUN_BYTES)
        self.patch.setattr(packing, "LEAST_BYTES", LEAST_BYTES)
        self.folder = Path(tempfile.mkdtemp())
        self.inbox = Inbox(self.folder / "inbox.db")
        self.reader = InboxReader(self.folder / "inbox.db")
        self.kept: list[InboxEntry] = []
        self.appended = 0
        self.accepted = 0

    @rule(requests=st.lists(REQUESTS, max_size=24))
    def append(self, requests: list[ExportRequest]) -> None:
        self.inbox.append(requests)
        for request in requests:
            self.appended += 1
            self.accepted += request.records
            self.kept.append(InboxEntry(position=self.appended, request=request))

    @rule(
        after=st.integers(min_value=0, max_value=30),
        signal=st.none() | SIGNALS,
        max_bytes=st.integers(min_value=0, max_value=300),
        max_entries=st.integers(min_value=1, max_value=10),
    )
    def read(self, after: int, signal: Signal | None, max_bytes: int, max_entries: int) -> None:
        expected: list[InboxEntry] = []
        for entry in self.kept:
            if entry.position <= after or signal not in {None, entry.request.signal}:
                continue
            size_bytes = sum(len(e.request.body) for e in [*expected, entry])
            if expected and (size_bytes > max_bytes or len(expected) == max_entries):
                break
            expected.append(entry)
        assert self.reader.read(after, signal, max_bytes, max_entries) == expected

    @rule(watermarks=st.dictionaries(SIGNALS, st.integers(min_value=0, max_value=30)))
    def release(self, watermarks: dict[Signal, int]) -> None:
        left = [e for e in self.kept if e.position > watermarks.get(e.request.signal, 0)]
        assert self.inbox.release(watermarks) == len(self.kept) - len(left)
        self.kept = left

    @rule()
    def reopen(self) -> None:
        self.inbox.close()
        self.inbox = Inbox(self.folder / "inbox.db")

    @rule()
    def reopen_reader(self) -> None:
        self.reader.close()

    @rule()
    def checkpoint(self) -> None:
        self.inbox.checkpoint()

    @invariant()
    def totals_agree(self) -> None:
        kept_records = {
            signal: sum(e.request.records for e in self.kept if e.request.signal is signal)
            for signal in Signal
        }
        expected = InboxTotals(
            accepted=self.accepted, kept_requests=len(self.kept), kept_records=kept_records
        )
        assert self.reader.totals() == self.inbox.totals() == expected

    def teardown(self) -> None:
        self.patch.undo()
        self.inbox.close()
        self.reader.close()
        shutil.rmtree(self.folder)


TestInboxAgainstList = InboxAgainstList.TestCase
TestInboxAgainstList.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
