"""Refresh tokens rotate, forgive a second use for a while, and never a later one; logout."""

import asyncio

import pytest

from talksy.auth.auth import MOST_STEPS
from talksy.database import Database
from talksy.database.accounts import Account, Accounts
from talksy.errors import Unauthenticated
from tests.integration.rest.conftest import ADA, Rig, Serve


async def test_refreshing_gives_new_tokens_without_the_user(rig: Rig) -> None:
    first = await rig.register()
    answer = await rig.refresh(first["refreshToken"])
    second = await answer.json()
    assert answer.status == 200
    assert second.keys() == {"accessToken", "refreshToken", "tokenType", "expiresIn"}
    assert second["refreshToken"] != first["refreshToken"]
    assert (await rig.me(second["accessToken"])).status == 200
    assert (await rig.refresh(second["refreshToken"])).status == 200


async def test_a_second_use_within_the_grace_gives_the_same_successor(rig: Rig) -> None:
    token = (await rig.register())["refreshToken"]
    first = await (await rig.refresh(token)).json()
    rig.clock.now += 9_999
    again = await (await rig.refresh(token)).json()
    assert again["refreshToken"] == first["refreshToken"]
    assert again["accessToken"] != first["accessToken"]
    assert (await rig.me(again["accessToken"])).status == 200


async def test_parallel_uses_share_one_successor(rig: Rig) -> None:
    token = (await rig.register())["refreshToken"]
    answers = await asyncio.gather(*(rig.refresh(token) for _ in range(6)))
    assert {answer.status for answer in answers} == {200}
    assert len({(await answer.json())["refreshToken"] for answer in answers}) == 1


async def test_who_comes_late_within_the_grace_is_given_what_the_others_have_come_to(
    rig: Rig,
) -> None:
    """Its own successor is spent: using it after the grace would end everybody's login."""
    token = (await rig.register())["refreshToken"]
    second = (await (await rig.refresh(token)).json())["refreshToken"]
    third = (await (await rig.refresh(second)).json())["refreshToken"]
    for late in (token, second):
        assert (await (await rig.refresh(late)).json())["refreshToken"] == third
    rig.clock.now += 10_000
    assert (await rig.refresh(third)).status == 200
    assert rig.revoked == []


async def test_who_is_too_far_behind_is_refused_and_ends_nothing(rig: Rig) -> None:
    """Each token that came after is a look at the database: a chain of thousands is an attack."""
    tokens = [(await rig.register())["refreshToken"]]
    for _ in range(MOST_STEPS + 1):
        tokens.append((await (await rig.refresh(tokens[-1])).json())["refreshToken"])
    assert (await rig.refresh(tokens[1])).status == 200
    answer = await rig.refresh(tokens[0])
    assert (answer.status, (await answer.json())["code"]) == (429, "RATE_LIMITED")
    assert (await rig.refresh(tokens[-1])).status == 200


async def test_a_use_after_the_grace_ends_that_login_and_no_other(rig: Rig) -> None:
    token = (await rig.register())["refreshToken"]
    other = await (await rig.post("/auth/login", ADA)).json()
    successor = await (await rig.refresh(token)).json()
    family = (await rig.auth.verify(successor["accessToken"])).family_id
    rig.clock.now += 10_000
    assert (await rig.refresh(token)).status == 401
    assert rig.revoked == [family]
    assert (await rig.me(successor["accessToken"])).status == 401
    assert (await rig.refresh(successor["refreshToken"])).status == 401
    assert (await rig.me(other["accessToken"])).status == 200
    assert (await rig.refresh(other["refreshToken"])).status == 200


async def test_without_a_grace_a_second_use_is_a_replay(serving: Serve) -> None:
    async with serving(grace_ms=0) as rig:
        token = (await rig.register())["refreshToken"]
        successor = await (await rig.refresh(token)).json()
        answer = await rig.refresh(token)
        assert (answer.status, (await answer.json())["code"]) == (401, "UNAUTHENTICATED")
        assert (await rig.refresh(successor["refreshToken"])).status == 401


async def test_without_a_grace_of_parallel_uses_one_wins_at_most(serving: Serve) -> None:
    async with serving(grace_ms=0) as rig:
        token = (await rig.register())["refreshToken"]
        answers = await asyncio.gather(*(rig.refresh(token) for _ in range(6)))
        assert sorted(answer.status for answer in answers) == [200] + [401] * 5


async def test_a_refresh_token_runs_out(rig: Rig) -> None:
    token = (await rig.register())["refreshToken"]
    rig.clock.now += 604_800_000
    answer = await rig.refresh(token)
    assert (answer.status, (await answer.json())["code"]) == (401, "UNAUTHENTICATED")
    assert await rig.auth.sweep() == 1


async def test_access_refresh_and_guest_tokens_are_different_kinds(rig: Rig) -> None:
    body = await rig.register()
    guest = rig.auth.guest_token("gst_1")
    assert (await rig.me(guest)).status == 401
    assert (await rig.refresh(guest)).status == 401
    assert (await rig.refresh(body["accessToken"])).status == 401
    assert (await rig.me(body["refreshToken"])).status == 401


@pytest.mark.parametrize("token", ["", "rt_" + "a" * 43, "rt_" + "a" * 500])
async def test_a_token_that_was_never_given_refreshes_nothing_and_logs_out_quietly(
    rig: Rig, token: str
) -> None:
    assert (await rig.refresh(token)).status == 401
    assert (await rig.post("/auth/logout", {"refreshToken": token})).status == 204
    assert rig.revoked == []


async def test_logging_out_ends_both_tokens_at_once(rig: Rig) -> None:
    body = await rig.register()
    family = (await rig.auth.verify(body["accessToken"])).family_id
    answer = await rig.post("/auth/logout", {"refreshToken": body["refreshToken"]})
    assert (answer.status, await answer.read()) == (204, b"")
    assert rig.revoked == [family]
    assert (await rig.me(body["accessToken"])).status == 401
    assert (await rig.refresh(body["refreshToken"])).status == 401
    assert (await rig.post("/auth/logout", {"refreshToken": body["refreshToken"]})).status == 204


async def test_logging_out_with_a_spent_token_ends_the_login_too(rig: Rig) -> None:
    body = await rig.register()
    successor = await (await rig.refresh(body["refreshToken"])).json()
    await rig.post("/auth/logout", {"refreshToken": body["refreshToken"]})
    assert (await rig.refresh(successor["refreshToken"])).status == 401


async def test_a_callback_that_fails_keeps_nobody_else_from_hearing(rig: Rig) -> None:
    def fail(_: str) -> None:
        raise RuntimeError

    rig.auth.on_revoked(fail)
    later: list[str] = []
    rig.auth.on_revoked(later.append)
    body = await rig.register()
    await rig.auth.logout(body["refreshToken"])
    assert later == rig.revoked != []


class Held(Accounts):
    """Reads like any, and holds back what it read until it is let go."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.asked = asyncio.Event()
        self.go = asyncio.Event()

    async def owner(self, family_id: str) -> Account | None:
        account = await super().owner(family_id)
        self.asked.set()
        await self.go.wait()
        return account


async def test_a_verification_that_a_revocation_overtook_is_refused_and_not_kept(
    serving: Serve,
) -> None:
    async with serving(repository=Held) as rig:
        body = await rig.register()
        held = rig.auth._accounts
        assert isinstance(held, Held)
        verifying = asyncio.create_task(rig.auth.verify(body["accessToken"]))
        await held.asked.wait()
        await rig.auth.logout(body["refreshToken"])
        held.go.set()
        with pytest.raises(Unauthenticated):
            await verifying
        assert rig.auth.stats()["tokens"]["size"] == 0


async def test_a_verification_that_another_revocation_overtook_goes_on(serving: Serve) -> None:
    async with serving(repository=Held) as rig:
        body = await rig.register()
        other = await rig.auth.login(**ADA)
        verifying = asyncio.create_task(rig.auth.verify(body["accessToken"]))
        held = rig.auth._accounts
        assert isinstance(held, Held)
        await held.asked.wait()
        await rig.auth.logout(other.refresh_token)
        held.go.set()
        assert (await verifying).user_id == body["user"]["id"]
