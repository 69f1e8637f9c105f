"""What of delivery needs no Langfuse: halves, and waiting that a stop request ends."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.langfuse.deliver import halves
from bridge.langfuse.trouble import within
from bridge.model.delivery import PendingSpan


def pending(position: int) -> PendingSpan:
    return PendingSpan(position=position, span=b"", service_name="agent", service_version=None)


@given(st.integers(2, 500))
def test_halves_lose_nothing_keep_the_order_and_are_both_smaller(size: int) -> None:
    batch = tuple(pending(position) for position in range(size))
    earlier, later = halves(batch)
    assert earlier + later == batch
    assert 0 < len(earlier) <= len(later) < size


async def never() -> str:
    await asyncio.Event().wait()
    return "never"


async def test_work_that_ends_gives_its_result() -> None:
    assert await within(asyncio.sleep(0, result="done"), asyncio.Event(), 0.0) == "done"


async def test_a_stop_request_ends_the_wait_at_once_without_grace() -> None:
    stop = asyncio.Event()
    stop.set()
    async with asyncio.timeout(5):
        assert await within(never(), stop, 0.0) is None


async def test_a_stop_request_leaves_work_its_grace() -> None:
    stop, let_go = asyncio.Event(), asyncio.Event()

    async def work() -> str:
        stop.set()
        await let_go.wait()
        return "done"

    async def let_go_some_time_after_the_stop() -> None:
        await stop.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        let_go.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(let_go_some_time_after_the_stop())
        assert await within(work(), stop, 5.0) == "done"


async def test_work_is_cancelled_when_its_grace_is_over() -> None:
    cancelled = asyncio.Event()

    async def work() -> str:
        try:
            return await never()
        finally:
            cancelled.set()

    stop = asyncio.Event()
    stop.set()
    assert await within(work(), stop, 0.01) is None
    assert cancelled.is_set()


async def test_a_failure_of_the_work_is_not_swallowed() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise LookupError("disk")

    with pytest.raises(LookupError, match="disk"):
        await within(work(), asyncio.Event(), 0.0)


async def test_cancelling_the_wait_cancels_the_work() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await never()
        finally:
            cancelled.set()

    waiting = asyncio.create_task(within(work(), asyncio.Event(), 5.0))
    await started.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert cancelled.is_set()
