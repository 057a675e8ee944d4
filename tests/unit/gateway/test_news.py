"""Words between nodes, and the looks behind them."""

import asyncio

from structlog.testing import capture_logs

from talksy.gateway import News
from talksy.gateway.news import CHANNEL, QUEUED
from talksy.state import MemoryBus, MemoryHub


class Ears:
    """What a node hears, in its order."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[str] = asyncio.Queue()

    async def next(self) -> str:
        async with asyncio.timeout(5):
            return await self.heard.get()


async def test_other_nodes_hear_a_word_in_its_order_and_the_teller_does_not() -> None:
    hub, mine, theirs = MemoryHub(), Ears(), Ears()
    here, there = News(MemoryBus(hub), node="node_a"), News(MemoryBus(hub), node="node_b")
    here.on("over", mine.heard.put_nowait)
    there.on("over", theirs.heard.put_nowait)
    there.on("revoked", lambda name: theirs.heard.put_nowait(f"revoked {name}"))
    async with here.open(), there.open():
        here.tell("over", "ses_1")
        here.tell("revoked", "fam_1")
        here.tell("over", "ses_2")
        there.tell("over", "ses_3")
        assert [await theirs.next() for _ in range(3)] == ["ses_1", "revoked fam_1", "ses_2"]
        assert await mine.next() == "ses_3"
    assert mine.heard.empty()


async def test_who_fails_at_a_word_keeps_no_other_from_it() -> None:
    hub, ears = MemoryHub(), Ears()
    here, there = News(MemoryBus(hub), node="node_a"), News(MemoryBus(hub), node="node_b")

    def fail(name: str) -> None:
        raise RuntimeError(name)

    there.on("over", fail)
    there.on("over", ears.heard.put_nowait)
    with capture_logs() as logs:
        async with here.open(), there.open():
            here.tell("over", "ses_1")
            assert await ears.next() == "ses_1"
    assert [entry["event"] for entry in logs] == ["news_failed"]


async def test_what_a_later_version_tells_is_left_alone() -> None:
    hub, ears = MemoryHub(), Ears()
    there = News(MemoryBus(hub), node="node_b")
    there.on("over", ears.heard.put_nowait)
    async with there.open():
        for word in ("", "node_a", "node_a moved ses_1", "node_a over ses_2"):
            await MemoryBus(hub).say(CHANNEL, word)
        assert await ears.next() == "ses_2"


async def test_more_words_than_may_wait_are_dropped_counted_and_logged_once() -> None:
    hub, ears = MemoryHub(), Ears()
    here, there = News(MemoryBus(hub), node="node_a"), News(MemoryBus(hub), node="node_b")
    there.on("turns", ears.heard.put_nowait)
    with capture_logs() as logs:
        async with here.open(), there.open():
            for number in range(QUEUED + 3):
                here.tell("turns", str(number))
            assert [await ears.next() for _ in range(QUEUED)] == [str(n) for n in range(QUEUED)]
            assert ears.heard.empty()
    assert here.dropped == 3
    assert [entry["event"] for entry in logs] == ["news_dropped"]


async def test_without_a_bus_nothing_is_told_and_the_rows_are_looked_at() -> None:
    news, looked = News(None, node="node_a", seconds=0.01), asyncio.Event()

    async def fail() -> None:
        raise RuntimeError

    async def look() -> None:
        looked.set()

    news.sweep(fail)
    news.sweep(look)
    news.tell("over", "ses_1")
    with capture_logs() as logs:
        async with news.open(), asyncio.timeout(5):
            await looked.wait()
            looked.clear()
            await looked.wait()
    assert {entry["event"] for entry in logs} == {"look_failed"}
    assert news.dropped == 0
