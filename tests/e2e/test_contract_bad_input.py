"""Everything that is wrong is named; the connection, and everybody else's, stays up."""

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from tests.e2e.accounts import Account
from tests.e2e.client import SECONDS, Client
from tests.e2e.conftest import Door
from tests.e2e.raw import Wire, open_wire
from tests.server import Server


@pytest.fixture
async def plain(websocket_door: Door, account: Account) -> Client:
    """A connection for what does not depend on the transport."""
    return await websocket_door.open(account)


async def test_an_unknown_event_is_named(client: Client) -> None:
    error = await client.refused("make_coffee", {"sugar": 2})

    assert error["code"] == "UNKNOWN_EVENT"
    assert "make_coffee" in error["message"]
    assert (await client.call("get_session_info"))["ok"] is True


@pytest.mark.parametrize(
    ("event", "payload", "path"),
    [
        ("user_message", {"text": "hi", "colour": "red"}, "colour"),
        ("user_message", {}, "text"),
        ("user_message", {"text": 7}, "text"),
        ("user_message", {"text": None}, "text"),
        ("user_message", {"text": ["hi"]}, "text"),
        ("user_message", {"text": ""}, "text"),
        ("user_message", {"text": " \n "}, "text"),
        ("user_message", {"text": "hi", "messageId": 7}, "messageId"),
        ("user_message", {"text": "hi", "messageId": ""}, "messageId"),
        ("user_message", {"text": "hi", "messageId": "x" * 1_000}, "messageId"),
        ("user_message", {"text": "hi", "onBusy": "panic"}, "onBusy"),
        ("user_message", {"text": "hi", "retry": "yes"}, "retry"),
        ("user_message", {"text": "hi", "retry": 1}, "retry"),
        ("user_message_stream", {"text": 7}, "text"),
        ("user_message_stream", {"text": "hi", "speak": "loud"}, "speak"),
        ("get_history", {"limit": "ten"}, "limit"),
        ("get_history", {"limit": 0}, "limit"),
        ("get_history", {"limit": -5}, "limit"),
        ("get_history", {"limit": 1.5}, "limit"),
        ("get_history", {"limit": 10**30}, "limit"),
        ("get_history", {"limit": True}, "limit"),
        ("get_history", {"before": {}}, "before"),
        ("get_history", {"page": 2}, "page"),
        ("get_session_info", {"verbose": True}, "verbose"),
        ("cancel", {"turnId": 7}, "turnId"),
        ("cancel", {"turn": "trn_1"}, "turn"),
        ("resume", {}, "turnId"),
        ("resume", {"turnId": "trn_1"}, "after"),
        ("resume", {"turnId": "trn_1", "after": "3"}, "after"),
        ("resume", {"turnId": "trn_1", "after": -2}, "after"),
        ("resume", {"turnId": "trn_1", "after": 0.5}, "after"),
        ("end_session", {"why": "bored"}, "why"),
    ],
)
async def test_a_bad_field_is_named(
    plain: Client, event: str, payload: dict[str, Any], path: str
) -> None:
    error = await plain.refused(event, payload)

    assert error["code"] == "VALIDATION_ERROR"
    assert path in [fault["path"] for fault in error["errors"]]
    assert path in error["message"] or all(fault["message"] for fault in error["errors"])
    assert (await plain.call("get_session_info"))["ok"] is True


@pytest.mark.parametrize("payload", ["hi", 7, ["hi"], None, True, b"hi"])
async def test_a_payload_that_is_no_object_is_refused(plain: Client, payload: object) -> None:
    error = await plain.refused("user_message", payload)

    assert error["code"] == "VALIDATION_ERROR"


async def test_a_payload_with_a_binary_field_is_refused(client: Client) -> None:
    error = await client.refused("user_message", {"text": b"hi"})

    assert error["code"] == "VALIDATION_ERROR"
    assert "text" in [fault["path"] for fault in error["errors"]]


async def test_a_message_without_a_payload_is_refused(plain: Client) -> None:
    assert (await plain.refused("user_message"))["code"] == "VALIDATION_ERROR"


async def test_more_than_one_payload_is_refused(plain: Client) -> None:
    error = await plain.refused("user_message", {"text": "hi"}, {"text": "again"})

    assert error["code"] == "VALIDATION_ERROR"


async def test_several_faults_are_named_together(plain: Client) -> None:
    error = await plain.refused("user_message", {"text": 7, "retry": "x", "colour": "red"})

    assert {fault["path"] for fault in error["errors"]} == {"text", "retry", "colour"}


@pytest.mark.parametrize(
    ("event", "payload", "code"),
    [
        ("make_coffee", {}, "UNKNOWN_EVENT"),
        ("user_message", {"text": 7}, "VALIDATION_ERROR"),
        ("user_message", {"text": "x" * 40_000}, "PAYLOAD_TOO_LARGE"),
        ("resume", {"turnId": "trn_unknown", "after": -1}, "TURN_NOT_FOUND"),
        ("cancel", {"turnId": "trn_unknown"}, "TURN_NOT_FOUND"),
        ("call_tool", {"toolName": "no_tool"}, "TOOL_NOT_FOUND"),
    ],
)
async def test_without_an_acknowledgement_the_failure_is_an_error_event(
    client: Client, event: str, payload: dict[str, Any], code: str
) -> None:
    await client.emit(event, payload)

    error = await client.wait("error")
    assert error["code"] == code
    assert error["message"]
    assert error["requestId"].startswith("req_")


async def test_what_succeeds_without_an_acknowledgement_is_no_error(client: Client) -> None:
    await client.emit("user_message", {"text": "/mock tokens=1"})

    await client.wait("assistant_response")
    assert not client.named("error")


# ---------------------------------------------------------------------------- raw packets

LIBRARY = os.environ.get("TALKSY_TEST_E2E_TRANSPORT") == "library"
"""On the library's own connections, which know no close code and no body of unknown length."""

BAD_PACKETS = {
    "event without data": "42",
    "event cut short": '42["user_message",',
    "event that is an object": '42{"text":"hi"}',
    "event that is a text": '42"user_message"',
    "event that is a number": "427",
    "empty event": "42[]",
    "event whose name is a number": "42[7]",
    "event whose name is null": '42[null,{"text":"hi"}]',
    "event whose name is an object": "42[{}]",
    "event with rubbish behind it": '42["get_session_info"]x',
    "event of another namespace": '42/other,["user_message",{"text":"hi"}]',
    "not a number": '42["get_history",{"limit":NaN}]',
    "deep nesting": '42["user_message",' + "[" * 50_000 + "]" * 50_000 + "]",
    "endless number": '42["get_history",{"limit":' + "9" * 5_000 + "}]",
    "lone surrogate": '42["user_message",{"text":"\\ud800"}]',
    "huge acknowledgement number": "42" + "9" * 200 + '["get_session_info"]',
}


BROKEN_PACKETS = {
    "no type": "4",
    "unknown type": "49",
    "acknowledgement of nothing": "43999[]",
    "acknowledgement without a number": "43[]",
    "acknowledgement without data": "431",
    "connect error from a client": '44{"message":"no"}',
    "binary event without a count": '45["x",{"_placeholder":true,"num":0}]',
    "binary event with a word as count": '45a-["x",{"_placeholder":true,"num":0}]',
    "a million attachments": '451000000-["x",{"_placeholder":true,"num":0}]',
    "binary event with no attachments": '450-["x"]',
}
"""What is no Socket.IO packet that a client may send."""

BROKEN_FRAMES = {
    "unknown Engine.IO type": "9",
    "letter as Engine.IO type": "x",
    "empty packet": "",
    "open from a client": "0{}",
}
"""What is no Engine.IO packet that a client may send."""


async def joined(wire: Wire, account: Account) -> None:
    answer = await wire.join({"token": account.token})
    assert answer is not None
    assert answer.startswith("40")
    await wire.event("SESSION_CREATED")


async def hung_up_on(wire: Wire) -> None:
    while await wire.receive() is not None:
        pass
    usual = aiohttp.WSCloseCode.PROTOCOL_ERROR
    assert wire.socket.close_code == (aiohttp.WSCloseCode.OK if LIBRARY else usual)


async def still_up(wire: Wire) -> None:
    await wire.send('4277["get_session_info"]')
    assert (await wire.ack(77))["ok"] is True


@pytest.mark.parametrize("packet", BAD_PACKETS.values(), ids=BAD_PACKETS.keys())
async def test_a_malformed_packet_is_named_and_the_connection_stays_up(
    server: Server, account: Account, packet: str
) -> None:
    async with open_wire(server.url) as wire:
        await joined(wire, account)
        await wire.send(packet)

        error = await wire.event("error")

        assert error["code"] in ("VALIDATION_ERROR", "UNKNOWN_EVENT", "PAYLOAD_TOO_LARGE")
        assert error["message"]
        await still_up(wire)


@pytest.mark.parametrize("packet", BROKEN_PACKETS.values(), ids=BROKEN_PACKETS.keys())
async def test_what_is_no_packet_is_named_and_its_client_hung_up_on(
    server: Server, account: Account, packet: str
) -> None:
    async with open_wire(server.url) as wire:
        await joined(wire, account)
        await wire.send(packet)

        assert (await wire.event("error"))["code"] == "VALIDATION_ERROR"
        await hung_up_on(wire)


@pytest.mark.parametrize("frame", BROKEN_FRAMES.values(), ids=BROKEN_FRAMES.keys())
async def test_who_sends_what_engineio_does_not_know_is_hung_up_on(
    server: Server, account: Account, frame: str
) -> None:
    async with open_wire(server.url) as wire:
        await joined(wire, account)
        await wire.send(frame)

        await hung_up_on(wire)


async def test_who_sends_bytes_that_nothing_announced_is_told_and_hung_up_on(
    server: Server, account: Account
) -> None:
    async with open_wire(server.url) as wire:
        await joined(wire, account)
        await wire.send(b"\x00\x01\x02")

        assert (await wire.event("error"))["code"] == "VALIDATION_ERROR"
        await hung_up_on(wire)


async def test_an_attachment_of_a_number_that_is_not_there_is_named(
    server: Server, account: Account
) -> None:
    async with open_wire(server.url) as wire:
        await joined(wire, account)
        await wire.send('451-["user_message",{"text":{"_placeholder":true,"num":7}}]')
        await wire.send(b"\x00")

        assert (await wire.event("error"))["code"] == "VALIDATION_ERROR"
        await hung_up_on(wire)


async def test_a_text_where_an_attachment_was_announced_is_named(
    server: Server, account: Account
) -> None:
    async with open_wire(server.url) as wire:
        await joined(wire, account)
        await wire.send('451-["user_message",{"_placeholder":true,"num":0}]')
        await wire.send('42["get_history"]')

        assert (await wire.event("error"))["code"] == "VALIDATION_ERROR"
        await hung_up_on(wire)


async def test_another_namespace_is_refused_and_the_connection_stays_up(
    server: Server, account: Account
) -> None:
    async with open_wire(server.url) as wire:
        await joined(wire, account)
        await wire.send("40/other," + json.dumps({"token": account.token}))

        packet = await wire.receive()

        assert packet is not None
        assert packet.startswith("44/other,")
        await still_up(wire)


@pytest.mark.parametrize("auth", ["text", 7, ["token"], True])
async def test_auth_that_is_no_object_is_refused(server: Server, auth: object) -> None:
    async with open_wire(server.url) as wire:
        answer = await wire.join(auth)

        assert answer is not None
        assert answer.startswith("44{")
        assert json.loads(answer[2:])["data"]["code"] in ("VALIDATION_ERROR", "UNAUTHENTICATED")


async def test_an_event_before_the_handshake_does_nothing(server: Server, account: Account) -> None:
    async with open_wire(server.url) as wire:
        await wire.send('421["get_session_info"]')
        await joined(wire, account)
        await still_up(wire)


async def test_a_packet_over_the_limit_cuts_that_line_alone(
    server: Server, account: Account, websocket_door: Door, stranger: Account
) -> None:
    other = await websocket_door.open(stranger)
    async with open_wire(server.url) as wire:
        await joined(wire, account)
        with suppress(ConnectionError):
            await wire.send("42" + json.dumps(["user_message", {"text": "x" * 2_100_000}]))
        while await wire.receive() is not None:
            pass

        # A line that is cut while the packet is still being written may lose the reason.
        assert wire.socket.close_code in (
            aiohttp.WSCloseCode.MESSAGE_TOO_BIG,
            aiohttp.WSCloseCode.ABNORMAL_CLOSURE,
        )
    assert (await other.call("get_session_info"))["ok"] is True


async def test_a_polling_payload_over_the_limit_is_refused(server: Server) -> None:
    query = {"EIO": "4", "transport": "polling"}
    async with aiohttp.ClientSession(server.url) as http:
        async with http.get("/socket.io/", params=query) as answer:
            sid = json.loads((await answer.text())[1:])["sid"]
        payload = io.BytesIO(b"4" + b"x" * 2_100_000)
        async with (
            asyncio.timeout(SECONDS),
            http.post("/socket.io/", params={**query, "sid": sid}, data=payload) as answer,
        ):
            assert answer.status in (400, 413)


@pytest.mark.parametrize(
    "query",
    [
        {"EIO": "4", "transport": "pigeon"},
        {"EIO": "3", "transport": "polling"},
        {"EIO": "4", "transport": "polling", "sid": "unknown"},
    ],
)
async def test_a_bad_engine_handshake_is_a_400(server: Server, query: dict[str, str]) -> None:
    async with (
        aiohttp.ClientSession(server.url) as http,
        http.get("/socket.io/", params=query) as answer,
    ):
        assert answer.status == 400


async def test_a_stranger_does_not_notice(door: Door, stranger: Account, client: Client) -> None:
    other = await door.open(stranger)
    for payload in (7, {"text": 7}, {"x": 1}):
        await client.refused("user_message", payload)

    turn = await other.say("/mock tokens=2")

    assert (await other.ending(turn["turnId"]))["reason"] == "completed"
    assert not other.named("error")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('"\\ud83d"', "surrogate"),
        ("[" * 3_000 + "]" * 3_000, "nested"),
        ('"\\x"', "escape"),
    ],
    ids=["half a surrogate pair", "deep", "bad escape"],
)
async def test_json_that_cannot_be_read_is_named_by_the_acknowledgement_asked_for(
    text: str, reason: str, server: Server, account: Account
) -> None:
    """Clients cut text where they will, and wait for the answer to what they sent."""
    async with open_wire(server.url) as wire:
        await joined(wire, account)
        await wire.send(f'4231["user_message",{{"text":{text}}}]')
        ack = await wire.ack(31)
        assert (ack["ok"], ack["error"]["code"]) == (False, "VALIDATION_ERROR")
        assert reason in ack["error"]["message"]
        await wire.send('4232["get_session_info"]')
        assert (await wire.ack(32))["ok"] is True


async def test_a_polling_client_is_told_why_before_it_is_closed(
    server: Server, account: Account
) -> None:
    """The stock client closes on CLOSE before it looks at what came in the same payload."""
    query = {"EIO": "4", "transport": "polling"}
    async with aiohttp.ClientSession(server.url) as http:

        async def poll() -> list[str]:
            async with http.get("/socket.io/", params=query) as answer:
                return (await answer.text()).split("\x1e")

        query["sid"] = json.loads((await poll())[0][1:])["sid"]
        hello = "40" + json.dumps({"token": account.token})
        async with http.post("/socket.io/", params=query, data=hello) as answer:
            assert answer.status == 200
        while not any("SESSION_CREATED" in packet for packet in await poll()):
            pass
        await account.logout()
        told = await poll()
        assert json.loads(told[0][2:])[1]["code"] == "UNAUTHENTICATED"
        assert json.loads(told[0][2:])[1]["requestId"].startswith("req_")
        assert told[1:] == ["41"]


async def test_attachments_are_bounded_all_together(server: Server, account: Account) -> None:
    """A client may not make the server hold what it never finishes."""
    async with open_wire(server.url) as wire:
        await joined(wire, account)
        await wire.send('4510-["audio",{"_placeholder":true,"num":0}]')
        for _ in range(2):
            await wire.send(b"x" * 1_100_000)
        assert "attachments" in (await wire.event("error"))["message"]
        await hung_up_on(wire)


async def test_an_upgrade_that_comes_to_nothing_leaves_polling_as_it_was(
    server: Server, account: Account
) -> None:
    query = {"EIO": "4", "transport": "polling"}
    async with aiohttp.ClientSession(server.url) as http:
        async with http.get("/socket.io/", params=query) as answer:
            query["sid"] = json.loads((await answer.text())[1:])["sid"]
        async with http.ws_connect("/socket.io/", params={**query, "transport": "websocket"}):
            pass
        hello = "40" + json.dumps({"token": account.token})
        async with http.post("/socket.io/", params=query, data=hello) as answer:
            assert answer.status == 200
        told = ""
        while "SESSION_CREATED" not in told:
            async with http.get("/socket.io/", params=query) as answer:
                told = await answer.text()
                assert told != "6", "nothing is delivered"


async def test_what_the_library_sends_is_bounded_too(server: Server) -> None:
    """A client that asks and asks and never polls is given up."""
    query = {"EIO": "4", "transport": "polling"}
    async with aiohttp.ClientSession(server.url) as http:
        async with http.get("/socket.io/", params=query) as answer:
            query["sid"] = json.loads((await answer.text())[1:])["sid"]
        refusals = "\x1e".join([f"40/{90 * 'x'},"] * 900)
        for _ in range(50):
            async with http.post("/socket.io/", params=query, data=refusals) as answer:
                if answer.status != 200:
                    break
        # The library's connections take a body first and look at what is in it later.
        for _ in range(100):
            async with http.post("/socket.io/", params=query, data="3") as answer:
                if answer.status != 200:
                    break
            await asyncio.sleep(0.1)
        assert answer.status == 400


async def test_a_payload_of_unknown_length_is_read_to_its_end(server: Server) -> None:
    query = {"EIO": "4", "transport": "polling"}

    async def pieces() -> AsyncIterator[bytes]:
        yield b"4"
        yield b"0"

    async with aiohttp.ClientSession(server.url) as http:
        async with http.get("/socket.io/", params=query) as answer:
            query["sid"] = json.loads((await answer.text())[1:])["sid"]
        async with http.post("/socket.io/", params=query, data=pieces()) as answer:
            assert answer.status == (400 if LIBRARY else 200)
        if LIBRARY:
            return
        async with http.get("/socket.io/", params=query) as answer:
            assert (await answer.text()).startswith("40{")


@pytest.mark.parametrize("payload", ["", "7", "9x", "0{}", "2", "6", "4", "3\x1e8"])
async def test_a_payload_with_a_packet_that_no_client_sends_is_no_error_of_ours(
    server: Server, payload: str
) -> None:
    query = {"EIO": "4", "transport": "polling"}
    before = len(server.complaints())
    async with aiohttp.ClientSession(server.url) as http:
        async with http.get("/socket.io/", params=query) as answer:
            query["sid"] = json.loads((await answer.text())[1:])["sid"]
        async with http.post("/socket.io/", params=query, data=payload) as answer:
            assert answer.status == (200 if payload == "4" else 400)
    assert len(server.complaints()) == before
