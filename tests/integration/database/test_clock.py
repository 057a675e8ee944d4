"""The time of the database, as a node knows it without asking."""

import time

import pytest
from sqlalchemy import Connection, select

import talksy.database.clock as clock_module
from talksy.database import Database
from talksy.database.clock import Clock, now_ms
from talksy.database.leases import Leases

HOUR_MS = 3_600_000


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's clock is an hour ahead."""
    right = time.time_ns
    monkeypatch.setattr("time.time_ns", lambda: right() + HOUR_MS * 1_000_000)


async def differs(database: Database, clock: Clock) -> int:
    """By how many milliseconds it is ahead of the database's."""

    def ask(connection: Connection) -> int:
        theirs: int = connection.execute(select(now_ms())).scalar_one()
        return clock() - theirs

    return await database.read(ask)


@pytest.mark.usefixtures("wrong")
async def test_it_goes_by_the_machine_until_it_has_asked(database: Database) -> None:
    clock = Clock()
    assert abs(await differs(database, clock) - HOUR_MS) < 1_000
    await database.read(clock.learn)
    assert abs(await differs(database, clock)) < 1_000


@pytest.mark.usefixtures("wrong")
async def test_it_learns_with_each_renewal_of_a_lease(database: Database) -> None:
    clock = Clock()
    await Leases(database, owner="node_a", host="here", clock=clock).renew()
    assert abs(await differs(database, clock)) < 1_000


async def test_it_follows_a_database_whose_clock_was_set(database: Database) -> None:
    clock = Clock()
    await database.read(clock.learn)
    assert clock._ahead is not None
    clock._ahead -= HOUR_MS
    await database.read(clock.learn)
    assert abs(await differs(database, clock)) < 1_000


async def test_an_answer_that_took_long_does_not_move_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    await database.read(clock.learn)
    before = clock._ahead
    asked = [clock_module._steady_ms() - 2_000]
    steady = clock_module._steady_ms
    # It was asked two seconds ago, and answers now.
    monkeypatch.setattr(clock_module, "_steady_ms", lambda: asked.pop() if asked else steady())
    await database.read(clock.learn)
    assert clock._ahead == before
