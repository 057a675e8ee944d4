"""Sessions of several nodes on the same rows."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from talksy.database import Database
from talksy.database.leases import Leases
from talksy.database.rows import SessionRow
from talksy.database.sessions import LAG_MS, SessionRows
from talksy.errors import SessionExpired, SessionLimit
from talksy.sessions import Life, Session, Sessions
from tests.unit.auth.clock import Clock

LIFE = Life(idle_ms=900_000, grace_ms=300_000, age_ms=86_400_000, per_user=2, per_node=3)


class Node:
    """The sessions of one node, with a connection to the database of its own."""

    def __init__(self, name: str, database: Database, clock: Clock, life: Life = LIFE) -> None:
        self.rows = SessionRows(database, node=name)
        self.sessions = Sessions(self.rows, life, clock)
        self.leases = Leases(database, owner=name, host="here")

    async def die(self) -> None:
        """Its lease is over, and nobody told."""
        self.leases.ms = 0
        await self.leases.renew()

    async def over(self) -> list[str]:
        """Looks and sweeps; which of its sessions are over."""
        await self.sessions.look()
        return [session.id for session in await self.sessions.sweep()]


class Fleet:
    """Two nodes, ``a`` and ``b``."""

    def __init__(self, a: Node, b: Node, clock: Clock) -> None:
        self.a, self.b, self.clock = a, b, clock

    async def shared(self) -> tuple[Session, Session]:
        """A session with a socket on each node, as each knows it."""
        here = await self.a.sessions.create("ada")
        there = await self.b.sessions.restore("ada", here.id)
        await self.a.sessions.sweep()
        await self.b.sessions.sweep()
        return here, there

    async def row(self, session: Session) -> SessionRow:
        row = await self.a.rows.find(session.id)
        assert row is not None
        return row


@pytest.fixture
async def fleet(shared_url: str) -> AsyncIterator[Fleet]:
    clock = Clock()
    async with AsyncExitStack() as stack:
        nodes = []
        for name in ("node_a", "node_b"):
            database = await stack.enter_async_context(Database.open(shared_url, upgrade=False))
            nodes.append(Node(name, database, clock))
            await nodes[-1].leases.renew()
        yield Fleet(nodes[0], nodes[1], clock)


async def test_activity_on_one_node_keeps_a_session_alive_on_all(fleet: Fleet) -> None:
    here, there = await fleet.shared()
    fleet.clock.now += LIFE.idle_ms - 1_000
    fleet.b.sessions.touch(there)
    await fleet.b.sessions.sweep()
    fleet.clock.now += 5_000
    assert await fleet.a.over() == []
    assert await fleet.a.sessions.lives(here)
    assert here.expires_at == there.expires_at


async def test_activity_that_is_not_stored_yet_counts_all_the_same(fleet: Fleet) -> None:
    here, there = await fleet.shared()
    fleet.clock.now += LIFE.idle_ms - 1
    fleet.b.sessions.touch(there)
    fleet.clock.now += 1_000
    assert await fleet.a.over() == [], "node b may have something to say"
    assert await fleet.b.over() == []
    assert await fleet.a.sessions.lives(here)


async def test_what_nobody_was_active_in_ends_on_all_nodes(fleet: Fleet) -> None:
    here, there = await fleet.shared()
    fleet.clock.now += LIFE.idle_ms + LAG_MS
    assert await fleet.a.over() == [here.id]
    assert await fleet.b.over() == [here.id]
    assert (here.why, there.why) == ("idle", "idle")
    assert (await fleet.row(here)).duration_seconds == LIFE.idle_ms // 1000


async def test_the_grace_begins_when_the_last_socket_anywhere_has_gone(fleet: Fleet) -> None:
    here, there = await fleet.shared()
    fleet.a.sessions.part(here)
    await fleet.a.sessions.sweep()
    assert (await fleet.row(here)).expires_at == fleet.clock.now + LIFE.idle_ms
    fleet.clock.now += 60_000
    fleet.b.sessions.part(there)
    await fleet.b.sessions.sweep()
    assert (await fleet.row(here)).expires_at == fleet.clock.now + LIFE.grace_ms
    fleet.clock.now += LIFE.grace_ms
    await fleet.a.over()
    with pytest.raises(SessionExpired):
        await fleet.b.sessions.restore("ada", here.id)


async def test_a_session_goes_over_to_another_node(fleet: Fleet) -> None:
    here = await fleet.a.sessions.create("ada")
    fleet.a.sessions.part(here)
    await fleet.a.sessions.sweep()
    fleet.clock.now += LIFE.grace_ms - 1_000
    there = await fleet.b.sessions.restore("ada", here.id)
    fleet.clock.now += 1_000
    assert await fleet.a.over() == []
    assert (await fleet.row(here)).ended_at is None, "node b had no time to say so"
    await fleet.b.sessions.sweep()
    fleet.clock.now += LIFE.grace_ms
    await fleet.a.over()
    assert await fleet.b.sessions.lives(there)
    assert (len(fleet.a.sessions), len(fleet.b.sessions)) == (0, 1)


async def test_what_a_dead_node_left_gets_its_grace_from_another(fleet: Fleet) -> None:
    alone = await fleet.a.sessions.create("bob")
    here, _ = await fleet.shared()
    await fleet.a.die()
    fleet.clock.now += 1_000
    await fleet.b.over()
    assert (await fleet.row(alone)).expires_at == fleet.clock.now + LIFE.grace_ms
    assert (await fleet.row(here)).expires_at == fleet.clock.now - 1_000 + LIFE.idle_ms


async def test_a_node_that_was_taken_for_dead_says_anew_what_it_has(fleet: Fleet) -> None:
    session = await fleet.a.sessions.create("ada")
    await fleet.a.die()
    await fleet.b.over()
    fleet.a.leases.ms = 10_000
    await fleet.a.leases.renew()
    await fleet.a.over()
    assert await fleet.b.sessions.sockets_elsewhere("ada") == 1
    fleet.clock.now += LIFE.grace_ms
    await fleet.b.over()
    assert await fleet.a.sessions.lives(session)
    assert (await fleet.row(session)).expires_at == session.expires_at


async def test_a_node_that_starts_leaves_the_sessions_of_others_alone(fleet: Fleet) -> None:
    session = await fleet.a.sessions.create("ada")
    await fleet.b.sessions.start()
    assert (await fleet.row(session)).expires_at == session.expires_at


async def test_a_node_that_stops_leaves_its_sessions_their_grace(fleet: Fleet) -> None:
    session = await fleet.a.sessions.create("ada")
    fleet.clock.now += 1_000
    await fleet.a.sessions.close()
    assert (await fleet.row(session)).expires_at == fleet.clock.now + LIFE.grace_ms
    assert await fleet.b.sessions.sockets_elsewhere("ada") == 0


async def test_a_session_that_was_ended_elsewhere_is_over_here(fleet: Fleet) -> None:
    here, there = await fleet.shared()
    await fleet.b.sessions.end(there)
    assert await fleet.a.sessions.sweep() == [], "it did not hear of it"
    assert await fleet.a.over() == [here.id]
    assert not await fleet.a.sessions.lives(here)
    assert here.why == "ended"


async def test_a_word_of_an_end_is_checked_with_the_row(fleet: Fleet) -> None:
    here, there = await fleet.shared()
    assert fleet.a.sessions.doubt(here.id)
    assert await fleet.a.sessions.sweep() == []
    await fleet.b.sessions.end(there)
    assert fleet.a.sessions.doubt(here.id)
    assert await fleet.a.sessions.sweep() == [here]
    assert here.why == "ended"
    assert not fleet.a.sessions.doubt(here.id)


async def test_an_old_word_does_not_end_what_was_opened_again(fleet: Fleet) -> None:
    here, there = await fleet.shared()
    await fleet.b.sessions.end(there)
    fleet.clock.now += 1_000
    again = await fleet.b.sessions.restore("ada", here.id, reopen=True)
    fleet.a.sessions.doubt(here.id)
    assert await fleet.a.over() == []
    assert await fleet.a.sessions.lives(here)
    assert await fleet.b.over() == []
    assert await fleet.b.sessions.lives(again)
    assert here.opened_at == again.opened_at


async def test_a_user_has_so_many_sessions_on_all_nodes_and_each_node_its_own(
    fleet: Fleet,
) -> None:
    await fleet.a.sessions.create("ada")
    await fleet.b.sessions.create("ada")
    with pytest.raises(SessionLimit, match="this account"):
        await fleet.b.sessions.create("ada")
    for user in ("bob", "cid"):
        await fleet.a.sessions.create(user)
    with pytest.raises(SessionLimit, match="this server"):
        await fleet.a.sessions.create("dan")
    await fleet.b.sessions.create("dan")


async def test_no_session_is_spared_that_somebody_is_in_on_another_node(fleet: Fleet) -> None:
    theirs = await fleet.a.sessions.create("ada")
    left = await fleet.b.sessions.create("ada")
    fleet.b.sessions.part(left)
    await fleet.b.sessions.create("ada")
    assert (await fleet.row(theirs)).ended_at is None
    assert (await fleet.row(left)).ended_at is not None
    await fleet.a.die()
    await fleet.b.sessions.create("ada")
    assert (await fleet.row(theirs)).ended_at is not None


async def test_sockets_on_other_nodes_are_counted_while_these_live(fleet: Fleet) -> None:
    here, _ = await fleet.shared()
    await fleet.b.sessions.restore("ada", here.id)
    assert await fleet.a.sessions.sockets_elsewhere("ada") == 1
    await fleet.b.sessions.sweep()
    assert await fleet.a.sessions.sockets_elsewhere("ada") == 2
    assert await fleet.b.sessions.sockets_elsewhere("bob") == 0
    await fleet.b.die()
    assert await fleet.a.sessions.sockets_elsewhere("ada") == 0
