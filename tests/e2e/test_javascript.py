"""The stock JavaScript client, under remote control, against a real server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.accounts import Account
from tests.e2e.browser import OPTIONS, browsing
from tests.e2e.client import tokens
from tests.proxy import Proxy, running_proxy
from tests.server import running_server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server_url() -> AsyncIterator[str]:
    async with running_server(STREAM_COALESCE_MS=0, SHUTDOWN_TIMEOUT_MS=100) as server:
        yield server.url


@pytest.fixture
async def account(server_url: str) -> Account:
    return await Account.register(server_url)


@pytest.fixture
async def proxy(server_url: str) -> AsyncIterator[Proxy]:
    async with running_proxy(server_url) as proxy:
        yield proxy


every_way = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


@every_way
async def test_it_connects_and_streams(
    options: dict[str, Any], server_url: str, account: Account
) -> None:
    async with browsing(server_url, account.token, **options) as browser:
        await browser.until_named("SESSION_CREATED")
        assert browser.events[0].name == "connect"
        ack = await browser.call("user_message_stream", {"text": "/mock tokens=200"})
        assert ack["ok"]
        assert await browser.answer(ack["turnId"]) == tokens(200)


@every_way
async def test_plain_answers_history_and_refusals_come_as_they_should(
    options: dict[str, Any], server_url: str, account: Account
) -> None:
    async with browsing(server_url, account.token, **options) as browser:
        ack = await browser.call("user_message", {"text": "Grüße, 世界 👋"})
        answer = await browser.until_named("assistant_response", turnId=ack["turnId"])
        assert answer["text"] == 'I understood: "Grüße, 世界 👋" Tell me more.'
        await browser.call("get_history")
        history = await browser.until_named("conversation_history")
        assert [message["role"] for message in history] == ["user", "assistant"]
        refused = await browser.call("no_such_event")
        assert refused["error"]["code"] == "UNKNOWN_EVENT"


async def test_the_transport_changes_in_the_middle_of_a_stream(
    proxy: Proxy, account: Account
) -> None:
    upgrade = proxy.hold(b"transport=websocket")
    async with browsing(proxy.url, account.token) as browser:
        connected = await browser.until_named("connect")
        assert connected["transport"] == "polling"
        say = {"text": "/mock tokens=3000 delay_ms=1"}
        turn_id = (await browser.call("user_message_stream", say))["turnId"]
        await browser.until_named("stream_chunk", turnId=turn_id, index=50)
        upgrade.set()
        assert await browser.answer(turn_id) == tokens(3000)
        names = [event.name for event in browser.events]
        assert names.index("upgrade") < names.index("stream_end")
        assert browser.named("upgrade") == ["websocket"]


@every_way
async def test_a_cut_stream_goes_on_where_it_was(
    options: dict[str, Any], proxy: Proxy, account: Account
) -> None:
    async with browsing(proxy.url, account.token, **options) as browser:
        proxy.cut_before(b'"seq":20}', b"SESSION_RESTORED", b'"seq":40}', b"stream_end")
        say = {"text": "/mock tokens=100 delay_ms=3"}
        turn_id = (await browser.call("user_message_stream", say))["turnId"]
        assert await browser.answer(turn_id) == tokens(100)
        assert proxy.cuts == 4
        restored = browser.named("SESSION_RESTORED")
        assert {session["sessionId"] for session in restored} == {
            browser.named("SESSION_CREATED")[0]["sessionId"]
        }


async def test_what_was_acknowledged_is_resumed_with_none_of_it_seen(
    proxy: Proxy, account: Account
) -> None:
    async with browsing(proxy.url, account.token) as browser:
        await browser.until_named("SESSION_CREATED")
        proxy.cut_before(b"stream_start")
        turn_id = (await browser.call("user_message_stream", {"text": "/mock"}))["turnId"]
        assert await browser.answer(turn_id) == tokens(20)
        assert proxy.cuts == 1


async def test_a_slow_line_cut_in_the_middle_of_a_packet_loses_nothing(
    proxy: Proxy, account: Account
) -> None:
    proxy.delay = 0.002
    async with browsing(proxy.url, account.token) as browser:
        await browser.until_named("SESSION_CREATED")
        proxy.cut_after(5_001)
        say = {"text": "/mock tokens=200 delay_ms=1"}
        turn_id = (await browser.call("user_message_stream", say))["turnId"]
        assert await browser.answer(turn_id) == tokens(200)
        assert proxy.cuts == 1


async def test_a_silent_line_is_noticed_and_replaced() -> None:
    # The client waits for the server's pings, whose pace the server told it.
    async with (
        running_server(PING_INTERVAL_MS=300, PING_TIMEOUT_MS=300) as server,
        running_proxy(server.url) as proxy,
    ):
        account = await Account.register(server.url)
        async with browsing(proxy.url, account.token) as browser:
            say = {"text": "/mock tokens=300 delay_ms=5"}
            turn_id = (await browser.call("user_message_stream", say))["turnId"]
            await browser.until_named("stream_chunk", turnId=turn_id)
            with proxy.black_hole():
                assert await browser.until_named("disconnect") == "ping timeout"
            assert await browser.answer(turn_id) == tokens(300)


async def test_ten_reconnects_in_one_long_stream_lose_nothing(
    server_url: str, account: Account
) -> None:
    async with browsing(server_url, account.token, reconnectionDelay=50) as browser:

        async def back(times: int) -> None:
            await browser.until(lambda _: len(browser.named("SESSION_RESTORED")) == times)

        say = {"text": "/mock tokens=2000 delay_ms=2"}
        turn_id = (await browser.call("user_message_stream", say))["turnId"]
        for number in range(1, 11):
            await browser.until_named("stream_chunk", turnId=turn_id, index=number * 100)
            await browser.do("drop")
            await back(number)
        assert await browser.answer(turn_id) == tokens(2000)
        await back(10)


async def test_a_second_device_sees_the_same(server_url: str, account: Account) -> None:
    async with browsing(server_url, account.token) as phone:
        session_id = (await phone.until_named("SESSION_CREATED"))["sessionId"]
        async with browsing(server_url, account.token, session_id=session_id) as laptop:
            await laptop.until_named("SESSION_RESTORED")
            turn_id = (await phone.call("user_message_stream", {"text": "/mock"}))["turnId"]
            assert await phone.answer(turn_id) == await laptop.answer(turn_id) == tokens(20)
            added = await laptop.until_named("message_added")
            assert (added["role"], added["content"]) == ("user", "/mock")
            assert not phone.named("message_added")
            assert [e.data for e in phone.turn(turn_id)] == [e.data for e in laptop.turn(turn_id)]


@every_way
async def test_a_refused_connection_says_why(options: dict[str, Any], server_url: str) -> None:
    async with browsing(server_url, "no-token", **options) as browser:
        error = await browser.until_named("connect_error")
        assert error["data"]["code"] == "UNAUTHENTICATED"
        assert error["message"] == error["data"]["message"]


@every_way
async def test_acks_come_in_the_order_of_the_events(
    options: dict[str, Any], server_url: str, account: Account
) -> None:
    async with browsing(server_url, account.token, **options) as browser:
        await browser.until_named("SESSION_CREATED")
        events = ["get_history", "user_message", "no_such_event", "get_session_info"]
        numbers = [await browser.emit(event, {}) for _ in range(10) for event in events]
        await browser.until_named("ack", id=numbers[-1])
        assert [ack["id"] for ack in browser.named("ack")] == numbers


async def test_ten_emitters_at_once_each_keep_their_order(server_url: str) -> None:
    async def emitter() -> None:
        account = await Account.register(server_url)
        async with browsing(server_url, account.token) as browser:
            says = [{"text": f"/mock tokens={50 + number}"} for number in range(3)]
            numbers = [await browser.emit("user_message_stream", say) for say in says]
            acks = [await browser.until_named("ack", id=number) for number in numbers]
            assert [ack["id"] for ack in browser.named("ack")] == numbers
            texts = [await browser.answer(ack["turnId"]) for ack in acks]
            assert texts == [tokens(50), tokens(51), tokens(52)]
            ends = [end["turnId"] for end in browser.named("stream_end")]
            assert ends == [ack["turnId"] for ack in acks]

    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(emitter())
