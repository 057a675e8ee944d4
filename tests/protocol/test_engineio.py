"""Engine.IO v4, a rule a test, over the wire."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.protocol.process import App
from tests.protocol.wire import ACCEPT, connected, opened, polling, probing, upgrade, websocket

PATHS = ["/engine.io/", "/socket.io/"]
PING_SECONDS, PONG_SECONDS = 0.3, 0.2
"""What the conformance app has."""
FOREVER = 10.0

HELLO = {"pingInterval": 300, "pingTimeout": 200, "maxPayload": 1_000_000}


async def asked(app: App, query: str, method: str = "GET", path: str = "/engine.io/") -> Any:
    """Status and JSON of the answer to a request."""
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, f"{app.url}{path}?{query}") as answer,
    ):
        return answer.status, json.loads(await answer.text())


# ---- the handshake


@pytest.mark.parametrize("path", PATHS)
async def test_polling_opens_a_session(app: App, path: str) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{app.url}{path}?EIO=4&transport=polling") as answer,
    ):
        text = await answer.text()
        assert answer.status == 200
        assert answer.content_type == "text/plain"
    assert text[0] == "0"
    hello = json.loads(text[1:])
    assert isinstance(hello.pop("sid"), str)
    assert hello == {**HELLO, "upgrades": ["websocket"]}


@pytest.mark.parametrize("path", PATHS)
async def test_a_websocket_opens_a_session(app: App, path: str) -> None:
    async with websocket(app.url, path) as wire:
        text = await wire.receive()
    assert isinstance(text, str)
    assert text[0] == "0"
    hello = json.loads(text[1:])
    assert isinstance(hello.pop("sid"), str)
    assert hello == {**HELLO, "upgrades": []}


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.parametrize("version", ["", "&EIO=", "&EIO=3", "&EIO=abc"])
async def test_another_version_is_refused(app: App, transport: str, version: str) -> None:
    told = {"code": 5, "message": "Unsupported protocol version"}
    assert await asked(app, f"transport={transport}{version}") == (400, told)


@pytest.mark.parametrize("query", ["EIO=4", "EIO=4&transport=abc", "EIO=4&transport="])
async def test_an_unknown_transport_is_refused(app: App, query: str) -> None:
    assert await asked(app, query) == (400, {"code": 0, "message": "Transport unknown"})


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_an_unknown_session_is_refused(app: App, transport: str) -> None:
    told = {"code": 1, "message": "Session ID unknown"}
    assert await asked(app, f"EIO=4&transport={transport}&sid=nobody") == (400, told)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_a_session_is_opened_by_get_alone(app: App, method: str) -> None:
    told = {"code": 2, "message": "Bad handshake method"}
    assert await asked(app, "EIO=4&transport=polling", method) == (400, told)


async def test_a_session_takes_get_and_post_alone(app: App) -> None:
    async with polling(app.url) as client:
        status, _ = await asked(app, client.query, "PUT")
        assert status == 400
        assert await client.post("4still there") == (200, "ok")


async def test_a_page_of_another_origin_may_ask_beforehand(app: App) -> None:
    asks = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    url = f"{app.url}/engine.io/?EIO=4&transport=polling"
    async with aiohttp.ClientSession() as http, http.options(url, headers=asks) as answer:
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == asks["Origin"]
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"Sec_WebSocket_Key": None},
        {"Sec_WebSocket_Key": "c2hvcnQ="},
        {"Sec_WebSocket_Key": "?" * 24},
        {"Sec_WebSocket_Version": "8"},
        {"Connection": "close"},
    ],
    ids=["no key", "short key", "bad key", "version", "connection"],
)
async def test_a_bad_upgrade_is_refused(app: App, wrong: dict[str, str | None]) -> None:
    async with connected(app.url) as wire:
        wire.writer.write(upgrade("/engine.io/?EIO=4&transport=websocket", **wrong))
        assert (await wire.reader.readline()).startswith(b"HTTP/1.1 400 ")


async def test_a_websocket_request_without_upgrade_is_refused(app: App) -> None:
    assert (await asked(app, "EIO=4&transport=websocket"))[0] == 400


async def test_an_upgrade_may_come_byte_by_byte(app: App) -> None:
    async with connected(app.url) as wire:
        for byte in upgrade("/engine.io/?EIO=4&transport=websocket"):
            wire.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert ACCEPT in await wire.reader.readuntil(b"\r\n\r\n")
        hello = await wire.receive()
        assert isinstance(hello, str)


async def test_what_comes_right_behind_the_upgrade_is_read(app: App) -> None:
    async with connected(app.url) as wire:
        wire.writer.write(upgrade("/engine.io/?EIO=4&transport=websocket"))
        wire.send("4early")
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.receive()
        assert await wire.receive() == "4early"


async def test_a_connection_that_was_used_for_requests_may_upgrade(app: App) -> None:
    async with connected(app.url) as wire:
        wire.writer.write(b"GET /engine.io/?EIO=4 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"Transport unknown" in await wire.reader.readuntil(b"}")
        wire.writer.write(upgrade("/engine.io/?EIO=4&transport=websocket"))
        assert ACCEPT in await wire.reader.readuntil(b"\r\n\r\n")
        await wire.receive()
        wire.send("4hello")
        assert await wire.receive() == "4hello"


# ---- messages


@pytest.mark.parametrize(
    "packets",
    [["4hello"], ["4test1", "4test2", "4test3"], ["4hello", "bAQIDBA=="], ["4grüße\n😀"], ["4"]],
    ids=["one", "several", "text and binary", "unicode", "empty"],
)
async def test_polling_brings_back_what_was_posted(app: App, packets: list[str]) -> None:
    async with polling(app.url) as client:
        assert await client.post(*packets) == (200, "ok")
        assert await client.poll() == (200, "\x1e".join(packets))


async def test_a_poll_waits_for_a_message(app: App) -> None:
    async with polling(app.url) as client:
        poll = asyncio.create_task(client.poll())
        await client.post("4late")
        assert await poll == (200, "4late")


async def test_many_messages_come_in_order_and_in_payloads_that_all_clients_read(app: App) -> None:
    sent = [f"4{number}" for number in range(100)]
    async with polling(app.url) as client:
        await client.post(*sent)
        came: list[str] = []
        while len(came) < len(sent):
            packets = (await client.poll())[1].split("\x1e")
            assert len(packets) <= 16
            came += packets
    assert came == sent


async def test_payloads_that_are_posted_side_by_side_are_all_read(app: App) -> None:
    async with polling(app.url) as client:
        answers = await asyncio.gather(*(client.post(f"4{number}") for number in range(5)))
        assert answers == 5 * [(200, "ok")]
        came = (await client.poll())[1].split("\x1e")
    assert sorted(came) == [f"4{number}" for number in range(5)]


@pytest.mark.parametrize("message", ["4hello", b"\1\2\3\4", "4" + "ü" * 70_000, bytes(70_000)])
async def test_a_websocket_brings_back_what_was_sent(app: App, message: str | bytes) -> None:
    async with opened(app.url) as wire:
        wire.send(message)
        assert await wire.receive() == message


@pytest.mark.parametrize("body", ["abc", "", "4a\x1e", "bno base64", "4a\x1e2", "0{}", "4a\x1eb?"])
async def test_a_bad_payload_closes_the_session(app: App, body: str) -> None:
    async with polling(app.url) as client:
        assert (await client.post(body))[0] == 400
        assert (await client.poll())[0] == 400


async def test_a_payload_over_the_limit_is_refused(app: App) -> None:
    async with polling(app.url) as client:
        assert (await client.post("4" + 1_000_000 * "x"))[0] == 413


@pytest.mark.parametrize("packet", ["abc", "", "2", "0", "6", "b?"])
async def test_a_bad_packet_closes_the_websocket(app: App, packet: str) -> None:
    async with opened(app.url) as wire:
        wire.send(packet)
        assert await wire.closed() == 1002


async def test_a_second_poll_closes_the_session(app: App) -> None:
    async with polling(app.url) as client:
        first = asyncio.create_task(client.poll())
        await asyncio.sleep(0.02)  # the first has to be there
        assert (await client.poll())[0] == 400
        assert await first == (200, "1")
        assert (await client.poll())[0] == 400


async def test_a_poll_that_was_broken_off_ends_the_session(app: App) -> None:
    """As others have it: nobody knows what its answer would have carried."""
    async with polling(app.url) as client:
        poll = asyncio.create_task(client.poll())
        await asyncio.sleep(0.02)  # it has to be there
        poll.cancel()
        await asyncio.wait([poll])
        assert (await client.poll())[0] == 400


# ---- the heartbeat


async def test_a_poll_is_told_pings(app: App) -> None:
    async with polling(app.url) as client:
        for _ in range(3):
            assert await client.poll() == (200, "2")
            assert await client.post("3") == (200, "ok")


async def test_a_websocket_is_told_pings(app: App) -> None:
    async with opened(app.url) as wire:
        for _ in range(3):
            assert await wire.receive(pings=True) == "2"
            wire.send("3")


async def test_a_polling_client_without_pongs_is_closed_in_time(app: App) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with polling(app.url) as client:
        while (await client.poll())[0] == 200:
            pass
        assert PING_SECONDS + PONG_SECONDS <= loop.time() - began + 0.01 < 1.0
        assert (await client.post("3"))[0] == 400


async def test_a_websocket_without_pongs_is_closed_in_time(app: App) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()  # the server's clock starts before its client hears of it
    async with opened(app.url) as wire:
        await wire.closed()
        assert PING_SECONDS + PONG_SECONDS <= loop.time() - began + 0.01 < 1.0


async def test_a_pong_that_nobody_asked_for_is_no_news(app: App) -> None:
    async with opened(app.url) as wire:
        wire.send("3", "3", "5", "4hello")
        assert await wire.receive() == "4hello"


# ---- the end


async def test_a_waiting_poll_is_let_go_when_its_client_closes(app: App) -> None:
    async with polling(app.url) as client:
        poll = asyncio.create_task(client.poll())
        await asyncio.sleep(0.02)  # it has to be there
        assert await client.post("1") == (200, "ok")
        assert await poll == (200, "6")
        assert (await client.poll())[0] == 400


async def test_a_websocket_is_closed_when_its_client_says_so(app: App) -> None:
    async with opened(app.url) as wire:
        wire.send("1")
        assert await wire.closed() == 1000


async def test_what_follows_a_close_is_not_served(app: App) -> None:
    async with polling(app.url) as client:
        assert await client.post("1", "4hello") == (200, "ok")
        assert (await client.poll())[0] == 400


# ---- from polling to a WebSocket


async def test_a_client_goes_over_to_a_websocket(app: App) -> None:
    async with polling(app.url) as client, probing(client) as wire:
        assert await client.poll() == (200, "6")
        wire.send("5", "4hello")
        assert await wire.receive() == "4hello"


async def test_a_poll_that_waits_is_let_go_by_the_probe(app: App) -> None:
    async with polling(app.url) as client:
        poll = asyncio.create_task(client.poll())
        await asyncio.sleep(0.02)  # it has to be there
        async with probing(client) as wire:
            assert await poll == (200, "6")
            wire.send("5", "4hello")
            assert await wire.receive() == "4hello"


async def test_what_waits_comes_by_the_websocket_first(app: App) -> None:
    async with polling(app.url) as client:
        await client.post("4one", "bAQID")
        async with probing(client) as wire:
            await client.post("4two")
            wire.send("5", "4three")
            came = [await wire.receive() for _ in range(4)]
    assert came == ["4one", b"\1\2\3", "4two", "4three"]


@pytest.mark.parametrize("path", PATHS)
async def test_who_has_gone_over_may_not_poll(app: App, path: str) -> None:
    async with polling(app.url, path) as client, probing(client) as wire:
        wire.send("5")
        await wire.receive(pings=True)
        assert (await client.poll())[0] == 400
        assert (await client.post("4hello"))[0] == 400
        wire.send("3")
        assert await wire.receive(pings=True) == "2"


async def test_who_has_gone_over_keeps_its_websocket_when_another_comes(app: App) -> None:
    async with polling(app.url) as client, probing(client) as wire:
        wire.send("5", "4first")
        assert await wire.receive() == "4first"
        query = f"EIO=4&transport=websocket&sid={client.sid}"
        async with websocket(app.url, query=query) as second:
            assert await second.closed() == 1000
        wire.send("4hello")
        assert await wire.receive() == "4hello"


async def test_of_two_probes_one_goes_over_whatever_the_other_does(app: App) -> None:
    async with polling(app.url) as client:
        query = f"EIO=4&transport=websocket&sid={client.sid}"
        async with websocket(app.url, query=query) as second, probing(client) as wire:
            second.send("2probe")
            assert await second.closed() == 1002
            wire.send("5", "4hello")
            assert await wire.receive() == "4hello"


async def test_who_has_not_probed_may_not_go_over(app: App) -> None:
    async with polling(app.url) as client:
        query = f"EIO=4&transport=websocket&sid={client.sid}"
        async with websocket(app.url, query=query) as second, probing(client) as wire:
            second.send("5")
            assert await second.closed() == 1002
            wire.send("5", "4hello")
            assert await wire.receive() == "4hello"


async def test_an_upgrade_that_comes_to_nothing_leaves_polling_as_it_was(app: App) -> None:
    async with polling(app.url) as client:
        async with probing(client):
            await client.post("4hello")
        packets = [(await client.poll())[1], (await client.poll())[1]]
        assert "4hello" in packets


@pytest.mark.parametrize("words", ["5", "4hello", b"\1"], ids=["upgrade", "text", "binary"])
async def test_an_upgrade_begins_with_a_probe(app: App, words: str | bytes) -> None:
    async with polling(app.url) as client:
        query = f"EIO=4&transport=websocket&sid={client.sid}"
        async with websocket(app.url, query=query) as wire:
            wire.send(words)
            assert await wire.closed() == 1002
        assert await client.post("4hello") == (200, "ok")
        assert await client.poll() == (200, "4hello")


async def test_who_closes_in_the_middle_of_its_upgrade_is_closed(app: App) -> None:
    async with polling(app.url) as client, probing(client) as wire:
        assert await client.post("1") == (200, "ok")
        wire.send("5")
        assert await wire.closed() == 1000


async def test_an_upgrade_has_its_time(app: App) -> None:
    async with polling(app.url) as client:
        query = f"EIO=4&transport=websocket&sid={client.sid}"
        async with websocket(app.url, query=query) as wire:
            assert await wire.closed() == 1002
        assert await client.poll() == (200, "2")
