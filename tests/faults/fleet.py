"""Several nodes on one PostgreSQL and one Redis, each behind wires of its own."""

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from tests.faults.relay import Relay, running_relay
from tests.postgres import Postgres, free_port
from tests.redis import Redis, Watched, running_redis, running_sentinel
from tests.server import Line, Server, running_server

MANY = 10_000_000
DRAIN_SECONDS = 30
SETTINGS: dict[str, Any] = {
    # One event a token, so that content can be compared with number.
    "STREAM_COALESCE_MS": 0,
    "RATE_LIMIT_MAX_REQUESTS": MANY,
    "RATE_LIMIT_READS_PER_MINUTE": MANY,
    "AUTH_REGISTER_PER_MINUTE": MANY,
    "MAX_SESSIONS_PER_USER": 100_000,
    "MAX_SESSIONS_PER_NODE": 100_000,
    "MAX_SOCKETS_PER_USER": 100_000,
    "MAX_SOCKETS_PER_ADDRESS": 100_000,
    "SHUTDOWN_TIMEOUT_MS": DRAIN_SECONDS * 1000,
}
_numbers = itertools.count()


@dataclass
class Node:
    """One place of the fleet, where a server runs, or another one after it."""

    settings: dict[str, Any]
    url: str
    database: Relay | None = None
    redis: Relay | None = None
    server: Server | None = None
    log: list[Line] = field(default_factory=list)
    """What all its servers have logged, once they have ended."""
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self) -> None:
        """Returns when it listens."""
        self._stack = AsyncExitStack()
        self.server = await self._stack.enter_async_context(
            # What it complains of is looked at by the row that made it complain.
            running_server(accept=lambda _line: True, **self.settings)
        )

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.server is not None and self.server.process.poll() is None

    async def kill(self) -> None:
        """SIGKILL; returns when it has ended."""
        assert self.server is not None
        self.server.kill()
        await self.server.ended()

    def freeze(self) -> None:
        """SIGSTOP: it keeps its connections and does nothing."""
        assert self.server is not None
        self.server.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self.server is not None
        self.server.process.send_signal(signal.SIGCONT)

    async def close(self) -> None:
        """Ends what still runs, by SIGTERM: it drains first, and must end with 0."""
        if self.server is not None:
            if self.alive:
                self.thaw()
                self.server.terminate()
                assert await self.server.ended(DRAIN_SECONDS + 20) == 0
            server, self.server = self.server, None
            await self._stack.aclose()
            self.log += server.log


@dataclass
class Fleet:
    """Nodes, and what they stand on."""

    nodes: list[Node]
    postgres: Postgres
    redis: Redis
    """The primary."""
    watched: Watched | None = None
    """Where it has a replica and a Sentinel."""

    @property
    def urls(self) -> list[str]:
        """Where the nodes listen."""
        return [node.url for node in self.nodes]

    @property
    def alive(self) -> list[str]:
        """Where those listen that run."""
        return [node.url for node in self.nodes if node.alive]

    async def mend(self) -> None:
        """Starts anew what was killed."""
        for node in self.nodes:
            if not node.alive:
                await node.close()
                await node.start()


@asynccontextmanager
async def running_fleet(
    postgres: Postgres,
    *,
    nodes: int = 3,
    wires: bool = False,
    redis: str = "plain",
    **settings: object,
) -> AsyncIterator[Fleet]:
    """``nodes`` on a database of their own in ``postgres`` and a Redis of that kind; with ``wires``
    each behind relays of its own.
    """
    name = f"faults_{os.getpid()}_{next(_numbers)}"
    await _sql(postgres, f"CREATE DATABASE {name}")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_sql, postgres, f"DROP DATABASE {name} WITH (FORCE)")
        fleet = await asyncio.to_thread(_on_redis, stack, redis, postgres)
        store = fleet.redis if fleet.watched is None else fleet.watched
        for _ in range(nodes):
            port = free_port()
            node = Node({**SETTINGS, **settings, "PORT": port}, f"http://127.0.0.1:{port}")
            urls = {"DATABASE_URL": postgres.url(name), "REDIS_URL": store.url}
            if wires:
                node.database = await stack.enter_async_context(running_relay(postgres.address))
                node.redis = await stack.enter_async_context(
                    running_relay(f"127.0.0.1:{fleet.redis.port}")
                )
                urls["DATABASE_URL"] = _through(urls["DATABASE_URL"], node.database)
                urls["REDIS_URL"] = _through(urls["REDIS_URL"], node.redis)
            node.settings |= urls
            stack.push_async_callback(node.close)
            fleet.nodes.append(node)
        # The first makes the tables; the others wait for it in any case.
        await asyncio.gather(*(node.start() for node in fleet.nodes))
        yield fleet


def _on_redis(stack: AsyncExitStack, kind: str, postgres: Postgres) -> Fleet:
    """A fleet without nodes. ``kind`` is ``plain``, ``kept`` or ``sentinel``."""
    if kind == "sentinel":
        watched = stack.enter_context(running_sentinel())
        return Fleet([], postgres, watched.primary, watched)
    keeps = "yes" if kind == "kept" else "no"
    return Fleet([], postgres, stack.enter_context(running_redis(appendonly=keeps)))


def _through(url: str, relay: Relay) -> str:
    parts = urlsplit(url)
    login, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{login}{at}{relay.address}"))


async def _sql(postgres: Postgres, statement: str) -> None:
    connection = await asyncpg.connect(postgres.url("postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
