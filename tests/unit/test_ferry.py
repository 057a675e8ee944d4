"""One trip for all who wait."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from talksy.database.ferry import ASHORE, Failed, Ferry


class Sea:
    """A crossing whose trips take as long as a test wants them to."""

    def __init__(self) -> None:
        self.trips: list[list[int]] = []
        self.left_behind: list[int] = []
        self.left, self.go_on = asyncio.Event(), asyncio.Event()
        self.ferry: Ferry[int, int] = Ferry(
            self.cross, most=3, seconds=5, forsaken=self.left_behind.append
        )

    async def cross(self, asked: Sequence[int]) -> Sequence[int | Failed]:
        self.trips.append(list(asked))
        self.left.set()
        await self.go_on.wait()
        return [number * 10 if number else Failed(ZeroDivisionError()) for number in asked]

    async def under_way(self) -> asyncio.Task[int]:
        """Somebody crosses, and has not arrived."""
        first = asyncio.create_task(self.ferry.carry(1))
        await self.left.wait()
        return first


@pytest.fixture
def sea() -> Sea:
    return Sea()


async def test_who_comes_in_the_same_moment_goes_together(sea: Sea) -> None:
    sea.go_on.set()
    assert await asyncio.gather(*map(sea.ferry.carry, (1, 2, 3))) == [10, 20, 30]
    assert sea.trips == [[1, 2, 3]]


async def test_who_comes_while_it_is_away_goes_with_the_next_as_far_as_there_is_room(
    sea: Sea,
) -> None:
    first = await sea.under_way()
    later = [asyncio.create_task(sea.ferry.carry(number)) for number in (2, 3, 4, 5)]
    await asyncio.sleep(0)
    assert (len(sea.ferry), sea.ferry.load) == (4, 5)
    sea.go_on.set()
    assert await asyncio.gather(first, *later) == [10, 20, 30, 40, 50]
    assert sea.trips == [[1], [2, 3, 4], [5]]
    assert sea.ferry.load == 0


async def test_one_that_fails_takes_no_other_along(sea: Sea) -> None:
    sea.go_on.set()
    came_to = await asyncio.gather(*map(sea.ferry.carry, (1, 0, 2)), return_exceptions=True)
    assert came_to[::2] == [10, 20]
    assert isinstance(came_to[1], ZeroDivisionError)


async def test_a_trip_that_fails_is_everybodys() -> None:
    async def sink(_asked: Sequence[int]) -> Sequence[int]:
        raise ZeroDivisionError

    ferry: Ferry[int, int] = Ferry(sink, most=9, seconds=5)
    came_to = await asyncio.gather(ferry.carry(1), ferry.carry(2), return_exceptions=True)
    assert [type(one) for one in came_to] == [ZeroDivisionError] * 2
    with pytest.raises(ZeroDivisionError):
        await ferry.carry(3)


async def test_who_gives_up_is_not_taken_along_and_what_was_done_for_it_is_told(sea: Sea) -> None:
    first = await sea.under_way()
    waiting = asyncio.create_task(sea.ferry.carry(2))
    await asyncio.sleep(0)
    for task in (first, waiting):
        task.cancel()
    await asyncio.wait([first, waiting])
    sea.go_on.set()
    assert await sea.ferry.carry(3) == 30
    assert (sea.trips, sea.left_behind) == ([[1], [3]], [10])


async def test_who_is_told_and_gives_up_in_the_same_moment_is_forsaken_too(sea: Sea) -> None:
    async def stop_the_other() -> None:
        await sea.ferry.carry(1)
        other.cancel()

    stopping = asyncio.create_task(stop_the_other())
    other = asyncio.create_task(sea.ferry.carry(2))
    sea.go_on.set()
    await asyncio.wait([stopping, other])
    assert other.cancelled()
    assert sea.left_behind == [20]


async def test_who_has_waited_too_long_is_refused() -> None:
    sea = Sea()
    sea.ferry._seconds = 0.01
    first = await sea.under_way()
    with pytest.raises(TimeoutError):
        await sea.ferry.carry(2)
    sea.go_on.set()
    assert await first == 10
    assert sea.trips == [[1]]


async def test_in_a_crowd_it_leaves_once_a_pause(sea: Sea) -> None:
    """The first goes at once; who comes after it waits for the others of its pause."""
    sea.go_on.set()
    sea.ferry._pause = 0.05
    loop = asyncio.get_running_loop()
    began = loop.time()
    await sea.ferry.carry(1)
    first = loop.time()
    later = []
    for number in (2, 3):
        later.append(asyncio.create_task(sea.ferry.carry(number)))
        await asyncio.sleep(0)
    await asyncio.gather(*later)
    assert sea.trips == [[1], [2, 3]]
    assert first - began < 0.05 <= loop.time() - began


async def test_a_crowd_goes_ashore_a_few_at_a_time_and_in_its_order() -> None:
    """Each of them goes on as soon as it is told, and nobody else has a turn meanwhile."""

    async def cross(asked: Sequence[int]) -> Sequence[int]:
        return asked

    ferry: Ferry[int, int] = Ferry(cross, most=3 * ASHORE + 1, seconds=5)
    crowd = range(3 * ASHORE + 2)
    turn, told = 0, list[tuple[int, int]]()

    async def cross_over(number: int) -> None:
        came_to = await ferry.carry(number)
        told.append((turn, came_to))

    crossing = [asyncio.create_task(cross_over(number)) for number in crowd]
    while len(told) < len(crowd):
        turn += 1
        await asyncio.sleep(0)
    await asyncio.gather(*crossing)
    assert [number for _, number in told] == list(crowd)
    assert max(Counter(turn for turn, _ in told).values()) == ASHORE
