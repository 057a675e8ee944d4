"""What windows in memory keep, beside what the contract asks of all."""

import pytest

from talksy.state import MemoryWindows

EPOCH = 1_700_000_000_000


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def windows(time: Time) -> MemoryWindows:
    return MemoryWindows(time)


async def test_what_took_nothing_keeps_nothing(windows: MemoryWindows) -> None:
    await windows.hit("k", 1, 1000, cost=0)
    await windows.hit("k", 0, 1000)
    assert len(windows) == 0


async def test_a_refund_of_all_keeps_nothing(windows: MemoryWindows) -> None:
    await windows.refund("unknown")
    await windows.hit("k", 2, 1000)
    await windows.refund("k", 5)
    assert len(windows) == 0


async def test_empty_keys_are_forgotten_by_the_hits_of_others(
    windows: MemoryWindows, time: Time
) -> None:
    for number in range(1000):
        await windows.hit(f"k{number}", 1, 1000)
    assert len(windows) == 1000
    time.now = 1000
    for _ in range(501):
        await windows.hit("other", 10, 1000)
    assert len(windows) == 1


async def test_the_sweep_forgets_nothing_that_still_counts(
    windows: MemoryWindows, time: Time
) -> None:
    await windows.hit("slow", 1, 10_000)
    for time.now in range(0, 9_999, 50):
        await windows.hit(f"fast{time.now}", 1, 100)
    assert not (await windows.hit("slow", 1, 10_000)).allowed
    assert len(windows) <= 1 + 5


async def test_by_default_time_is_the_time_of_day() -> None:
    verdict = await MemoryWindows().hit("k", 1, 60_000)
    assert verdict.reset_at > EPOCH
