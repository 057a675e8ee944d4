"""Guessing passwords, by one stranger and by many, and who does not feel it."""

import asyncio
from pathlib import Path

from sqlalchemy import select
from structlog.testing import capture_logs

from talksy.auth import KnownLogins
from talksy.database import Database
from talksy.database.logins import Logins
from talksy.database.tables import known_logins
from talksy.errors import Overloaded
from tests.integration.rest.conftest import ADA, Rig, Serve
from tests.unit.auth.clock import Clock

WRONG = ADA | {"password": "Wrong1234"}
MINUTES = 60_000
DAYS = 86_400_000


def at(address: str) -> dict[str, str]:
    """As if it came from there, told by a proxy that is believed."""
    return {"X-Forwarded-For": address}


async def login(rig: Rig, address: str, **changes: str) -> int:
    answer = await rig.post("/auth/login", ADA | changes, headers=at(address))
    return answer.status


async def guess(rig: Rig, count: int, **changes: str) -> None:
    """Wrong passwords, each from an address of its own."""
    for number in range(count):
        answer = await rig.post("/auth/login", WRONG | changes, headers=at(f"198.51.100.{number}"))
        assert answer.status == 401


async def test_guesses_from_everywhere_end_where_ten_addresses_would_have_had_theirs(
    serving: Serve,
) -> None:
    async with serving(login_failures=1) as rig:
        await rig.register()
        await guess(rig, 10)
        refused = await rig.post("/auth/login", WRONG, headers=at("203.0.113.1"))
        assert (refused.status, refused.headers["Retry-After"]) == (429, "900")
        assert await login(rig, "203.0.113.2") == 429
        assert await login(rig, "203.0.113.2", email="bob@example.com") == 401
        rig.clock.now += 15 * MINUTES
        assert await login(rig, "203.0.113.2") == 200


async def test_an_account_that_does_not_exist_is_guarded_alike(serving: Serve) -> None:
    async with serving(login_failures=1) as rig:
        await guess(rig, 10, email="nobody@example.com")
        assert await login(rig, "203.0.113.1", email="nobody@example.com") == 429


async def test_addresses_that_logged_in_before_do_not_feel_the_guesses_of_strangers(
    serving: Serve,
) -> None:
    async with serving(login_failures=1) as rig:
        await rig.register()
        assert await login(rig, "203.0.113.7") == 200
        assert await login(rig, "2001:db8::1", email="ADA@example.com") == 200
        await guess(rig, 10)
        assert (await rig.post("/auth/login", ADA)).status == 200, "where it was registered"
        assert await login(rig, "203.0.113.7") == 200
        assert await login(rig, "2001:db8::ffff") == 200
        assert await login(rig, "2001:db8:0:1::1") == 429


async def test_a_known_address_may_guess_as_little_as_any(serving: Serve) -> None:
    async with serving(login_failures=2) as rig:
        await rig.register()
        assert await login(rig, "203.0.113.7") == 200
        statuses = [await login(rig, "203.0.113.7", password="Wrong1234") for _ in range(3)]
        assert statuses == [401, 401, 429]


async def test_a_login_that_is_refused_by_one_window_costs_the_other_nothing(
    serving: Serve,
) -> None:
    async with serving(login_failures=1) as rig:
        await rig.register()
        await guess(rig, 10)
        assert await login(rig, "203.0.113.1") == 429
        rig.clock.now += 15 * MINUTES
        assert await login(rig, "203.0.113.1", password="Wrong1234") == 401


async def test_a_known_address_is_known_after_a_restart(tmp_path: Path, serving: Serve) -> None:
    async with serving(login_failures=1) as rig:
        await rig.register()
        assert await login(rig, "203.0.113.7") == 200
    async with serving(login_failures=1) as rig:
        await guess(rig, 10)
        assert await login(rig, "203.0.113.7") == 200
    async with Database.open(f"sqlite:///{tmp_path}/talksy.db") as database:
        kept = select(known_logins.c.digest)
        digests = await database.read(lambda rows: rows.execute(kept).scalars().all())
        assert len(digests) == 2
        assert all(len(digest) == 64 for digest in digests)


async def test_a_known_address_is_forgotten_after_ninety_days(tmp_path: Path) -> None:
    clock = Clock()
    async with Database.open(f"sqlite:///{tmp_path}/talksy.db") as database:
        known = KnownLogins(Logins(database), ["s" * 32], clock=clock)
        await known.add("ada@example.com", "203.0.113.7")
        clock.now += 60 * DAYS
        await known.add("ada@example.com", "203.0.113.7")
        clock.now += 90 * DAYS
        await known.sweep()
        assert await known.has("Ada@example.com ", "203.0.113.7")
        assert not await known.has("ada@example.com", "203.0.113.8")
        clock.now += 1
        await known.sweep()
        assert not await known.has("ada@example.com", "203.0.113.7")


async def test_a_known_address_is_known_under_the_former_secret(tmp_path: Path) -> None:
    async with Database.open(f"sqlite:///{tmp_path}/talksy.db") as database:
        for secrets, has in ((["old"], False), (["new", "old"], True), (["new"], False)):
            known = KnownLogins(Logins(database), secrets, clock=Clock())
            assert await known.has("ada@example.com", "203.0.113.7") is has
            if secrets == ["old"]:
                await known.add("ada@example.com", "203.0.113.7")


async def test_guesses_side_by_side_are_counted_one_by_one(serving: Serve) -> None:
    async with serving(login_failures=3) as rig:
        await rig.register()
        answers = await asyncio.gather(*(rig.post("/auth/login", WRONG) for _ in range(12)))
        assert sorted(answer.status for answer in answers) == [401] * 3 + [429] * 9


class Forgetful(Logins):
    """Keeps nothing: its disk is full."""

    async def add(self, digest: str, now: int) -> None:  # noqa: ARG002
        raise Overloaded


async def test_who_cannot_be_remembered_is_logged_in_all_the_same(rig: Rig) -> None:
    rig.auth.known._logins = Forgetful(rig.auth.known._logins._database)
    with capture_logs() as logs:
        await rig.register()
        assert (await rig.post("/auth/login", ADA)).status == 200
    assert [line["code"] for line in logs if line["event"] == "login_not_remembered"] == [
        "OVERLOADED",
        "OVERLOADED",
    ]
