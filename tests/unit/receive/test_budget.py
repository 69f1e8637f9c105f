"""The budget of large bodies: what fits, what waits, what is told to come again."""

import asyncio

import pytest

from bridge.errors import IntakeUnavailableError
from bridge.receive.budget import Budget


def a_budget(wait_s: float = 5.0) -> Budget:
    return Budget(100, small_bytes=10, wait_s=wait_s)


async def test_small_bodies_do_not_count() -> None:
    budget = a_budget()
    with budget.share() as large, budget.share() as small:
        await large.announce(100)
        await small.announce(10)
        small.grow(10)


async def test_what_does_not_fit_waits_until_it_does_in_order_of_asking() -> None:
    budget = a_budget()
    order: list[str] = []

    async def hold(name: str, size_bytes: int) -> None:
        with budget.share() as share:
            await share.announce(size_bytes)
            order.append(name)

    with budget.share() as first:
        await first.announce(60)
        waiting = [asyncio.create_task(hold(*each)) for each in (("large", 90), ("less", 40))]
        await asyncio.sleep(0)
        assert order == [], "the second would fit, and does not overtake"
    await asyncio.gather(*waiting)
    assert order == ["large", "less"]


async def test_who_waits_too_long_is_told_to_come_again_and_holds_up_nobody() -> None:
    budget = a_budget(wait_s=0.01)
    with budget.share() as first:
        await first.announce(60)
        with budget.share() as second, pytest.raises(IntakeUnavailableError) as told:
            await second.announce(50)
        assert told.value.retry_after_s > 0
        with budget.share() as third:
            await third.announce(40)


async def test_body_of_unknown_length_never_waits_with_a_part_in_hand() -> None:
    budget = a_budget()
    with budget.share() as first, budget.share() as second:
        first.grow(60)
        second.grow(40)
        with pytest.raises(IntakeUnavailableError):
            second.grow(41)
    with budget.share() as third:
        third.grow(100)


async def test_who_leaves_while_waiting_gives_nothing_back_and_takes_nothing() -> None:
    budget = a_budget()
    with budget.share() as first:
        await first.announce(100)
        with budget.share() as second:
            waiting = asyncio.create_task(second.announce(100))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
    with budget.share() as third:
        third.grow(100)
        with budget.share() as fourth, pytest.raises(IntakeUnavailableError):
            fourth.grow(11)
