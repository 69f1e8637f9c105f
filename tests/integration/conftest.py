"""What both doors of the receiver are tested in front of: a real inbox behind a gate."""

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bridge.receive.intake import Intake
from bridge.store.inbox import Inbox
from tests.intakes import CountingIntake, GatedInbox


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
