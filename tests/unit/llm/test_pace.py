"""A vendor that counts requests is sent no more than it takes."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talksy.ai.llm.pace import Pace
from talksy.errors import ProviderUnavailable

HOUR = 3_600.0


def test_who_comes_too_early_is_given_the_next_free_time() -> None:
    pace = Pace(2, 60)
    assert [pace.reserve(now, HOUR) for now in (0.0, 10.0, 20.0, 20.0, 20.0)] == [
        0.0,
        10.0,
        60.0,
        70.0,
        120.0,
    ]


def test_who_would_wait_too_long_is_told_at_once_for_how_long() -> None:
    pace = Pace(1, 60)
    pace.reserve(0.0, HOUR)
    with pytest.raises(ProviderUnavailable) as raised:
        pace.reserve(15.0, 35.0)
    assert (raised.value.cause, raised.value.retry_after) == ("rate_limited", 45.0)
    assert pace.reserve(15.0, HOUR) == 60.0, "it took nothing"


def test_a_time_that_is_given_back_is_the_next_ones() -> None:
    pace = Pace(1, 60)
    pace.reserve(0.0, HOUR)
    pace.release(pace.reserve(1.0, HOUR))
    assert pace.reserve(2.0, HOUR) == 60.0


def test_a_vendor_that_asks_for_rest_gets_it_whatever_the_number() -> None:
    pace = Pace(None)
    pace.close(30.0)
    assert pace.closed(10.0) == 20.0
    assert pace.reserve(10.0, HOUR) == 30.0
    assert pace.reserve(31.0, HOUR) == 31.0


async def test_those_who_wait_go_in_the_order_they_came_and_none_is_forgotten() -> None:
    pace, gone = Pace(1, 0.02), []

    async def go(number: int) -> None:
        await pace.wait(5.0)
        gone.append(number)

    tasks = [asyncio.create_task(go(number)) for number in range(6)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert gone == [0, 1, 3, 4, 5]


async def test_a_rest_that_is_asked_for_meanwhile_is_kept_by_those_who_wait() -> None:
    pace = Pace(1, 0.02)
    loop = asyncio.get_running_loop()
    await pace.wait(5.0)
    waiting = asyncio.create_task(pace.wait(5.0))
    await asyncio.sleep(0)
    until = loop.time() + 0.1
    pace.close(until)
    await waiting
    assert loop.time() >= until


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=40),
)
def test_no_window_ever_has_more_than_it_may(most: int, moves: list[tuple[float, bool]]) -> None:
    pace, now, times = Pace(most, 60), 0.0, list[float]()
    for step, give_back in moves:
        now += step
        times.append(pace.reserve(now, 1e9))
        if give_back and times[-1] > now:
            pace.release(times.pop())
    times.sort()
    for first, last in zip(times, times[most:], strict=False):
        assert last - first >= 60 - 1e-9
