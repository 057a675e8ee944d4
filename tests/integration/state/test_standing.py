"""What keeps a Redis from serving is told in a line, and what may go wrong is known."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from talksy.state import Away
from talksy.state.redis import Unfit, look
from tests.redis import running_cluster, running_redis, shared_redis

LEAST = "~talksy:1:* &talksy:1:* -@all +@connection +evalsha +script|load +set +pexpire +time"
"""Rights that are enough for a look, with PUBLISH."""


async def unfit(url: str, kind: type[Away] = Unfit) -> str:
    with pytest.raises(kind) as raised:
        await look(url)
    assert "secret" not in str(raised.value)
    return str(raised.value)


async def test_a_redis_that_serves_tells_what_it_is() -> None:
    standing = await look(shared_redis().url)
    assert int(standing.version.partition(".")[0]) >= 6
    assert (standing.clock_off, standing.evicts) == (False, False)
    assert standing.listener_bytes == 32 * 1024 * 1024
    assert standing.used is not None


@pytest.fixture
def cluster() -> Iterator[str]:
    with running_cluster() as running:
        yield running.url


async def test_a_cluster_is_looked_at_by_one_of_its_primaries(cluster: str) -> None:
    assert (await look(cluster)).policy == "noeviction"


async def test_what_is_looked_at_leaves_nothing_for_long() -> None:
    with running_redis() as redis:
        await look(redis.url)
        assert all(0 < redis.ask("PTTL", key) <= 10_000 for key in redis.ask("KEYS", "*"))


async def test_one_that_evicts_and_one_that_is_full() -> None:
    with running_redis(
        maxmemory="100mb", maxmemory_policy="allkeys-lru", appendonly="yes"
    ) as redis:
        standing = await look(redis.url)
        assert (standing.evicts, standing.persists) == (True, True)
        assert standing.bound == 100 * 1024 * 1024
        redis.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        redis.ask("CONFIG", "SET", "maxmemory", "1")
        assert "Redis is full" in await unfit(redis.url)


async def test_a_replica_only_reads() -> None:
    primary = shared_redis()
    with running_redis(f"replicaof 127.0.0.1 {primary.port}") as replica:
        assert "is a replica and only reads" in await unfit(replica.url)


async def test_users_that_may_do_too_little() -> None:
    """And one that may do no more than it must: what it cannot ask for cannot be told."""
    lines = [f"user least on >secret {LEAST} +publish", f"user less on >secret {LEAST}"]
    with running_redis(*lines) as redis:
        where = redis.url.removeprefix("redis://")
        standing = await look(f"redis://least:secret@{where}")
        assert (standing.persists, standing.policy, standing.listener_bytes) == (None, None, None)
        assert "let its user do" in await unfit(f"redis://less:secret@{where}")
        assert "refuses the user" in await unfit(f"redis://less:secret2@{where}")


async def test_one_that_cannot_save_takes_no_writes() -> None:
    with running_redis("save 3600 1", dir="/proc") as redis:
        redis.ask("SET", "key", "value")
        redis.ask("BGSAVE")
        async with asyncio.timeout(5):
            while redis.ask("INFO", "persistence")["rdb_last_bgsave_status"] != "err":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert "MISCONF" in await unfit(redis.url)


async def test_one_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talksy.state.redis.standing.OLDEST", (99, 2))
    assert "is too old: version 99.2" in await unfit(shared_redis().url)


async def test_a_clock_that_is_far_off_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talksy.state.redis.standing.time", lambda: time.time() + 60)
    standing = await look(shared_redis().url)
    assert standing.clock_off
    assert -61_000 < standing.ahead_ms < -59_000


async def test_what_is_no_redis_and_what_is_not_there() -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(64)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(page, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert "is no Redis" in await unfit(f"redis://127.0.0.1:{port}")
    assert "cannot be reached" in await unfit(f"redis://:secret@127.0.0.1:{port}", Away)
