"""Sliding windows of every kind, against the promise of their contract."""

from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talksy.state import MemoryWindows, Verdict, Windows
from talksy.state.redis.client import Client
from talksy.state.redis.windows import RedisWindows
from tests.integration.state.conftest import fresh
from tests.redis import shared_redis

EPOCH = 1_700_000_000_000


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now

    def epoch(self) -> int:
        return EPOCH + self.now


@pytest.fixture
def time() -> Time:
    return Time()


Make = Callable[[Time], Windows]


class Alone:
    """Windows whose keys nobody else has."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self._own = fresh("w")

    async def hit(self, key: str, limit: int, window_ms: int, cost: int = 1) -> Verdict:
        return await self._windows.hit(f"{self._own}:{key}", limit, window_ms, cost)

    async def refund(self, key: str, cost: int = 1) -> None:
        await self._windows.refund(f"{self._own}:{key}", cost)


@pytest.fixture(params=["memory", "redis"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    """Opens windows that go by a clock set by hand."""
    if request.param == "memory":
        yield lambda time: MemoryWindows(time, time.epoch)
        return
    async with Client(shared_redis().url) as client:
        yield lambda time: Alone(
            RedisWindows(client, MemoryWindows(), nodes=lambda: 1, clock=time.epoch)
        )


@pytest.fixture
def windows(make: Make, time: Time) -> Windows:
    return make(time)


again = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
"""Each example opens windows of its own."""


async def test_takes_until_the_limit_and_then_refuses(windows: Windows) -> None:
    verdicts = [await windows.hit("k", 3, 1000) for _ in range(4)]
    assert [verdict.allowed for verdict in verdicts] == [True, True, True, False]
    assert [verdict.remaining for verdict in verdicts] == [2, 1, 0, 0]


async def test_keys_do_not_share_a_window(windows: Windows) -> None:
    await windows.hit("a", 1, 1000)
    assert (await windows.hit("b", 1, 1000)).allowed


async def test_a_refusal_says_when_there_is_room(windows: Windows, time: Time) -> None:
    await windows.hit("k", 2, 1000)
    time.now = 400
    await windows.hit("k", 2, 1000)
    assert await windows.hit("k", 2, 1000) == Verdict(False, 2, 0, EPOCH + 1000, 0.6)
    assert await windows.hit("k", 2, 1000, cost=2) == Verdict(False, 2, 0, EPOCH + 1400, 1.0)


async def test_what_was_said_of_the_wait_is_exact(windows: Windows, time: Time) -> None:
    await windows.hit("k", 1, 1000)
    time.now = 999
    assert not (await windows.hit("k", 1, 1000)).allowed
    time.now = 1000
    assert (await windows.hit("k", 1, 1000)).allowed


async def test_an_allowed_hit_says_when_the_oldest_leaves(windows: Windows, time: Time) -> None:
    await windows.hit("k", 3, 1000)
    time.now = 300
    assert await windows.hit("k", 3, 1000) == Verdict(True, 3, 1, EPOCH + 1000, 0.0)


async def test_takes_all_of_a_cost_or_nothing(windows: Windows) -> None:
    await windows.hit("k", 3, 1000, cost=2)
    assert not (await windows.hit("k", 3, 1000, cost=2)).allowed
    assert (await windows.hit("k", 3, 1000)).remaining == 0


async def test_a_refused_hit_does_not_prolong_the_wait(windows: Windows, time: Time) -> None:
    await windows.hit("k", 1, 1000)
    time.now = 900
    await windows.hit("k", 1, 1000)
    time.now = 1000
    assert (await windows.hit("k", 1, 1000)).allowed


async def test_a_peek_takes_nothing_and_answers_for_one(windows: Windows) -> None:
    assert await windows.hit("k", 1, 1000, cost=0) == Verdict(True, 1, 1, EPOCH, 0.0)
    await windows.hit("k", 1, 1000)
    assert await windows.hit("k", 1, 1000, cost=0) == Verdict(False, 1, 0, EPOCH + 1000, 1.0)


async def test_a_limit_of_zero_refuses_all(windows: Windows) -> None:
    assert await windows.hit("k", 0, 1000) == Verdict(False, 0, 0, EPOCH + 1000, 1.0)
    assert not (await windows.hit("k", 0, 1000, cost=0)).allowed


async def test_what_can_never_fit_is_refused(windows: Windows) -> None:
    assert await windows.hit("k", 2, 1000, cost=3) == Verdict(False, 2, 2, EPOCH + 1000, 1.0)


async def test_a_lowered_limit_holds_at_once(windows: Windows, time: Time) -> None:
    for time.now in (0, 100, 200):
        await windows.hit("k", 3, 1000)
    assert await windows.hit("k", 1, 1000) == Verdict(False, 1, 0, EPOCH + 1200, 1.0)


async def test_a_refund_gives_back_the_newest(windows: Windows, time: Time) -> None:
    await windows.hit("k", 3, 1000, cost=2)
    time.now = 500
    await windows.hit("k", 3, 1000)
    await windows.refund("k", 2)
    assert await windows.hit("k", 3, 1000, cost=0) == Verdict(True, 3, 2, EPOCH + 1000, 0.0)


async def test_a_refund_gives_back_no_more_than_was_taken(windows: Windows) -> None:
    await windows.refund("unknown")
    await windows.hit("k", 2, 1000)
    await windows.refund("k", 5)
    assert (await windows.hit("k", 2, 1000)).remaining == 1


@pytest.mark.parametrize(("limit", "window", "cost"), [(-1, 1000, 1), (1, 0, 1), (1, 1000, -1)])
async def test_nonsense_is_refused_loudly(
    windows: Windows, limit: int, window: int, cost: int
) -> None:
    with pytest.raises(ValueError, match="at least"):
        await windows.hit("k", limit, window, cost)


async def test_a_negative_refund_is_refused_loudly(windows: Windows) -> None:
    with pytest.raises(ValueError, match="at least"):
        await windows.refund("k", -1)


class BruteForce:
    """All that was ever taken, newest last, looked through from the start each time."""

    def __init__(self) -> None:
        self.units: list[int] = []

    def worst(self, window: int) -> int:
        """The most any window [start, start + window) holds."""
        return max(
            (sum(start <= unit < start + window for unit in self.units) for start in self.units),
            default=0,
        )

    def hit(self, now: int, limit: int, window: int, cost: int) -> bool:
        fits = sum(unit > now - window for unit in self.units) + max(cost, 1) <= limit
        if fits:
            self.units += [now] * cost
        return fits

    def refund(self, now: int, window: int, cost: int) -> None:
        for _ in range(cost):
            if self.units and self.units[-1] > now - window:
                self.units.pop()


hits = st.tuples(st.just("hit"), st.integers(0, 40), st.integers(0, 4))
refunds = st.tuples(st.just("refund"), st.integers(0, 40), st.integers(0, 4))


@again
@given(
    limit=st.integers(0, 6), window=st.integers(1, 60), steps=st.lists(hits | hits | hits | refunds)
)
async def test_no_window_however_placed_holds_more_than_the_limit(
    make: Make, limit: int, window: int, steps: list[tuple[str, int, int]]
) -> None:
    time, truth = Time(), BruteForce()
    windows = make(time)
    for kind, gap, cost in steps:
        time.now += gap
        if kind == "refund":
            await windows.refund("k", cost)
            truth.refund(time.now, window, cost)
            continue
        verdict = await windows.hit("k", limit, window, cost)
        assert verdict.allowed == truth.hit(time.now, limit, window, cost)
        held = sum(unit > time.now - window for unit in truth.units)
        assert verdict.remaining == limit - held
    assert truth.worst(window) <= limit


@again
@given(limit=st.integers(1, 5), steps=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3))))
async def test_a_refused_hit_fits_after_the_wait_and_not_before(
    make: Make, limit: int, steps: list[tuple[int, int]]
) -> None:
    time = Time()
    windows = make(time)
    for gap, cost in steps:
        time.now += gap
        verdict = await windows.hit("k", limit, 50, cost)
        if verdict.allowed or cost > limit:
            continue
        time.now = verdict.reset_at - EPOCH - 1
        assert not (await windows.hit("k", limit, 50, cost)).allowed
        time.now += 1
        assert (await windows.hit("k", limit, 50, cost)).allowed
