"""What every database promises about accounts."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace

import pytest
from sqlalchemy import select

from talksy.database import Database
from talksy.database.accounts import (
    SETTLED_MS,
    Account,
    Accounts,
    Family,
    RefreshToken,
    Rotation,
)
from talksy.database.tables import token_families
from talksy.errors import EmailTaken, ValidationError

NOW = 1_700_000_000_000
ADA = Account("usr_ada", "Ada@example.com", "ada@example.com", "hash", NOW)
LOGIN = Family("fam_1", "usr_ada", NOW)
FIRST = RefreshToken("first", NOW, NOW + 1_000)
SECOND = RefreshToken("second", NOW, NOW + 2_000)


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return Accounts(database)


@pytest.fixture
async def ada(accounts: Accounts) -> Accounts:
    await accounts.register(ADA, LOGIN, FIRST)
    return accounts


async def rotate(
    accounts: Accounts,
    presented: str = "first",
    successor: RefreshToken = SECOND,
    *,
    sealed: bytes | None = b"sealed",
    now: int = NOW,
    grace_ms: int = 100,
) -> Rotation:
    rotation = await attempt_to_rotate(accounts, presented, successor, sealed, now, grace_ms)
    assert rotation is not None
    return rotation


def attempt_to_rotate(
    accounts: Accounts,
    presented: str = "first",
    successor: RefreshToken = SECOND,
    sealed: bytes | None = b"sealed",
    now: int = NOW,
    grace_ms: int = 100,
) -> Awaitable[Rotation | None]:
    return accounts.rotate(presented, successor, sealed, now=now, grace_ms=grace_ms)


async def test_an_account_is_found_by_its_folded_address_and_its_id(ada: Accounts) -> None:
    assert await ada.find("ada@example.com") == ADA
    assert await ada.get("usr_ada") == ADA
    assert await ada.find("Ada@example.com") is None
    assert await ada.get("usr_bob") is None


async def test_an_address_is_taken_once_and_the_loser_leaves_nothing(ada: Accounts) -> None:
    other = replace(ADA, id="usr_2")
    with pytest.raises(EmailTaken):
        await ada.register(other, Family("fam_2", "usr_2", NOW), SECOND)
    assert await ada.get("usr_2") is None
    assert await attempt_to_rotate(ada, "second", FIRST) is None


async def test_of_parallel_registrations_one_wins(accounts: Accounts) -> None:
    def attempt(number: int) -> Awaitable[None]:
        account = replace(ADA, id=f"usr_{number}")
        family = Family(f"fam_{number}", account.id, NOW)
        return accounts.register(account, family, replace(FIRST, hash=f"token{number}"))

    results = await asyncio.gather(*map(attempt, range(8)), return_exceptions=True)
    assert results.count(None) == 1
    assert sum(isinstance(result, EmailTaken) for result in results) == 7


async def test_a_family_has_an_owner_until_it_is_revoked(ada: Accounts) -> None:
    assert await ada.owner("fam_1") == ADA
    assert await ada.revoke("first", now=NOW) == "fam_1"
    assert await ada.owner("fam_1") is None
    assert await ada.owner("fam_unknown") is None


async def test_revoking_twice_is_revoking_once_and_other_logins_stay(ada: Accounts) -> None:
    await ada.login(Family("fam_2", "usr_ada", NOW), SECOND)
    assert await ada.revoke("first", now=NOW) == await ada.revoke("first", now=NOW) == "fam_1"
    assert await ada.revoke("unknown", now=NOW) is None
    assert await ada.owner("fam_2") == ADA


async def test_a_login_without_a_refresh_token_has_an_owner_too(ada: Accounts) -> None:
    await ada.login(Family("fam_2", "usr_ada", NOW))
    assert await ada.owner("fam_2") == ADA


async def test_the_first_use_rotates(ada: Accounts) -> None:
    rotation = await rotate(ada)
    assert (rotation.outcome, rotation.family_id, rotation.user_id) == (
        "rotated",
        "fam_1",
        "usr_ada",
    )
    assert (await rotate(ada, "second", replace(FIRST, hash="third"))).outcome == "rotated"


async def test_a_second_use_within_the_grace_is_given_what_the_first_sealed(ada: Accounts) -> None:
    await rotate(ada, sealed=b"one")
    again = await rotate(ada, sealed=b"two", successor=replace(SECOND, hash="x"), now=NOW + 99)
    assert (again.outcome, again.sealed) == ("shared", b"one")
    assert await attempt_to_rotate(ada, "x") is None


async def test_a_use_after_the_grace_revokes_that_family_alone(ada: Accounts) -> None:
    await ada.login(Family("fam_2", "usr_ada", NOW), replace(FIRST, hash="other"))
    await rotate(ada)
    assert (await rotate(ada, now=NOW + 100)).outcome == "replayed"
    assert await ada.owner("fam_1") is None
    assert await attempt_to_rotate(ada, "second", FIRST) is None
    assert await ada.owner("fam_2") == ADA


async def test_without_a_grace_the_second_use_revokes(ada: Accounts) -> None:
    await rotate(ada, sealed=None, grace_ms=0)
    assert (await rotate(ada, sealed=None, grace_ms=0)).outcome == "replayed"


async def test_parallel_uses_share_one_successor(ada: Accounts) -> None:
    uses = [
        rotate(ada, successor=replace(SECOND, hash=f"n{n}"), sealed=f"n{n}".encode())
        for n in range(6)
    ]
    results = await asyncio.gather(*uses)
    assert [result.outcome for result in results].count("rotated") == 1
    assert len({result.sealed for result in results if result.outcome == "shared"}) == 1


@pytest.mark.parametrize(("presented", "now"), [("unknown", NOW), ("first", NOW + 1_000)])
async def test_an_unknown_or_outlived_token_does_not_rotate(
    ada: Accounts, presented: str, now: int
) -> None:
    assert await attempt_to_rotate(ada, presented, now=now) is None
    assert await ada.owner("fam_1") == ADA


async def test_the_sweep_erases_outlived_tokens_and_sealed_successors(ada: Accounts) -> None:
    await rotate(ada)
    assert await ada.sweep(now=NOW + 99, grace_ms=100, access_ms=0) == 0
    assert (await rotate(ada, now=NOW + 99)).sealed == b"sealed"
    assert await ada.sweep(now=NOW + 100, grace_ms=100, access_ms=0) == 0
    assert (await rotate(ada, now=NOW + 99)).outcome == "replayed"
    assert await ada.sweep(now=NOW + 1_000, grace_ms=100, access_ms=0) == 1
    assert await ada.sweep(now=NOW + 2_000, grace_ms=100, access_ms=0) == 1


async def test_a_token_has_a_successor_once_it_was_used(ada: Accounts) -> None:
    assert await ada.successor("first") is None
    await rotate(ada)
    assert await ada.successor("first") == b"sealed"
    assert await ada.successor("second") is None
    assert await ada.successor("unknown") is None


async def test_a_hash_is_replaced_unless_it_has_changed(ada: Accounts) -> None:
    assert await ada.rehash("usr_ada", "hash", "renewed")
    assert not await ada.rehash("usr_ada", "hash", "late")
    assert await ada.get("usr_ada") == replace(ADA, password_hash="renewed")


async def test_what_was_revoked_lately_is_found_on_every_node(ada: Accounts) -> None:
    assert await ada.revoked(NOW - 1) == []
    await ada.revoke("first", now=NOW)
    assert await ada.revoked(NOW - 1) == ["fam_1"]
    assert await ada.revoked(NOW) == []


async def swept(accounts: Accounts, now: int, access_ms: int = 0) -> int:
    return await accounts.sweep(now=now, grace_ms=100, access_ms=access_ms)


async def test_the_sweep_erases_families_that_nobody_can_speak_for(
    ada: Accounts, database: Database
) -> None:
    await ada.login(replace(LOGIN, id="fam_gone"), replace(SECOND, hash="gone"))
    await ada.login(replace(LOGIN, id="fam_mint"))
    await ada.revoke("gone", now=NOW)
    access_ms = 2 * SETTLED_MS
    all_three = ["fam_1", "fam_gone", "fam_mint"]
    assert await swept(ada, NOW + SETTLED_MS, access_ms) == 0
    assert await families(database) == all_three, "a node may not know yet that one is revoked"
    assert await swept(ada, NOW + access_ms, access_ms) == 2
    assert await families(database) == all_three, "access tokens speak for them"
    assert await swept(ada, NOW + access_ms + SETTLED_MS, access_ms) == 0
    assert await families(database) == []
    assert await ada.get("usr_ada") == ADA


async def test_a_sweep_goes_on_until_all_is_erased(
    ada: Accounts, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("talksy.database.accounts.SWEEP_ROWS", 2)
    for number in range(5):
        await ada.login(replace(LOGIN, id=f"fam_{number}x"), replace(FIRST, hash=str(number)))
    assert await swept(ada, NOW + 1_000) == 6
    assert await swept(ada, NOW + SETTLED_MS) == 0
    assert await families(database) == []


async def families(database: Database) -> list[str]:
    query = select(token_families.c.id)
    return sorted(await database.read(lambda rows: rows.execute(query).scalars().all()))


# ---- what an account may do


async def test_a_scope_is_given_and_taken(ada: Accounts) -> None:
    assert await ada.rescope("ada@example.com", add="tools:admin") == "tools:basic tools:admin"
    assert await ada.rescope("ada@example.com", add="tools:admin") == "tools:basic tools:admin"
    assert await ada.rescope("ada@example.com", remove="tools:basic") == "tools:admin"
    assert await ada.rescope("ada@example.com", remove="tools:admin") == ""
    assert await ada.rescope("bob@example.com", add="tools:admin") is None


async def test_a_scope_is_in_the_account_and_in_what_a_refresh_gives(ada: Accounts) -> None:
    await ada.rescope("ada@example.com", add="tools:admin")

    account = await ada.get("usr_ada")

    assert account is not None
    assert account.scope == (await rotate(ada)).scope == "tools:basic tools:admin"


async def test_two_scopes_that_are_given_at_once_are_both_there(ada: Accounts) -> None:
    names = [f"tools:{letter}" for letter in "abcd"]
    await asyncio.gather(*(ada.rescope("ada@example.com", add=name) for name in names))

    account = await ada.get("usr_ada")

    assert account is not None
    assert set(account.scope.split()) == {*names, "tools:basic"}


async def test_an_account_has_only_so_many_scopes(ada: Accounts) -> None:
    with pytest.raises(ValidationError, match="1000 characters"):
        await ada.rescope("ada@example.com", add="x" * 990)
