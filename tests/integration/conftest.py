"""What both doors of the receiver are tested in front of: a real inbox behind a gate."""

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bridge.model.requests import ExportRequest, Signal
from bridge.receive.intake import Intake
from bridge.store.inbox import Inbox
from bridge.store.inbox_reader import InboxReader
from tests.intakes import CountingIntake, GatedInbox, Kept

PLENTY = 1 << 30


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with closing(Inbox(tmp_path / "inbox.db")) as inbox:
        yield inbox


@pytest.fixture
def gated(inbox: Inbox) -> GatedInbox:
    return GatedInbox(inbox)


@pytest.fixture
async def intake(gated: GatedInbox) -> AsyncIterator[CountingIntake]:
    intake = Intake(gated)
    yield CountingIntake(intake)
    gated.gate.set()
    await intake.close()


@pytest.fixture
def kept(tmp_path: Path, inbox: Inbox) -> Kept:  # noqa: ARG001 - makes the file
    def read(of: Signal | None = None) -> list[ExportRequest]:
        with closing(InboxReader(tmp_path / "inbox.db")) as reader:
            return [entry.request for entry in reader.read(0, of, PLENTY, PLENTY)]

    return read
