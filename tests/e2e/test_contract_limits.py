"""Budgets, long texts, and a client that does not read."""

import json
import socket
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from tests.e2e.accounts import Account
from tests.e2e.client import Client, check_turn, tokens
from tests.e2e.conftest import Door
from tests.e2e.raw import open_wire
from tests.server import Server, running_server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strict() -> AsyncIterator[Server]:
    """Three messages a minute, five reads a minute."""
    async with running_server(RATE_LIMIT_MAX_REQUESTS=3, RATE_LIMIT_READS_PER_MINUTE=5) as server:
        yield server


@pytest.fixture
async def customer(strict: Server) -> Account:
    """A fresh account of the strict server."""
    return await Account.register(strict.url)


async def spend(client: Client, count: int = 3) -> None:
    """Sends messages that are within the budget."""
    for _ in range(count):
        await client.ending((await client.say("/mock tokens=1"))["turnId"])


async def test_a_message_over_the_limit_is_refused(
    strict: Server, door: Door, customer: Account
) -> None:
    client = await door.at(strict.url).open(customer)
    await spend(client)

    error = await client.refused("user_message", {"text": "one too many"})

    assert error["code"] == "RATE_LIMITED"
    assert 0 < error["retryAfter"] <= 60
    told = await client.wait("rate_limit", remaining=0, retryAfter=error["retryAfter"])
    assert told["limit"] == 3
    assert told.keys() == {"scope", "remaining", "resetAt", "limit", "retryAfter"}
    assert told["scope"] == "messages"
    seconds = told["resetAt"] / 1000 - time.time() if isinstance(told["resetAt"], int) else 1
    assert 0 < seconds <= 61


async def test_a_client_is_warned_before_its_budget_is_used_up(
    strict: Server, door: Door, customer: Account
) -> None:
    client = await door.at(strict.url).open(customer)
    await spend(client)

    warnings = client.named("rate_limit")
    assert warnings
    assert all("retryAfter" not in warning for warning in warnings)
    assert all(warning["remaining"] < 3 for warning in warnings)


async def test_reconnecting_resets_nothing(strict: Server, door: Door, customer: Account) -> None:
    door = door.at(strict.url)
    client = await door.open(customer)
    await spend(client)
    await client.close()

    again = await door.open(await customer.login())

    assert (await again.refused("user_message", {"text": "hi"}))["code"] == "RATE_LIMITED"


async def test_the_budget_is_one_for_all_sockets_and_one_for_each_user(
    strict: Server, door: Door, customer: Account
) -> None:
    door = door.at(strict.url)
    first, second = [await door.open(customer) for _ in range(2)]
    await spend(first, 2)
    await spend(second, 1)

    assert (await first.refused("user_message", {"text": "hi"}))["code"] == "RATE_LIMITED"
    await spend(await door.open(await Account.register(strict.url)))


async def test_a_refused_message_starts_nothing_and_is_not_kept(
    strict: Server, door: Door, customer: Account
) -> None:
    client = await door.at(strict.url).open(customer)
    await spend(client)
    await client.refused("user_message", {"text": "one too many", "messageId": "mine"})

    await client.call("get_history")

    assert len(await client.wait("conversation_history")) == 6


async def test_what_is_no_message_costs_no_message(
    strict: Server, door: Door, customer: Account
) -> None:
    client = await door.at(strict.url).open(customer)
    for _ in range(2):
        await client.call("get_history")
        await client.call("get_session_info")

    await spend(client)


async def test_reads_have_a_budget_of_their_own(
    strict: Server, door: Door, customer: Account
) -> None:
    client = await door.at(strict.url).open(customer)
    acks = [await client.call("get_history") for _ in range(6)]

    assert [ack["ok"] for ack in acks] == [True] * 5 + [False]
    assert acks[-1]["error"]["code"] == "RATE_LIMITED"
    assert acks[-1]["error"]["retryAfter"] > 0
    await spend(client)


async def test_a_limit_is_told_without_an_acknowledgement_too(
    strict: Server, door: Door, customer: Account
) -> None:
    client = await door.at(strict.url).open(customer)
    await spend(client)

    await client.emit("user_message", {"text": "one too many"})

    error = await client.wait("error")
    assert error["code"] == "RATE_LIMITED"
    assert error["retryAfter"] > 0


async def test_a_text_at_the_limit_is_taken_and_a_longer_one_is_not(client: Client) -> None:
    ack = await client.say("ü" * 32_000, stream=False)
    error = await client.refused("user_message", {"text": "ü" * 32_001})

    assert (await client.ending(ack["turnId"]))["reason"] == "completed"
    assert error["code"] == "PAYLOAD_TOO_LARGE"
    assert "32" in error["message"]


async def test_a_text_far_over_the_limit_is_refused_as_text_too(client: Client) -> None:
    error = await client.refused("user_message", {"text": "x" * 900_000})

    assert error["code"] == "PAYLOAD_TOO_LARGE"


async def test_a_turn_is_bounded(client: Client) -> None:
    ack = await client.say("/mock tokens=3000 chars=1000")
    end = await client.ending(ack["turnId"])

    assert len(client.turn(ack["turnId"])) <= 16_000
    text = check_turn(client.turn(ack["turnId"]))
    assert len(text) <= 1_100_000
    assert tokens(3_000, 1_000).startswith(text)
    assert end["reason"] != "completed"


async def test_a_turn_of_very_many_tokens_arrives_whole(client: Client) -> None:
    ack = await client.say("/mock tokens=50000")
    end = await client.ending(ack["turnId"])

    assert end["reason"] == "completed"
    assert check_turn(client.turn(ack["turnId"])) == tokens(50_000)


async def test_what_is_said_again_or_wrong_costs_what_a_question_costs(door: Door) -> None:
    """It is no message, and no way around the limits either."""
    async with running_server(RATE_LIMIT_READS_PER_MINUTE=4) as server:
        client = await door.at(server.url).open(await Account.register(server.url))
        await client.say("hi", stream=False, messageId="m1")
        assert (await client.say("hi", stream=False, messageId="m1"))["duplicate"] is True
        for payload in ({"text": 5}, {"text": " "}, {"txt": ""}):
            refused = await client.refused("user_message", payload)
            assert refused["code"] == "VALIDATION_ERROR"
        for payload in ({"text": 5}, {"text": "hi", "messageId": "m1"}):
            refused = await client.refused("user_message", payload)
            assert refused["code"] == "RATE_LIMITED"
        assert (await client.say("on", stream=False))["ok"] is True
        await client.close()


async def test_the_usual_model_may_be_named_and_another_may_not(client: Client) -> None:
    await client.say("hi", stream=False, model="mock")
    error = await client.refused("user_message", {"text": "hi", "model": "gpt-99"})
    assert (error["code"], error["errors"][0]["path"]) == ("VALIDATION_ERROR", "model")
    assert "gpt-99" not in error["message"]


# ---------------------------------------------------------------------------- slow readers


async def connections(http: aiohttp.ClientSession) -> int:
    async with http.get("/health") as answer:
        return int((await answer.json())["connections"])


async def test_a_client_that_never_reads_is_closed_while_others_go_on(
    websocket_door: Door,
) -> None:
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    narrow.setblocking(False)
    connector = aiohttp.TCPConnector(socket_factory=lambda _info: narrow)
    async with (
        running_server(SLOW_CONSUMER_MS=300) as server,
        aiohttp.ClientSession(server.url) as http,
    ):
        account = await Account.register(server.url)
        watcher = await websocket_door.at(server.url).open(account)
        session = (await watcher.session())["sessionId"]
        async with open_wire(server.url, connector) as wire:
            await wire.join({"token": account.token, "sessionId": session})
            await wire.event("SESSION_RESTORED")
            for _ in range(6):
                ack = await watcher.say("/mock tokens=900 chars=1000")
                await watcher.ending(ack["turnId"])
                assert check_turn(watcher.turn(ack["turnId"])) == tokens(900, 1_000)
            while await connections(http) > 1:
                pass

        assert not watcher.named("disconnect")


async def test_a_reader_that_stops_for_a_while_loses_nothing(
    server: Server, account: Account, websocket_door: Door
) -> None:
    async with open_wire(server.url) as wire:
        await wire.join({"token": account.token})
        session = (await wire.event("SESSION_CREATED"))["sessionId"]
        watcher = await websocket_door.open(account, sessionId=session)
        turn_id = (await watcher.say("/mock tokens=900 chars=1000"))["turnId"]
        await watcher.ending(turn_id)

        assert await wire.event("message_added")
        events = [json.loads(packet[2:]) async for packet in wire.until("stream_end")]

    assert [data["seq"] for _, data in events] == list(range(len(events)))
    text = "".join(data["content"] for name, data in events if name == "stream_chunk")
    assert text == tokens(900, 1_000)
