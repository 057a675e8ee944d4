"""A WebSocket that speaks Engine.IO packet by packet, for what a real client never sends."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.contract import check_ack, check_event
from tests.e2e.client import SECONDS


@dataclass(frozen=True)
class Wire:
    """An open WebSocket; ``send`` and ``receive`` pass whole Engine.IO packets.

    Nothing is taken from the line, past 128 KB, unless somebody calls ``receive``.
    """

    socket: aiohttp.ClientWebSocketResponse

    async def send(self, packet: str | bytes) -> None:
        if isinstance(packet, str):
            await self.socket.send_str(packet)
        else:
            await self.socket.send_bytes(packet)

    async def receive(self) -> str | None:
        """The next packet, None when the server has closed. Answers pings by itself."""
        async with asyncio.timeout(SECONDS):
            while True:
                message = await self.socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return None
                if message.data != "2":
                    _check(message.data)
                    return str(message.data)
                await self.socket.send_str("3")

    async def join(self, auth: Any) -> str | None:
        """Enters the namespace, and returns what the server answers to that."""
        await self.send("40" + json.dumps(auth))
        return await self.receive()

    async def event(self, name: str) -> Any:
        """The data of the next event of this name; what comes before it is dropped."""
        while (packet := await self.receive()) is not None:
            if packet.startswith("42["):
                event, *data = json.loads(packet[2:])
                if event == name:
                    return data[0] if data else None
        raise AssertionError(f"closed with {self.socket.close_code} before {name!r} came")

    async def ack(self, number: int) -> Any:
        """The acknowledgement with this number; what comes before it is dropped."""
        start = f"43{number}["
        while (packet := await self.receive()) is not None:
            if packet.startswith(start):
                return json.loads(packet[len(start) - 1 :])[0]
        raise AssertionError(f"closed with {self.socket.close_code} before ack {number} came")

    async def until(self, name: str) -> AsyncIterator[str]:
        """All packets up to the next event of this name, which is the last."""
        while (packet := await self.receive()) is not None:
            yield packet
            if packet.startswith(f'42["{name}"'):
                return
        raise AssertionError(f"closed with {self.socket.close_code} before {name!r} came")


def _check(packet: str) -> None:
    """Holds a packet against the contract."""
    if packet.startswith("42["):
        check_event(*json.loads(packet[2:]))
    elif acknowledged := re.match(r"43\d+(\[.*)", packet, re.DOTALL):
        check_ack(None, *json.loads(acknowledged[1]))


@asynccontextmanager
async def open_wire(
    url: str, connector: aiohttp.BaseConnector | None = None
) -> AsyncIterator[Wire]:
    """A WebSocket whose Engine.IO handshake is done."""
    address = f"{url}/socket.io/?EIO=4&transport=websocket"
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        http.ws_connect(address, max_msg_size=0) as socket,
    ):
        wire = Wire(socket)
        opened = await wire.receive()
        assert opened is not None
        assert opened.startswith("0{")
        yield wire
