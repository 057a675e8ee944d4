"""Guests, tokens that are replaced on an open socket or run out, and logins that end."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import jwt
import pytest
import pytest_asyncio

from tests.e2e.accounts import Account, forged
from tests.e2e.browser import OPTIONS, browsing
from tests.e2e.client import Client, Refused, check_turn, tokens
from tests.e2e.conftest import Door
from tests.server import Server, running_server

SECRET = "vK3mQ9xZt7LwYb2RfN8dHs5GjC4pXuAe"
"""One that production takes."""
ROUNDS = int(os.environ.get("TALKSY_TAB_ROUNDS", "100"))
"""How often two tabs refresh at once; 1,000 take half a minute."""


async def guest(door: Door, **auth: Any) -> tuple[Client, dict[str, Any]]:
    """A guest's connection and what it was told of its session."""
    client = await door.open(**auth)
    return client, await client.session()


def claims(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


# ---- guests


async def test_who_brings_no_token_is_a_guest_and_comes_back_to_its_session(door: Door) -> None:
    client, created = await guest(door)
    assert created.keys() == {"sessionId", "expiresAt", "guestToken"}
    ack = await client.say("/mock tokens=3")
    assert (await client.ending(ack["turnId"]))["reason"] == "completed"
    await client.close()

    _, restored = await guest(door, token=created["guestToken"], sessionId=created["sessionId"])

    assert restored.keys() == {"sessionId", "history", "expiresAt", "activeTurns"}
    assert [message["content"] for message in restored["history"]] == ["/mock tokens=3", "0 1 2 "]


async def test_a_guest_whose_token_grows_old_is_given_another(websocket_door: Door) -> None:
    _, created = await guest(websocket_door)
    now = int(time.time())
    old = forged(created["guestToken"], iat=now - 1_000, exp=now + 900)

    _, restored = await guest(websocket_door, token=old, sessionId=created["sessionId"])

    assert claims(restored["guestToken"])["sub"] == claims(old)["sub"]
    assert claims(restored["guestToken"])["exp"] > now + 86_400


async def test_a_guests_token_is_none_for_rest_and_a_users_makes_no_guest(
    websocket_door: Door, http: aiohttp.ClientSession, account: Account
) -> None:
    _, created = await guest(websocket_door)
    bearer = {"Authorization": f"Bearer {created['guestToken']}"}
    async with http.get("/auth/me", headers=bearer) as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, "UNAUTHENTICATED")
    refresh = {"refreshToken": created["guestToken"]}
    async with http.post("/auth/refresh", json=refresh) as answer:
        assert answer.status == 401
    assert "guestToken" not in await (await websocket_door.open(account)).session()


async def test_guests_do_not_see_each_others_sessions(websocket_door: Door) -> None:
    _, first = await guest(websocket_door)
    _, second = await guest(websocket_door, sessionId=first["sessionId"])
    assert second["restoreFailed"] == "not_found"


async def test_a_session_id_in_the_query_is_checked_like_any(websocket_door: Door) -> None:
    error = await websocket_door.at(f"{websocket_door.url}?sessionId=ses_%00").refused()
    assert [fault["path"] for fault in error["errors"]] == ["sessionId"]


async def test_in_production_nobody_is_a_guest_and_nobody_who_was_one(
    websocket_door: Door,
) -> None:
    _, created = await guest(websocket_door)
    async with running_server(
        TALKSY_ENV="production", CORS_ORIGIN="https://app.example.com", JWT_SECRET=SECRET
    ) as server:
        door = websocket_door.at(server.url)
        for token in (None, forged(created["guestToken"], SECRET)):
            assert (await door.refused(token=token))["code"] == "UNAUTHENTICATED"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def small() -> AsyncIterator[Server]:
    """Room for two guests of an address, and three messages a minute."""
    async with running_server(MAX_GUESTS_PER_ADDRESS=2, RATE_LIMIT_MAX_REQUESTS=3) as server:
        yield server


async def test_an_address_has_so_many_guests_and_no_more(small: Server, door: Door) -> None:
    door = door.at(small.url)
    first, created = await guest(door)
    await guest(door)
    await guest(door, token=created["guestToken"])

    error = await door.refused()

    assert error["code"] == "SESSION_LIMIT"
    assert (await first.call("get_session_info"))["ok"] is True
    await door.open(await Account.register(small.url))


async def test_a_new_guest_is_no_way_around_the_limit(small: Server, websocket_door: Door) -> None:
    door = websocket_door.at(small.url)
    client, _ = await guest(door)
    for _ in range(3):
        await client.say("/mock tokens=1")
    await client.close()

    again, _ = await guest(door)

    assert (await again.refused("user_message", {"text": "hi"}))["code"] == "RATE_LIMITED"
    assert (await again.wait("rate_limit"))["scope"] == "messages"
    user = await door.open(await Account.register(small.url))
    assert (await user.say("hi"))["ok"] is True


async def test_new_guests_of_an_address_are_paced(websocket_door: Door) -> None:
    async with running_server(AUTH_GUESTS_PER_MINUTE=2) as server:
        door = websocket_door.at(server.url)
        _, created = await guest(door)
        await guest(door)

        error = await door.refused()

        assert error["code"] == "RATE_LIMITED"
        assert 0 < error["retryAfter"] <= 60
        await guest(door, token=created["guestToken"])


async def test_an_address_is_what_a_trusted_proxy_says_and_ipv6_is_its_network(
    websocket_door: Door,
) -> None:
    def at(address: str) -> dict[str, str]:
        return {"X-Forwarded-For": address}

    async with running_server(MAX_GUESTS_PER_ADDRESS=1, TRUSTED_PROXIES="127.0.0.1") as server:
        door = websocket_door.at(server.url)
        for address in ("203.0.113.1", "203.0.113.2", "2001:db8::1", "2001:db8:0:1::1"):
            await door.open(headers=at(address))
        for address in ("203.0.113.1, 203.0.113.2", "2001:db8::ffff"):
            with pytest.raises(Refused) as refused:
                await door.open(headers=at(address))
            assert refused.value.error["code"] == "SESSION_LIMIT"


# ---- another token on an open socket


async def test_a_socket_goes_on_under_another_token_of_its_user(
    client: Client, account: Account
) -> None:
    session = await client.session()
    other = await account.login()

    ack = await client.call("auth_refresh", {"token": other.token})

    assert ack.keys() == {"ok", "expiresAt"}
    await account.logout()
    info = await client.call("get_session_info")
    assert info["ok"] is True
    assert (await client.wait("session_info"))["sessionId"] == session["sessionId"]
    await other.logout()
    await client.disconnected()
    assert client.named("error")[0]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("somebody else's", "FORBIDDEN"),
        ("outlived", "TOKEN_EXPIRED"),
        ("nonsense", "UNAUTHENTICATED"),
        ("refresh token", "UNAUTHENTICATED"),
        ("guest's", "FORBIDDEN"),
        ("", "UNAUTHENTICATED"),
        (7, "VALIDATION_ERROR"),
    ],
)
async def test_a_token_that_is_no_good_leaves_the_socket_as_it_was(
    websocket_door: Door, account: Account, stranger: Account, kind: object, code: str
) -> None:
    client = await websocket_door.open(account)
    now = int(time.time())
    token = {
        "somebody else's": stranger.token,
        "outlived": forged(account.token, iat=now - 1_000, exp=now - 100),
        "refresh token": account.refresh_token,
        "guest's": (await guest(websocket_door))[1]["guestToken"],
    }.get(str(kind), kind)

    assert (await client.refused("auth_refresh", {"token": token}))["code"] == code
    assert (await client.call("get_session_info"))["ok"] is True
    await account.logout()
    await client.disconnected()


async def test_a_client_is_told_at_once_of_a_token_that_runs_out_soon(
    door: Door, account: Account
) -> None:
    token = forged(account.token, exp=int(time.time()) + 50)
    client = await door.open(token=token)

    told = await client.wait("auth_expiring")

    assert told.keys() == {"expiresAt"}
    assert client.place("SESSION_CREATED") < client.place("auth_expiring")
    assert (await client.call("auth_refresh", {"token": account.token}))["ok"] is True


async def test_a_guest_is_told_so_with_the_token_to_go_on_with(websocket_door: Door) -> None:
    _, created = await guest(websocket_door)
    old = forged(created["guestToken"], exp=int(time.time()) + 50)
    client, _ = await guest(websocket_door, token=old)

    told = await client.wait("auth_expiring")

    assert (await client.call("auth_refresh", {"token": told["guestToken"]}))["ok"] is True


async def test_ten_seconds_after_its_token_a_socket_is_closed_and_its_turn_goes_on(
    server: Server, account: Account, open_clients: AsyncExitStack
) -> None:
    """All at once, since it takes its time: both transports, one that stays, the stock client."""
    doors = [Door(server.url, way, open_clients) for way in ("websocket", "polling", "websocket")]
    over, polling, stays = [await door.open(account) for door in doors]
    async with browsing(server.url, account.token) as browser:
        await browser.until_named("SESSION_CREATED")
        brief = {"token": forged(account.token, exp=int(time.time()) + 2)}
        for client in (over, polling, stays, browser):
            assert (await client.call("auth_refresh", brief))["ok"] is True
        turn = (await over.say("/mock tokens=145 delay_ms=100"))["turnId"]
        await stays.wait("auth_expiring")
        assert (await stays.call("auth_refresh", {"token": account.token}))["ok"] is True
        assert (await browser.until_named("error"))["code"] == "TOKEN_EXPIRED"
        assert await browser.until_named("disconnect") == "io server disconnect"
    for client in (over, polling):
        await client.wait_for(has_gone, 15)
        assert [error["code"] for error in client.named("error")] == ["TOKEN_EXPIRED"]
    assert (await stays.call("get_session_info"))["ok"] is True
    session, last = (await over.session())["sessionId"], over.turn(turn)[-1].data["seq"]
    resume = [{"turnId": turn, "after": last}]
    back = await doors[0].open(account, sessionId=session, resume=resume)
    await back.ending(turn)
    assert check_turn([*over.turn(turn), *back.turn(turn)]) == tokens(145)


def has_gone(events: Any) -> bool:
    return any(event.name == "disconnect" for event in events)


# ---- logins that end


async def refresh(http: aiohttp.ClientSession, token: str) -> dict[str, Any]:
    async with http.post("/auth/refresh", json={"refreshToken": token}) as answer:
        body: dict[str, Any] = await answer.json()
        assert answer.status == 200, body
        return body


async def test_two_tabs_that_refresh_at_once_never_log_each_other_out(
    http: aiohttp.ClientSession, account: Account
) -> None:
    token = account.refresh_token
    for number in range(ROUNDS):
        one, two = await asyncio.gather(refresh(http, token), refresh(http, token))
        assert one["refreshToken"] == two["refreshToken"]
        token = (one, two)[number % 2]["refreshToken"]


async def test_tabs_that_share_what_they_keep_never_log_each_other_out(
    http: aiohttp.ClientSession, account: Account
) -> None:
    """Each takes what lies there, in its own time, and leaves there what it was given."""
    kept = {"token": account.refresh_token}

    async def tab() -> None:
        for _ in range(ROUNDS):
            kept["token"] = (await refresh(http, kept["token"]))["refreshToken"]

    await asyncio.gather(tab(), tab())
    await refresh(http, kept["token"])


async def test_a_stolen_refresh_token_ends_its_login_and_the_sockets_of_that_alone(
    websocket_door: Door,
) -> None:
    async with running_server(JWT_REFRESH_GRACE_MS=1) as server:
        door = websocket_door.at(server.url)
        account = await Account.register(server.url)
        other = await account.login()
        robbed, spared = [await door.open(who) for who in (account, other)]
        async with aiohttp.ClientSession(server.url) as http:
            await refresh(http, account.refresh_token)
            await asyncio.sleep(0.002)
            stolen = {"refreshToken": account.refresh_token}
            async with http.post("/auth/refresh", json=stolen) as answer:
                assert (answer.status, (await answer.json())["code"]) == (401, "UNAUTHENTICATED")
            await robbed.disconnected()
            await refresh(http, other.refresh_token)
        assert (await spared.call("get_session_info"))["ok"] is True
        assert not spared.named("disconnect")


# ---- the stock JavaScript client


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
async def test_the_stock_client_is_a_guest_and_comes_back(
    options: dict[str, Any], server: Server
) -> None:
    async with browsing(server.url, **options) as browser:
        created = await browser.until_named("SESSION_CREATED")
        ack = await browser.call("user_message_stream", {"text": "/mock tokens=5"})
        assert await browser.answer(ack["turnId"]) == tokens(5)
        await browser.do("drop")
        restored = await browser.until_named("SESSION_RESTORED")
        assert restored["sessionId"] == created["sessionId"]


async def test_the_stock_client_goes_on_under_another_token(
    server: Server, account: Account
) -> None:
    async with browsing(server.url, forged(account.token, exp=int(time.time()) + 50)) as browser:
        await browser.until_named("auth_expiring")
        ack = await browser.call("auth_refresh", {"token": account.token})
        assert ack["ok"] is True
