"""Limits by name, and their counts."""

from talksy.ratelimit import Count, Limiter
from talksy.state import MemoryWindows


async def test_a_limit_is_held_for_each_identity() -> None:
    limiter = Limiter(MemoryWindows())
    assert (await limiter.take("messages:usr_a", 1, 60_000)).allowed
    assert not (await limiter.take("messages:usr_a", 1, 60_000)).allowed
    assert (await limiter.take("messages:usr_b", 1, 60_000)).allowed


async def test_what_was_refunded_can_be_taken_again() -> None:
    limiter = Limiter(MemoryWindows())
    await limiter.take("messages:usr_a", 1, 60_000)
    await limiter.refund("messages:usr_a")
    assert (await limiter.take("messages:usr_a", 1, 60_000)).allowed


async def test_counts_by_name_what_was_allowed_and_refused() -> None:
    limiter = Limiter(MemoryWindows())
    for identity in ("usr_a", "usr_a", "2001:db8::1"):
        await limiter.take(f"messages:{identity}", 1, 60_000)
    assert limiter.stats() == {"messages": Count(allowed=2, refused=1)}


async def test_a_peek_is_not_counted() -> None:
    limiter = Limiter(MemoryWindows())
    await limiter.take("logins:usr_a", 1, 60_000, cost=0)
    assert limiter.stats() == {}


async def test_keys_without_a_name_share_one_line() -> None:
    limiter = Limiter(MemoryWindows())
    await limiter.take("usr_a", 1, 60_000)
    await limiter.take("usr_b", 1, 60_000)
    assert limiter.stats() == {"other": Count(allowed=2)}
