"""Slots of every kind, against the promise of their contract."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from talksy.state import SLOT_MS, MemorySlots, Slot, Slots
from talksy.state.redis.client import Client
from talksy.state.redis.slots import RedisSlots
from tests.integration.state.conftest import fresh
from tests.redis import shared_redis


class Somebody:
    """A user whose slots nobody else has."""

    def __init__(self) -> None:
        self.user = fresh("usr")

    def slot(self, session: str = "ses_1") -> Slot:
        return Slot(fresh("call"), self.user, session)


@pytest.fixture
def ada() -> Somebody:
    return Somebody()


@pytest.fixture(params=["memory", "redis"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Slots, Slots]]:
    """The slots of two nodes; in memory there is one."""
    if request.param == "memory":
        alone = MemorySlots()
        yield alone, alone
        return
    async with Client(shared_redis().url) as client, AsyncExitStack() as stack:
        here, there = (RedisSlots(client, MemorySlots(), nodes=lambda: 2) for _ in range(2))
        yield await stack.enter_async_context(here), await stack.enter_async_context(there)


async def take(slots: Slots, slot: Slot, per_session: int = 2, per_user: int = 3) -> bool:
    return await slots.take(slot, per_session=per_session, per_user=per_user)


async def test_a_session_has_so_many(pair: tuple[Slots, Slots], ada: Somebody) -> None:
    here, there = pair
    assert await take(here, ada.slot())
    assert await take(there, ada.slot())
    assert not await take(here, ada.slot())
    assert await take(there, ada.slot("ses_2"))


async def test_a_user_has_so_many_in_all_sessions(pair: tuple[Slots, Slots], ada: Somebody) -> None:
    here, there = pair
    taken = [await take(node, ada.slot(f"ses_{n}")) for n in range(3) for node in (here, there)]
    assert taken == [True, True, True, False, False, False]
    assert await take(there, Somebody().slot())


async def test_what_is_freed_can_be_taken(pair: tuple[Slots, Slots], ada: Somebody) -> None:
    here, there = pair
    first = ada.slot()
    assert await take(here, first, per_session=1)
    assert not await take(there, ada.slot(), per_session=1)
    await here.free(first)
    await here.free(first)
    assert await take(there, ada.slot(), per_session=1)


async def test_of_many_at_once_as_many_get_one_as_there_are(
    pair: tuple[Slots, Slots], ada: Somebody
) -> None:
    takes = [take(node, ada.slot(f"ses_{n}"), 9, 7) for n in range(20) for node in pair]
    assert sum(await asyncio.gather(*takes)) == 7


class Time:
    def __init__(self) -> None:
        self.now = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now


async def test_a_dead_nodes_slots_run_out_and_a_living_ones_are_renewed(ada: Somebody) -> None:
    time = Time()
    async with Client(shared_redis().url) as client:
        dead, living = (
            RedisSlots(client, MemorySlots(), nodes=lambda: 2, clock=time) for _ in range(2)
        )
        assert await take(dead, ada.slot(), per_session=9, per_user=2)
        assert await take(living, ada.slot(), per_session=9, per_user=2)
        time.now += SLOT_MS - 1
        await living.renew()
        assert not await take(living, ada.slot(), per_session=9, per_user=2)
        time.now += 1
        assert await take(living, ada.slot(), per_session=9, per_user=2)
        assert not await take(living, ada.slot(), per_session=9, per_user=2)


async def test_an_emptied_redis_is_told_again(ada: Somebody) -> None:
    async with Client(shared_redis().url) as client:
        here, there = (RedisSlots(client, MemorySlots(), nodes=lambda: 2) for _ in range(2))
        assert await take(here, ada.slot(), per_session=1)
        await client.run([("DEL", f"talksy:1:s:{ada.user}")])
        await here.renew()
        assert not await take(there, ada.slot(), per_session=1)


async def test_without_redis_each_node_has_its_share(ada: Somebody) -> None:
    async with Client("redis://127.0.0.1:1") as client:
        here = RedisSlots(client, MemorySlots(), nodes=lambda: 2)
        slots = [ada.slot() for _ in range(3)]
        assert [await take(here, slot, 5, 4) for slot in slots] == [True, True, False]
        await here.free(slots[0])
        assert await take(here, ada.slot(), 5, 4)
        assert here.local_takes == 4
