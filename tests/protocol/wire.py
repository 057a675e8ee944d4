"""A client that speaks WebSocket frame by frame and polling request by request."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
import orjson

from tests.protocol.frames import BINARY, CLOSE, TEXT, frame

SECONDS = 10.0
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""What RFC 6455, section 1.3, says of that key."""


def upgrade(path: str, **headers: str | None) -> bytes:
    """The request for a WebSocket; ``headers`` replace its own, None leaves one out."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    lines: dict[str, str | None] = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
        **given,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"GET {path} HTTP/1.1\r\n{head}\r\n".encode()


@dataclass
class Wire:
    """A WebSocket: whole messages go in and out, and bytes where a test wants them."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, *messages: str | bytes) -> None:
        """Sends messages, each in a frame."""
        for message in messages:
            if isinstance(message, str):
                self.writer.write(frame(TEXT, message.encode()))
            else:
                self.writer.write(frame(BINARY, message))

    async def frame(self) -> tuple[int, bytes]:
        """The next frame as opcode and data. Raises ``IncompleteReadError`` at the end."""
        async with asyncio.timeout(SECONDS):
            first, length = await self.reader.readexactly(2)
            assert first & 0x70 == 0, "a reserved bit"
            assert length & 0x80 == 0, "servers do not mask"
            if length > 125:
                told = await self.reader.readexactly(2 if length == 126 else 8)
                length = int.from_bytes(told, "big")
            assert first & 0x80, "ours is always one frame a message"
            return first & 0xF, await self.reader.readexactly(length)

    async def receive(self, *, pings: bool = False) -> str | bytes | None:
        """The next message; None where the server says goodbye or has gone. Engine.IO's pings are
        answered unless ``pings`` are asked for.
        """
        while True:
            try:
                opcode, data = await self.frame()
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
            if opcode == TEXT and data == b"2" and not pings:
                self.send("3")
            elif opcode == TEXT:
                return data.decode()
            elif opcode == BINARY:
                return data
            elif opcode == CLOSE:
                return None

    async def closed(self) -> int | None:
        """The close code, when the server says goodbye; None where it hangs up without one."""
        while True:
            try:
                opcode, data = await self.frame()
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
            if opcode == CLOSE:
                return int.from_bytes(data[:2], "big") if data else 1005

    async def gone(self) -> None:
        """Returns when the server has closed the connection itself."""
        async with asyncio.timeout(SECONDS):
            try:
                while await self.reader.read(65_536):
                    pass
            except ConnectionError:
                pass

    async def join(self, packet: str = "40") -> list[str | bytes | None]:
        """Enters a namespace; the answer, and what the connect handler emits."""
        self.send(packet)
        return [await self.receive(), await self.receive()]


@asynccontextmanager
async def connected(url: str, trust: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """A connection on which nothing was said yet."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port, ssl=trust)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def websocket(
    url: str, path: str = "/engine.io/", query: str = "EIO=4&transport=websocket"
) -> AsyncIterator[Wire]:
    """A WebSocket whose upgrade is done."""
    async with connected(url) as wire:
        wire.writer.write(upgrade(f"{path}?{query}"))
        answer = await wire.reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        assert b"\r\nSec-WebSocket-Accept: " + ACCEPT + b"\r\n" in answer
        yield wire


@asynccontextmanager
async def opened(url: str, path: str = "/engine.io/") -> AsyncIterator[Wire]:
    """A WebSocket that has its Engine.IO session."""
    async with websocket(url, path) as wire:
        hello = await wire.receive()
        assert isinstance(hello, str)
        assert hello.startswith("0{")
        yield wire


@asynccontextmanager
async def joined(url: str) -> AsyncIterator[Wire]:
    """One that is in the main namespace."""
    async with opened(url, "/socket.io/") as wire:
        await wire.join()
        yield wire


Answer = tuple[int, str]


@dataclass
class Polling:
    """A client that polls."""

    http: aiohttp.ClientSession
    url: str
    sid: str

    @property
    def query(self) -> str:
        return f"EIO=4&transport=polling&sid={self.sid}"

    async def poll(self) -> Answer:
        async with self.http.get(f"{self.url}?{self.query}") as answer:
            return answer.status, await answer.text()

    async def post(self, *packets: str) -> Answer:
        body = "\x1e".join(packets).encode()
        async with self.http.post(f"{self.url}?{self.query}", data=body) as answer:
            return answer.status, await answer.text()


@asynccontextmanager
async def polling(url: str, path: str = "/engine.io/") -> AsyncIterator[Polling]:
    """A client that has its Engine.IO session and polls."""
    limit = aiohttp.ClientTimeout(total=SECONDS)
    async with aiohttp.ClientSession(timeout=limit) as http:
        async with http.get(f"{url}{path}?EIO=4&transport=polling") as answer:
            assert answer.status == 200
            hello = await answer.text()
        yield Polling(http, url + path, orjson.loads(hello[1:])["sid"])


@asynccontextmanager
async def probing(client: Polling) -> AsyncIterator[Wire]:
    """A WebSocket that is to replace a client's polling, after its probe."""
    where = urlsplit(client.url)
    query = f"EIO=4&transport=websocket&sid={client.sid}"
    async with websocket(f"{where.scheme}://{where.netloc}", where.path, query) as wire:
        wire.send("2probe")
        assert await wire.receive() == "3probe"
        yield wire
