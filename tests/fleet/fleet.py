"""Three nodes behind a real nginx, on a real Redis and PostgreSQL.

async with running_fleet() as fleet:
    … fleet.url …
    await fleet.nodes[0].restart()
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.nginx import running_nginx
from tests.postgres import free_port, postgres_of
from tests.redis import running_redis
from tests.server import Server, running_server

NODES = 3
SETTINGS = {
    "TRUSTED_PROXIES": "127.0.0.1",
    "GUESTS_ENABLED": 1,
    # All clients come from one address, whose guests share their limits.
    "MAX_GUESTS_PER_ADDRESS": 10_000,
    "MAX_SOCKETS_PER_ADDRESS": 10_000,
    "AUTH_GUESTS_PER_MINUTE": 1_000_000,
    "RATE_LIMIT_MAX_REQUESTS": 1_000_000,
    "RATE_LIMIT_READS_PER_MINUTE": 1_000_000,
    "SHUTDOWN_TIMEOUT_MS": 10_000,
}


class Node:
    """A node that can be stopped and started again, at the same address."""

    def __init__(self, number: int, **settings: Any) -> None:
        self.port = free_port()
        self._settings: dict[str, Any] = {
            **settings,
            "NODE_NAME": f"node{number}",
            "PORT": self.port,
        }
        self._stack = AsyncExitStack()
        self.server: Server

    async def start(self) -> None:
        """Returns when it listens."""
        self.server = await self._stack.enter_async_context(running_server(**self._settings))

    async def stop(self) -> None:
        """SIGTERM; returns when it has ended, which must be without a complaint."""
        await self._stack.aclose()

    async def kill(self) -> None:
        """SIGKILL: what a power cut does to it."""
        self.server.kill()
        await self.server.ended()
        await self.stop()

    async def restart(self) -> None:
        """What a deployment does to a node."""
        await self.stop()
        await self.start()


@dataclass(frozen=True)
class Fleet:
    """The nodes, and where clients come."""

    url: str
    nodes: list[Node]


@asynccontextmanager
async def running_fleet(port: int = 0, **settings: object) -> AsyncIterator[Fleet]:
    """A fleet, when all listen. ``port`` is nginx's; a free one for 0."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="talksy-fleet-")))
        redis = stack.enter_context(running_redis(appendonly="yes"))
        database = await postgres_of(folder)
        shared = {**SETTINGS, "DATABASE_URL": database, "REDIS_URL": redis.url, **settings}
        nodes = [Node(number, **shared) for number in range(1, NODES + 1)]
        for node in nodes:
            stack.push_async_callback(node.stop)
        await asyncio.gather(*(node.start() for node in nodes))
        url = stack.enter_context(running_nginx([node.port for node in nodes], port))
        yield Fleet(url, nodes)
