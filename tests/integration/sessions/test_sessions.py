"""Sessions that live, come back and end."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from talksy.database import Database
from talksy.database.rows import SessionRow
from talksy.database.sessions import SessionRows
from talksy.errors import Overloaded, SessionExpired, SessionLimit, SessionNotFound
from talksy.sessions import Life, Session, Sessions
from tests.integration.database.opened import locked, until, writing
from tests.unit.auth.clock import Clock

LIFE = Life(idle_ms=900_000, grace_ms=300_000, age_ms=86_400_000, per_user=2, per_node=3)


class House:
    """A node's sessions, and a second one's on the same rows."""

    def __init__(self, database: Database) -> None:
        self.clock = Clock()
        self.database = database
        self.rows = SessionRows(database, node="node_a")
        self.sessions = Sessions(self.rows, LIFE, self.clock)

    def node(self) -> Sessions:
        return Sessions(SessionRows(self.database, node="node_b"), LIFE, self.clock)

    async def joined(self, user_id: str = "ada") -> Session:
        return await self.sessions.create(user_id)

    async def row(self, session: Session) -> SessionRow:
        row = await self.rows.find(session.id)
        assert row is not None
        return row


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


async def test_who_is_given_a_session_is_in_it(house: House) -> None:
    session = await house.sessions.create("ada")
    assert session.sockets == 1
    assert session.expires_at == house.clock.now + LIFE.idle_ms
    assert (await house.row(session)).expires_at == session.expires_at
    assert await house.sessions.restore("ada", session.id) is session
    assert session.sockets == 2


async def test_a_session_lives_from_its_last_activity(house: House) -> None:
    session = await house.joined()
    house.clock.now += LIFE.idle_ms - 1
    assert await house.sessions.lives(session)
    house.sessions.touch(session)
    house.clock.now += LIFE.idle_ms - 1
    assert await house.sessions.lives(session)
    house.clock.now += 1
    assert not await house.sessions.lives(session)
    assert session.why == "idle"


async def test_no_session_is_older_than_it_may_be(house: House) -> None:
    session = await house.joined()
    house.clock.now += LIFE.age_ms - 1
    house.sessions.touch(session)
    assert await house.sessions.lives(session)
    house.clock.now += 1
    assert not await house.sessions.lives(session)
    assert session.why == "age"


async def test_the_grace_begins_when_the_last_socket_has_gone(house: House) -> None:
    session = await house.joined()
    await house.sessions.restore("ada", session.id)
    house.sessions.part(session)
    assert session.left_at is None
    house.clock.now += 1_000
    house.sessions.part(session)
    assert session.expires_at == house.clock.now + LIFE.grace_ms
    house.clock.now += LIFE.grace_ms - 1
    back = await house.sessions.restore("ada", session.id)
    assert (back.id, back.expires_at) == (session.id, house.clock.now + LIFE.idle_ms)


async def test_who_comes_back_in_time_gets_the_same_session(house: House) -> None:
    session = await house.joined()
    house.sessions.part(session)
    await house.sessions.sweep()
    assert len(house.sessions) == 0, "it is the rows' alone"
    house.clock.now += LIFE.grace_ms - 1
    back = await house.sessions.restore("ada", session.id)
    assert back.id == session.id
    assert await house.sessions.sweep() == []
    house.clock.now += LIFE.idle_ms - 1
    assert await house.sessions.lives(back)


async def test_a_session_that_is_left_ends_after_its_grace(house: House) -> None:
    session = await house.joined()
    house.clock.now += 1_000
    house.sessions.part(session)
    await house.sessions.sweep()
    house.clock.now += LIFE.grace_ms
    assert await house.sessions.sweep() == [], "nobody is there to be told"
    assert (await house.row(session)).ended_at == house.clock.now
    with pytest.raises(SessionExpired):
        await house.sessions.restore("ada", session.id)


async def test_a_session_comes_back_after_a_restart(house: House) -> None:
    session = await house.joined()
    next_node = house.node()
    await next_node.start()
    restored = await next_node.restore("ada", session.id)
    assert (restored.id, restored.user_id) == (session.id, "ada")
    assert (await house.row(session)).expires_at == house.clock.now + LIFE.grace_ms
    assert restored.expires_at == house.clock.now + LIFE.idle_ms


async def test_who_stays_away_after_a_restart_has_its_grace(house: House) -> None:
    session = await house.joined()
    next_node = house.node()
    await next_node.start()
    house.clock.now += LIFE.grace_ms
    with pytest.raises(SessionExpired):
        await next_node.restore("ada", session.id)


async def test_devices_that_come_back_at_once_share_a_session(house: House) -> None:
    session = await house.joined()
    next_node = house.node()
    restored = await asyncio.gather(*(next_node.restore("ada", session.id) for _ in range(4)))
    assert len({id(item) for item in restored}) == 1


@pytest.mark.parametrize("reopen", [False, True])
async def test_somebody_elses_session_is_an_unknown_one(house: House, reopen: bool) -> None:
    session = await house.joined()
    with pytest.raises(SessionNotFound) as theirs:
        await house.sessions.restore("eve", session.id, reopen=reopen)
    with pytest.raises(SessionNotFound) as unknown:
        await house.sessions.restore("eve", "ses_unknown", reopen=reopen)
    assert str(theirs.value) == str(unknown.value)
    house.clock.now += LIFE.age_ms
    with pytest.raises(SessionNotFound):
        await house.sessions.restore("eve", session.id, reopen=reopen)


async def test_after_its_time_a_session_comes_back_only_when_asked_to(house: House) -> None:
    session = await house.joined()
    house.clock.now += LIFE.idle_ms
    with pytest.raises(SessionExpired):
        await house.sessions.restore("ada", session.id)
    reopened = await house.sessions.restore("ada", session.id, reopen=True)
    assert reopened.id == session.id
    assert await house.sessions.lives(reopened)
    assert not await house.sessions.lives(session), "who held the old one must be told"


async def test_a_session_that_was_ended_can_be_reopened(house: House) -> None:
    session = await house.joined()
    house.clock.now += 5_000
    ended = await house.sessions.end(session)
    assert (ended.ended_at, ended.duration_seconds) == (house.clock.now, 5)
    with pytest.raises(SessionExpired):
        await house.sessions.restore("ada", session.id)
    house.clock.now += 60_000
    reopened = await house.sessions.restore("ada", session.id, reopen=True)
    house.clock.now += 2_000
    assert (await house.sessions.end(reopened)).duration_seconds == 7


async def test_a_live_session_is_not_reopened_but_shared(house: House) -> None:
    session = await house.joined()
    assert await house.sessions.restore("ada", session.id, reopen=True) is session
    assert (await house.row(session)).opened_at == house.clock.now


async def test_of_devices_that_reopen_at_once_each_gets_the_same_session(house: House) -> None:
    session = await house.joined()
    house.clock.now += LIFE.idle_ms
    reopened = await asyncio.gather(
        *(house.sessions.restore("ada", session.id, reopen=True) for _ in range(4))
    )
    assert len({id(item) for item in reopened}) == 1
    assert await house.sessions.lives(reopened[0])
    assert (await house.row(session)).duration_seconds == LIFE.idle_ms // 1000


async def test_ending_twice_tells_the_same(house: House) -> None:
    session = await house.joined()
    first = await house.sessions.end(session)
    house.clock.now += 9_000
    assert await house.sessions.end(session) == first


async def test_a_session_without_a_row_cannot_be_ended(house: House) -> None:
    session = await house.joined()
    await house.database.write(lambda rows: rows.execute(text("DELETE FROM sessions")))
    with pytest.raises(SessionNotFound):
        await house.sessions.end(session)


async def test_a_user_has_so_many_sessions_and_a_node_has(house: House) -> None:
    results = await asyncio.gather(
        *(house.sessions.create("ada") for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(result, SessionLimit) for result in results) == 2
    bobs = await house.sessions.create("bob")
    with pytest.raises(SessionLimit, match="this server"):
        await house.sessions.create("cid")
    await house.node().create("cid")
    house.sessions.part(bobs)
    await house.sessions.sweep()
    await house.sessions.create("dan")


async def test_a_crowd_that_comes_at_once_is_let_in_together(house: House) -> None:
    """Each gets what it would have got alone, in one transaction instead of one each."""
    known = await house.joined("ada")
    asked = [house.sessions.create(user) for user in ("ada", "bob", "ada")]
    asked += [house.sessions.restore(user, known.id) for user in ("ada", "bob")]
    asked += [house.sessions.restore("ada", "ses_unknown"), house.sessions.create("cid")]
    came_to = await asyncio.gather(*asked, return_exceptions=True)
    told = [type(one) for one in came_to]
    assert told[:3] == [Session, Session, SessionLimit]
    assert told[3:] == [Session, SessionNotFound, SessionNotFound, SessionLimit]
    assert known.sockets == 2


async def test_who_gives_up_while_being_let_in_is_not_in_it(house: House) -> None:
    async with writing(house.database) as file:
        coming = asyncio.create_task(house.sessions.create("ada"))
        await until(lambda: file.waiting)
        next_one = asyncio.create_task(house.sessions.create("bob"))
    coming.cancel()
    await next_one
    assert [session.sockets for session in house.sessions._live.values()] == [0, 1]
    await house.sessions.sweep()
    assert await house.rows.held() == 1


async def test_an_empty_session_that_nobody_is_in_makes_room_for_a_new_one(house: House) -> None:
    """A page that is loaded again and again leaves one behind each time."""
    left = await house.joined()
    held = await house.joined()
    house.sessions.part(left)
    fresh = await house.sessions.create("ada")
    assert not await house.sessions.lives(left)
    assert await house.sessions.lives(held)
    assert await house.sessions.lives(fresh)
    with pytest.raises(SessionLimit, match="this account"):
        await house.sessions.create("ada")


async def test_a_session_reopened_counts_as_a_new_one(house: House) -> None:
    session = await house.joined()
    await house.sessions.end(session)
    await house.joined()
    await house.joined()
    with pytest.raises(SessionLimit, match="this account"):
        await house.sessions.restore("ada", session.id, reopen=True)


async def test_the_sweep_stores_activity_and_ends_what_is_over(house: House) -> None:
    idle, busy = await house.joined("ada"), await house.joined("bob")
    house.clock.now += LIFE.idle_ms - 1
    house.sessions.touch(busy)
    assert await house.sessions.sweep() == []
    assert (await house.row(busy)).expires_at == busy.expires_at
    house.clock.now += 4_000
    assert await house.sessions.sweep() == [idle]
    row = await house.row(idle)
    assert (row.ended_at, row.duration_seconds) == (idle.expires_at, LIFE.idle_ms // 1000)
    assert await house.sessions.sweep() == []
    assert await house.sessions.lives(busy)


async def test_what_a_dead_process_left_is_ended_when_its_time_ran_out(house: House) -> None:
    session = await house.joined()
    house.clock.now += 36_000_000
    next_node = house.node()
    await next_node.start()
    assert await next_node.sweep() == [], "nobody here knew it"
    assert (await house.row(session)).duration_seconds == LIFE.idle_ms // 1000


@pytest.mark.usefixtures("impatient")
async def test_activity_that_could_not_be_stored_is_stored_by_the_next_sweep(
    house: House, file: Path
) -> None:
    session = await house.joined()
    await house.sessions.sweep()
    house.clock.now += 60_000
    house.sessions.touch(session)
    async with locked(file):
        with pytest.raises(Overloaded):
            await house.sessions.sweep()
    await house.sessions.sweep()
    assert (await house.row(session)).last_active_at == house.clock.now


async def test_a_session_that_came_alive_again_before_its_row_knew_is_not_ended(
    house: House,
) -> None:
    session = await house.joined()
    # Its row still says that it is about to end.
    ending = text(f"UPDATE sessions SET expires_at = {house.clock.now}")
    await house.database.write(lambda rows: rows.execute(ending))
    session.changed = False
    assert await house.sessions.sweep() == []
    assert await house.sessions.lives(session)
    assert (await house.row(session)).ended_at is None


async def test_who_comes_in_waits_only_so_long_for_those_before(
    house: House, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a database that is away each of them would wait for its answer."""
    monkeypatch.setattr("talksy.sessions.sessions.LINE_SECONDS", 0.01)
    sessions = house.node()
    async with writing(database) as file:
        first = asyncio.create_task(sessions.create("ada"))
        await until(lambda: file.waiting)
        with pytest.raises(Overloaded):
            await sessions.create("bob")
    assert (await first).user_id == "ada"


async def test_a_session_that_is_added_during_the_look_is_not_missed_in_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.joined("ada")
    held, counted, go_on = house.rows.held, asyncio.Event(), asyncio.Event()

    async def late() -> int:
        count = await held()
        counted.set()
        await go_on.wait()
        return count

    monkeypatch.setattr(house.rows, "held", late)
    with capture_logs() as logs:
        looking = asyncio.create_task(house.sessions.look())
        await counted.wait()
        await house.joined("bob")
        go_on.set()
        await looking
    assert logs == []


async def test_a_session_that_was_entered_without_a_word_of_it_is_left(house: House) -> None:
    """The answer to a commit was lost, and whoever came in was refused."""
    session = await house.joined()
    unknown = replace(await house.row(session), id="ses_unknown")
    assert await house.rows.add([unknown], now=house.clock(), most=9) == {unknown.id}
    assert await house.rows.held() == 2
    await house.sessions.look()
    assert await house.rows.present() == {session.id}
    assert await house.sessions.lives(session)


async def test_a_sweep_in_the_middle_of_an_arrival_leaves_who_comes_in_its_session(
    house: House,
) -> None:
    """Another's room is made first, in the same trip; who has room waits for that."""
    for _ in range(LIFE.per_user):
        house.sessions.part(await house.joined("bob"))
    await house.sessions.sweep()
    empty = house.rows.empty

    async def slow(now: int, user_id: str) -> list[str]:
        await house.sessions.sweep()
        return await empty(now, user_id)

    house.rows.empty = slow  # type: ignore[method-assign]
    ada, _ = await asyncio.gather(house.joined("ada"), house.joined("bob"))
    await house.sessions.sweep()
    assert ada.id in await house.rows.present()


async def test_a_session_whose_row_took_long_lives_as_long_as_its_client_was_told(
    house: House,
) -> None:
    add = house.rows.add

    async def slow(rows: Sequence[SessionRow], *, now: int, most: int) -> Collection[str]:
        kept = await add(rows, now=now, most=most)
        house.clock.now += 5_000
        return kept

    house.rows.add = slow  # type: ignore[method-assign]
    session = await house.joined()
    await house.sessions.sweep()
    assert (await house.row(session)).expires_at == session.expires_at
