"""Nodes without a database, and one that can reach neither it nor Redis."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from talksy.state import Bus, MemoryBus, MemoryHub, MemoryLog, TurnLog
from talksy.state.redis import RedisState
from tests.integration.database.opened import locked, until
from tests.integration.journal.fleet import KEEP, several
from tests.redis import running_redis

pytestmark = pytest.mark.usefixtures("impatient")


async def test_where_the_database_stays_away_readers_elsewhere_are_told_as_those_at_home(
    file: Path, url: str
) -> None:
    hub = MemoryHub()

    async def ways(_name: str) -> tuple[TurnLog, Bus]:
        return MemoryLog(hub), MemoryBus(hub)

    async with several(url, ways) as fleet:
        a = await fleet.join("node_a", keep=replace(KEEP, patience_seconds=0.05))
        await fleet.join("node_b")
        streamed = await a.say("m1", "hel", go_on := asyncio.Event(), "lo")
        plain = await a.say("m2", "hel", go_on, "lo", streamed=False, session="ses_2")
        far = await fleet.follow("node_b", streamed.turn_id)
        await until(lambda: far.text == "hel")
        async with locked(file):
            go_on.set()
            ending = await far.ending()
            assert (ending.reason, ending.text, far.text) == ("interrupted", "hello", "hello")
            assert (await a.ending("m1")).reason == "interrupted"
        await until(lambda: a.journal.running == 0)
        for said in (streamed, plain):
            (row,) = await a.lane.find_all([said.turn_id])
            assert (row.status, row.text) == ("interrupted", "hello")


async def test_it_ends_its_own_turns_and_sends_the_readers_of_others_elsewhere(
    file: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("talksy.journal.follow.SILENT_SECONDS", 0.1)
    monkeypatch.setattr("talksy.journal.follow.QUIET_SECONDS", 0.1)
    stranded: list[str] = []
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(running_redis())

        async def ways(name: str) -> tuple[TurnLog, Bus]:
            state = await stack.enter_async_context(RedisState.open(redis.url, node=name))
            return state.log, state.bus

        fleet = await stack.enter_async_context(several(url, ways))
        a = await fleet.join("node_a", lease_ms=1_000)
        b = await fleet.member("node_b", lease_ms=1_000)
        await fleet.stack.enter_async_context(
            b.journal.open(b.compose, b.announce, lambda mirror: stranded.append(mirror.turn_id))
        )
        said = await a.say("m1", "hel", asyncio.Event())
        await b.say("m2", "own", asyncio.Event(), session="ses_2")
        far = await fleet.follow("node_b", said.turn_id)
        await until(lambda: far.text == "hel")

        async with locked(file):
            redis.crash()
            ending = await b.ending("m2")
            assert (ending.reason, ending.text) == ("interrupted", None)
            await until(lambda: said.turn_id in stranded)
            assert not far.ended.is_set()
        redis.start()
