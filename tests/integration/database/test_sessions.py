"""What every database promises about sessions."""

import asyncio

import pytest

from talksy.database import Database
from talksy.database.rows import SessionRow
from talksy.database.sessions import SessionRows
from talksy.errors import SessionLimit
from tests.integration.database.rows import NOW


def row(session_id: str = "ses_1", user_id: str = "usr_ada", expires_at: int = 5_000) -> SessionRow:
    return SessionRow(session_id, user_id, NOW, NOW, NOW, NOW + expires_at, None, 0)


@pytest.fixture
async def rows(database: Database) -> SessionRows:
    sessions = SessionRows(database)
    await sessions.add(row(), most=9)
    return sessions


async def test_a_session_is_found_as_it_was_added(rows: SessionRows) -> None:
    assert await rows.find("ses_1") == row()
    assert await rows.find("ses_2") is None


async def test_open_sessions_are_counted_by_user_and_in_all(rows: SessionRows) -> None:
    await rows.add(row("ses_2", "usr_bob"), most=9)
    await rows.add(row("ses_3", "usr_bob", expires_at=100), most=9)
    await rows.end("ses_2", NOW)
    assert [await rows.count(NOW + 99), await rows.count(NOW + 100)] == [2, 1]
    assert [await rows.count(NOW, "usr_bob"), await rows.count(NOW, "usr_eve")] == [1, 0]


async def test_of_sessions_that_come_at_once_no_more_than_may_be_come_in(
    rows: SessionRows,
) -> None:
    await rows.end("ses_1", NOW)
    came = await asyncio.gather(
        *(rows.add(row(f"ses_{number}"), most=3) for number in range(2, 8)),
        rows.reopen("ses_1", "usr_ada", NOW, NOW + 5_000, most=3),
        return_exceptions=True,
    )
    assert sum(isinstance(result, SessionLimit) for result in came) == 4
    assert await rows.count(NOW, "usr_ada") == 3


async def test_activity_is_stored_while_the_session_is_open(rows: SessionRows) -> None:
    await rows.touch([("ses_1", NOW + 10, NOW + 9_000)])
    found = await rows.find("ses_1")
    assert found is not None
    assert (found.last_active_at, found.expires_at) == (NOW + 10, NOW + 9_000)
    ended = await rows.end("ses_1", NOW + 20)
    await rows.touch([("ses_1", NOW + 30, NOW + 9_999)])
    assert await rows.find("ses_1") == ended
    await rows.touch([])


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
    assert not await rows.expire("ses_1", NOW + 4_999)
    assert await rows.expired(NOW + 5_000) == ["ses_1"]
    assert await rows.expire("ses_1", NOW + 36_000_000)
    found = await rows.find("ses_1")
    assert found is not None
    assert (found.ended_at, found.duration_seconds) == (NOW + 5_000, 5)
    assert not await rows.expire("ses_1", NOW + 36_000_000)
    assert await rows.expired(NOW + 36_000_000) == []


async def test_orphans_live_no_longer_than_they_are_given(rows: SessionRows) -> None:
    await rows.add(row("ses_2", expires_at=100), most=9)
    await rows.end("ses_2", NOW)
    await rows.add(row("ses_3", expires_at=300), most=9)
    await rows.orphan(NOW + 1_000)
    found = [await rows.find(f"ses_{number}") for number in (1, 2, 3)]
    assert [item.expires_at - NOW for item in found if item] == [1_000, 100, 300]
