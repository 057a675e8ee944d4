"""Where accounts were logged in to."""

import asyncio

import pytest

from talksy.database import Database
from talksy.database.logins import Logins

NOW = 1_700_000_000_000


@pytest.fixture
def logins(database: Database) -> Logins:
    return Logins(database)


async def test_what_was_added_is_known_among_others(logins: Logins) -> None:
    await logins.add("one", NOW)
    assert await logins.known(["two", "one"])
    assert not await logins.known(["two"])


async def test_adding_it_again_side_by_side_is_fine(logins: Logins) -> None:
    await asyncio.gather(*(logins.add("one", NOW + number) for number in range(6)))
    assert await logins.known(["one"])


async def test_what_was_seen_again_outlives_the_sweep(logins: Logins) -> None:
    await logins.add("old", NOW)
    await logins.add("seen", NOW)
    await logins.add("seen", NOW + 2)
    await logins.sweep(NOW + 1)
    assert not await logins.known(["old"])
    assert await logins.known(["seen"])
