"""Sound on its way to who judges it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from talksy.errors import Overloaded
from talksy.voice.intake import Intake

SOUND = bytes(range(200)) * 5


@asynccontextmanager
async def taking(judge: Callable[[bytes], Awaitable[None]]) -> AsyncIterator[Intake]:
    intake = Intake(judge, slice_bytes=100, most_bytes=1_000)
    yield intake
    await intake.close()


@pytest.mark.parametrize("size", [1, 7, 100, 333, 1_000])
async def test_it_is_judged_in_order_a_slice_in_each_turn_of_the_loop(size: int) -> None:
    turn, judged = 0, list[tuple[int, bytes]]()

    async def judge(pcm: bytes) -> None:
        judged.append((turn, pcm))

    async def others() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    going_on = asyncio.create_task(others())
    async with taking(judge) as intake:
        for at in range(0, len(SOUND), size):
            intake.put(SOUND[at : at + size])
        assert not judged, "nobody waits for it who brings it"
        await intake.finish()
    going_on.cancel()
    assert b"".join(pcm for _, pcm in judged) == SOUND
    assert max(len(pcm) for _, pcm in judged) <= 100
    assert len({turn for turn, _ in judged}) == len(judged)


async def test_no_more_waits_than_may_and_then_it_goes_on() -> None:
    ready = asyncio.Event()
    judged = bytearray()

    async def judge(pcm: bytes) -> None:
        await ready.wait()
        judged.extend(pcm)

    async with taking(judge) as intake:
        intake.put(SOUND)
        with pytest.raises(Overloaded):
            intake.put(b"!")
        ready.set()
        async with asyncio.timeout(5):
            while len(judged) < len(SOUND):  # noqa: ASYNC110 - it takes turns, no time
                await asyncio.sleep(0)
        intake.put(b"!")
        await intake.finish()
    assert judged == SOUND + b"!"


async def test_what_waits_is_dropped_where_nobody_listens_any_more() -> None:
    asked = asyncio.Event()

    async def judge(_: bytes) -> None:
        asked.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(5), taking(judge) as intake:
        intake.put(SOUND)
        await asked.wait()
