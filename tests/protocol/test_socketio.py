"""Socket.IO v5, a rule a test, over the wire."""

import asyncio
import json

import pytest

from tests.protocol.process import App
from tests.protocol.wire import Wire, joined, opened, polling, probing

CONNECT_SECONDS = 1.0
"""How long the conformance app waits for a CONNECT."""


def sid_of(packet: object, before: str = "40") -> str:
    """The session id that a CONNECT tells, which tells nothing else."""
    assert isinstance(packet, str)
    assert packet.startswith(before)
    told = json.loads(packet.removeprefix(before))
    assert list(told) == ["sid"]
    assert isinstance(told["sid"], str)
    return str(told["sid"])


async def alive(wire: Wire) -> bool:
    """Whether the main namespace answers."""
    wire.send('429["message-with-ack","alive"]')
    return await wire.receive() == '439["alive"]'


# ---- coming


async def test_a_client_enters_the_main_namespace(app: App) -> None:
    async with opened(app.url, "/socket.io/") as wire:
        connect, auth = await wire.join()
    assert sid_of(connect)
    assert auth == '42["auth",{}]'


async def test_a_client_brings_its_auth(app: App) -> None:
    async with opened(app.url, "/socket.io/") as wire:
        connect, auth = await wire.join('40{"token":"123"}')
    assert sid_of(connect)
    assert auth == '42["auth",{"token":"123"}]'


async def test_a_client_enters_another_namespace(app: App) -> None:
    async with opened(app.url, "/socket.io/") as wire:
        connect, auth = await wire.join("40/custom,")
    assert sid_of(connect, "40/custom,")
    assert auth == '42/custom,["auth",{}]'


async def test_a_client_brings_its_auth_to_another_namespace(app: App) -> None:
    async with opened(app.url, "/socket.io/") as wire:
        connect, auth = await wire.join('40/custom,{"token":"abc"}')
    assert sid_of(connect, "40/custom,")
    assert auth == '42/custom,["auth",{"token":"abc"}]'


async def test_a_query_is_no_part_of_the_namespace(app: App) -> None:
    async with opened(app.url, "/socket.io/") as wire:
        connect, _ = await wire.join("40/custom?token=abc,")
    assert sid_of(connect, "40/custom,")


async def test_ids_differ_from_namespace_to_namespace(app: App) -> None:
    async with joined(app.url) as wire, joined(app.url) as other:
        connects = [(await each.join("40/custom,"))[0] for each in (wire, other)]
    assert len({sid_of(connect, "40/custom,") for connect in connects}) == 2


async def test_an_unknown_namespace_is_refused(app: App) -> None:
    async with opened(app.url, "/socket.io/") as wire:
        wire.send("40/random")
        assert await wire.receive() == '44/random,{"message":"Invalid namespace"}'
        assert sid_of((await wire.join())[0])


async def test_who_is_in_is_not_let_in_again(app: App) -> None:
    async with joined(app.url) as wire:
        wire.send("40")
        refusal = await wire.receive()
        assert isinstance(refusal, str)
        assert refusal.startswith("44")
        assert await alive(wire)


async def test_a_client_enters_by_polling(app: App) -> None:
    async with polling(app.url, "/socket.io/") as client:
        await client.post("40")
        connect, auth = (await client.poll())[1].split("\x1e")
    assert sid_of(connect)
    assert auth == '42["auth",{}]'


@pytest.mark.parametrize("never", ["", "40/random"], ids=["silent", "only elsewhere"])
async def test_who_never_enters_is_closed(app: App, never: str) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()  # the server's clock starts before its client hears of it
    async with opened(app.url, "/socket.io/") as wire:
        if never:
            wire.send(never)
        while await wire.receive() is not None:
            pass
        assert CONNECT_SECONDS <= loop.time() - began + 0.01 < 2 * CONNECT_SECONDS


@pytest.mark.parametrize("packet", ["4abc", "4", '40"text"', "40[1]", "40{", "407"])
async def test_a_bad_handshake_closes(app: App, packet: str) -> None:
    async with opened(app.url, "/socket.io/") as wire:
        wire.send(packet)
        assert await wire.closed() == 1002


@pytest.mark.parametrize(
    "packet",
    ['42["message"]', "43[1]", '42/custom,["message"]', '451-["x",{"_placeholder":true,"num":0}]'],
)
async def test_nothing_is_served_before_the_handshake(app: App, packet: str) -> None:
    async with opened(app.url, "/socket.io/") as wire:
        wire.send(packet)
        assert await wire.closed() == 1002


# ---- going


async def test_who_leaves_the_main_namespace_may_come_back(app: App) -> None:
    async with joined(app.url) as wire:
        wire.send("41")
        assert await wire.receive(pings=True) == "2"
        wire.send("3")
        assert sid_of((await wire.join())[0])


async def test_who_leaves_another_namespace_stays_in_the_main_one(app: App) -> None:
    async with joined(app.url) as wire:
        await wire.join("40/custom")
        wire.send("41/custom", '42["message","to the main one"]')
        assert await wire.receive() == '42["message-back","to the main one"]'


async def test_an_event_for_a_namespace_that_was_left_closes(app: App) -> None:
    async with joined(app.url) as wire:
        await wire.join("40/custom")
        wire.send("41/custom", '42/custom,["message"]')
        assert await wire.closed() == 1002


# ---- events

TWO = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'


async def test_an_event_comes_back(app: App) -> None:
    async with joined(app.url) as wire:
        wire.send('42["message",1,"2",{"3":[true]}]')
        assert await wire.receive() == '42["message-back",1,"2",{"3":[true]}]'


async def test_an_event_comes_back_in_its_namespace(app: App) -> None:
    async with joined(app.url) as wire:
        await wire.join("40/custom,")
        wire.send('42/custom,["message","ä"]')
        assert await wire.receive() == '42/custom,["message-back","ä"]'


async def test_a_binary_event_comes_back(app: App) -> None:
    async with joined(app.url) as wire:
        wire.send(f'452-["message",{TWO}]', b"\1\2\3", b"\4\5\6")
        came = [await wire.receive() for _ in range(3)]
    assert came == [f'452-["message-back",{TWO}]', b"\1\2\3", b"\4\5\6"]


async def test_an_event_is_acknowledged(app: App) -> None:
    async with joined(app.url) as wire:
        wire.send('42456["message-with-ack",1,"2",{"3":[false]}]')
        assert await wire.receive() == '43456[1,"2",{"3":[false]}]'


async def test_a_binary_event_is_acknowledged(app: App) -> None:
    async with joined(app.url) as wire:
        wire.send(f'452-789["message-with-ack",{TWO}]', b"\1\2\3", b"\4\5\6")
        came = [await wire.receive() for _ in range(3)]
    assert came == [f"462-789[{TWO}]", b"\1\2\3", b"\4\5\6"]


async def test_a_binary_event_comes_back_by_polling(app: App) -> None:
    async with polling(app.url, "/socket.io/") as client:
        await client.post("40")
        await client.poll()
        await client.post(f'452-["message",{TWO}]', "bAQID", "bBAUG")
        expected = [f'452-["message-back",{TWO}]', "bAQID", "bBAUG"]
        assert (await client.poll())[1].split("\x1e") == expected


async def test_a_binary_event_may_go_over_in_the_middle(app: App) -> None:
    async with polling(app.url, "/socket.io/") as client:
        await client.post("40")
        await client.poll()
        await client.post(f'452-["message",{TWO}]', "bAQID")
        async with probing(client) as wire:
            wire.send("5", b"\4\5\6")
            came = [await wire.receive() for _ in range(3)]
    assert came == [f'452-["message-back",{TWO}]', b"\1\2\3", b"\4\5\6"]


async def test_a_thousand_events_come_back_in_order(app: App) -> None:
    async with joined(app.url) as wire:
        wire.send(*(f'42["message",{number}]' for number in range(1_000)))
        came = [await wire.receive() for _ in range(1_000)]
    assert came == [f'42["message-back",{number}]' for number in range(1_000)]


BAD = {
    "unknown type": ["4abc"],
    "no list": ["42{}"],
    "no name": ["42[]"],
    "a number for a name": ["42[1]"],
    "bad JSON": ['42["message"'],
    "bad number of the ack": ['42abc["message-with-ack"]'],
    "connect error": ['44{"message":"x"}'],
    "ack without number": ["43[1]"],
    "ack without list": ["431{}"],
    "bytes that nobody announced": [b"\1"],
    "text among attachments": [f'452-["message",{TWO}]', b"\1", '42["message"]'],
    "too many attachments": ['4511-["message"]'],
    "a million attachments": ['451000000-["message"]'],
    "no attachments": ['450-["message"]'],
    "a placeholder for nothing": ['451-["message",{"_placeholder":true,"num":1}]', b"\1"],
    "a placeholder for text": ['451-["message",{"_placeholder":true,"num":"x"}]', b"\1"],
    "a long namespace": ["40/" + 200 * "x"],
    "a long number": ["42" + 200 * "1" + '["message"]'],
}


@pytest.mark.parametrize("sent", BAD.values(), ids=BAD.keys())
async def test_a_bad_packet_closes_the_connection(app: App, sent: list[str | bytes]) -> None:
    async with joined(app.url) as wire:
        wire.send(*sent)
        assert await wire.closed() == 1002


async def test_a_bad_packet_closes_a_polling_client(app: App) -> None:
    async with polling(app.url, "/socket.io/") as client:
        await client.post("40")
        await client.post("42{}")
        assert (await client.poll())[0] == 400


async def test_an_ack_that_nobody_waits_for_is_no_news(app: App) -> None:
    async with joined(app.url) as wire:
        wire.send("4312345[1]")
        assert await alive(wire)


async def test_an_event_that_nobody_serves_is_no_news(app: App) -> None:
    async with joined(app.url) as wire:
        wire.send('42["nobody"]', '427["nobody"]')
        assert await alive(wire)
