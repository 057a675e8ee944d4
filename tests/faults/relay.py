"""A wire between a node and what it stands on, which can be slow, dead or cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

BLOCK = 64 * 1024


class Relay:
    """Passes bytes to one server. Unlike a proxy for clients it delivers late: what was sent before
    a partition arrives when it is over, though its sender has long hung up.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.delay = 0.0
        """Seconds that each piece is on its way."""
        self._flows = asyncio.Event()
        self._flows.set()
        self._refuses = False
        self._ends = set[asyncio.StreamWriter]()
        self._tasks = set[asyncio.Task[None]]()
        self._listener: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """``host:port`` of its own."""
        assert self._listener is not None
        return f"127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    @asynccontextmanager
    async def black_hole(self) -> AsyncIterator[None]:
        """Nothing passes and nobody is told; on leaving, what was held goes on its way."""
        self._flows.clear()
        try:
            yield
        finally:
            self._flows.set()

    @asynccontextmanager
    async def cut(self) -> AsyncIterator[None]:
        """Connections are reset, and new ones as soon as they are made."""
        self._refuses = True
        for end in list(self._ends):
            end.transport.abort()
        try:
            yield
        finally:
            self._refuses = False

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await self._flows.wait()
            if self._refuses:
                raise ConnectionAbortedError
            from_server, to_server = await asyncio.open_connection(self.host, self.port)
        except OSError:
            writer.transport.abort()
            return
        self._ends |= {writer, to_server}
        try:
            await asyncio.gather(self._pump(reader, to_server), self._pump(from_server, writer))
        finally:
            self._ends -= {writer, to_server}
            writer.transport.abort()
            to_server.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One way, to its end; the other way goes on."""
        pieces = asyncio.Queue[tuple[float, bytes]](maxsize=1_000)
        feeding = asyncio.create_task(self._feed(pieces, reader))
        loop = asyncio.get_running_loop()
        try:
            with suppress(OSError):  # whoever is gone takes nothing more
                while (piece := await pieces.get())[1]:
                    if (wait := piece[0] - loop.time()) > 0:
                        await asyncio.sleep(wait)
                    await self._flows.wait()
                    writer.write(piece[1])
                    await writer.drain()
                if writer.can_write_eof():
                    writer.write_eof()
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)

    async def _feed(
        self, pieces: asyncio.Queue[tuple[float, bytes]], reader: asyncio.StreamReader
    ) -> None:
        loop = asyncio.get_running_loop()
        data = b" "
        while data:
            try:
                data = await reader.read(BLOCK)
            except OSError:
                data = b""
            await pieces.put((loop.time() + self.delay, data))


@asynccontextmanager
async def running_relay(address: str) -> AsyncIterator[Relay]:
    """A relay to ``host:port``."""
    host, _, port = address.rpartition(":")
    relay = Relay(host, int(port))
    relay._listener = await asyncio.start_server(relay._accept, "127.0.0.1", 0)
    try:
        yield relay
    finally:
        relay._listener.close()
        for task in list(relay._tasks):
            task.cancel()
        await asyncio.gather(*relay._tasks, return_exceptions=True)
