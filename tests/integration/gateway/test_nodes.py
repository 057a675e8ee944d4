"""Two nodes on one database: logins and sessions that end on one are over on the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from talksy.auth import Grant
from talksy.database import Database
from talksy.database.leases import Leases
from talksy.errors import SessionLimit, Unauthenticated
from talksy.events import SessionCreated, SessionOver
from talksy.gateway import Caps, Connection, Hello
from talksy.state import Bus, MemoryBus, MemoryHub
from tests.integration.database.opened import until
from tests.integration.gateway.rig import House, Line, opened, session_of

PASSWORD = "Correct-Horse-7"


@dataclass
class Fleet:
    """Two nodes, ``a`` and ``b``."""

    a: House
    b: House

    async def join(self, house: House, token: str) -> tuple[Line, Connection]:
        line, greeting = Line(), Hello(token)
        connection = await house.gateway.connect(greeting, "::1", line)
        await house.gateway.welcome(connection, greeting)
        return line, connection

    async def login(self) -> tuple[Grant, Line, Line]:
        """A login with a connection on each node."""
        grant = await self.a.auth.register("ada@example.com", PASSWORD)
        lines = [(await self.join(node, grant.access_token))[0] for node in (self.a, self.b)]
        return grant, lines[0], lines[1]


@asynccontextmanager
async def fleet_of(
    url: str, *buses: Bus | None, look_seconds: float = 60.0, caps: Caps | None = None
) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        houses: list[House] = []
        for bus in buses:
            database = await stack.enter_async_context(Database.open(url, upgrade=False))
            node = opened(
                database,
                clock=houses[0].clock if houses else None,
                bus=bus,
                look_seconds=look_seconds,
                caps=caps,
            )
            houses.append(await stack.enter_async_context(node))
            await Leases(database, owner=houses[-1].lane.owner, host="here").renew()
        yield Fleet(*houses)


@pytest.fixture
async def fleet(shared_url: str) -> AsyncIterator[Fleet]:
    """Nodes that hear each other, and look only once a minute."""
    hub = MemoryHub()
    async with fleet_of(shared_url, MemoryBus(hub), MemoryBus(hub)) as nodes:
        yield nodes


@pytest.fixture
async def deaf(shared_url: str) -> AsyncIterator[Fleet]:
    """Nodes of which no word comes through: they look all the time."""
    async with fleet_of(shared_url, None, None, look_seconds=0.02) as nodes:
        yield nodes


async def refused(house: House, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await house.auth.verify(token)


async def test_a_logout_closes_the_sockets_of_that_login_on_every_node(fleet: Fleet) -> None:
    grant, here, there = await fleet.login()
    other = await fleet.b.auth.login("ada@example.com", PASSWORD)
    untouched, _ = await fleet.join(fleet.b, other.access_token)
    await fleet.a.auth.logout(grant.refresh_token)
    async with asyncio.timeout(0.25):
        await there.until(lambda: there.closed)
    assert [type(line.closed) for line in (here, there)] == [Unauthenticated] * 2
    await refused(fleet.b, grant.access_token)
    assert untouched.closed is None


async def test_a_replay_closes_them_too(fleet: Fleet) -> None:
    grant, _, there = await fleet.login()
    await fleet.a.auth.refresh(grant.refresh_token)
    fleet.a.clock.now += 10_000
    with pytest.raises(Unauthenticated):
        await fleet.a.auth.refresh(grant.refresh_token)
    await there.until(lambda: there.closed)
    await refused(fleet.b, grant.access_token)


async def test_a_logout_of_which_no_word_came_is_found_by_looking(deaf: Fleet) -> None:
    grant, _, there = await deaf.login()
    await deaf.b.auth.verify(grant.access_token)
    await deaf.a.auth.logout(grant.refresh_token)
    await there.until(lambda: there.closed)
    await refused(deaf.b, grant.access_token)


async def test_a_token_that_is_remembered_is_forgotten_without_a_socket(fleet: Fleet) -> None:
    grant = await fleet.a.auth.register("ada@example.com", PASSWORD)
    await fleet.b.auth.verify(grant.access_token)
    await fleet.a.auth.logout(grant.refresh_token)
    await until(lambda: fleet.b.auth.stats()["tokens"]["size"] == 0)
    await refused(fleet.b, grant.access_token)


async def test_nobody_asks_what_was_revoked_as_long_as_nobody_is_there(fleet: Fleet) -> None:
    grant = await fleet.a.auth.register("ada@example.com", PASSWORD)
    await fleet.a.auth.logout(grant.refresh_token)
    assert await fleet.b.auth.revoked(asked=False) == ()
    (family_id,) = await fleet.b.auth.revoked(asked=True)
    assert family_id.startswith("fam_")


async def two_devices(fleet: Fleet) -> tuple[Connection, Line, Connection]:
    """A session with a device on each node: the first, and the second with its line."""
    _, first = await fleet.a.join()
    line, second = await fleet.b.join(session_id=session_of(first))
    assert session_of(second) == session_of(first)
    return first, line, second


async def test_a_session_that_is_ended_is_over_on_every_node(fleet: Fleet) -> None:
    first, line, second = await two_devices(fleet)
    session_id = session_of(first)
    await fleet.a.gateway.end(first)
    assert await line.notice(SessionOver) == SessionOver(session_id, "ended")
    assert second.session is None
    await fleet.b.say(second, "hi")
    assert line.notices(SessionCreated)[-1].session_id == session_of(second) != session_id


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions are looked after all the time."""
    monkeypatch.setattr("talksy.gateway.rounds.SWEEP_SECONDS", 0.01)


@pytest.mark.usefixtures("brisk")
async def test_an_end_of_which_no_word_came_is_found_by_looking(deaf: Fleet) -> None:
    first, line, _ = await two_devices(deaf)
    await deaf.a.gateway.end(first)
    assert (await line.notice(SessionOver)).reason == "ended"


async def test_who_opens_a_session_again_is_not_put_out_of_it_by_an_old_word(
    fleet: Fleet,
) -> None:
    first, line, _ = await two_devices(fleet)
    session_id = session_of(first)
    await fleet.a.gateway.end(first)
    reopened, back = await fleet.b.join(session_id=session_id, reopen=True)
    assert (await line.notice(SessionOver)).reason == "ended"
    fleet.b.gateway._rounds._said_over(session_id)
    await fleet.b.sessions.sweep()
    assert reopened.notices(SessionOver) == []
    assert session_of(back) == session_id


async def test_a_user_has_so_many_sockets_on_all_nodes_together(shared_url: str) -> None:
    async with fleet_of(shared_url, None, None, caps=Caps(per_user=2)) as fleet:
        first, _, second = await two_devices(fleet)
        await fleet.b.sessions.sweep()
        with pytest.raises(SessionLimit, match="2 connections"):
            await fleet.a.join()
        assert fleet.a.gateway.connections == 1
        fleet.b.gateway.leave(second)
        await fleet.b.sessions.sweep()
        await fleet.a.join(session_id=session_of(first))


async def test_what_waits_is_not_counted_where_it_was_asked_for_once_it_began_elsewhere(
    deaf: Fleet,
) -> None:
    line, first = await deaf.a.join()
    _, second = await deaf.b.join(session_id=session_of(first))
    deaf.a.cast.play("one", go_on := asyncio.Event())
    await deaf.a.say(first, "one")
    waiting = await deaf.b.say(second, "two")
    assert deaf.b.gateway.waiting == 1
    deaf.b.gateway.leave(second)
    go_on.set()
    await line.ending(waiting)
    await until(lambda: deaf.b.gateway.waiting == 0)


async def test_a_client_goes_over_to_another_node_with_its_session(fleet: Fleet) -> None:
    line, first = await fleet.a.join()
    await line.ending(await fleet.a.say(first, "hi"))
    session_id = session_of(first)
    fleet.a.gateway.leave(first)
    line, back = await fleet.b.join(session_id=session_id)
    assert session_of(back) == session_id
    history = await fleet.b.gateway.history(back, 10, None)
    assert [message.content for message in history] == ["hi", "hello"]
