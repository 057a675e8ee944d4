"""Turns that run in a node's name and that it does not know of: the word of a write was lost, or
the write came through long after it was given up.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from structlog.testing import capture_logs

from talksy.database.lane import Draft, Lane
from talksy.database.rows import TurnRow
from talksy.errors import Overloaded
from talksy.events import Ending
from talksy.journal.takeover import Taker
from talksy.state import Bus, MemoryBus, MemoryHub, MemoryLog, TurnLog
from tests.integration.database.opened import (
    Fresh,
    fresh,
    line,
    postgres,
    postgres_url,
    tables,
    until,
)
from tests.integration.database.rows import NOW
from tests.integration.database.test_postgres import COMMITTED
from tests.integration.journal.fleet import Fleet, left_behind, several
from tests.postgres import Postgres
from tests.proxy import Proxy, running_proxy

__all__ = ["fresh", "postgres", "postgres_url", "tables"]

LONG_MS = 60_000
"""A lease that is not renewed within a test: no commit but those it is about."""


@pytest.fixture
def url(fresh: Fresh) -> Iterator[str]:
    """A database of each kind in turn."""
    with fresh() as where:
        yield where


@asynccontextmanager
async def nodes_of(url: str) -> AsyncIterator[Fleet]:
    hub = MemoryHub()

    async def ways(_name: str) -> tuple[TurnLog, Bus]:
        return MemoryLog(hub), MemoryBus(hub)

    async with several(url, ways) as fleet:
        yield fleet


@pytest.fixture
async def fleet(url: str) -> AsyncIterator[Fleet]:
    async with nodes_of(url) as opened:
        yield opened


def draft(message_id: str) -> Draft:
    return Draft("ses_1", message_id, message_id, streamed=True)


async def test_a_turn_that_appears_in_a_nodes_name_is_begun(fleet: Fleet) -> None:
    a = await fleet.join("node_a")
    with capture_logs() as logs:
        await Lane(a.database, owner="node_a").admit(draft("m1"), NOW)
        assert (await a.ending("m1")).reason == "completed"
    assert [line["event"] for line in logs].count("turn_found") == 1


async def test_one_that_was_taken_over_in_its_name_is_ended(fleet: Fleet) -> None:
    (row,) = await left_behind(await fleet.member("node_dead"), "m1")
    lost = await fleet.member("node_a")
    assert await lost.lane.claim(row) is not None
    await fleet.join("node_a")
    await until_ended(fleet, row.id)
    assert (await fleet.row(row.id)).status == "interrupted"


async def test_what_a_node_lost_and_took_back_unknowing_is_ended(fleet: Fleet) -> None:
    """Its readers still hold the mirror of what it wrote before."""
    a, b = await fleet.join("node_a", lease_ms=LONG_MS), await fleet.member("node_b")
    said = await a.say("m1", "hel", asyncio.Event())
    await until(lambda: a.journal.stats().appended_events == 2)
    await fleet.bury("node_a")
    taken = await b.lane.claim(await fleet.row(said.turn_id))
    assert taken is not None
    assert await Lane(a.database, owner="node_a").claim(taken) is not None
    a.journal._hold._asked.set()
    assert (await a.ending("m1")).reason == "interrupted"
    assert (await fleet.row(said.turn_id)).status == "interrupted"


async def test_what_is_under_way_is_not_found(fleet: Fleet) -> None:
    """It was stored, and is about to begin or runs already."""
    a = await fleet.join("node_a")
    with capture_logs() as logs:
        for number in range(50):
            await a.say(f"m{number}", session=f"ses_{number}")
        await a.ending("m49")
    assert [line["event"] for line in logs].count("turn_found") == 0


# ---- commits whose answer was lost


@pytest.fixture
async def proxy(postgres: Postgres) -> AsyncIterator[Proxy]:
    async with running_proxy(f"http://{postgres.address}") as opened:
        yield opened


@pytest.fixture
async def far(proxy: Proxy, postgres_url: str) -> AsyncIterator[Fleet]:
    """Nodes on the other side of the proxy."""
    address = proxy.url.removeprefix("http://")
    where = postgres_url.replace(f"{proxy.host}:{proxy.port}", address)
    async with nodes_of(where) as opened:
        yield opened


async def test_what_waits_goes_on_although_the_word_of_its_start_was_lost(
    far: Fleet, proxy: Proxy
) -> None:
    a = await far.join("node_a", lease_ms=LONG_MS)
    (row,) = await left_behind(a, "m1", "m2")
    ending = Ending("completed", "hello", ended_at=NOW)
    await a.lane.finish(row, ending, events=2, advance=False)
    proxy.cut_before(COMMITTED)
    assert (await a.ending("m2")).reason == "completed"
    assert proxy.cuts == 1


async def test_what_waits_behind_a_turn_taken_over_goes_on_although_the_word_was_lost(
    far: Fleet, proxy: Proxy
) -> None:
    a = await far.member("node_a")
    (row,) = await left_behind(await far.member("node_dead"), "m1", "m2")
    claimed = await a.lane.claim(row)
    assert claimed is not None
    begun: list[TurnRow] = []
    taker = Taker(a.lane, None, clock=lambda: NOW, taken=lambda _taken: None, begin=begun.append)
    proxy.cut_before(COMMITTED)
    taker.take(claimed)
    await taker.settle()
    assert proxy.cuts == 1
    assert [(turn.attempt, turn.owner) for turn in begun] == [(2, "node_a")]


# ---- a commit that comes through late


@asynccontextmanager
async def standby_away(postgres: Postgres) -> AsyncIterator[None]:
    """Commits wait for a standby that does not come, and are seen by nobody until this is left."""
    async with line(postgres.url("postgres")) as owner:
        await configured(owner, "SET synchronous_standby_names = 'away'", "away")
        try:
            yield
        finally:
            await configured(owner, "RESET synchronous_standby_names", "")


async def configured(owner: asyncpg.Connection, change: str, standbys: str) -> None:
    """Returns when the server goes by it."""
    await owner.execute(f"ALTER SYSTEM {change}")
    await owner.execute("SELECT pg_reload_conf()")
    async with asyncio.timeout(5):
        while await owner.fetchval("SHOW synchronous_standby_names") != standbys:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_message_whose_commit_waited_for_a_standby_is_answered_when_it_is_back(
    postgres: Postgres, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with nodes_of(postgres_url) as fleet:
        a = await fleet.join("node_a", lease_ms=LONG_MS)
        monkeypatch.setattr("talksy.database.postgres.SECONDS", 0.4)
        async with standby_away(postgres):
            with pytest.raises(Overloaded):
                await a.say("m1")
            assert await a.lane.own() == {}
        again = await a.say("m1")
        assert (again.duplicate, again.started) == (True, None)
        assert (await a.ending("m1")).reason == "completed"


async def until_ended(fleet: Fleet, turn_id: str) -> None:
    async with asyncio.timeout(5):
        while (await fleet.row(turn_id)).status == "running":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
