"""What every database promises about sessions."""

import asyncio

import pytest

from talksy.database import Database
from talksy.database.leases import Leases
from talksy.database.rows import SessionRow
from talksy.database.sessions import Mark, SessionRows
from tests.integration.database.rows import NOW


def row(session_id: str = "ses_1", user_id: str = "usr_ada", expires_at: int = 5_000) -> SessionRow:
    return SessionRow(session_id, user_id, NOW, NOW, NOW, NOW + expires_at, None, 0)


@pytest.fixture
async def rows(database: Database) -> SessionRows:
    sessions = SessionRows(database, node="node_a")
    await sessions.add([row()], now=NOW, most=9)
    return sessions


async def test_a_session_is_found_as_it_was_added(rows: SessionRows) -> None:
    assert await rows.find("ses_1") == row()
    assert await rows.find("ses_2") is None


async def test_the_open_sessions_of_a_user_take_its_room(rows: SessionRows) -> None:
    for_a_moment = row("ses_2", "usr_bob", expires_at=100)
    assert await rows.add([for_a_moment], now=NOW, most=1) == {"ses_2"}
    assert await rows.add([row("ses_3", "usr_bob")], now=NOW + 99, most=1) == set()
    assert await rows.find("ses_3") is None
    assert await rows.add([row("ses_3", "usr_bob")], now=NOW + 100, most=1) == {"ses_3"}
    await rows.end("ses_3", NOW)
    assert await rows.add([row("ses_4", "usr_bob")], now=NOW + 100, most=1) == {"ses_4"}


async def test_of_those_who_come_together_each_user_has_room_for_so_many(
    rows: SessionRows,
) -> None:
    users = ["usr_ada", "usr_bob", "usr_ada", "usr_bob", "usr_bob", "usr_eve"]
    came = [row(f"ses_{number}", user) for number, user in enumerate(users, 2)]
    kept = await rows.add(came, now=NOW, most=2)
    assert kept == {"ses_2", "ses_3", "ses_5", "ses_7"}
    assert await rows.held() == 5


async def test_of_sessions_that_come_at_once_no_more_than_may_be_come_in(
    rows: SessionRows,
) -> None:
    await rows.end("ses_1", NOW)
    reopened, *added = await asyncio.gather(
        rows.reopen("ses_1", "usr_ada", NOW, NOW + 5_000, most=3),
        *(rows.add([row(f"ses_{number}")], now=NOW, most=3) for number in range(2, 8)),
    )
    assert sum(map(len, added)) + (reopened is not None) == 3


def mark(active: int, expires: int, *, sockets: int = 1, ends: int = 0) -> Mark:
    """What a node has to say of the first session, in milliseconds from the beginning."""
    return Mark("ses_1", "usr_ada", NOW + active, NOW + expires, sockets, NOW + ends)


async def test_activity_is_stored_while_the_session_is_open(rows: SessionRows) -> None:
    await rows.mark([mark(10, 9_000)])
    found = await rows.find("ses_1")
    assert found is not None
    assert (found.last_active_at, found.expires_at) == (NOW + 10, NOW + 9_000)
    ended = await rows.end("ses_1", NOW + 20)
    await rows.mark([mark(30, 9_999)])
    assert await rows.find("ses_1") == ended
    await rows.mark([])


async def test_what_a_node_knows_late_takes_nothing_back(rows: SessionRows) -> None:
    await rows.mark([mark(10, 9_000)])
    await rows.mark([mark(5, 8_000)])
    found = await rows.find("ses_1")
    assert found is not None
    assert (found.last_active_at, found.expires_at) == (NOW + 10, NOW + 9_000)


async def test_of_two_nodes_that_leave_at_once_the_second_starts_the_grace(
    rows: SessionRows, database: Database
) -> None:
    other = SessionRows(database, node="node_b")
    for owner in ("node_a", "node_b"):
        await Leases(database, owner=owner, host="here").renew()
    for _ in range(5):
        for node in (rows, other):
            await node.mark([mark(10, 9_000)])
        left = mark(10, 9_000, sockets=0, ends=3_000)
        await asyncio.gather(rows.mark([left]), other.mark([left]))
        found = await rows.find("ses_1")
        assert found is not None
        assert found.expires_at == NOW + 3_000


async def test_a_session_ends_once_and_knows_how_long_it_lasted(rows: SessionRows) -> None:
    ended = await rows.end("ses_1", NOW + 2_999)
    assert ended is not None
    assert (ended.ended_at, ended.duration_seconds) == (NOW + 2_999, 2)
    assert await rows.end("ses_1", NOW + 9_000) == ended
    assert await rows.end("ses_2", NOW) is None


async def test_a_reopened_session_adds_to_what_it_lasted(rows: SessionRows) -> None:
    await rows.end("ses_1", NOW + 2_000)
    reopened = await rows.reopen("ses_1", "usr_ada", NOW + 60_000, NOW + 90_000, most=9)
    assert reopened is not None
    assert (reopened.ended_at, reopened.opened_at) == (None, NOW + 60_000)
    assert (reopened.created_at, reopened.expires_at) == (NOW, NOW + 90_000)
    again = await rows.end("ses_1", NOW + 63_000)
    assert again is not None
    assert again.duration_seconds == 5
    assert await rows.reopen("ses_1", "usr_bob", NOW, NOW, most=9) is None


async def test_a_session_whose_time_ran_out_ended_then_and_not_when_it_was_noticed(
    rows: SessionRows,
) -> None:
    assert await rows.expired(NOW + 4_999) == []
    await rows.expire(["ses_1"], NOW + 4_999)
    assert await rows.expired(NOW + 5_000) == ["ses_1"]
    for _ in range(2):  # the second time it has ended already
        await rows.expire(["ses_2", "ses_1"], NOW + 36_000_000)
        found = await rows.find("ses_1")
        assert found is not None
        assert (found.ended_at, found.duration_seconds) == (NOW + 5_000, 5)
    assert await rows.expired(NOW + 36_000_000) == []


async def test_orphans_live_no_longer_than_they_are_given(
    rows: SessionRows, database: Database
) -> None:
    await rows.add([row("ses_2", expires_at=100)], now=NOW, most=9)
    await rows.end("ses_2", NOW)
    await rows.add([row("ses_3", expires_at=300)], now=NOW, most=9)
    await Leases(database, owner="node_a", host="here", ms=0).renew()
    assert await SessionRows(database, node="node_b").orphan(NOW + 1_000) == 3
    found = [await rows.find(f"ses_{number}") for number in (1, 2, 3)]
    assert [item.expires_at - NOW for item in found if item] == [1_000, 100, 300]
    assert await rows.held() == 0


async def test_who_is_not_even_remembered_is_looked_for_by_name_only_when_asked(
    rows: SessionRows, database: Database
) -> None:
    other = SessionRows(database, node="node_b")
    assert await other.orphan(NOW + 1_000) == 0
    assert await rows.orphan(NOW + 1_000, unknown=True) == 0, "it is this node itself"
    assert await other.orphan(NOW + 1_000, unknown=True) == 1
