"""Group commit: who shares a commit, who waits, who is turned away."""

import asyncio
import threading
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from bridge.errors import IntakeUnavailableError
from bridge.model.requests import Encoding, ExportRequest, Signal
from bridge.receive.intake import Intake

DEADLINE_S = 5.0


class GatedInbox:
    """Records groups; while the gate is closed a commit waits, and it fails when told to."""

    def __init__(self) -> None:
        self.groups: list[list[bytes]] = []
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.failure: Exception | None = None

    def append(self, requests: Sequence[ExportRequest]) -> None:
        self.entered.set()
        assert self.gate.wait(DEADLINE_S)
        if self.failure is not None:
            raise self.failure
        self.groups.append([request.body for request in requests])

    async def until_entered(self) -> None:
        assert await asyncio.to_thread(self.entered.wait, DEADLINE_S)


def a_request(body: bytes = b"x") -> ExportRequest:
    return ExportRequest(
        signal=Signal.LOGS,
        encoding=Encoding.JSON,
        body=body,
        gzipped=False,
        records=1,
        received_at_ms=0,
    )


async def queued(intake: Intake, *bodies: bytes) -> list["asyncio.Task[None]"]:
    """Append each body in a task of its own, and let all of them reach the queue."""
    tasks = [asyncio.create_task(intake.append(a_request(body))) for body in bodies]
    await asyncio.sleep(0)
    return tasks


async def test_append_returns_after_its_commit() -> None:
    inbox = GatedInbox()
    intake = Intake(inbox)
    (waiting,) = await queued(intake, b"a")
    await inbox.until_entered()
    assert not waiting.done()
    inbox.gate.set()
    await waiting
    assert inbox.groups == [[b"a"]]
    await intake.close()


async def test_what_comes_during_a_commit_shares_the_next() -> None:
    inbox = GatedInbox()
    intake = Intake(inbox)
    first = await queued(intake, b"a")
    await inbox.until_entered()
    rest = await queued(intake, b"b", b"c", b"d")
    inbox.gate.set()
    await asyncio.gather(*first, *rest)
    assert inbox.groups == [[b"a"], [b"b", b"c", b"d"]]
    await intake.close()


async def test_failed_commit_is_told_to_all_in_it_and_the_next_is_tried() -> None:
    inbox = GatedInbox()
    inbox.gate.set()
    inbox.failure = IntakeUnavailableError("disk full", 3)
    intake = Intake(inbox)
    failed = await asyncio.gather(*await queued(intake, b"a", b"b"), return_exceptions=True)
    assert failed == [inbox.failure, inbox.failure]
    inbox.failure = None
    await intake.append(a_request(b"c"))
    assert inbox.groups == [[b"c"]]
    await intake.close()


async def test_full_queue_refuses_at_once() -> None:
    inbox = GatedInbox()
    intake = Intake(inbox, max_held_requests=2)
    held = await queued(intake, b"a", b"b")
    with pytest.raises(IntakeUnavailableError, match="queue full"):
        await intake.append(a_request(b"c"))
    inbox.gate.set()
    await asyncio.gather(*held)
    await intake.append(a_request(b"d"))
    assert sorted(body for group in inbox.groups for body in group) == [b"a", b"b", b"d"]
    await intake.close()


async def test_queue_is_full_by_bytes_too_but_takes_one_request_of_any_size() -> None:
    inbox = GatedInbox()
    intake = Intake(inbox, max_held_bytes=4)
    held = await queued(intake, b"too large")
    with pytest.raises(IntakeUnavailableError):
        await intake.append(a_request(b""))
    inbox.gate.set()
    await asyncio.gather(*held)
    await intake.close()


async def test_close_commits_what_is_queued_and_takes_no_more() -> None:
    inbox = GatedInbox()
    intake = Intake(inbox)
    first = await queued(intake, b"a")
    await inbox.until_entered()
    second = await queued(intake, b"b")
    closing = asyncio.create_task(intake.close())
    await asyncio.sleep(0)
    with pytest.raises(IntakeUnavailableError, match="shutting down"):
        await intake.append(a_request(b"c"))
    inbox.gate.set()
    await asyncio.gather(closing, *first, *second)
    assert inbox.groups == [[b"a"], [b"b"]]


async def test_cancelled_append_takes_nobody_along() -> None:
    inbox = GatedInbox()
    intake = Intake(inbox)
    cancelled, other = await queued(intake, b"a", b"b")
    cancelled.cancel()
    await asyncio.sleep(0)
    inbox.gate.set()
    await other
    assert cancelled.cancelled()
    await intake.close()


async def test_unavailability_is_logged_when_it_begins_and_when_it_ends() -> None:
    inbox = GatedInbox()
    inbox.gate.set()
    intake = Intake(inbox)
    with capture_logs() as logs:
        inbox.failure = IntakeUnavailableError("disk full")
        for _ in range(3):
            with pytest.raises(IntakeUnavailableError):
                await intake.append(a_request())
        inbox.failure = None
        for _ in range(3):
            await intake.append(a_request())
    await intake.close()
    assert logs == [
        {"event": "receive.unavailable", "reason": "disk full", "log_level": "warning"},
        {"event": "receive.available_again", "failures": 3, "log_level": "info"},
    ]


async def test_failure_nobody_foresaw_reaches_every_waiter() -> None:
    inbox = GatedInbox()
    inbox.gate.set()
    inbox.failure = ValueError("a bug")
    intake = Intake(inbox)
    failed = await asyncio.gather(*await queued(intake, b"a", b"b"), return_exceptions=True)
    assert failed == [inbox.failure, inbox.failure]
    await intake.close()
