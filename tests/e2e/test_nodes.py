"""Three nodes on one PostgreSQL and one Redis: a client may land on any of them."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.e2e.accounts import PASSWORD, Account
from tests.e2e.browser import browsing
from tests.e2e.client import Client, check_turn, tokens
from tests.e2e.conftest import Door
from tests.e2e.test_contract_resume import cut, read
from tests.postgres import Postgres, given_postgres, running_postgres
from tests.redis import Redis, running_redis
from tests.server import Server, running_server

LONG = "/mock tokens=80 delay_ms=5 chars=40"
WHOLE = tokens(80, 40)
ENDLESS = "/mock tokens=5000 delay_ms=5"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    if given := given_postgres():
        yield given
        return
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with running_redis() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def nodes(postgres: Postgres, redis: Redis) -> AsyncIterator[list[Server]]:
    """Nodes A, B and C."""
    shared: dict[str, Any] = {"DATABASE_URL": postgres.url("postgres"), "REDIS_URL": redis.url}
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(running_server(**shared, RATE_LIMIT_WINDOW_MS=4_000))
            for _ in range(3)
        ]


@dataclass
class Doors:
    """The ways to the three nodes, and an account that was registered at the first."""

    a: Door
    b: Door
    c: Door
    account: Account


@pytest.fixture
async def doors(nodes: list[Server], open_clients: AsyncExitStack) -> Doors:
    a, b, c = (Door(node.url, "websocket", open_clients) for node in nodes)
    return Doors(a, b, c, await Account.register(nodes[0].url))


async def session_of(client: Client) -> str:
    return str((await client.session())["sessionId"])


async def test_a_client_that_was_cut_off_goes_on_at_another_node(doors: Doors) -> None:
    client = await doors.a.open(doors.account)
    turn_id = (await client.say(LONG))["turnId"]
    last = await cut(client, turn_id)

    resume = [{"turnId": turn_id, "after": last}]
    session = await session_of(client)
    back = await doors.b.open(doors.account, sessionId=session, resume=resume)
    await back.ending(turn_id)
    assert read(client, turn_id) + check_turn(back.turn(turn_id), after=last) == WHOLE


async def test_a_second_device_on_another_node_sees_the_same_unasked(doors: Doors) -> None:
    first = await doors.a.open(doors.account)
    second = await doors.c.open(doors.account, sessionId=await session_of(first))
    turn_id = (await first.say(LONG))["turnId"]
    await first.ending(turn_id)
    await second.ending(turn_id)
    assert check_turn(second.turn(turn_id)) == check_turn(first.turn(turn_id)) == WHOLE
    (message,) = second.named("message_added")
    assert message["content"] == LONG
    assert second.place("message_added") < second.place("stream_start")
    assert not first.named("message_added")


async def test_cancel_on_another_node_ends_it_everywhere(doors: Doors) -> None:
    first = await doors.a.open(doors.account)
    second = await doors.c.open(doors.account, sessionId=await session_of(first))
    turn_id = (await first.say(ENDLESS))["turnId"]
    await second.until(turn_id, 5)
    asked = time.monotonic()
    assert (await second.call("cancel", {"turnId": turn_id}))["status"] == "cancelled"
    assert time.monotonic() - asked < 2
    ends = [await client.ending(turn_id) for client in (first, second)]
    assert [end["reason"] for end in ends] == ["cancelled", "cancelled"]
    assert ends[0]["text"] == ends[1]["text"] == read(first, turn_id)


async def test_cancel_without_a_turn_means_the_one_that_runs_wherever_it_does(
    doors: Doors,
) -> None:
    first = await doors.a.open(doors.account)
    second = await doors.c.open(doors.account, sessionId=await session_of(first))
    running = (await first.say(ENDLESS))["turnId"]
    waiting = (await first.say("/mock tokens=2"))["turnId"]
    await second.until(running, 3)
    # Its row is the newer one.
    assert (await second.call("cancel", {"turnId": waiting}))["status"] == "cancelled"
    ack = await second.call("cancel", {})
    assert (ack["turnId"], ack["status"]) == (running, "cancelled")


AHEAD = """
import time
_now, _ns = time.time, time.time_ns
time.time = lambda: _now() + 86_400
time.time_ns = lambda: _ns() + 86_400 * 10**9
"""
"""The clock of the day of a Python that finds this as ``sitecustomize``: it is tomorrow."""


async def test_a_node_whose_clock_is_wrong_goes_by_the_databases(
    doors: Doors, postgres: Postgres, redis: Redis, tmp_path: Path, open_clients: AsyncExitStack
) -> None:
    client = await doors.a.open(doors.account)
    (tmp_path / "sitecustomize.py").write_text(AHEAD)
    shared: dict[str, Any] = {"DATABASE_URL": postgres.url("postgres"), "REDIS_URL": redis.url}
    async with running_server(**shared, PYTHONPATH=tmp_path) as wrong:
        assert (await wrong.logged("clock_off"))["database_ahead_ms"] < -86_000_000
        session = await session_of(client)
        # Its token and its session have not run out there, either.
        back = await Door(wrong.url, "websocket", open_clients).open(
            doors.account, sessionId=session
        )
        assert await session_of(back) == session
        turn_id = (await back.say("/mock tokens=2"))["turnId"]
        await client.ending(turn_id)
        await back.close()
    assert not client.named("session_expired")


async def test_a_stock_client_is_cut_from_one_node_and_gets_the_rest_from_another(
    doors: Doors, nodes: list[Server]
) -> None:
    """The second client is told what the first had, as a page that was moved by its balancer."""
    async with browsing(nodes[0].url, doors.account.token) as browser:
        session = (await browser.until_named("SESSION_CREATED"))["sessionId"]
        turn_id = (await browser.call("user_message_stream", {"text": LONG}))["turnId"]
        await browser.until(lambda e: e.name == "stream_chunk" and e.data["seq"] >= 10)
        await browser.do("drop")
        had = browser.turn(turn_id)[-1].data["seq"]
        async with browsing(nodes[1].url, doors.account.token, session_id=session) as other:
            await other.until_named("SESSION_RESTORED")
            ack = await other.call("resume", {"turnId": turn_id, "after": had})
            assert ack["ok"]
            await other.until_named("stream_end", turnId=turn_id)
            seqs = [event.data["seq"] for event in other.turn(turn_id)]
            assert seqs == list(range(had + 1, had + 1 + len(seqs)))


async def test_a_plain_answer_reaches_the_other_node(doors: Doors) -> None:
    first = await doors.a.open(doors.account)
    second = await doors.b.open(doors.account, sessionId=await session_of(first))
    turn_id = (await first.say("/mock tokens=5", stream=False))["turnId"]
    assert await first.ending(turn_id) == await second.ending(turn_id)


async def test_the_same_message_sent_to_two_nodes_runs_once(doors: Doors) -> None:
    first = await doors.a.open(doors.account)
    second = await doors.b.open(doors.account, sessionId=await session_of(first))
    said: dict[str, Any] = {"text": "/mock tokens=3", "messageId": "once"}
    acks = await asyncio.gather(
        first.call("user_message_stream", said), second.call("user_message_stream", said)
    )
    assert len({ack["turnId"] for ack in acks}) == 1
    assert [ack.get("duplicate", False) for ack in acks].count(True) == 1
    assert (await second.call("user_message_stream", {**said, "text": "no"}))["error"][
        "code"
    ] == "IDEMPOTENCY_CONFLICT"


async def test_messages_on_two_nodes_run_one_after_the_other(doors: Doors) -> None:
    first = await doors.a.open(doors.account)
    second = await doors.b.open(doors.account, sessionId=await session_of(first))
    one = await first.say(LONG)
    two = await second.say("/mock tokens=3")
    assert two["queued"]
    for client in (first, second):
        await client.ending(two["turnId"])
        ended = client.place("stream_end", turnId=one["turnId"])
        assert ended < client.place("stream_start", turnId=two["turnId"])


async def test_an_interrupting_message_stops_what_another_node_says(doors: Doors) -> None:
    first = await doors.a.open(doors.account)
    second = await doors.b.open(doors.account, sessionId=await session_of(first))
    one = await first.say(ENDLESS)
    await second.until(one["turnId"], 3)
    two = await second.say("/mock tokens=3", onBusy="interrupt")
    assert (await first.ending(one["turnId"]))["reason"] == "interrupted"
    assert (await second.ending(two["turnId"]))["reason"] == "completed"


async def test_a_queued_message_is_cancelled_from_another_node(doors: Doors) -> None:
    first = await doors.a.open(doors.account)
    second = await doors.b.open(doors.account, sessionId=await session_of(first))
    one = await first.say(ENDLESS)
    two = await first.say("/mock tokens=3")
    assert (await second.call("cancel", {"turnId": two["turnId"]}))["status"] == "cancelled"
    assert (await first.ending(two["turnId"]))["reason"] == "cancelled"
    await second.call("cancel", {"turnId": one["turnId"]})


async def test_limits_hold_across_nodes(doors: Doors, postgres: Postgres, redis: Redis) -> None:
    shared: dict[str, Any] = {"DATABASE_URL": postgres.url("postgres"), "REDIS_URL": redis.url}
    async with (
        running_server(**shared, RATE_LIMIT_MAX_REQUESTS=3) as one,
        running_server(**shared, RATE_LIMIT_MAX_REQUESTS=3) as two,
    ):
        clients = [await doors.a.at(node.url).open(doors.account) for node in (one, two)]
        for number in range(3):
            await clients[number % 2].say("/mock tokens=1")
        for client in clients:
            error = await client.refused("user_message_stream", {"text": "one more"})
            assert error["code"] == "RATE_LIMITED"


async def test_a_login_revoked_at_one_node_is_over_at_the_others(doors: Doors) -> None:
    account = doors.account
    away = await doors.b.open(account)
    async with aiohttp.ClientSession() as http:
        headers = {"Authorization": f"Bearer {account.token}"}
        async with http.get(f"{doors.b.url}/auth/me", headers=headers) as answer:
            assert answer.status == 200
        asked = time.monotonic()
        refresh = {"refreshToken": account.refresh_token}
        async with http.post(f"{doors.a.url}/auth/logout", json=refresh) as answer:
            assert answer.status == 204
        await away.disconnected()
        assert time.monotonic() - asked < 2
        async with http.get(f"{doors.b.url}/auth/me", headers=headers) as answer:
            assert answer.status == 401


async def test_a_session_ended_at_one_node_is_over_at_the_others(doors: Doors) -> None:
    first = await doors.a.open(doors.account)
    second = await doors.b.open(doors.account, sessionId=await session_of(first))
    assert (await first.call("end_session"))["ok"]
    await second.wait("session_expired", reason="ended")


async def test_an_account_of_one_node_logs_in_at_another(doors: Doors) -> None:
    async with aiohttp.ClientSession() as http:
        login = {"email": doors.account.email, "password": PASSWORD}
        async with http.post(f"{doors.c.url}/auth/login", json=login) as answer:
            assert answer.status == 200


async def test_a_node_that_is_killed_leaves_every_turn_an_ending(
    doors: Doors, postgres: Postgres, redis: Redis
) -> None:
    shared: dict[str, Any] = {
        "DATABASE_URL": postgres.url("postgres"),
        "REDIS_URL": redis.url,
        "NODE_LEASE_MS": 1_000,
    }
    async with running_server(**shared) as victim:
        client = await doors.a.at(victim.url).open(doors.account)
        other = await doors.b.open(doors.account, sessionId=await session_of(client))
        turn_id = (await client.say(ENDLESS))["turnId"]
        await other.until(turn_id, 20)
        waiting = await client.say("/mock tokens=3")
        victim.kill()
        end = await other.ending(turn_id)
        assert end["reason"] == "interrupted"
        assert end["text"].startswith(read(other, turn_id))
        assert (await other.ending(waiting["turnId"]))["reason"] == "completed"
        await other.call("get_history")
        (said,) = [
            message
            for message in await other.wait("conversation_history")
            if message.get("turnId") == turn_id and message["role"] == "assistant"
        ]
        assert said["content"] == end["text"]
