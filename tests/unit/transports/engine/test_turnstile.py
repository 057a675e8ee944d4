"""A few pass at a time, and all do."""

import asyncio
from functools import partial
from itertools import pairwise

from talksy.transports.socketio.engine.turnstile import Turnstile


async def test_so_many_pass_in_one_turn_of_the_loop_in_their_order() -> None:
    turnstile, passed, seen = Turnstile(2), list[int](), list[int]()
    for number in range(5):
        turnstile.enter(partial(passed.append, number))
    assert passed == [0, 1], "who finds nobody before it does not wait"
    for _ in range(5):
        seen.append(len(passed))
        await asyncio.sleep(0)
    assert passed == [0, 1, 2, 3, 4]
    assert max(after - before for before, after in pairwise(seen)) == 2


async def test_it_is_as_wide_as_ever_when_the_crowd_has_gone() -> None:
    turnstile, passed = Turnstile(2), list[int]()
    for number in range(3):
        turnstile.enter(partial(passed.append, number))
    for _ in range(3):
        await asyncio.sleep(0)
    for number in range(3, 5):
        turnstile.enter(partial(passed.append, number))
    assert passed == [0, 1, 2, 3, 4]


async def test_who_comes_stands_behind_those_who_wait() -> None:
    turnstile, passed = Turnstile(1), list[int]()
    turnstile.enter(partial(passed.append, 0))
    turnstile.enter(partial(passed.append, 1))
    asyncio.get_running_loop().call_soon(turnstile.enter, partial(passed.append, 2))
    for _ in range(4):
        await asyncio.sleep(0)
    assert passed == [0, 1, 2]
