"""A TCP proxy that does to a connection what networks do.

async with running_proxy(server.url) as proxy:
    … proxy.url instead of server.url …
    proxy.cut()
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

BLOCK = 64 * 1024


@dataclass(eq=False)
class Line:
    """One connection through the proxy."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    tail: bytes = b""
    """The last bytes that went to the client: a pattern may begin in them."""

    def abort(self) -> None:
        """Both ends see a reset; what is on its way is lost."""
        self.client.transport.abort()
        self.server.transport.abort()


@dataclass(eq=False)
class Proxy:
    """Stands between clients and one server. All faults but ``cut`` hold for what comes next."""

    host: str
    port: int
    url: str = ""
    delay: float = 0.0
    """Seconds each piece waits, in both directions."""
    cuts: int = 0
    """How often ``cut``, ``cut_after`` and ``cut_before`` have cut."""
    _lines: set[Line] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _listener: asyncio.Server | None = None
    _flows: asyncio.Event = field(default_factory=asyncio.Event)
    _bytes_left: int | None = None
    _patterns: list[bytes] = field(default_factory=list)
    _held: dict[bytes, asyncio.Event] = field(default_factory=dict)

    # ---- the faults

    def cut(self) -> None:
        """Cuts all connections now; new ones are let through."""
        self.cuts += 1
        for line in list(self._lines):
            line.abort()

    def cut_after(self, count: int) -> None:
        """Cuts all connections once, when ``count`` more bytes went to clients."""
        self._bytes_left = count

    def cut_before(self, *patterns: bytes) -> None:
        """Cuts all connections when the first pattern is about to go to a client, so that it never
        arrives; after that at the second, and so on.
        """
        self._patterns += patterns

    def hold(self, pattern: bytes) -> asyncio.Event:
        """Connections whose first bytes have ``pattern`` get no further until the event is set."""
        return self._held.setdefault(pattern, asyncio.Event())

    @contextmanager
    def black_hole(self) -> Iterator[None]:
        """Nothing passes and nobody is told; it passes when this is left."""
        self._flows.clear()
        try:
            yield
        finally:
            self._flows.set()

    @asynccontextmanager
    async def refusing(self) -> AsyncIterator[None]:
        """Cuts all connections, and nobody listens until this is left."""
        await self._close()
        self.cut()
        try:
            yield
        finally:
            await self._listen(int(self.url.rpartition(":")[2]))

    # ---- how it works

    async def _listen(self, port: int = 0) -> None:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    async def _close(self) -> None:
        assert self._listener is not None
        self._listener.close()
        await asyncio.sleep(0)  # the socket is closed by then, its connections are ours

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            from_server, to_server = await asyncio.open_connection(self.host, self.port)
        except OSError:
            writer.transport.abort()
            return
        line = Line(writer, to_server)
        self._lines.add(line)
        ways = [
            asyncio.create_task(self._to_server(line, reader)),
            asyncio.create_task(self._to_client(line, from_server)),
        ]
        try:
            # Whoever ends first ends it for both.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._lines.discard(line)
            for end in (line.client, line.server):
                end.close()

    async def _to_server(self, line: Line, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            data = await reader.read(BLOCK)
            for pattern, released in self._held.items():
                if pattern in data:
                    await released.wait()
            while data:
                await self._pass(line.server, data)
                data = await reader.read(BLOCK)

    async def _to_client(self, line: Line, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(BLOCK):
                allowed = self._allowed(line, data)
                await self._pass(line.client, data[:allowed])
                if allowed < len(data):
                    self._flush_and_cut(line)
                    return
                line.tail = (line.tail + data)[-256:]

    async def _pass(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        await self._flows.wait()
        if self.delay:
            await asyncio.sleep(self.delay)
        writer.write(data)
        await writer.drain()

    def _allowed(self, line: Line, data: bytes) -> int:
        """How much of ``data`` may go to the client: less than all of it means that it is cut."""
        if self._bytes_left is not None:
            self._bytes_left -= len(data)
            if self._bytes_left < 0:
                allowed = self._bytes_left + len(data)
                self._bytes_left = None
                return allowed
        if self._patterns:
            tail = line.tail[-len(self._patterns[0]) + 1 :] if len(self._patterns[0]) > 1 else b""
            place = (tail + data).find(self._patterns[0])
            if place >= 0:
                self._patterns.pop(0)
                return max(0, place - len(tail))
        return len(data)

    def _flush_and_cut(self, line: Line) -> None:
        """Cuts as ``cut`` does, but what was let through arrives before the end of the line."""
        self.cuts += 1
        line.client.close()
        line.server.transport.abort()
        for other in list(self._lines):
            if other is not line:
                other.abort()


@asynccontextmanager
async def running_proxy(url: str) -> AsyncIterator[Proxy]:
    """A proxy in front of the server at ``url``, such as ``http://127.0.0.1:3000``."""
    target = urlsplit(url)
    assert target.hostname is not None
    assert target.port is not None
    proxy = Proxy(target.hostname, target.port)
    proxy._flows.set()
    await proxy._listen()
    try:
        yield proxy
    finally:
        await proxy._close()
        for line in list(proxy._lines):
            line.abort()
        if proxy._tasks:  # with their lines they end by themselves, unless something is held back
            await asyncio.wait(proxy._tasks, timeout=1)
        for task in list(proxy._tasks):
            task.cancel()
        await asyncio.gather(*proxy._tasks, return_exceptions=True)
