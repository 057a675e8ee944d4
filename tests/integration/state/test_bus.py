"""Words between nodes, against the promise of their contract."""

import asyncio

from tests.integration.state.conftest import Node, fresh

Pair = tuple[Node, Node]


async def heard(words: asyncio.Queue[str], count: int) -> list[str]:
    async with asyncio.timeout(5):
        return [await words.get() for _ in range(count)]


async def test_words_come_in_their_order(pair: Pair) -> None:
    here, there = pair
    channel, words = fresh("channel"), asyncio.Queue[str]()
    await there.bus.listen(channel, words.put_nowait)
    said = [f"word {number} ü\n" for number in range(50)]
    for word in said:
        await here.bus.say(channel, word)
    assert await heard(words, 50) == said


async def test_the_speaker_hears_too_where_he_listens(pair: Pair) -> None:
    channel, words = fresh("channel"), asyncio.Queue[str]()
    await pair[0].bus.listen(channel, words.put_nowait)
    await pair[0].bus.say(channel, "word")
    assert await heard(words, 1) == ["word"]


async def test_channels_do_not_hear_each_other(pair: Pair) -> None:
    here, there = pair
    one, other, words = fresh("channel"), fresh("channel"), asyncio.Queue[str]()
    await there.bus.listen(one, words.put_nowait)
    await here.bus.say(other, "not for you")
    await here.bus.say(one, "for you")
    assert await heard(words, 1) == ["for you"]


async def test_listening_again_replaces_who_listened(pair: Pair) -> None:
    here, there = pair
    channel, old, new = fresh("channel"), asyncio.Queue[str](), asyncio.Queue[str]()
    await there.bus.listen(channel, old.put_nowait)
    await there.bus.listen(channel, new.put_nowait)
    await here.bus.say(channel, "word")
    assert await heard(new, 1) == ["word"]
    assert old.empty()
