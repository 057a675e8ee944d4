"""Redis behind TLS, with a user of little right, under Sentinel, and as a cluster."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from talksy.state import Away, Place
from talksy.state.redis import RedisState
from talksy.state.redis.address import Address
from tests.certificates import Authority
from tests.integration.state.conftest import Turn, fresh, until
from tests.redis import Cluster, running_cluster, running_redis, running_sentinel

TOLD = Path(__file__).parents[3] / "docs" / "redis.md"


def least_rights() -> str:
    """What is said to be enough."""
    text = TOLD.read_text(encoding="utf-8")
    (rights,) = [line for line in text.splitlines() if line.startswith("ACL SETUSER ")]
    return rights.removeprefix("ACL SETUSER ").replace("…", "secret")


async def does_all(state: RedisState, other: RedisState) -> None:
    """Everything that a node asks of Redis."""
    turn, channel, words = Turn(state.log, other.log), fresh("channel"), asyncio.Queue[str]()
    await turn.follow()
    await turn.write(0, b"a")
    await turn.hear()
    turn.there.unfollow(turn.session)
    assert list(await other.log.seal(turn.session, turn.id, 2)) == [b"a"]
    assert (await turn.write(1, b"b", fence=3)).have == 2
    assert await turn.read() == [b"a", b"b"]
    await other.bus.listen(channel, words.put_nowait)
    await state.bus.say(channel, "word")
    async with asyncio.timeout(5):
        assert await words.get() == "word"
    key = fresh("k")
    for node in (state, other):
        assert (await node.windows.hit(key, 4, 50, cost=2)).allowed
    await state.windows.refund(key)
    assert (await other.windows.hit(key, 4, 50)).remaining == 0
    await until_it_has_room(state, key)
    await state.windows.refund(key, 9)
    assert (state.stats().failures, other.stats().failures) == (0, 0)
    assert state.stats().away_seconds is None


async def until_it_has_room(state: RedisState, key: str) -> None:
    async with asyncio.timeout(5):
        while not (await state.windows.hit(key, 4, 50)).allowed:
            pass


async def test_tls_and_a_user_with_the_least_rights(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls, rights = authority.issue("127.0.0.1"), least_rights()
    lines = [f"user {rights}", "user default on >admin ~* &* +@all"]
    with running_redis(*lines, tls=tls, authority=authority.path, password="admin") as redis:
        url = f"rediss://talksy:secret@127.0.0.1:{redis.port}/0?ssl_ca_certs={authority.path}"
        async with (
            RedisState.open(url, node=fresh("node")) as state,
            RedisState.open(url, node=fresh("node")) as other,
        ):
            await does_all(state, other)


async def test_a_user_who_may_not_listen_is_told_of_once_and_counts_as_deaf() -> None:
    rights = least_rights().replace("&talksy:1:* ", "")
    lines = [f"user {rights}", "user default on >admin ~* &* +@all"]
    with running_redis(*lines, password="admin") as redis, capture_logs() as logs:
        url = f"redis://talksy:secret@127.0.0.1:{redis.port}/0"
        async with RedisState.open(url, node=fresh("node")) as state:
            async with asyncio.timeout(5):
                while not any(line["event"] == "redis_ear_refused" for line in logs):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert not state.stats().hears
    assert [line["event"] for line in logs].count("redis_ear_refused") == 1


async def test_a_certificate_of_nobody_is_not_trusted(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "somebody else")
    tls = authority.issue("127.0.0.1")
    with running_redis(tls=tls, authority=authority.path) as redis:
        url = f"{redis.url}?ssl_ca_certs={stranger.path}"
        async with RedisState.open(url, node=fresh("node")) as state:
            assert state.stats().away_seconds is not None


async def test_what_sentinel_names_is_found_again_after_a_failover() -> None:
    with running_sentinel() as watched:
        async with (
            RedisState.open(watched.url, node=fresh("node")) as state,
            RedisState.open(watched.url, node=fresh("node")) as other,
        ):
            await does_all(state, other)
            gap, turn = asyncio.Event(), Turn(state.log, other.log)
            other.bus.on_gap(gap.set)
            await turn.follow()
            await turn.write(0, b"a")
            await asyncio.to_thread(watched.fail_over)
            async with asyncio.timeout(10):
                await gap.wait()
            await until(lambda: state.stats().away_seconds is None)
            assert (await turn.write(0, b"a", b"b")).listeners == 1
            assert await turn.read() == [b"a", b"b"]


async def test_sentinels_that_are_away_are_passed_over() -> None:
    with running_sentinel() as watched:
        url = watched.url.replace("sentinel://", "sentinel://127.0.0.1:1,")
        async with RedisState.open(url, node=fresh("node")) as state:
            assert (await Turn(state.log, state.log).write(0, b"a")).have == 1


async def test_an_ear_at_what_was_the_primary_moves_on() -> None:
    """A demoted primary still tells what is said, but there nobody counts those who listen."""
    with running_sentinel() as watched:
        async with RedisState.open(watched.url, node=fresh("node")) as state:
            turn = Turn(state.log, state.log)
            await turn.follow()
            await asyncio.to_thread(watched.swap)
            await until(lambda: state.stats().rebuilt > 0 and state.stats().hears)
            assert (await turn.write(0, b"a")).listeners == 1


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as nodes:
        yield nodes


async def test_a_cluster_does_all_of_it_and_says_that_it_cannot_count(cluster: Cluster) -> None:
    async with (
        RedisState.open(cluster.url, node=fresh("node")) as state,
        RedisState.open(cluster.url, node=fresh("node")) as other,
    ):
        await does_all(state, other)
        assert not state.log.complete
        turns = [Turn(state.log, other.log) for _ in range(20)]
        answers = await state.log.append([turn.of(0, turn.id.encode()) for turn in turns])
        assert [answer.have for answer in answers] == [1] * 20
        read = await other.log.read([Place(turn.session, turn.id, 0) for turn in turns])
        assert read == [[turn.id.encode()] for turn in turns]


async def test_keys_that_move_within_a_cluster_are_found(cluster: Cluster) -> None:
    async with RedisState.open(cluster.url, node=fresh("node")) as state:
        turn = Turn(state.log, state.log)
        slot = int(cluster.nodes[0].ask("CLUSTER", "KEYSLOT", turn.session))
        (source,) = [node for node in cluster.nodes if cluster.has(node, slot)]
        target = next(node for node in cluster.nodes if node is not source)
        source_id, target_id = (node.ask("CLUSTER", "MYID") for node in (source, target))
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        assert (await turn.write(0, b"a")).have == 1
        for node in (target, source):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", target_id)
        assert (await turn.write(1, b"b")).have == 2
        assert await turn.read() == [b"a", b"b"]
        assert state.stats().failures == 0


async def test_a_node_of_a_cluster_that_was_away_is_taken_back(cluster: Cluster) -> None:
    async with RedisState.open(cluster.url, node=fresh("node")) as state:
        lost = cluster.nodes[1]
        turns = [Turn(state.log, state.log) for _ in range(20)]
        lost.crash()
        with pytest.raises(Away):
            await state.log.append([turn.of(0, b"a") for turn in turns])
        assert state.stats().away_seconds is not None
        lost.start()
        async with asyncio.timeout(10):
            answers = None
            while answers is None:
                # It serves some time after it answers again: when the others have agreed to it.
                with suppress(Away):
                    answers = await state.log.append([turn.of(0, b"a") for turn in turns])
                await asyncio.sleep(0.01)
        assert [answer.have for answer in answers] == [1] * 20


@pytest.mark.parametrize(
    ("url", "kind", "hosts", "service", "options"),
    [
        ("redis://h/3", "", [("h", 6379)], "", {"db": 3}),
        ("rediss://u:p%40@h:1", "", [("h", 1)], "", {"username": "u", "password": "p@"}),
        ("redis+sentinel://:p@a,b:1/s/2", "sentinel", [("a", 26379), ("b", 1)], "s", None),
        ("redis+cluster://[::1]:1,b", "cluster", [("::1", 1), ("b", 6379)], "", {}),
    ],
)
def test_addresses(
    url: str,
    kind: str,
    hosts: list[tuple[str, int]],
    service: str,
    options: dict[str, object] | None,
) -> None:
    address = Address.parse(url)
    assert (address.kind, list(address.hosts), address.service) == (kind, hosts, service)
    assert address.options == ({"db": 2, "password": "p"} if options is None else options)
    assert address.tls == url.startswith("rediss")
