"""How late tokens come when a server has much to do."""

import asyncio
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from benchmarks.client import Client
from benchmarks.load import Lag, met
from benchmarks.peers import Peer
from benchmarks.rounds import quantile
from benchmarks.streams import begun, connected, tried

SETTLE_SECONDS = 2.0
"""The first ones of all streams, which do not count."""


@dataclass(frozen=True)
class Pace:
    """Streams at a model's pace."""

    peer: Peer
    clients: int
    delay_ms: int
    seconds: float
    meets: bool = False
    """Whether the other process is waited for: before they are asked for, and when all run."""

    def __str__(self) -> str:
        return f"{self.clients:,} at {1000 / self.delay_ms:g} a second"


@dataclass(frozen=True)
class Delays:
    """When each token came, by the machine's clock, and how many seconds late."""

    arrivals: Sequence[float]
    late: Sequence[float]
    lag: float
    """Of the clients' own loop, which is in all of them: its 99th percentile."""

    def between(self, start: float, end: float) -> Sequence[float]:
        """How late those were that came then."""
        return [
            late for at, late in zip(self.arrivals, self.late, strict=True) if start <= at < end
        ]


class Listener(Client):
    """Notes when each token came, and when the first was due if the stream had kept its pace."""

    def __init__(self, peer: Peer, auth: Mapping[str, Any], sid: str = "") -> None:
        super().__init__(peer, auth, sid)
        self.step = 0.0
        """Seconds from token to token; 0 while nothing is noted."""
        self.arrivals = array("d")
        self.offsets = array("d")

    def chunk(self, data: bytes, start: int, end: int) -> None:
        if self.step:
            now = time.monotonic()
            content: str = orjson.loads(data[start + 2 : end])[1]["content"]
            for number in map(int, content.split()):
                self.arrivals.append(now)
                self.offsets.append(now - number * self.step)


async def listen(order: Pace) -> Delays:
    """Lets the streams run to their end.

    A token is due by the line through the earliest ones of its own stream, at the model's pace.
    """
    step = order.delay_ms / 1000
    clients = await connected(Listener, order.peer, "websocket", order.clients)
    lead = await tried(clients)
    if order.meets:
        await met()
    for client in clients:
        client.step = step
    start = time.time() + lead
    directive = f"/mock tokens={order.seconds / step:.0f} delay_ms={order.delay_ms}"
    await begun(clients, directive, start=start, spread=step)
    await asyncio.sleep(start - time.time() + SETTLE_SECONDS)
    lag, since = Lag(), time.monotonic()
    if order.meets:
        await met()
    await asyncio.gather(*(client.ended for client in clients))
    lag.close()
    arrivals, late = array("d"), array("d")
    for client in clients:
        client.leave()
        first = min(client.offsets)
        for at, offset in zip(client.arrivals, client.offsets, strict=True):
            if at >= since:
                arrivals.append(at)
                late.append(offset - first)
    return Delays(arrivals, late, quantile(lag.seconds, 0.99))
