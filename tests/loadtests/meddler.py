"""A proxy that meddles with single WebSocket frames on their way to clients.

async with meddling(server.url, twice) as meddler:
    … meddler.url …
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

CHUNK = b'42["stream_chunk"'
STREAM = b'42["stream_'
RESUMED = re.compile(rb'"resume":\[\{"turnId":"([^"]+)"')
"""What a client says that comes back: its frames have a mask of zeros."""
BLOCK = 1 << 16

Meddle = Callable[[bytes, bytes], list[bytes]]
"""What goes to the client instead of two frames that follow one another."""


def dropped(_first: bytes, second: bytes) -> list[bytes]:
    """The first one is lost."""
    return [second]


def twice(first: bytes, second: bytes) -> list[bytes]:
    """The first one is repeated."""
    return [first, first, second]


def swapped(first: bytes, second: bytes) -> list[bytes]:
    """They change places."""
    return [second, first]


def nameless(first: bytes, second: bytes) -> list[bytes]:
    """The first one has no number."""
    return [first.replace(b'"seq"', b'"sqe"'), second]


def broken(first: bytes, second: bytes) -> list[bytes]:
    """The first one is no JSON."""
    return [first[:-2] + b"..", second]


@dataclass
class Meddler:
    """Does it once, to the first two chunks of a stream that follow one another."""

    url: str
    meddle: Meddle
    done: bool = False
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
    ) -> None:
        """Serves one client."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        from_server, to_server = await asyncio.open_connection(host, port)
        try:
            ways = [self._straight(reader, to_server), self._meddled(from_server, writer)]
            tasks = [asyncio.create_task(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            writer.close()
            to_server.close()

    async def close(self) -> None:
        """Hangs up on everybody."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _straight(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(BLOCK):
                writer.write(data)
                await writer.drain()

    async def _meddled(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            upgraded, held, rest = False, b"", b""
            while data := await reader.read(BLOCK):
                if not upgraded:
                    head, blank, data = data.partition(b"\r\n\r\n")
                    writer.write(head + blank)
                    upgraded = b" 101 " in head
                    if not upgraded:
                        writer.write(data)
                        continue
                *frames, rest = _frames(rest + data)
                for frame in frames:
                    held = self._pass(writer, held, frame)
                if held and not self.done:
                    continue  # what it is exchanged with is about to come
                await writer.drain()

    def _pass(self, writer: asyncio.StreamWriter, held: bytes, frame: bytes) -> bytes:
        """Sends a frame, unless it may be the first of two; returns that one."""
        if held:
            self.done = CHUNK in frame[:40]
            writer.write(b"".join(self.meddle(held, frame) if self.done else [held, frame]))
            return b""
        if not self.done and CHUNK in frame[:40]:
            return frame
        writer.write(frame)
        return b""


@dataclass
class Silencer(Meddler):
    """Keeps the rest of a turn to itself when a client comes back for it, the first time."""

    _silent: bytes = b""

    async def _straight(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(BLOCK):
                resumed = RESUMED.search(data)
                if resumed and not self.done:
                    self.done, self._silent = True, resumed[1]
                writer.write(data)
                await writer.drain()

    def _pass(self, writer: asyncio.StreamWriter, held: bytes, frame: bytes) -> bytes:
        kept = self._silent and self._silent in frame and STREAM in frame[:40]
        writer.write(b"" if kept else held + frame)
        return b""


def _frames(data: bytes) -> Iterator[bytes]:
    """Whole frames, and in the end what is left."""
    at = 0
    while len(data) >= at + 2:
        size, start = data[at + 1], at + 2
        if size >= 126:
            wide = 2 if size == 126 else 8
            size, start = int.from_bytes(data[start : start + wide], "big"), start + wide
        if len(data) < start + size:
            break
        yield data[at : start + size]
        at = start + size
    yield data[at:]


@asynccontextmanager
async def meddling(
    url: str, meddle: Meddle, kind: type[Meddler] = Meddler
) -> AsyncIterator[Meddler]:
    """A proxy in front of ``url``."""
    target = urlsplit(url)
    host, port = target.hostname or "", target.port or 80
    meddler = kind("", meddle)
    listener = await asyncio.start_server(
        lambda reader, writer: meddler.accept(reader, writer, host, port), "127.0.0.1", 0
    )
    meddler.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield meddler
    finally:
        listener.close()
        await meddler.close()
