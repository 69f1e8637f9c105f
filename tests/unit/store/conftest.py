"""An inbox in a folder of its own, and its reader."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bridge.store.inbox import Inbox
from bridge.store.inbox_reader import InboxReader


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inbox.db"


@pytest.fixture
def inbox(path: Path) -> Iterator[Inbox]:
    with closing(Inbox(path)) as inbox:
        yield inbox


@pytest.fixture
def reader(path: Path) -> Iterator[InboxReader]:
    with closing(InboxReader(path)) as reader:
        yield reader
