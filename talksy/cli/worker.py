"""One of the processes of ``talksy serve --workers``, as it sees the others and its parent.

Its standard input is one end of a pair of sockets. A line there says to the parent that it is
``ready``, or has ``drained``; the end of what comes says that it may go, or that the parent went.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web

from talksy.cli.workers import DRAINED
from talksy.transports.handover import Handover

log = structlog.get_logger(__name__)

LAST_SECONDS = 5.0
"""How much longer than for its own turns a worker waits for the others to drain."""
BACKLOG = 4_096
"""Connections that wait to be taken: all that were on a node come back to the others at once, and
who finds no room here tries again a second later, then three. The system may allow less."""


class Parent:
    """The parent, on the other end of the standard input."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.gone = asyncio.Event()
        """It says that the worker may go, or has ended."""

    def say(self, word: bytes) -> None:
        """Returns at once, also where nobody is there any more."""
        self._writer.write(word)

    async def dismisses(self, seconds: float) -> None:
        """Says that all is drained, and returns when it is so for the others, too: clients of
        theirs may come through this worker. After ``seconds`` it goes all the same.
        """
        self.say(DRAINED)
        try:
            async with asyncio.timeout(seconds):
                await self.gone.wait()
        except TimeoutError:
            log.warning("workers_not_awaited", seconds=seconds)


@dataclass(frozen=True)
class Seat:
    """Where a worker sits: its number, from 1, of how many, and what its parent gave it."""

    number: int
    of: int
    folder: Path
    """Where the workers take from each other what belongs to them."""
    listens: Sequence[int]
    """File descriptors of the sockets on which clients come."""

    def handover(self, max_bytes: int) -> Handover:
        """The way to the others."""
        return Handover(self.folder, worker=self.number, workers=self.of, max_bytes=max_bytes)

    @asynccontextmanager
    async def parent(self, stop: asyncio.Event) -> AsyncIterator[Parent]:
        """The parent; a worker that loses it stops."""
        reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=0))
        parent = Parent(writer)

        async def listen() -> None:
            with suppress(ConnectionError):
                await reader.read()
            parent.gone.set()
            stop.set()

        task = asyncio.create_task(listen(), name="parent")
        try:
            yield parent
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            writer.close()

    def sites(self, runner: web.AppRunner, context: ssl.SSLContext | None) -> list[web.BaseSite]:
        """Where it listens: to clients, and to the other workers."""
        sockets = [socket.socket(fileno=number) for number in self.listens]
        return [
            *(web.SockSite(runner, each, ssl_context=context, backlog=BACKLOG) for each in sockets),
            web.UnixSite(runner, str(self.folder / str(self.number))),
        ]
