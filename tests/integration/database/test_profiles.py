"""What every database promises about voice profiles."""

import asyncio

import pytest

from talksy.database import Database
from talksy.database.profiles import MOST_PROFILES, Profiles
from talksy.errors import ValidationError

NOW = 1_700_000_000_000
DESK = {"base": "wake-word", "turnDetection": {"threshold": 0.25}, "wakeWord": None}


@pytest.fixture
def profiles(database: Database) -> Profiles:
    return Profiles(database)


async def test_a_profile_is_found_as_it_was_kept(profiles: Profiles) -> None:
    assert await profiles.keep("usr_ada", "desk", DESK, NOW)
    assert await profiles.find("usr_ada", "desk") == DESK
    assert await profiles.find("usr_ada", "car") is None


async def test_the_later_one_of_a_name_replaces_the_former(profiles: Profiles) -> None:
    await profiles.keep("usr_ada", "desk", DESK, NOW)
    assert not await profiles.keep("usr_ada", "desk", {"language": "de"}, NOW + 1)
    assert await profiles.all("usr_ada") == {"desk": {"language": "de"}}


async def test_profiles_are_their_users_alone(profiles: Profiles) -> None:
    await profiles.keep("usr_ada", "desk", DESK, NOW)
    assert await profiles.find("usr_bob", "desk") is None
    assert not await profiles.drop("usr_bob", "desk")
    assert list(await profiles.all("usr_ada")) == ["desk"]


async def test_one_that_was_dropped_is_gone(profiles: Profiles) -> None:
    await profiles.keep("usr_ada", "desk", DESK, NOW)
    assert await profiles.drop("usr_ada", "desk")
    assert not await profiles.drop("usr_ada", "desk")
    assert await profiles.all("usr_ada") == {}


async def test_a_user_has_no_more_than_so_many_however_they_come(profiles: Profiles) -> None:
    for number in range(MOST_PROFILES - 1):
        await profiles.keep("usr_ada", f"profile-{number:02}", {}, NOW)
    last = [profiles.keep("usr_ada", f"last-{number}", {}, NOW) for number in range(4)]
    kept = await asyncio.gather(*last, return_exceptions=True)
    assert [type(it) for it in kept].count(ValidationError) == 3
    assert not await profiles.keep("usr_ada", "profile-00", DESK, NOW), "one that there is"
    assert len(await profiles.all("usr_ada")) == MOST_PROFILES
