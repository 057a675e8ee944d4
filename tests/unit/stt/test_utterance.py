"""What is said is kept while it is recognised."""

import asyncio

import pytest

from talksy.ai.stt import Utterance
from tests.unit.stt.script import SOUND


async def blocks(utterance: Utterance) -> list[bytes]:
    return [block async for block in utterance.blocks()]


@pytest.mark.parametrize("size", [1, 641, 3_200, 20_000])
async def test_blocks_are_the_same_however_it_came(size: int) -> None:
    utterance = Utterance()
    reading = asyncio.create_task(blocks(utterance))
    for at in range(0, len(SOUND) - 1_000, size):
        utterance.push(SOUND[at : min(at + size, len(SOUND) - 1_000)])
        await asyncio.sleep(0)
    utterance.end()
    read = await reading
    assert [len(block) for block in read] == [3_200] * 9 + [2_200]
    assert b"".join(read) == SOUND[:-1_000]


async def test_a_pause_is_told_once_all_before_it_was_read_unless_it_is_over_by_then() -> None:
    utterance = Utterance()
    read = list[bytes]()
    idle = asyncio.Event()

    async def reading() -> None:
        async for block in utterance.blocks():
            read.append(block)
            if not block:
                idle.set()

    utterance.push(SOUND[:5_000])
    utterance.pause()
    utterance.push(SOUND[5_000:9_000])
    utterance.pause()
    task = asyncio.create_task(reading())
    await idle.wait()
    assert [len(block) for block in read] == [3_200, 1_800, 3_200, 800, 0]
    utterance.push(SOUND[9_000:10_000])
    utterance.end()
    utterance.pause()
    await task
    assert b"".join(read) == SOUND[:10_000]
    assert [len(block) for block in await blocks(utterance)] == [3_200, 1_800, 3_200, 800, 1_000]


async def test_who_comes_later_reads_it_from_its_beginning() -> None:
    utterance = Utterance()
    utterance.push(SOUND)
    utterance.end()
    assert await blocks(utterance) == await blocks(utterance)
    assert await utterance.whole() == SOUND


async def test_what_comes_after_the_end_is_dropped() -> None:
    utterance = Utterance()
    utterance.end()
    utterance.push(SOUND)
    assert (utterance.ms, await blocks(utterance)) == (0, [])


async def test_whoever_asked_last_is_told_of_the_end_once() -> None:
    utterance, told = Utterance(), list[str]()
    utterance.when_ended(lambda: told.append("first"))
    utterance.when_ended(lambda: told.append("second"))
    utterance.end()
    utterance.end()
    utterance.when_ended(lambda: told.append("late"))
    assert told == ["second", "late"]
