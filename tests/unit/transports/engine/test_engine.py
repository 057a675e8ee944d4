"""An engine in this process: what its application is told and may ask, and its time limits."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest
from aiohttp import web

from talksy.transports.http import Runner
from talksy.transports.requests import Ask
from talksy.transports.socketio.engine import Engine, Socket, takeover
from talksy.transports.socketio.engine import connection as connections
from talksy.transports.socketio.engine.frames import PROTOCOL_ERROR, Violation
from talksy.transports.socketio.engine.socket import INBOX
from tests.protocol.frames import TEXT, closing, frame
from tests.protocol.wire import Wire, connected, opened, polling, probing, upgrade, websocket

Work = Coroutine[Any, Any, None]


RUNNER: ContextVar[type[web.AppRunner]] = ContextVar("RUNNER")


@pytest.fixture(autouse=True, params=[Runner, web.AppRunner], ids=["front", "aiohttp"])
def runner(request: pytest.FixtureRequest) -> Iterator[None]:
    """Who reads requests: ours where they are plain, or aiohttp all of them."""
    token = RUNNER.set(request.param)
    yield
    RUNNER.reset(token)


@asynccontextmanager
async def served(engine: Engine) -> AsyncIterator[str]:
    """The engine on a port of its own."""
    app = web.Application()
    engine.attach(app)
    runner = RUNNER.get()(app, lingering_time=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield site.name
    finally:
        await engine.shutdown()
        await runner.cleanup()


class Served:
    """Serves messages one after the other: notes them when it has been let."""

    def __init__(self) -> None:
        self.begun: list[str | bytes] = []
        self.done: list[str | bytes] = []
        self.may = asyncio.Event()

    def __call__(self, _socket: Socket, data: str | bytes) -> Work | None:
        if data == "sync":
            raise Violation(PROTOCOL_ERROR, "as it was asked")
        return self._serve(data)

    async def _serve(self, data: str | bytes) -> None:
        self.begun.append(data)
        await self.may.wait()
        if data == "fail":
            raise RuntimeError("as it was asked")
        if data == "violate":
            raise Violation(PROTOCOL_ERROR, "as it was asked")
        self.done.append(data)


@pytest.fixture
def engine() -> Engine:
    return Engine(cors_allowed_origins="*", ping_interval=5.0, ping_timeout=5.0)


async def first(wire: Wire, word: str) -> None:
    """Returns when a pong for this word has come: all before it was read."""
    wire.writer.write(frame(9, word.encode()))
    while await wire.frame() != (10, word.encode()):
        pass


# ---- one after the other


async def test_messages_are_served_one_after_the_other(engine: Engine) -> None:
    serve = engine.serve = Served()
    async with served(engine) as url, opened(url) as wire:
        wire.send("4a", b"b", "4c")
        await first(wire, "all are here")
        assert serve.begun == ["a"]
        serve.may.set()
        wire.send("4d")
        await first(wire, "this, too")
        assert serve.done == ["a", b"b", "c", "d"]


async def test_one_that_fails_takes_none_of_the_others_along(engine: Engine) -> None:
    serve = engine.serve = Served()
    async with served(engine) as url, opened(url) as wire:
        wire.send("4a", "4fail", "4b")
        await first(wire, "all are here")
        serve.may.set()
        await first(wire, "and still")
        assert serve.done == ["a", "b"]


@pytest.mark.parametrize("bad", ["4violate", "4sync"])
async def test_a_violation_ends_all(engine: Engine, bad: str) -> None:
    serve = engine.serve = Served()
    serve.may.set()
    async with served(engine) as url, opened(url) as wire:
        wire.send("4a", bad, "4b")
        assert await wire.closed() == PROTOCOL_ERROR
        assert serve.done == ["a"]


async def test_who_sends_faster_than_it_is_served_waits(engine: Engine) -> None:
    serve = engine.serve = Served()
    sent = 40 * INBOX
    async with served(engine) as url, opened(url) as wire:
        (socket,) = engine.sockets.values()
        wire.writer.write(sent * frame(TEXT, b"4x"))
        await asyncio.sleep(0.1)  # nothing more is read then
        assert socket._inbox is not None
        assert len(socket._inbox) == INBOX
        serve.may.set()
        await first(wire, "at last")
        assert len(serve.done) == sent


async def test_a_payload_is_answered_when_it_was_served(engine: Engine) -> None:
    serve = engine.serve = Served()
    async with served(engine) as url, polling(url) as client:
        post = asyncio.create_task(client.post("4a", "4b"))
        after = asyncio.create_task(client.post("4c"))
        await asyncio.sleep(0.05)  # both have to be there
        assert not post.done()
        assert not after.done()
        serve.may.set()
        assert await post == await after == (200, "ok")
        assert serve.done == ["a", "b", "c"]


async def test_payloads_are_read_in_the_order_in_which_they_began(engine: Engine) -> None:
    serve = engine.serve = Served()
    serve.may.set()
    async with served(engine) as url, polling(url) as client, connected(url) as wire:
        wire.writer.write(post_of(client.query, 2) + b"4")
        await asyncio.sleep(0.05)  # it has to be there
        second = asyncio.create_task(client.post("4b"))
        await asyncio.sleep(0.05)  # this, too
        wire.writer.write(b"a")
        assert await second == (200, "ok")
        assert serve.done == ["a", "b"]


def post_of(query: str, length: int) -> bytes:
    """The head of a request that posts so many bytes."""
    return (
        f"POST /engine.io/?{query} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


# ---- what the application is told, and may ask


class Told:
    """What the handlers of an engine were told."""

    def __init__(self, engine: Engine) -> None:
        self.came: list[str] = []
        self.reasons: asyncio.Queue[str] = asyncio.Queue()
        engine.on("connect", self._connect)
        engine.on("disconnect", self._disconnect)

    async def _connect(self, sid: str, environ: Any) -> bool:
        self.came.append(sid)
        return "refuse" not in environ["QUERY_STRING"]

    async def _disconnect(self, _sid: str, reason: str) -> None:
        self.reasons.put_nowait(reason)


async def test_it_is_told_why_a_socket_has_gone() -> None:
    engine = Engine(ping_interval=0.05, ping_timeout=0.05)
    told = Told(engine)
    async with served(engine) as url:
        reasons = {"1": "transport close", "?": "transport error", "4": "ping timeout"}
        for sent, reason in reasons.items():
            async with opened(url) as wire:
                wire.send(sent)
                assert await told.reasons.get() == reason
        async with opened(url):
            pass
        assert await told.reasons.get() == "transport close"
        async with opened(url):
            await engine.disconnect(told.came[-1])
            assert await told.reasons.get() == "server disconnect"


async def test_what_follows_a_goodbye_is_no_violation() -> None:
    violations: list[str] = []
    engine = Engine(violated=violations.append)
    told = Told(engine)
    async with served(engine) as url, opened(url) as wire:
        wire.writer.write(closing(1000) + frame(TEXT, b"4unmasked", key=None))
        assert await wire.closed() == 1000
        assert await told.reasons.get() == "transport close"
    assert violations == []


async def test_violations_are_counted_by_a_word() -> None:
    violations: list[str] = []
    engine = Engine(violated=violations.append)
    async with served(engine) as url, opened(url) as wire, polling(url) as client:
        wire.writer.write(frame(TEXT, b"4unmasked", key=None))
        assert await wire.closed() == PROTOCOL_ERROR
        await client.post("?")
    assert violations == ["unmasked", "packet_type"]


async def test_who_polls_is_told_the_end_after_all_else(engine: Engine) -> None:
    async with served(engine) as url, polling(url) as client:
        await engine.send(client.sid, "last words")
        await engine.disconnect(client.sid)
        assert await client.poll() == (200, "4last words")
        assert await client.poll() == (200, "1")
        assert (await client.poll())[0] == 400


async def test_it_knows_its_sockets(engine: Engine) -> None:
    told = Told(engine)
    async with served(engine) as url, polling(url) as client:
        (sid,) = told.came
        async with engine.session(sid) as session:
            session["name"] = "client"
        assert (await engine.get_session(sid))["name"] == "client"
        assert engine.transport(sid) == "polling"
        await engine.send(sid, {"json": [1]})
        await engine.send(sid, b"bytes")
        await engine.send("nobody", "lost")
        assert await client.poll() == (200, '4{"json":[1]}\x1ebYnl0ZXM=')
        async with probing(client) as wire:
            wire.send("5")
            await first(wire, "it has gone over")
            assert engine.transport(sid) == "websocket"


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_it_may_refuse(engine: Engine, transport: str) -> None:
    Told(engine)
    async with served(engine) as url:
        async with connected(url) as wire:
            wire.writer.write(upgrade(f"/engine.io/?EIO=4&transport={transport}&refuse=1"))
            assert (await wire.reader.readline()).startswith(b"HTTP/1.1 401 ")
        assert engine.sockets == {}


async def test_ids_begin_with_its_name() -> None:
    async with served(Engine(prefix="node.")) as url, polling(url) as client:
        assert client.sid.startswith("node.")


class Teapot:
    """A guard that lets nobody get anything."""

    async def __call__(self, request: web.Request) -> web.Response | None:
        return web.Response(status=418) if request.method == "GET" else None

    def lets(self, ask: Ask) -> bool:
        return ask.method != "GET"


async def test_a_guard_answers_first() -> None:
    async with served(Engine(guard=Teapot())) as url, connected(url) as wire:
        wire.writer.write(upgrade("/engine.io/?EIO=4&transport=websocket"))
        assert (await wire.reader.readline()).startswith(b"HTTP/1.1 418 ")


async def test_pages_of_other_origins_are_refused_unless_they_may() -> None:
    engine = Engine(cors_allowed_origins=["https://ours.example"])
    async with served(engine) as url, polling(url) as client:
        for origin, status in (("https://ours.example", 200), ("https://theirs.example", 400)):
            asks = {"Origin": origin}
            async with client.http.get(
                f"{client.url}?EIO=4&transport=polling", headers=asks
            ) as answer:
                assert answer.status == status
                allowed = answer.headers.get("Access-Control-Allow-Origin")
                assert allowed == (origin if status == 200 else None)


async def test_where_nobody_may_go_over_nobody_does() -> None:
    engine = Engine(allow_upgrades=False)
    async with served(engine) as url, polling(url) as client:
        query = f"EIO=4&transport=websocket&sid={client.sid}"
        async with websocket(url, query=query) as wire:
            assert await wire.closed() == 1000


# ---- time limits


class Clock:
    """What an engine takes for the time, in seconds."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = began = engine.wheel.now()
        self.began = began
        monkeypatch.setattr(engine.wheel, "now", lambda: self.now)

    def set(self, seconds: float) -> None:
        self.now = self.began + seconds


async def test_a_request_finds_a_socket_closed_to_the_moment(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(engine, monkeypatch)
    async with served(engine) as url, polling(url) as client:
        (socket,) = engine.sockets.values()
        clock.set(5.0)
        socket.expire()
        clock.set(9.99)
        assert await client.poll() == (200, "2")
        clock.set(10.0)
        assert (await client.post("3"))[0] == 400
        assert (await client.poll())[0] == 400


async def test_who_could_not_be_asked_in_time_has_its_time_all_the_same(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(engine, monkeypatch)
    async with served(engine) as url, polling(url) as client:
        (socket,) = engine.sockets.values()
        clock.set(60.0)  # the loop stood still
        socket.expire()
        clock.set(64.5)
        assert await client.poll() == (200, "2")
        assert (await client.post("3"))[0] == 200


async def test_a_body_has_its_time(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeover, "BODY_SECONDS", 0.05)

    async with served(engine) as url, polling(url) as client, connected(url) as wire:
        wire.writer.write(post_of(client.query, 9) + b"4a")
        assert (await wire.reader.readline()).startswith(b"HTTP/1.1 400 ")
        assert (await client.poll())[0] == 400


async def test_who_answers_no_goodbye_is_hung_up_on(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CLOSE_SECONDS", 0.05)
    async with served(engine) as url, opened(url) as wire:
        wire.send("1")
        assert await wire.closed() == 1000
        await wire.gone()
    assert engine.sockets == {}


async def test_who_answers_a_goodbye_is_let_go_at_once(engine: Engine) -> None:
    async with served(engine) as url, opened(url) as wire:
        wire.send("1")
        assert await wire.closed() == 1000
        wire.writer.write(frame(8, b"\x03\xe8"))
        began = asyncio.get_running_loop().time()
        await wire.gone()
        assert asyncio.get_running_loop().time() - began < connections.CLOSE_SECONDS / 2


async def test_in_the_end_everybody_is_told(engine: Engine) -> None:
    async with served(engine) as url, opened(url) as wire, polling(url) as client:
        poll = asyncio.create_task(client.poll())
        await first(wire, "both are here")
        await asyncio.sleep(0.02)
        shutdown = asyncio.create_task(engine.shutdown())
        assert await poll == (200, "1")
        assert await wire.receive() == "1"
        assert await wire.closed() == 1000
        wire.writer.write(frame(8, b"\x03\xe8"))
        await shutdown
        assert not engine.sockets
