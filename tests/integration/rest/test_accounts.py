"""Registering, logging in and being known."""

import asyncio
import re
import threading
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from talksy.auth import Counts
from talksy.errors import EmailTaken, NotFound, ValidationError
from tests.integration.rest.conftest import ADA, Rig, Serve

GRANT = {"accessToken", "refreshToken", "tokenType", "expiresIn"}


async def test_registering_gives_tokens_and_the_user(rig: Rig) -> None:
    body = await rig.register(email=" Ada@example.com ")
    assert body.keys() == GRANT | {"user"}
    assert (body["tokenType"], body["expiresIn"]) == ("Bearer", 900)
    assert body["user"].keys() == {"id", "email", "createdAt"}
    assert re.fullmatch(r"usr_[\w-]{22}", body["user"]["id"])
    assert body["user"]["email"] == "Ada@example.com"
    assert body["user"]["createdAt"] == "2023-11-14T22:13:20.000Z"


async def test_the_access_token_opens_me(rig: Rig) -> None:
    body = await rig.register()
    answer = await rig.me(body["accessToken"])
    assert (answer.status, await answer.json()) == (200, body["user"])


async def test_the_same_address_in_another_case_is_taken(rig: Rig) -> None:
    await rig.register()
    answer = await rig.post("/auth/register", ADA | {"email": "aDA@EXAMPLE.com"})
    assert (answer.status, (await answer.json())["code"]) == (409, "EMAIL_TAKEN")


async def test_of_parallel_registrations_of_one_address_exactly_one_wins(rig: Rig) -> None:
    answers = await asyncio.gather(*(rig.post("/auth/register", ADA) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 19
    lost = next(answer for answer in answers if answer.status == 409)
    assert (await lost.json())["code"] == "EMAIL_TAKEN"
    assert (await rig.post("/auth/login", ADA)).status == 200


async def test_every_fault_of_a_registration_is_listed(rig: Rig) -> None:
    answer = await rig.post("/auth/register", {"email": "ada", "password": "abc", "name": "Ada"})
    body = await answer.json()
    assert (answer.status, body["code"]) == (400, "VALIDATION_ERROR")
    assert body["errors"] == [
        {"path": "email", "message": "must be an e-mail address such as ada@example.com"},
        {"path": "password", "message": "must have at least 8 characters"},
        {"path": "password", "message": "must have an upper-case letter"},
        {"path": "password", "message": "must have a digit"},
        {"path": "name", "message": "is not a known field"},
    ]


async def test_a_password_of_73_bytes_is_refused_not_cut(rig: Rig) -> None:
    longest = "Aa1" + "x" * 69
    assert (await rig.post("/auth/register", ADA | {"password": longest + "x"})).status == 400
    await rig.register(password=longest)
    assert (await rig.post("/auth/login", ADA | {"password": longest})).status == 200
    assert (await rig.post("/auth/login", ADA | {"password": longest + "x"})).status == 401


async def test_other_doors_are_told_the_same_faults(rig: Rig) -> None:
    with pytest.raises(ValidationError) as refused:
        await rig.auth.register("ada", "abc")
    assert ("password", "must have a digit") in refused.value.faults
    await rig.register()
    with pytest.raises(EmailTaken):
        await rig.auth.register(**ADA)


async def test_logging_in_gives_tokens_of_a_login_of_its_own(rig: Rig) -> None:
    first = await rig.register()
    answer = await rig.post("/auth/login", ADA | {"email": " ada@EXAMPLE.com"})
    second = await answer.json()
    assert (answer.status, second["user"]) == (200, first["user"])
    families = [(await rig.auth.verify(body["accessToken"])).family_id for body in (first, second)]
    assert families[0] != families[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"password": "Secret124"},
        {"email": "bob@example.com"},
        {"email": "no address"},
        {"email": "ada\0@example.com"},
        {"password": "x" * 73},
        {"password": "Secret123\0"},
        {"password": ""},
    ],
    ids=ascii,
)
async def test_whatever_is_wrong_with_a_login_is_answered_alike_and_after_the_same_work(
    rig: Rig, changes: dict[str, Any]
) -> None:
    await rig.register()
    before = rig.auth.stats()["passwords"]["completed"]
    answer = await rig.post("/auth/login", ADA | changes)
    body = await answer.json()
    assert (answer.status, body["code"]) == (401, "INVALID_CREDENTIALS")
    assert body["message"] == "The e-mail address or the password is wrong."
    assert rig.auth.stats()["passwords"]["completed"] == before + 1


async def hash_of(rig: Rig) -> str:
    account = await rig.auth._accounts.find("ada@example.com")
    assert account is not None
    return account.password_hash


async def test_a_hash_that_costs_otherwise_is_renewed_at_the_next_login(serving: Serve) -> None:
    async with serving(rounds=5) as rig:
        await rig.register()
    async with serving(rounds=4) as rig:
        before = await hash_of(rig)
        assert (await rig.post("/auth/login", ADA | {"password": "Wrong123"})).status == 401
        assert await hash_of(rig) == before
        assert (await rig.post("/auth/login", ADA)).status == 200
        await asyncio.gather(*rig.auth._renewals)
        renewed = await hash_of(rig)
        assert renewed.startswith("$2b$04$")
        assert (await rig.post("/auth/login", ADA)).status == 200
        assert rig.auth._renewals == set()
        assert await hash_of(rig) == renewed


async def test_renewing_a_hash_undoes_no_change_of_password(serving: Serve) -> None:
    async with serving(rounds=5) as rig:
        await rig.register()
    async with serving(rounds=4) as rig:
        before = await hash_of(rig)
        user = await rig.auth._accounts.find("ada@example.com")
        assert user is not None
        assert await rig.auth._accounts.rehash(user.id, before, "changed")
        assert not await rig.auth._accounts.rehash(user.id, before, "renewed")
        assert await hash_of(rig) == "changed"


async def test_a_hash_that_cannot_be_renewed_now_waits_for_the_next_login(rig: Rig) -> None:
    await rig.register()
    account = await rig.auth._accounts.find("ada@example.com")
    assert account is not None
    gate, pool = threading.Event(), rig.auth._passwords
    working = [asyncio.create_task(pool._run(gate.wait)) for _ in range(pool._most)]
    await asyncio.sleep(0)
    with capture_logs() as logs:
        await rig.auth._rehash(account, ADA["password"])
    gate.set()
    # On a busy machine it is full before all of these are in.
    await asyncio.gather(*working, return_exceptions=True)
    assert [line["code"] for line in logs] == ["OVERLOADED"]
    assert await hash_of(rig) == account.password_hash


async def test_a_full_password_pool_is_overloaded(serving: Serve) -> None:
    # As slow as in production, so that the pool is full when the second comes.
    async with serving(login_failures=1_000, rounds=12, threads=1, waiting=0) as rig:
        answers = await asyncio.gather(*(rig.post("/auth/login", ADA) for _ in range(20)))
        full = next(answer for answer in answers if answer.status == 503)
        assert (await full.json())["code"] == "OVERLOADED"
        assert full.headers["Retry-After"] == "1"
        assert (await full.json())["retryAfter"] == 1
        assert 401 in {answer.status for answer in answers}


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer nonsense", "Bearer rt_x"]
)
async def test_me_without_a_good_token_is_unauthenticated(rig: Rig, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = await rig.client.get("/auth/me", headers=headers)
    assert (answer.status, (await answer.json())["code"]) == (401, "UNAUTHENTICATED")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_the_scheme_is_read_in_any_case(rig: Rig) -> None:
    token = (await rig.register())["accessToken"]
    answer = await rig.client.get("/auth/me", headers={"Authorization": f"bearer {token}"})
    assert answer.status == 200


@pytest.mark.parametrize("cached", [True, False])
async def test_an_access_token_runs_out_cached_or_not(serving: Serve, cached: bool) -> None:
    async with serving(cached=cached) as rig:
        token = (await rig.register())["accessToken"]
        rig.clock.now += 899_999
        assert (await rig.me(token)).status == 200
        rig.clock.now += 1
        answer = await rig.me(token)
        assert (answer.status, (await answer.json())["code"]) == (401, "TOKEN_EXPIRED")


async def test_a_second_look_at_a_token_is_a_hit(rig: Rig) -> None:
    token = (await rig.register())["accessToken"]
    await rig.auth.verify(token)
    await rig.auth.verify(token)
    assert Counts(**rig.auth.stats()["tokens"]) == Counts(hits=1, misses=1, size=1)


async def test_a_user_is_read_once(rig: Rig) -> None:
    user = await rig.auth.user((await rig.register())["user"]["id"])
    rig.clock.now += 300_000
    assert await rig.auth.user(user.id) == await rig.auth.user(user.id) == user
    stats = Counts(**rig.auth.stats()["users"])
    assert replace(stats, size=0) == Counts(hits=2, misses=1, size=0)
    with pytest.raises(NotFound):
        await rig.auth.user("usr_nobody")


async def test_a_minted_token_opens_me(rig: Rig) -> None:
    user = (await rig.register())["user"]
    answer = await rig.me(await rig.auth.mint("ada@example.com"))
    assert await answer.json() == user
    for email in ("bob@example.com", "bob\0"):
        with pytest.raises(NotFound, match="register"):
            await rig.auth.mint(email)


async def test_a_token_for_somebody_elses_login_is_refused(rig: Rig) -> None:
    await rig.register()
    identity = await rig.auth.verify(await rig.auth.mint("ada@example.com"))
    forged = rig.auth._access.sign("usr_other", identity.family_id, now=rig.clock.now).text
    assert (await rig.me(forged)).status == 401
