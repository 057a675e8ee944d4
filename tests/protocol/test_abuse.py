"""What bad clients do: each is closed, takes little memory, and nobody else notices."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.protocol.frames import BINARY, CLOSE, PING, TEXT, frame, head, in_pieces
from tests.protocol.process import App
from tests.protocol.wire import Wire, connected, opened, polling, probing, upgrade, websocket

PEOPLE = 20
"""So many do the same at once."""
GROWTH_MB = 15
"""By so much the server may grow: what one unread connection may hold, and what Python keeps."""
NOTICED_SECONDS = 1.0
"""How long the others may wait for an answer, on a machine under load."""


@pytest.fixture
async def unharmed(shop: App) -> AsyncIterator[None]:
    """Another client asks all the time, and the server's memory is looked at before and after."""
    await _crowd(shop, _warm)  # what is needed once is there
    before = await asyncio.to_thread(shop.resident)
    asking = asyncio.create_task(_ask(shop))
    yield
    assert not asking.done(), asking.exception()
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    grown = await asyncio.to_thread(shop.resident) - before
    assert grown < GROWTH_MB


async def _warm(wire: Wire) -> None:
    wire.send('421["echo",{"_placeholder":false}]', f'422["echo","{500_000 * "x"}"]')
    await wire.receive()
    await wire.receive()


async def _ask(shop: App) -> None:
    """Fails where an answer is late."""
    async with opened(shop.url, "/socket.io/") as wire:
        wire.send("40")
        await wire.receive()
        while True:
            async with asyncio.timeout(NOTICED_SECONDS):
                wire.send('421["echo",1]')
                assert await wire.receive() == "431[1]"
            await asyncio.sleep(0.005)


async def _crowd(shop: App, act: Callable[[Wire], Awaitable[object]]) -> None:
    async def one() -> None:
        async with opened(shop.url, "/socket.io/") as wire:
            wire.send("40")
            await wire.receive()
            await act(wire)

    async with asyncio.TaskGroup() as crowd:
        for _ in range(PEOPLE):
            crowd.create_task(one())


FRAMES = {
    "unmasked": (frame(TEXT, 1_000 * b"x", key=None), 1002),
    "reserved bits": (frame(TEXT, 1_000 * b"x", bits=0x70), 1002),
    "a long ping": (frame(PING, 1_000 * b"x"), 1002),
    "a long close": (frame(CLOSE, b"\x03\xe8" + 1_000 * b"x"), 1002),
    "bad UTF-8": (frame(TEXT, b"4" + 1_000_000 * b"\xff"), 1007),
    "an oversized frame": (head(BINARY, 1 << 40) + 100_000 * b"x", 1009),
    "an oversized message": (in_pieces(BINARY, *20 * [100_000 * b"x"]), 1009),
    "endless pieces": (in_pieces(TEXT, *5_000 * [b"x"]), 1009),
    "a piece of nothing": (frame(0, 100_000 * b"x", final=False), 1002),
    "a million attachments": (frame(TEXT, b'451000000-["x"]'), 1002),
    "text among attachments": (2 * frame(TEXT, b'451-["x",{"_placeholder":true,"num":0}]'), 1002),
    "too much attached": (
        frame(TEXT, b'454-["x"]') + 4 * frame(BINARY, 700_000 * b"x"),
        1002,
    ),
    "deep JSON": (frame(TEXT, b'42["x",' + 100_000 * b"["), 1002),
    "a long ack id": (frame(TEXT, b"43" + 1_000 * b"9" + b"[]"), 1002),
}


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize(("sent", "code"), FRAMES.values(), ids=FRAMES.keys())
async def test_who_sends_what_may_not_be_sent_is_closed(shop: App, sent: bytes, code: int) -> None:
    async def act(wire: Wire) -> None:
        wire.writer.write(sent)
        assert await wire.closed() == code
        wire.writer.write(1_000 * frame(TEXT, b"4and now?"))

    await _crowd(shop, act)


@pytest.mark.usefixtures("unharmed")
async def test_who_promises_much_and_sends_nothing_takes_nothing(shop: App) -> None:
    async def act(wire: Wire) -> None:
        wire.writer.write(head(BINARY, 1_400_000) + b"1234" + 10 * b"x")
        await wire.writer.drain()

    await _crowd(shop, act)


@pytest.mark.usefixtures("unharmed")
async def test_who_reads_nothing_of_what_it_is_sent_is_given_up(shop: App) -> None:
    async with opened(shop.url, "/socket.io/") as wire:
        wire.send("40", '42["endless",10000]')
        await shop.said("why=unread")


@pytest.mark.usefixtures("unharmed")
async def test_who_never_polls_for_what_it_is_sent_is_given_up(shop: App) -> None:
    async with polling(shop.url, "/socket.io/") as client:
        await client.post("40", '42["endless",10000]')
        await shop.said("why=unread")
        assert (await client.poll())[0] == 400


@pytest.mark.usefixtures("unharmed")
async def test_who_asks_and_asks_and_reads_no_answer_is_given_up(shop: App) -> None:
    async with opened(shop.url, "/socket.io/") as wire:
        pings = 1_000 * frame(PING, 125 * b"x")
        with contextlib.suppress(ConnectionError):
            while True:
                wire.writer.write(pings)
                await wire.writer.drain()
        await shop.said("why=unread")


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize(
    "message",
    [b"5", b"3", b'42["nobody"]', b'42["echo"]', b'421["echo"]', b"431[]"],
    ids=["upgrade", "pong", "unserved", "served", "asked", "answer"],
)
async def test_a_flood_of_tiny_messages_is_borne(shop: App, message: bytes) -> None:
    flood = 20_000 * frame(TEXT, message)
    async with opened(shop.url, "/socket.io/") as wire:
        wire.send("40")
        await wire.receive()
        reading = asyncio.create_task(_count(wire, b"430"))
        wire.writer.write(flood)
        wire.send('420["echo"]')
        await wire.writer.drain()
        await reading


async def _count(wire: Wire, last: bytes) -> None:
    """Reads until a text begins so."""
    while not (await wire.frame())[1].startswith(last):
        pass


@pytest.mark.usefixtures("unharmed")
async def test_who_sends_byte_by_byte_is_served_all_the_same(shop: App) -> None:
    async with opened(shop.url, "/socket.io/") as wire:
        for byte in frame(TEXT, b"40") + frame(TEXT, b'421["echo","slow"]'):
            wire.writer.write(bytes([byte]))
            await asyncio.sleep(0.001)
        await wire.receive()
        assert await wire.receive() == '431["slow"]'


@pytest.mark.usefixtures("unharmed")
async def test_who_upgrades_again_and_again_keeps_the_first(shop: App) -> None:
    async with polling(shop.url, "/socket.io/") as client, probing(client) as wire:
        await client.post("40")
        wire.send("5")
        await wire.receive()
        for _ in range(PEOPLE):
            query = f"EIO=4&transport=websocket&sid={client.sid}"
            async with websocket(shop.url, "/socket.io/", query) as second:
                assert await second.closed() == 1000
        wire.send('421["echo",1]')
        assert await wire.receive() == "431[1]"


@pytest.mark.usefixtures("unharmed")
async def test_who_breaks_off_everywhere_leaves_nothing(shop: App) -> None:
    async with connected(shop.url) as wire:
        wire.writer.write(upgrade("/socket.io/?EIO=4&transport=websocket"))
    for _ in range(PEOPLE):
        async with polling(shop.url, "/socket.io/") as client:
            poll = asyncio.create_task(client.poll())
            async with probing(client):
                await client.post("40")
            poll.cancel()
            await asyncio.wait([poll])


@pytest.mark.usefixtures("unharmed")
async def test_who_polls_with_endless_bodies_is_refused(shop: App) -> None:
    async def body() -> AsyncIterator[bytes]:
        while True:
            yield 65_536 * b"4"

    async with polling(shop.url, "/socket.io/") as client:
        url = f"{client.url}?{client.query}"
        with contextlib.suppress(ConnectionError):
            async with client.http.post(url, data=body()) as answer:
                assert answer.status == 413
