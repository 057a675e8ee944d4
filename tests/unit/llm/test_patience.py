"""A time limit for each await, with one timer for all."""

import asyncio

import pytest

from talksy.ai.llm.patience import Patience


async def test_what_takes_too_long_times_out_and_the_task_goes_on() -> None:
    patience = Patience(0.01)
    for _ in range(2):
        with pytest.raises(TimeoutError), patience:
            await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)
    patience.close()


async def test_each_await_has_all_the_time_again() -> None:
    patience = Patience(0.05)
    for _ in range(8):
        with patience:
            await asyncio.sleep(0.01)
    patience.close()


async def test_time_that_nobody_waits_does_not_count() -> None:
    patience = Patience(0.01)
    with patience:
        await asyncio.sleep(0)
    await asyncio.sleep(0.03)
    with patience:
        await asyncio.sleep(0)
    patience.close()


async def test_a_shorter_limit_counts_from_then_on() -> None:
    patience = Patience(3_600)
    with patience:
        await asyncio.sleep(0)
    patience.limit(0.01)
    with pytest.raises(TimeoutError), patience:
        await asyncio.Event().wait()
    patience.close()


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
    patience.close()
