"""A time limit for each wait of a loop, with one timer for all."""

import asyncio

import pytest

from talksy.ai.llm.patience import Patience


async def test_what_takes_too_long_times_out_and_the_task_goes_on() -> None:
    for _ in range(2):
        with pytest.raises(TimeoutError), Patience(0.01):
            await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_each_wait_has_all_the_time_again() -> None:
    with Patience(0.05) as patience:
        for _ in range(8):
            await asyncio.sleep(0.01)
            patience.rest(0.05)
            patience.begin()


async def test_time_that_nobody_waits_does_not_count() -> None:
    with Patience(0.01) as patience:
        await asyncio.sleep(0)
        patience.rest(0.01)
        await asyncio.sleep(0.03)
        patience.begin()
        await asyncio.sleep(0)


async def test_a_shorter_limit_counts_from_the_next_wait_on() -> None:
    async def wait() -> None:
        with Patience(3_600) as patience:
            await asyncio.sleep(0)
            patience.rest(0.01)
            patience.begin()
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await wait()


@pytest.mark.parametrize("rings", [False, True], ids=["alone", "as-the-timer-rings"])
async def test_who_is_cancelled_by_others_is_cancelled(rings: bool) -> None:
    patience = Patience(3_600)

    async def wait() -> None:
        with patience:
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    if rings:
        patience._deadline = 0.0
        patience._ring()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
