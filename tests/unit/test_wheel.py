"""One timer for many waits."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from talksy.wheel import Wheel

GRAIN = 0.01


@dataclass
class Waiting:
    """Writes down when it was called; ``again`` is when it wants to be, after the first time."""

    wheel: Wheel
    again: float | None = None
    due: int = 0
    called: list[float] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def expire(self) -> None:
        self.called.append(self.wheel.now())
        if self.again is not None:
            self.wheel.put(self, self.again)
            self.again = None
        else:
            self.done.set()


@pytest.fixture
def wheel() -> Iterator[Wheel]:
    wheel = Wheel(GRAIN)
    yield wheel
    wheel.close()


async def test_nobody_is_called_early_and_nobody_late(wheel: Wheel) -> None:
    waits = [0.0, 0.004, 0.01, 0.015, 0.03, 0.05]
    began = wheel.now()
    waiting = [Waiting(wheel) for _ in waits]
    for each, seconds in zip(waiting, waits, strict=True):
        wheel.put(each, seconds)
    await asyncio.gather(*(each.done.wait() for each in waiting))
    for each, seconds in zip(waiting, waits, strict=True):
        assert seconds <= each.called[0] - began < seconds + GRAIN + 0.5


async def test_who_is_put_on_again_is_called_once_at_the_later_time(wheel: Wheel) -> None:
    waiting, began = Waiting(wheel), wheel.now()
    wheel.put(waiting, 0.01)
    wheel.put(waiting, 0.05)
    await waiting.done.wait()
    await asyncio.sleep(5 * GRAIN)
    (called,) = waiting.called
    assert called - began >= 0.05


async def test_who_is_put_on_again_may_come_sooner(wheel: Wheel) -> None:
    waiting, began = Waiting(wheel), wheel.now()
    wheel.put(waiting, 60)
    wheel.put(waiting, 0.01)
    await waiting.done.wait()
    assert waiting.called[0] - began < 1


async def test_who_is_taken_off_is_not_called(wheel: Wheel) -> None:
    waiting, other = Waiting(wheel), Waiting(wheel)
    wheel.put(waiting, 0.01)
    wheel.put(other, 0.03)
    wheel.take_off(waiting)
    await other.done.wait()
    assert waiting.called == []


async def test_who_is_called_may_wait_again(wheel: Wheel) -> None:
    waiting = Waiting(wheel, again=0.02)
    wheel.put(waiting, 0.01)
    await waiting.done.wait()
    first, second = waiting.called
    assert second - first >= 0.02


async def test_it_goes_on_after_a_time_without_anybody(wheel: Wheel) -> None:
    for _ in range(2):
        waiting, began = Waiting(wheel), wheel.now()
        wheel.put(waiting, 0.01)
        await waiting.done.wait()
        assert waiting.called[0] - began >= 0.01
        await asyncio.sleep(5 * GRAIN)


async def test_one_that_fails_keeps_nobody_waiting(wheel: Wheel) -> None:
    class Failing(Waiting):
        def expire(self) -> None:
            raise RuntimeError("as it was asked")

    failing, other = Failing(wheel), Waiting(wheel)
    wheel.put(failing, 0.01)
    wheel.put(other, 0.01)
    await other.done.wait()


async def test_nobody_is_called_after_the_end(wheel: Wheel) -> None:
    waiting = Waiting(wheel)
    wheel.put(waiting, 0.01)
    wheel.close()
    await asyncio.sleep(5 * GRAIN)
    assert waiting.called == []


async def test_who_is_put_on_for_the_next_turn_is_called_in_it(wheel: Wheel) -> None:
    first, second, gone = Waiting(wheel), Waiting(wheel), Waiting(wheel)
    for each in (first, gone, second):
        wheel.put_next(each)
    wheel.take_off(gone)
    assert first.called == []
    await asyncio.sleep(0)
    assert (len(first.called), len(second.called), gone.called) == (1, 1, [])


async def test_who_is_put_on_for_the_next_turn_waits_for_nothing_else(wheel: Wheel) -> None:
    waiting, other = Waiting(wheel), Waiting(wheel)
    wheel.put(waiting, 0.01)
    wheel.put_next(waiting)
    wheel.put(other, 0.03)
    await other.done.wait()
    assert len(waiting.called) == 1


async def test_a_sleep_is_never_short_and_may_be_cut_off(wheel: Wheel) -> None:
    began = wheel.now()
    sleeping = [asyncio.create_task(wheel.sleep(seconds)) for seconds in (0.01, 0.03, 60)]
    await asyncio.gather(*sleeping[:2])
    assert wheel.now() - began >= 0.03
    sleeping[2].cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping[2]


async def test_it_may_be_closed_by_whom_it_calls(wheel: Wheel) -> None:
    class Closing(Waiting):
        def expire(self) -> None:
            super().expire()
            self.wheel.close()

    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    closing, later = Closing(wheel), Waiting(wheel)
    wheel.put(closing, GRAIN)
    wheel.put(later, 3 * GRAIN)
    time.sleep(6 * GRAIN)  # noqa: ASYNC251 - both are due when the loop goes on
    await closing.done.wait()
    await asyncio.sleep(2 * GRAIN)
    assert (later.called, told) == ([], [])
