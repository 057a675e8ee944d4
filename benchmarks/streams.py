"""What a chunk costs the server while many streams run side by side."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from benchmarks.client import Client, Way, connect
from benchmarks.load import napping
from benchmarks.machine import quiet, worked
from benchmarks.peers import Peer

C = TypeVar("C", bound=Client)

AT_ONCE = 32
"""So many clients connect, or ask, side by side."""
LEAD_SECONDS, LEAD_TIMES = 0.1, 1.5
"""Streams are asked for so long before they begin, and this many times what asking takes."""


@dataclass(frozen=True)
class Streams:
    """``clients`` answers of ``tokens``, all at the same time. The rest is the mock's directive."""

    peer: Peer
    clients: int
    tokens: int
    delay_ms: int = 0
    burst: int = 1
    way: Way = "websocket"


@dataclass(frozen=True)
class Streamed:
    """What went on from when all of them ran until the first one ended."""

    chunks: int
    tokens: int
    seconds: float
    worked: float
    """Seconds that the server was on its core."""

    @property
    def per_chunk(self) -> float:
        """Microseconds."""
        return self.worked / self.chunks * 1e6

    @property
    def per_token(self) -> float:
        """Microseconds."""
        return self.worked / self.tokens * 1e6


@dataclass(frozen=True)
class Moment:
    """What had been by then."""

    at: float
    worked: float
    chunks: int
    tokens: int


class Window:
    """The time in which all streams run, looked at where it begins and where it ends."""

    def __init__(self, pid: int, clients: Sequence[Client]) -> None:
        self._pid = pid
        self._clients = clients
        self._waiting = len(clients)
        self._moments: list[Moment] = []
        self._early = False
        for client in clients:
            client.begins, client.ends = self._begins, self._ends

    def _begins(self) -> None:
        self._waiting -= 1
        if not self._waiting:
            self._look()

    def _ends(self) -> None:
        self._early |= self._waiting > 0
        if len(self._moments) == 1:
            self._look()

    def _look(self) -> None:
        chunks = sum(client.chunks for client in self._clients)
        tokens = sum(client.tokens for client in self._clients)
        self._moments.append(Moment(time.monotonic(), worked(self._pid), chunks, tokens))

    def streamed(self) -> Streamed:
        """What went on in it. Raises ``ValueError`` where some ended before others began."""
        if self._early:
            raise ValueError("the streams did not run side by side: they must be longer")
        first, last = self._moments
        return Streamed(
            last.chunks - first.chunks,
            last.tokens - first.tokens,
            last.at - first.at,
            last.worked - first.worked,
        )


async def stream(order: Streams) -> Streamed:
    """Lets the streams run, in a process for clients. Raises ``ValueError`` where tokens are
    missing, or the streams did not run side by side.
    """
    with napping():
        clients = await connected(Client, order.peer, order.way, order.clients)
        await quiet(order.peer.pid)
        directive = f"/mock tokens={order.tokens} burst={order.burst} delay_ms={order.delay_ms}"
        start = time.time() + await tried(clients)
        window = Window(order.peer.pid, clients)
        await begun(clients, directive, start=start, spread=order.delay_ms / 1000)
        await asyncio.gather(*(client.ended for client in clients))
        for client in clients:
            client.leave()
            if client.tokens != order.tokens:
                raise ValueError(f"{client.tokens} tokens came of {order.tokens}")
        return window.streamed()


async def connected(
    make: Callable[[Peer, Mapping[str, Any], str], C], peer: Peer, way: Way, count: int
) -> list[C]:
    """Clients that are in."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> C:
        async with free:
            return await connect(make, peer, way, peer.auth(number))

    return list(await asyncio.gather(*map(one, range(count))))


async def tried(clients: Sequence[Client]) -> float:
    """Seconds in which all of them may ask, as some have tried it."""
    some = clients[:AT_ONCE]
    start = time.time()
    await asyncio.gather(*(client.say("/mock tokens=1") for client in some))
    await asyncio.gather(*(client.ended for client in some))
    return LEAD_SECONDS + LEAD_TIMES * (time.time() - start) * len(clients) / len(some)


async def begun(clients: Sequence[Client], directive: str, *, start: float, spread: float) -> None:
    """Asks for streams that begin at ``start``, in seconds since the epoch, or up to ``spread``
    later. Raises ``ValueError`` where that moment has passed when all have asked.
    """
    free = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, client: Client) -> None:
        async with free:
            due = start + spread * number / len(clients)
            await client.say(f"{directive} at_ms={due * 1000:.0f}")

    await asyncio.gather(*(one(number, client) for number, client in enumerate(clients)))
    if time.time() > start:
        raise ValueError("asking took longer than it was tried to take")
