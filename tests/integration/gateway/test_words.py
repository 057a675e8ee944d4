"""Words between nodes by way of a Redis that comes and goes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
from structlog.testing import capture_logs

from talksy.gateway import News
from talksy.state.redis import RedisState
from tests.integration.database.opened import until
from tests.redis import Redis, running_redis


@pytest.fixture
def redis() -> Iterator[Redis]:
    with running_redis() as server:
        yield server


@pytest.fixture
async def states(redis: Redis) -> AsyncIterator[tuple[RedisState, RedisState]]:
    async with AsyncExitStack() as stack:
        here, there = [
            await stack.enter_async_context(RedisState.open(redis.url, node=name))
            for name in ("node_a", "node_b")
        ]
        yield here, there


async def test_where_words_may_have_been_missed_the_rows_are_looked_at_at_once(
    redis: Redis, states: tuple[RedisState, RedisState]
) -> None:
    news, looked = News(states[0].bus, node="node_a", seconds=60.0), asyncio.Event()

    async def look() -> None:
        looked.set()

    news.sweep(look)
    async with news.open(), asyncio.timeout(5):
        redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
        await looked.wait()


async def test_without_redis_words_are_dropped_and_counted_and_go_again_when_it_is_back(
    redis: Redis, states: tuple[RedisState, RedisState]
) -> None:
    here, there = (
        News(state.bus, node=name, seconds=60.0)
        for state, name in zip(states, ("node_a", "node_b"), strict=True)
    )
    heard = asyncio.Queue[str]()
    there.on("over", heard.put_nowait)
    async with here.open(), there.open(), asyncio.timeout(10):
        here.tell("over", "ses_1")
        assert await heard.get() == "ses_1"
        redis.crash()
        with capture_logs() as logs:
            for name in ("ses_2", "ses_3"):
                here.tell("over", name)
            await until(lambda: here.dropped == 2)
        assert [entry["event"] for entry in logs].count("news_dropped") == 1
        redis.start()
        while heard.empty():
            here.tell("over", "ses_4")
            await asyncio.sleep(0.05)
        assert await heard.get() == "ses_4"
