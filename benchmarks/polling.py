"""Engine.IO by polling, as far as clients go that way before they upgrade."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PATH = "/socket.io/?EIO=4&transport="
SEPARATOR = b"\x1e"


class Door:
    """A connection over which one client polls. ``sid`` is empty until the server has said it."""

    def __init__(
        self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.sid = ""
        self._port = port
        self._reader = reader
        self._writer = writer

    async def poll(self) -> list[bytes]:
        """The packets that the server has, or will have. Raises ``ConnectionError``."""
        return (await self._ask("GET", b"")).split(SEPARATOR)

    async def post(self, packet: bytes) -> None:
        """Sends a packet. Raises ``ConnectionError``."""
        await self._ask("POST", packet)

    async def _ask(self, method: str, body: bytes) -> bytes:
        sid = f"&sid={self.sid}" if self.sid else ""
        head = (
            f"{method} {PATH}polling{sid} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
            f"Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        try:
            answer = await self._reader.readuntil(b"\r\n\r\n")
            status, *headers = answer.decode("latin-1").lower().split("\r\n")
            lengths = [line for line in headers if line.startswith("content-length:")]
            told = await self._reader.readexactly(int(lengths[0].partition(":")[2]))
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("the server hung up on a request") from error
        if " 200 " not in status:
            raise ConnectionError(f"{status}: {told.decode(errors='replace')}")
        return told


@asynccontextmanager
async def opened_door(port: int) -> AsyncIterator[Door]:
    """A connection for polling, closed when left."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Door(port, reader, writer)
    finally:
        writer.close()
