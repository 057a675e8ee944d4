"""Events of other processes, sent by the stock manager to sockets on two nodes."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import socketio
from aiohttp import web
from structlog.testing import capture_logs

from talksy.auth import AccessTokens
from talksy.database import Database
from talksy.state.redis import RedisState
from talksy.transports.socketio import DirectRooms, Limits, open_server
from talksy.transports.socketio.rooms import CHANNEL
from tests.integration.gateway.rig import House, opened
from tests.redis import Redis, running_redis

LIMITS = Limits(ping_interval=0.1)
"""A task of the library sleeps so long, whether its socket has gone or not."""


@dataclass
class Device:
    """A stock client that writes down what other processes send it."""

    sio: socketio.AsyncClient
    session_id: str = ""
    got: asyncio.Queue[tuple[Any, ...]] = field(default_factory=asyncio.Queue)

    async def next(self) -> tuple[Any, ...]:
        """The next of the events, and what it carries."""
        async with asyncio.timeout(5):
            return await self.got.get()

    async def quiet(self, outside: socketio.AsyncRedisManager) -> None:
        """Returns when what was sent so far has come, if it comes at all."""
        await outside.emit("last", None, room=f"session:{self.session_id}")
        assert await self.next() == ("last",)


@dataclass
class Node:
    """A server with everything behind it."""

    house: House
    url: str
    stack: AsyncExitStack

    async def device(self, user: str = "ada", login: str = "1") -> Device:
        """A device of the user's, in a session of its own."""
        device = Device(socketio.AsyncClient(reconnection=False))
        welcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        device.sio.on("SESSION_CREATED", lambda told: welcome.set_result(told["sessionId"]))
        for name in ("news", "last"):
            device.sio.on(name, lambda *data, name=name: device.got.put_nowait((name, *data)))
        token = await self.house.token(user, login)
        await device.sio.connect(self.url, auth={"token": token}, transports=["websocket"])
        self.stack.push_async_callback(device.sio.disconnect)
        device.session_id = await welcome
        return device


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with running_redis() as server:
        yield server


@asynccontextmanager
async def house_of(file: Path) -> AsyncIterator[House]:
    database = Database.open(f"sqlite:///{file}", upgrade=False)
    async with database as opened_database, opened(opened_database) as house:
        yield house


@asynccontextmanager
async def node_of(house: House, redis: Redis, name: str) -> AsyncIterator[Node]:
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(RedisState.open(redis.url, node=name))
        rooms = DirectRooms(state.outside)
        server = open_server(
            "own", house.gateway, origins=("*",), trusted_proxies=(), limits=LIMITS, rooms=rooms
        )
        await stack.enter_async_context(rooms.open())
        app = web.Application()
        server.attach(app)
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        stack.push_async_callback(server.close)
        host, port = runner.addresses[0]
        yield Node(house, f"http://{host}:{port}", stack)


@pytest.fixture
async def nodes(redis: Redis, template: Path, tmp_path: Path) -> AsyncIterator[tuple[Node, Node]]:
    names = ("node_a", "node_b")
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        files = [Path(shutil.copy(template, tmp_path / name)) for name in names]
        houses = [await enter(house_of(file)) for file in files]
        here, there = [
            await enter(node_of(house, redis, name))
            for house, name in zip(houses, names, strict=True)
        ]
        yield here, there


@pytest.fixture
async def outside(redis: Redis) -> AsyncIterator[socketio.AsyncRedisManager]:
    manager = socketio.AsyncRedisManager(redis.url, write_only=True)
    await manager.emit("nothing", None, room="user:nobody")
    yield manager
    await manager.redis.aclose()


async def test_a_user_is_sent_something_on_every_node(
    nodes: tuple[Node, Node], outside: socketio.AsyncRedisManager
) -> None:
    here, there = nodes
    devices = [await here.device(), await there.device(), await there.device()]
    stranger = await here.device("bob")
    for number in range(20):
        await outside.emit("news", {"number": number}, room="user:usr_ada")
    for device in devices:
        got = [await device.next() for _ in range(20)]
        assert got == [("news", {"number": number}) for number in range(20)]
    await stranger.quiet(outside)


async def test_a_session_and_a_login_are_rooms_too(
    nodes: tuple[Node, Node], outside: socketio.AsyncRedisManager
) -> None:
    here, _ = nodes
    first, second = await here.device(login="1"), await here.device(login="2")
    await outside.emit("news", "of a session", room=f"session:{first.session_id}")
    await outside.emit("news", "of a login", room="family:fam_ada_2")
    assert await first.next() == ("news", "of a session")
    assert await second.next() == ("news", "of a login")
    await first.quiet(outside)


async def test_who_goes_over_to_another_login_is_in_its_room(
    nodes: tuple[Node, Node], outside: socketio.AsyncRedisManager
) -> None:
    here, _ = nodes
    device = await here.device(login="1")
    token = await here.house.token(login="2")
    assert (await device.sio.call("auth_refresh", {"token": token}))["ok"]
    await outside.emit("news", 1, room="family:fam_ada_1")
    await outside.emit("news", 2, room="family:fam_ada_2")
    assert await device.next() == ("news", 2)


async def test_everybody_and_a_room_of_ones_own_are_reached(
    nodes: tuple[Node, Node], outside: socketio.AsyncRedisManager
) -> None:
    here, there = nodes
    one, other = await here.device(), await there.device("bob")
    await outside.emit("news", "for all")
    for device in (one, other):
        assert await device.next() == ("news", "for all")
    sid = other.sio.get_sid()
    await outside.enter_room(sid, "/", "readers")
    await outside.emit("news", "for readers", room=["readers", "user:usr_bob"])
    assert await other.next() == ("news", "for readers")
    await other.quiet(outside)
    await outside.emit("news", "for one", room=sid)
    assert await other.next() == ("news", "for one")
    await one.quiet(outside)


async def test_bytes_arrive_as_bytes_and_nothing_as_nothing(
    nodes: tuple[Node, Node], outside: socketio.AsyncRedisManager
) -> None:
    device = await nodes[0].device()
    for data in ({"sound": b"\0\xff"}, None, ("two", 2), [1, 2]):
        await outside.emit("news", data, room="user:usr_ada")
    assert await device.next() == ("news", {"sound": b"\0\xff"})
    assert await device.next() == ("news",)
    assert await device.next() == ("news", "two", 2)
    assert await device.next() == ("news", [1, 2])


async def test_what_cannot_be_read_is_logged_without_its_content_and_stops_nothing(
    nodes: tuple[Node, Node], outside: socketio.AsyncRedisManager, redis: Redis
) -> None:
    device = await nodes[0].device()
    with capture_logs() as logs:
        for word in ("secret", "[]", '{"method": "emit", "event": "secret"}'):
            redis.ask("PUBLISH", CHANNEL, word)
        await outside.emit("news", 1, room="user:usr_ada")
        assert await device.next() == ("news", 1)
    events = {entry["event"] for entry in logs}
    assert events == {"room_word_unreadable", "emit_unreadable"}
    assert "secret" not in str(logs)


async def test_a_device_can_be_disconnected_and_its_rooms_cannot_be_closed(
    nodes: tuple[Node, Node], outside: socketio.AsyncRedisManager
) -> None:
    device = await nodes[1].device()
    gone = asyncio.Event()
    device.sio.on("disconnect", lambda *_: gone.set())
    await outside.close_room("user:usr_ada")
    await outside.emit("news", 1, room="user:usr_ada")
    assert await device.next() == ("news", 1)
    await outside.can_disconnect(device.sio.get_sid(), "/")
    async with asyncio.timeout(5):
        await gone.wait()
    assert nodes[1].house.gateway.connections == 0


async def test_who_did_not_hear_for_a_moment_hears_again(
    nodes: tuple[Node, Node], outside: socketio.AsyncRedisManager, redis: Redis
) -> None:
    device = await nodes[0].device()
    assert redis.ask("CLIENT", "KILL", "TYPE", "pubsub") == 2
    async with asyncio.timeout(5):
        while device.got.empty():
            await outside.emit("news", "again", room="user:usr_ada")
            await asyncio.sleep(0.02)
    assert await device.next() == ("news", "again")


async def test_guests_are_users(
    nodes: tuple[Node, Node], outside: socketio.AsyncRedisManager
) -> None:
    node = nodes[0]
    guests = AccessTokens(["s" * 32], ttl_ms=1_000, guest_ttl_ms=60_000)
    token = guests.sign_guest("gst_1", now=node.house.clock.now).text
    device = Device(socketio.AsyncClient(reconnection=False))
    device.sio.on("news", lambda *data: device.got.put_nowait(("news", *data)))
    await device.sio.connect(node.url, auth={"token": token}, transports=["websocket"])
    node.stack.push_async_callback(device.sio.disconnect)
    await outside.emit("news", 1, room="user:gst_1")
    assert await device.next() == ("news", 1)
