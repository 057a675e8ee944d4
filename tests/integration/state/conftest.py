"""Two nodes that share their state, in memory or in Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count
from uuid import uuid4

import pytest

from talksy.state import (
    Append,
    Appended,
    Bus,
    MemoryBus,
    MemoryHub,
    MemoryLog,
    Nudge,
    Place,
    TurnLog,
)
from talksy.state.redis import RedisState
from tests.redis import shared_redis

_numbers = count()


def fresh(kind: str) -> str:
    """A name that nobody has used, whoever else has the server."""
    return f"{kind}_{uuid4().hex[:12]}{next(_numbers)}"


@dataclass
class Node:
    """What one node has of the shared state."""

    log: TurnLog
    bus: Bus


@pytest.fixture(params=["memory", "redis"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes of one fleet."""
    if request.param == "memory":
        hub = MemoryHub()
        yield Node(MemoryLog(hub), MemoryBus(hub)), Node(MemoryLog(hub), MemoryBus(hub))
        return
    url = shared_redis().url
    async with AsyncExitStack() as stack:
        states = [
            await stack.enter_async_context(RedisState.open(url, node=fresh("node")))
            for _ in range(2)
        ]
        here, there = (Node(state.log, state.bus) for state in states)
        yield here, there


async def until(condition: Callable[[], object]) -> None:
    """Waits for what no event tells of."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class Turn:
    """A turn of a session of its own, as its writers and readers name it."""

    def __init__(self, here: TurnLog, there: TurnLog) -> None:
        self.session, self.id = fresh("ses"), fresh("trn")
        self.here, self.there = here, there
        self.heard: asyncio.Queue[Nudge] = asyncio.Queue()

    def of(self, first: int, *events: bytes, fence: int = 1, final: bool = False) -> Append:
        return Append(self.session, self.id, fence, first, events, final=final)

    async def write(
        self, first: int, *events: bytes, fence: int = 1, final: bool = False
    ) -> Appended:
        (answer,) = await self.here.append([self.of(first, *events, fence=fence, final=final)])
        return answer

    async def read(self, first: int = 0) -> list[bytes] | None:
        (events,) = await self.there.read([Place(self.session, self.id, first)])
        return None if events is None else list(events)

    async def follow(self) -> None:
        await self.there.follow(self.session, self.heard.put_nowait)

    async def hear(self) -> Nudge:
        async with asyncio.timeout(5):
            nudge = await self.heard.get()
        return Nudge(nudge.turn_id, nudge.first, tuple(nudge.events))
