"""Which servers there are, and which of them is asked for a key."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import Connection as PlainConnection
from redis.asyncio.connection import ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import AskError, MovedError, RedisClusterException
from redis.exceptions import ConnectionError as Lost

from talksy.state.redis.address import Address
from talksy.state.redis.lines import CONNECT_SECONDS, Command, Connection, Lines

Ask = Callable[..., Awaitable[Any]]
SENTINEL_SECONDS = 0.3
"""A sentinel that does not answer within this is left for the next one."""
# Nothing is tried again down there, and nothing asked but what has to be; how long an answer may
# take is the caller's to say.
COMMON: dict[str, Any] = {
    "socket_timeout": None,
    "socket_connect_timeout": CONNECT_SECONDS,
    "protocol": 2,
    "driver_info": None,
}


class Servers(Protocol):
    """One server, or the nodes of a cluster. All of it raises ``FAULTS``."""

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """The answers, an error of a server's among them as it is."""
        ...

    async def mend(self) -> None:
        """Asks those that have failed for a sign."""
        ...

    async def drop(self) -> None:
        """Takes nothing that was known of them for granted."""
        ...

    async def ear(self) -> Connection:
        """A connection to listen on, connected."""
        ...

    async def meets(self, ear: Connection) -> bool:
        """Whether what ``ask`` says is heard and counted there; else ``ask`` connects anew."""
        ...

    async def asker(self, key: str) -> Ask:
        """The library's way to the server that has ``key``, with its errors and answers."""
        ...

    async def close(self) -> None:
        """Hangs up."""
        ...


def servers_at(url: str) -> Servers:
    """Raises ``ValueError``."""
    address = Address.parse(url)
    return Cluster(address) if address.kind == "cluster" else Single(address)


class Single:
    """One server, which Sentinel may tell the address of."""

    def __init__(self, address: Address) -> None:
        options = {**COMMON, "retry": Retry(NoBackoff(), 0), **address.options}
        self._sentinel: Any = None
        pool: Any
        if address.kind == "sentinel":
            tls = {name: it for name, it in address.options.items() if name.startswith("ssl_")}
            times = {"socket_timeout": SENTINEL_SECONDS, "socket_connect_timeout": SENTINEL_SECONDS}
            asked = {**COMMON, **tls, **times, "retry": Retry(NoBackoff(), 0), "ssl": address.tls}
            find: Any = Sentinel
            self._sentinel = find(address.hosts, sentinel_kwargs=asked)
            make: Any = SentinelConnectionPool
            pool = make(address.service, self._sentinel, ssl=address.tls, **options)
        else:
            host, port = address.hosts[0]
            kind = SSLConnection if address.tls else PlainConnection
            pool = ConnectionPool(connection_class=kind, host=host, port=port, **options)
        self._pool = pool
        self._library: Any = Redis(connection_pool=pool)
        self._lines = Lines(pool.make_connection)

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        return await self._lines.ask(commands)

    async def mend(self) -> None:
        if self._lines.failed:
            await self._lines.mend()

    async def drop(self) -> None:
        await self._lines.drop()

    async def ear(self) -> Connection:
        return await _connected(self._pool.make_connection())

    async def meets(self, ear: Connection) -> bool:
        if self._lines.address == (ear.host, ear.port):
            return True
        await self._lines.drop()
        return False

    async def asker(self, key: str) -> Ask:  # noqa: ARG002 - it has them all
        ask: Ask = self._library.execute_command
        return ask

    async def close(self) -> None:
        await self._lines.close()
        await self._pool.disconnect()
        if self._sentinel is not None:
            await self._sentinel.aclose()


class Cluster:
    """The nodes of a cluster, each with its part of the keys."""

    def __init__(self, address: Address) -> None:
        options = {**COMMON, "retry": Retry(NoBackoff(), 0), **address.options, "ssl": address.tls}
        make: Any = RedisCluster
        self._library: Any = make(
            startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
            # Whoever wants a slot that nobody has is told so; the others are served.
            require_full_coverage=False,
            **options,
        )
        self._known = False
        """Whether it has who; else what was known last is gone by until it is found out."""
        self._finding = asyncio.Lock()
        self._lines: dict[str, Lines] = {}

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        parts: dict[str, list[int]] = {}
        for place, command in enumerate(commands):
            parts.setdefault(self._node(_key(command)).name, []).append(place)
        told = await asyncio.gather(
            *(
                self._lines[name].ask([commands[place] for place in places])
                for name, places in parts.items()
            ),
            return_exceptions=True,
        )
        answers: list[Any] = [None] * len(commands)
        for places, answer in zip(parts.values(), told, strict=True):
            if isinstance(answer, BaseException):
                self._known = False
                raise answer
            for place, one in zip(places, answer, strict=True):
                answers[place] = await self._redirected(commands[place], one)
        return answers

    async def mend(self) -> None:
        await self._find()
        for lines in list(self._lines.values()):
            if lines.failed:
                await lines.mend()

    async def drop(self) -> None:
        self._known = False

    async def ear(self) -> Connection:
        await self._find()
        # Any of them hears what is said to the others.
        node = random.choice(self._library.get_primaries())  # noqa: S311 - no secret
        return await _connected(_connection(node))

    async def meets(self, ear: Connection) -> bool:  # noqa: ARG002 - all hear all
        return True

    async def asker(self, key: str) -> Ask:
        await self._find()
        ask: Ask = self._node(key).execute_command
        return ask

    async def close(self) -> None:
        for lines in self._lines.values():
            await lines.close()
        manager = self._library.nodes_manager
        await manager.aclose()
        await manager.aclose("startup_nodes")

    async def _find(self) -> None:
        """Finds out who has which keys, unless it is known."""
        async with self._finding:
            if self._known:
                return
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self._library.nodes_manager.initialize()
            except RedisClusterException as error:
                raise Lost(str(error)) from error
            known = {node.name: node for node in self._library.get_primaries()}
            if not known:
                raise Lost("no node of the cluster has keys")
            gone = [self._lines.pop(name) for name in list(self._lines) if name not in known]
            for lines in gone:
                await lines.close()
            for name, node in known.items():
                if name not in self._lines:
                    self._lines[name] = Lines(lambda node=node: _connection(node))  # type: ignore[misc]
            self._known = True

    def _node(self, key: str) -> Any:
        try:
            node = self._library.get_node_from_key(key)
        except RedisClusterException as error:
            self._known = False
            raise Lost(str(error)) from error
        if node.name not in self._lines:
            raise Lost(f"{node.name} is not known yet")
        return node

    async def _redirected(self, command: Command, answer: Any) -> Any:
        """The answer of who has the key meanwhile, where another one has it."""
        if not isinstance(answer, AskError):
            return answer
        if isinstance(answer, MovedError):
            self._known = False
        lines = self._lines.get(f"{answer.host}:{answer.port}")
        if lines is None:
            self._known = False
            return answer
        _, answer = await lines.ask([("ASKING",), command])
        return answer


def _key(command: Command) -> str:
    return str(command[3] if command[0] == "EVALSHA" else command[1])


def _connection(node: Any) -> Connection:
    return node.connection_class(**node.connection_kwargs)


async def _connected(connection: Connection) -> Connection:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await connection.connect()
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return connection
