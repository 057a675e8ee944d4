"""The handshake, the session behind a connection, and its end."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import aiohttp
import pytest
import pytest_asyncio

from tests.e2e.accounts import Account, forged
from tests.e2e.client import Client, Transport, check_turn, tokens
from tests.e2e.conftest import Door
from tests.e2e.raw import open_wire
from tests.server import Server, running_server

LATER_SECONDS = 20 * 60


def is_ahead(time_text: str, seconds: float) -> bool:
    """Whether an ISO 8601 time in UTC is in the future, but not by more than ``seconds``."""
    moment = datetime.fromisoformat(time_text)
    assert moment.utcoffset() == UTC.utcoffset(None)
    return 0 < moment.timestamp() - time.time() <= seconds


async def test_a_token_in_auth_opens_a_session(client: Client) -> None:
    created = await client.wait("SESSION_CREATED")

    assert created.keys() == {"sessionId", "expiresAt"}
    assert created["sessionId"].startswith("ses_")
    assert len(created["sessionId"]) >= len("ses_") + 22
    assert is_ahead(created["expiresAt"], 15 * 60)
    assert client.place("connect") < client.place("SESSION_CREATED")


async def test_a_token_in_the_authorization_header_opens_a_session(
    door: Door, account: Account
) -> None:
    client = await door.open(headers={"Authorization": f"Bearer {account.token}"})

    assert (await client.wait("SESSION_CREATED"))["sessionId"]


async def test_a_connection_is_upgraded_on_the_way(account: Account, websocket_door: Door) -> None:
    client = await replace(websocket_door, transport="upgrade").open(account)

    turn = await client.say("/mock tokens=40 delay_ms=1 chars=50")
    await client.ending(turn["turnId"])

    assert client.sio.transport() == "websocket"
    assert check_turn(client.turn(turn["turnId"])) == tokens(40, 50)


async def test_a_token_in_the_query_string_is_refused(door: Door, account: Account) -> None:
    error = await door.at(f"{door.url}?token={account.token}").refused()

    assert error["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("kind", ["nonsense", "refresh token", "other secret", "empty"])
async def test_a_bad_token_is_refused(door: Door, account: Account, kind: str) -> None:
    token = {
        "nonsense": "a.b.c",
        "refresh token": account.refresh_token,
        "other secret": forged(account.token, secret="another secret, long enough to sign with"),
        "empty": "",
    }[kind]

    error = await door.refused(token=token)

    assert error["code"] == "UNAUTHENTICATED"
    assert error["message"]


@pytest.mark.parametrize(
    "claims", [{"typ": "refresh"}, {"iss": "another"}, {"aud": "another"}, {"sid": "fam_none"}]
)
async def test_a_token_with_other_claims_is_refused(
    door: Door, account: Account, claims: dict[str, str]
) -> None:
    error = await door.refused(token=forged(account.token, **claims))

    assert error["code"] == "UNAUTHENTICATED"


async def test_an_expired_token_is_refused_as_such(door: Door, account: Account) -> None:
    now = int(time.time())

    error = await door.refused(token=forged(account.token, iat=now - 1_000, exp=now - 100))

    assert error["code"] == "TOKEN_EXPIRED"


@pytest.mark.parametrize(
    ("auth", "path"),
    [
        ({"sessionId": 7}, "sessionId"),
        ({"open": "yes"}, "open"),
        ({"resume": "trn_1"}, "resume"),
        ({"resume": [{"turnId": "trn_1"}]}, "resume.0.after"),
        ({"resume": [{"turnId": "trn_1", "after": "x"}]}, "resume.0.after"),
        ({"colour": "red"}, "colour"),
        ({"sessionId": "ses_\0"}, "sessionId"),
        ({"resume": [{"turnId": "trn_\0", "after": 1}]}, "resume.0.turnId"),
    ],
)
async def test_a_handshake_of_a_wrong_form_is_refused_with_the_field_named(
    websocket_door: Door, account: Account, auth: dict[str, object], path: str
) -> None:
    error = await websocket_door.refused(account, **auth)

    assert error["code"] == "VALIDATION_ERROR"
    assert path in [fault["path"] for fault in error["errors"]]


async def test_a_session_is_restored_with_its_history(door: Door, account: Account) -> None:
    first = await door.open(account)
    session = await first.session()
    ack = await first.say("/mock tokens=3", stream=False)
    await first.ending(ack["turnId"])
    await first.close()

    restored = await (await door.open(account, sessionId=session["sessionId"])).wait(
        "SESSION_RESTORED"
    )

    assert restored.keys() == {"sessionId", "history", "expiresAt", "activeTurns"}
    assert restored["sessionId"] == session["sessionId"]
    assert is_ahead(restored["expiresAt"], 15 * 60)
    assert restored["activeTurns"] == []
    assert [message["role"] for message in restored["history"]] == ["user", "assistant"]
    assert [message["content"] for message in restored["history"]] == ["/mock tokens=3", "0 1 2 "]


async def test_the_session_may_come_as_a_query_parameter(door: Door, account: Account) -> None:
    session = await (await door.open(account)).session()

    again = await door.at(f"{door.url}?sessionId={session['sessionId']}").open(account)

    assert (await again.wait("SESSION_RESTORED"))["sessionId"] == session["sessionId"]


async def test_an_unknown_session_gives_a_new_one_that_says_so(
    door: Door, account: Account
) -> None:
    created = await (await door.open(account, sessionId="ses_unknown")).wait("SESSION_CREATED")

    assert created["restoreFailed"] == "not_found"
    assert created["sessionId"] != "ses_unknown"


@pytest.mark.parametrize("opened", [False, True])
async def test_somebody_elses_session_answers_as_an_unknown_one(
    door: Door, account: Account, stranger: Account, opened: bool
) -> None:
    theirs = (await (await door.open(stranger)).session())["sessionId"]

    mine = await (await door.open(account, sessionId=theirs, open=opened)).session()
    unknown = await (await door.open(account, sessionId="ses_unknown", open=opened)).session()

    assert mine["restoreFailed"] == unknown["restoreFailed"] == "not_found"
    assert mine["sessionId"] != theirs
    assert mine.keys() == unknown.keys()


async def test_end_session_ends_it_and_the_next_message_opens_another(
    client: Client,
) -> None:
    old = (await client.session())["sessionId"]

    ack = await client.call("end_session")

    assert ack["ok"] is True
    assert abs(datetime.fromisoformat(ack["endedAt"]).timestamp() - time.time()) < 60
    assert 0 <= ack["durationSeconds"] < 60
    said = await client.say("hello", stream=False)
    created = await client.wait("SESSION_CREATED", nth=1)
    assert created["sessionId"] != old
    assert (await client.ending(said["turnId"]))["reason"] == "completed"


async def test_a_session_that_was_ended_is_not_restored(
    door: Door, client: Client, account: Account
) -> None:
    ended = (await client.session())["sessionId"]
    await client.call("end_session")

    created = await (await door.open(account, sessionId=ended)).wait("SESSION_CREATED")

    assert created["restoreFailed"] == "expired"


async def test_every_device_is_told_that_the_session_was_ended(
    door: Door, client: Client, account: Account
) -> None:
    session = (await client.session())["sessionId"]
    other = await door.open(account, sessionId=session)

    await client.call("end_session")

    assert (await other.wait("session_expired"))["sessionId"] == session


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hasty() -> AsyncIterator[Server]:
    """Sessions end soon: one second without activity, nearly at once without a socket."""
    async with running_server(
        SESSION_TTL_MS=1_000, SESSION_DISCONNECT_GRACE_MS=1, CONNECT_TIMEOUT_MS=200
    ) as server:
        yield server


async def expired_session(door: Door, account: Account) -> str:
    """A session with one message whose grace has passed."""
    client = await door.open(account)
    session: str = (await client.session())["sessionId"]
    await client.ending((await client.say("/mock tokens=2", stream=False))["turnId"])
    while True:
        await client.close()
        client = await door.open(account, sessionId=session)
        if (await client.session()).get("restoreFailed"):
            await client.close()
            return session


async def test_after_the_grace_a_session_has_expired(hasty: Server, door: Door) -> None:
    door = door.at(hasty.url)
    account = await Account.register(hasty.url)
    session = await expired_session(door, account)

    created = await (await door.open(account, sessionId=session)).session()

    assert created["restoreFailed"] == "expired"
    assert created["sessionId"] != session


async def test_its_owner_reopens_an_expired_session(hasty: Server, door: Door) -> None:
    door = door.at(hasty.url)
    account = await Account.register(hasty.url)
    session = await expired_session(door, account)

    reopened = await (await door.open(account, sessionId=session, open=True)).wait(
        "SESSION_RESTORED"
    )

    assert reopened["sessionId"] == session
    assert [message["content"] for message in reopened["history"]] == ["/mock tokens=2", "0 1 "]


async def test_a_stranger_cannot_reopen_an_expired_session(hasty: Server, door: Door) -> None:
    door = door.at(hasty.url)
    session = await expired_session(door, await Account.register(hasty.url))

    created = await (
        await door.open(await Account.register(hasty.url), sessionId=session, open=True)
    ).session()

    assert created["restoreFailed"] == "not_found"


async def test_an_idle_session_expires_and_the_next_message_opens_a_new_one(
    hasty: Server, door: Door
) -> None:
    client = await door.at(hasty.url).open(await Account.register(hasty.url))
    old = (await client.session())["sessionId"]

    expired = await client.wait("session_expired")
    ack = await client.say("hello")

    assert expired["sessionId"] == old
    assert expired["reason"]
    assert (await client.ending(ack["turnId"]))["reason"] == "completed"
    created = client.named("SESSION_CREATED")[1]
    assert created["sessionId"] != old
    assert client.named("stream_start")[0]["sessionId"] == created["sessionId"]
    assert client.place("SESSION_CREATED", sessionId=created["sessionId"]) < client.place(
        "stream_start"
    )


async def test_a_websocket_that_never_finishes_the_handshake_is_closed(hasty: Server) -> None:
    async with open_wire(hasty.url) as wire:
        while await wire.receive() is not None:
            pass

        assert wire.socket.closed


async def test_a_polling_connection_that_never_finishes_the_handshake_is_closed(
    hasty: Server,
) -> None:
    async with aiohttp.ClientSession(hasty.url) as http:
        query = {"EIO": "4", "transport": "polling"}
        async with http.get("/socket.io/", params=query) as answer:
            sid = json.loads((await answer.text())[1:])["sid"]
        statuses: list[int] = []
        while not statuses or statuses[-1] == 200:
            async with http.get("/socket.io/", params={**query, "sid": sid}) as answer:
                statuses.append(answer.status)

    assert statuses[-1] == 400


async def test_logout_closes_the_sockets_of_that_family_only(
    door: Door, client: Client, account: Account
) -> None:
    other = await door.open(await account.login())

    await account.logout()

    await client.disconnected()
    assert (await door.refused(account))["code"] == "UNAUTHENTICATED"
    assert (await other.call("get_session_info"))["ok"] is True
    assert not other.named("disconnect")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def capped() -> AsyncIterator[Server]:
    """Room for 3 sockets and 2 sessions per user."""
    async with running_server(MAX_SOCKETS_PER_USER=3, MAX_SESSIONS_PER_USER=2) as server:
        yield server


async def test_a_user_has_so_many_sockets_and_no_more(capped: Server, door: Door) -> None:
    door = door.at(capped.url)
    account = await Account.register(capped.url)
    first = await door.open(account)
    session = (await first.session())["sessionId"]
    for _ in range(2):
        await (await door.open(account, sessionId=session)).wait("SESSION_RESTORED")

    assert (await door.refused(account, sessionId=session))["code"] == "SESSION_LIMIT"
    assert (await first.call("get_session_info"))["ok"] is True
    assert await (await door.open(await Account.register(capped.url))).session()


async def test_a_user_has_so_many_live_sessions_and_no_more(capped: Server, door: Door) -> None:
    door = door.at(capped.url)
    account = await Account.register(capped.url)
    first = await door.open(account)
    await first.session()
    await (await door.open(account)).session()

    assert (await door.refused(account))["code"] == "SESSION_LIMIT"
    assert (await first.call("end_session"))["ok"] is True
    await first.close()
    assert (await (await door.open(account)).session())["sessionId"]


async def test_an_address_has_so_many_sockets_and_no_more(door: Door) -> None:
    async with running_server(MAX_SOCKETS_PER_ADDRESS=2) as server:
        door = door.at(server.url)
        first = await door.open(await Account.register(server.url))
        await door.open(await Account.register(server.url))
        third = await Account.register(server.url)

        error = await door.refused(third)
        await first.close()

        assert error["code"] == "SESSION_LIMIT"
        assert await (await door.open(third)).session()


async def test_a_full_node_turns_strangers_away_and_keeps_whom_it_has(door: Door) -> None:
    async with running_server(MAX_SESSIONS_PER_NODE=1) as server:
        door = door.at(server.url)
        client = await door.open(await Account.register(server.url))

        error = await door.refused(await Account.register(server.url))

        assert error["code"] == "SESSION_LIMIT"
        assert (await client.call("get_session_info"))["ok"] is True


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def choosy() -> AsyncIterator[Server]:
    """Pages of one origin may connect."""
    async with running_server(CORS_ORIGIN="https://app.example.com") as server:
        yield server


async def test_a_page_of_another_origin_is_denied(choosy: Server, transport: Transport) -> None:
    account = await Account.register(choosy.url)
    query = {"EIO": "4", "transport": transport}
    headers = {"Origin": "https://evil.example.com", "Authorization": f"Bearer {account.token}"}
    if transport == "websocket":
        headers |= {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
    async with (
        aiohttp.ClientSession(choosy.url) as http,
        http.get("/socket.io/", params=query, headers=headers) as answer,
    ):
        body = await answer.json(content_type=None)

    assert answer.status == 403
    assert body["code"] == "ORIGIN_DENIED"


@pytest.mark.parametrize("origin", ["https://app.example.com", None])
async def test_the_own_page_and_programs_may_connect(
    choosy: Server, door: Door, origin: str | None
) -> None:
    account = await Account.register(choosy.url)
    headers = {"Origin": origin} if origin else None

    client = await door.at(choosy.url).open(account, headers=headers)

    assert await client.wait("SESSION_CREATED")


async def test_a_socket_may_leave_the_namespace_and_come_back(
    server: Server, account: Account
) -> None:
    """It is let go of each time, so that it does not meet its own caps."""
    async with open_wire(server.url) as wire:
        session = None
        for _ in range(30):
            answer = await wire.join({"token": account.token, "sessionId": session})
            assert answer is not None
            assert answer.startswith("40")
            async for packet in wire.until("SESSION_RESTORED" if session else "SESSION_CREATED"):
                session = json.loads(packet[2:])[1]["sessionId"]
            await wire.send("41")
