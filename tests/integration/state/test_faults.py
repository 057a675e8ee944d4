"""Redis away, forgetful, hostile or replaced: what is told, and that all is well afterwards."""

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Iterable, Iterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from talksy.state import Append, Away
from talksy.state.redis import RedisState
from tests.integration.state.conftest import Turn, fresh, until
from tests.proxy import Proxy, running_proxy
from tests.redis import Redis, running_redis


@pytest.fixture
def redis() -> Iterator[Redis]:
    with running_redis() as server:
        yield server


@pytest.fixture
async def state(redis: Redis) -> AsyncIterator[RedisState]:
    async with RedisState.open(redis.url, node=fresh("node")) as opened:
        yield opened


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes with less patience than usual."""
    for name in ("ANSWER_SECONDS", "CONNECT_SECONDS"):
        monkeypatch.setattr(f"talksy.state.redis.lines.{name}", 0.3)


@asynccontextmanager
async def through_proxy(redis: Redis) -> AsyncIterator[tuple[RedisState, Proxy]]:
    async with running_proxy(redis.url) as proxy:
        url = proxy.url.replace("http", "redis")
        async with RedisState.open(url, node=fresh("node")) as opened:
            yield opened, proxy


def gaps_of(state: RedisState) -> asyncio.Event:
    gap = asyncio.Event()
    state.bus.on_gap(gap.set)
    return gap


def told(logs: Iterable[MutableMapping[str, Any]]) -> list[str]:
    """What an operator sees."""
    return [entry["event"] for entry in logs if entry["log_level"] != "debug"]


async def back(state: RedisState) -> None:
    await until(lambda: state.stats().away_seconds is None and state.stats().hears)


async def says_and_hears(state: RedisState) -> None:
    channel, words = fresh("channel"), asyncio.Queue[str]()
    await state.bus.listen(channel, words.put_nowait)
    await state.bus.say(channel, "word")
    async with asyncio.timeout(5):
        assert await words.get() == "word"


async def test_a_killed_subscription_is_made_anew_and_told_of(
    state: RedisState, redis: Redis
) -> None:
    gap, turn = gaps_of(state), Turn(state.log, state.log)
    await turn.follow()
    for times in (1, 2):
        gap.clear()
        redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
        async with asyncio.timeout(5):
            await gap.wait()
        assert (await turn.write(times - 1, b"a")).listeners == 1
        assert (await turn.hear()).first == times - 1
    assert state.stats().rebuilt == 2


async def test_killed_connections_cost_no_answer_once_their_end_was_seen(
    state: RedisState, redis: Redis
) -> None:
    turn = Turn(state.log, state.log)
    await turn.write(0, b"a")
    redis.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await asyncio.sleep(0.01)
    assert (await turn.write(1, b"b")).have == 2
    assert await turn.read() == [b"a", b"b"]


@pytest.mark.usefixtures("hasty")
async def test_a_redis_that_stands_still_is_left_alone_and_taken_back(
    state: RedisState, redis: Redis
) -> None:
    turn, loop = Turn(state.log, state.log), asyncio.get_running_loop()
    await turn.write(0, b"a")
    redis.pause()
    with pytest.raises(Away):
        await turn.write(1, b"b")
    asked = loop.time()
    with pytest.raises(Away):
        await turn.write(1, b"b")
    assert loop.time() - asked < 0.1
    redis.resume()
    await back(state)
    assert (await turn.write(1, b"b")).have == 2
    assert await turn.read() == [b"a", b"b"]
    await says_and_hears(state)


async def test_a_restart_without_data_asks_for_all_of_it_again(
    state: RedisState, redis: Redis
) -> None:
    turn, gap = Turn(state.log, state.log), gaps_of(state)
    await turn.follow()
    await turn.write(0, b"a", b"b")
    with capture_logs() as logs:
        redis.crash()
        with pytest.raises(Away):
            await turn.write(2, b"c")
        await until(lambda: state.stats().away_seconds is not None)
        redis.start()
        async with asyncio.timeout(5):
            await gap.wait()
        await back(state)
    assert told(logs) == ["redis_away", "redis_back"]
    assert (await turn.write(2, b"c")).have == 0
    assert (await turn.write(0, b"a", b"b", b"c")).have == 3
    assert await turn.read() == [b"a", b"b", b"c"]


async def test_flushall_and_script_flush_are_noticed_by_the_answer(
    state: RedisState, redis: Redis
) -> None:
    turn = Turn(state.log, state.log)
    await turn.write(0, b"a", b"b")
    redis.ask("FLUSHALL")
    redis.ask("SCRIPT", "FLUSH")
    answers = await state.log.append([turn.of(2, b"c"), Turn(state.log, state.log).of(0, b"x")])
    assert [answer.have for answer in answers] == [0, 1]
    assert state.stats().failures == 0


async def test_a_full_redis_counts_as_away(state: RedisState, redis: Redis) -> None:
    turn = Turn(state.log, state.log)
    redis.ask("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(Away, match="maxmemory"):
        await turn.write(0, b"a")
    await until(lambda: state.stats().away_seconds is not None)
    redis.ask("CONFIG", "SET", "maxmemory", "0")
    await back(state)
    assert (await turn.write(0, b"a")).have == 1


async def test_a_replica_counts_as_away_until_it_is_the_primary(redis: Redis) -> None:
    with running_redis(f"replicaof 127.0.0.1 {redis.port}") as replica:
        async with RedisState.open(replica.url, node=fresh("node")) as state:
            assert state.stats().away_seconds is not None
            replica.ask("REPLICAOF", "NO", "ONE")
            await back(state)
            assert (await Turn(state.log, state.log).write(0, b"a")).have == 1


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n" * 50])
async def test_what_is_no_redis_counts_as_away(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with RedisState.open(f"redis://127.0.0.1:{port}", node="n") as state:
            with pytest.raises(Away):
                await state.bus.say("channel", "word")
            assert (await state.windows.hit("k", 1, 1000)).allowed
            assert not state.stats().hears


async def test_a_wrong_password_counts_as_away_and_stays_unsaid() -> None:
    with running_redis(requirepass="right", password="right") as redis:
        where = redis.url.removeprefix("redis://")
        with capture_logs() as logs:
            async with RedisState.open(f"redis://:hush@{where}", node="n") as state:
                with pytest.raises(Away) as raised:
                    await state.bus.say("channel", "word")
        assert "hush" not in f"{logs}{raised.value}"
        async with RedisState.open(f"redis://:right@{where}", node="n") as state:
            await says_and_hears(state)


async def test_a_node_opens_without_redis_and_hears_once_it_is_there(redis: Redis) -> None:
    redis.crash()
    async with RedisState.open(redis.url, node=fresh("node")) as state:
        gap, words = gaps_of(state), asyncio.Queue[str]()
        await state.bus.listen("channel", words.put_nowait)
        with pytest.raises(Away):
            await Turn(state.log, state.log).follow()
        redis.start()
        async with asyncio.timeout(5):
            await gap.wait()
            await state.bus.say("channel", "word")
            assert await words.get() == "word"


async def test_an_ear_that_hears_nothing_is_dropped(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection stands and commands are answered, but what is published never comes."""
    monkeypatch.setattr("talksy.state.redis.listener.PROBE_SECONDS", 0.05)
    monkeypatch.setattr("talksy.state.redis.listener.DEAF_SECONDS", 0.2)
    async with through_proxy(redis) as (state, proxy):
        await back(state)
        held = proxy.hold(b"SUBSCRIBE")
        redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
        with capture_logs() as logs:
            await until(lambda: state.stats().deaf > 0)
        assert state.stats().away_seconds is None
        assert told(logs) == ["bus_deaf"]
        held.set()
        await back(state)
        await says_and_hears(state)


@pytest.mark.usefixtures("hasty")
async def test_what_arrives_late_changes_nothing(redis: Redis, state: RedisState) -> None:
    """Packets of a connection that was given up come out of a network that was cut."""
    async with through_proxy(redis) as (cut_off, proxy):
        turn = Turn(cut_off.log, state.log)
        await turn.write(0, b"a")
        with proxy.black_hole():
            with pytest.raises(Away):
                await turn.write(1, b"b")
            await state.log.append([turn.of(1, b"b", b"c")])
        await back(cut_off)
        assert (await turn.write(3, b"d")).have == 4
        assert await turn.read() == [b"a", b"b", b"c", b"d"]


async def test_nobody_gets_the_answer_to_another_question(state: RedisState) -> None:
    """Whoever asks may be cancelled at any moment, and others ask at the same time."""
    chance = random.Random(5)
    given = 0

    async def ask(number: int) -> None:
        nonlocal given
        word = b"%d" % number
        assert await state.client.run([("ECHO", word), ("ECHO", word)]) == [word, word]
        given += 1

    for first in range(0, 2_000, 50):
        tasks = [asyncio.create_task(ask(number)) for number in range(first, first + 50)]
        for _ in range(chance.randrange(6)):
            await asyncio.sleep(0)
        for task in chance.sample(tasks, 25):
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            assert ended is None or isinstance(ended, asyncio.CancelledError)
    assert given >= 1_000
    assert state.stats().failures == 0


async def test_whoever_is_stopped_while_he_opens_leaves_no_connection(redis: Redis) -> None:
    async def stay() -> None:
        async with RedisState.open(redis.url, node=fresh("node")):
            await asyncio.Event().wait()

    for turns_of_the_loop in range(40):
        task = asyncio.create_task(stay())
        for _ in range(turns_of_the_loop):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    gc.collect()
    await until(lambda: int(redis.ask("INFO", "clients")["connected_clients"]) == 1)


async def test_connections_are_few_however_many_ask(state: RedisState, redis: Redis) -> None:
    await asyncio.gather(*(state.windows.hit("k", 1_000, 1_000) for _ in range(500)))
    assert int(redis.ask("INFO", "clients")["connected_clients"]) <= 8 + 1 + 1


async def test_words_that_nobody_of_us_said_are_left_alone(state: RedisState, redis: Redis) -> None:
    turn, words = Turn(state.log, state.log), asyncio.Queue[str]()
    await turn.follow()

    def fail(word: str) -> None:
        words.put_nowait(word)
        raise RuntimeError

    await state.bus.listen("channel", fail)
    with capture_logs() as logs:
        redis.ask("PUBLISH", f"talksy:1:{{{turn.session}}}:c", "secret")
        await state.bus.say("channel", "word")
        async with asyncio.timeout(5):
            await words.get()
        await turn.write(0, b"a")
        assert (await turn.hear()).first == 0
    assert told(logs) == ["nudge_unreadable", "word_failed"]
    assert "secret" not in str(logs)
    assert state.stats().rebuilt == 0


async def test_what_is_too_much_to_tell_is_only_told_of(state: RedisState) -> None:
    turn = Turn(state.log, state.log)
    await turn.follow()
    large = [b"%04d" % number * 250 for number in range(400)]
    await turn.write(0, b"a", *large)
    nudge = await turn.hear()
    assert (nudge.first, nudge.events) == (0, ())
    assert (await turn.read(1)) == large


async def test_half_a_megabyte_for_fifty_turns_goes_in_one_trip(state: RedisState) -> None:
    turns = [Turn(state.log, state.log) for _ in range(50)]
    events = [b"%0100d" % number for number in range(100)]
    answers = await state.log.append([turn.of(0, *events) for turn in turns])
    assert [answer.have for answer in answers] == [100] * 50


async def test_limits_are_kept_by_all_nodes_together(redis: Redis, state: RedisState) -> None:
    async with RedisState.open(redis.url, node=fresh("node")) as other:
        hits = [node.windows.hit("k", 50, 60_000) for _ in range(100) for node in (state, other)]
        verdicts = await asyncio.gather(*hits)
    assert sum(verdict.allowed for verdict in verdicts) == 50


async def test_while_redis_is_away_each_node_keeps_its_share(redis: Redis) -> None:
    async with RedisState.open(redis.url, node=fresh("node"), nodes=lambda: 3) as state:
        await state.windows.hit("k", 10, 60_000)
        redis.crash()
        verdicts = [await state.windows.hit("k", 10, 60_000) for _ in range(4)]
        await state.windows.refund("k")
        assert [verdict.allowed for verdict in verdicts] == [True] * 3 + [False]
        assert (await state.windows.hit("small", 1, 60_000)).allowed
        assert not (await state.windows.hit("shut", 0, 60_000)).allowed
        assert (state.windows.local, state.stats().local_hits) == (True, 6)
        redis.start()
        await back(state)
        assert (await state.windows.hit("k", 10, 60_000)).remaining == 9
        assert not state.windows.local


async def test_all_that_is_kept_is_ours_and_runs_out(state: RedisState, redis: Redis) -> None:
    turn, sealed = Turn(state.log, state.log), Turn(state.log, state.log)
    await turn.write(0, b"a")
    await Turn(state.log, state.log).write(0, b"end", final=True)
    await state.log.seal(sealed.session, sealed.id, 2)
    await state.windows.hit("k", 10, 60_000, cost=3)
    await state.windows.refund("k")
    await says_and_hears(state)
    keys = redis.ask("KEYS", "*")
    assert len(keys) >= 5
    assert all(key.startswith("talksy:1:") and redis.ask("PTTL", key) > 0 for key in keys)


async def test_a_node_with_nothing_to_do_asks_once_a_second(
    redis: Redis, state: RedisState
) -> None:
    assert state.stats().hears
    redis.ask("CONFIG", "RESETSTAT")
    await asyncio.sleep(1.2)
    told = redis.ask("INFO", "commandstats")
    mine = {name: it["calls"] for name, it in told.items() if name.startswith("cmdstat_evalsha")}
    assert 1 <= sum(mine.values()) <= 2


async def test_a_log_of_another_version_or_kind_is_an_error_and_not_an_answer(
    state: RedisState, redis: Redis
) -> None:
    redis.ask("SET", "talksy:1:{ses_1}:trn_1", "no list")
    with pytest.raises(Away, match="wrong kind"):
        await state.log.append([Append("ses_1", "trn_1", 1, 0, [b"a"])])
    assert (await Turn(state.log, state.log).write(0, b"a")).have == 1
