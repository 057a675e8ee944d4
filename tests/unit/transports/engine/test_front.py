"""Connections on which plain requests are answered by us, and others by aiohttp."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_network
from typing import Any

import orjson
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from talksy.transports.http import Runner
from talksy.transports.requests import COMMON
from talksy.transports.rest.headers import Headers
from talksy.transports.socketio.engine import Engine, Socket, payload
from talksy.transports.socketio.engine.frames import text_frame
from tests.protocol.wire import Wire, connected

PAGE = "https://page.example"
PATH = "/engine.io/?EIO=4&transport=polling"
Answer = tuple[str, dict[str, str], bytes]


async def page(_: web.Request) -> web.Response:
    return web.Response(text="a page")


@asynccontextmanager
async def served(engine: Engine, **options: Any) -> AsyncIterator[str]:
    """The engine with headers as a node's, beside a page."""
    app = web.Application()
    headers = Headers([PAGE], [ip_network("127.0.0.0/8")], tls=False)
    app.on_response_prepare.append(headers.prepare)
    app[COMMON] = headers.lines
    app.router.add_get("/page", page)
    engine.attach(app)
    runner = Runner(app, lingering_time=0, **options)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield site.name
    finally:
        await engine.shutdown()
        await runner.cleanup()


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with served(Engine(cors_allowed_origins=[])) as name:
        yield name


def asks(target: str, *lines: str, body: bytes | None = None) -> bytes:
    """A request. With a header given twice it is one that only aiohttp reads."""
    method = "GET" if body is None else "POST"
    length = [] if body is None else [f"Content-Length: {len(body)}"]
    whole = "\r\n".join([f"{method} {target} HTTP/1.1", "Host: localhost", *lines, *length, "", ""])
    return whole.encode() + (body or b"")


PLAIN: tuple[str, ...] = ()
TWICE = ("X-Twice: 1", "X-Twice: 2")


async def answered(wire: Wire) -> Answer:
    """The next answer: its first line, its headers, its body."""
    async with asyncio.timeout(10):
        told = (await wire.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = told.removesuffix("\r\n\r\n").split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        body = await wire.reader.readexactly(int(headers["content-length"]))
    return first, headers, body


async def greeted(wire: Wire, *lines: str) -> str:
    """The id of a new socket."""
    wire.writer.write(asks(PATH, *lines))
    status, _, body = await answered(wire)
    assert status == "HTTP/1.1 200 OK"
    return str(orjson.loads(body[1:])["sid"])


async def waits(socket: Socket) -> None:
    """Returns when somebody polls it who is not answered yet."""
    async with asyncio.timeout(10):
        while socket._poll is None:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [f"Origin: {PAGE}"],
        ["Origin: https://elsewhere.example"],
        ["X-Forwarded-Proto: https"],
        ["X-Request-Id: mine"],
    ],
    ids=lambda lines: "".join(lines),
)
async def test_answers_have_the_same_headers_whoever_gives_them(url: str, lines: list[str]) -> None:
    told = []
    for more in (PLAIN, TWICE):
        async with connected(url) as wire:
            wire.writer.write(asks(PATH, *lines, *more))
            status, headers, body = await answered(wire)
            assert headers.pop("date").endswith(" GMT")
            number = headers.pop("x-request-id")
            assert number == "mine" if "X-Request-Id: mine" in lines else number.startswith("req_")
            told.append((status, headers, orjson.loads(body[1:]).keys()))
    assert told[0] == told[1]


@pytest.mark.parametrize("body", [b"9", b"x", b"", b"4\xff"], ids=ascii)
async def test_refusals_are_the_same_whoever_gives_them(url: str, body: bytes) -> None:
    told = []
    for more in (PLAIN, TWICE):
        async with connected(url) as wire:
            sid = await greeted(wire, *more)
            wire.writer.write(asks(f"{PATH}&sid={sid}", *more, body=body))
            status, headers, refusal = await answered(wire)
            told.append((status, headers["content-type"], refusal))
    assert told[0] == told[1]
    assert told[0][0] == "HTTP/1.1 400 Bad Request"


async def test_requests_in_a_row_are_answered_in_their_order(url: str) -> None:
    async with connected(url) as wire:
        sid = await greeted(wire)
        own = f"{PATH}&sid={sid}"
        wire.writer.write(asks(own, body=b"3") + asks(own, body=b"1") + asks("/page"))
        assert [(await answered(wire))[2] for _ in range(3)] == [b"ok", b"ok", b"a page"]


async def test_a_request_that_comes_while_another_waits_has_its_turn() -> None:
    engine = Engine(cors_allowed_origins=[])
    async with served(engine) as name, connected(name) as wire:
        sid = await greeted(wire)
        wire.writer.write(asks(f"{PATH}&sid={sid}") + asks("/page"))
        await wire.writer.drain()
        await waits(engine.sockets[sid])
        await engine.send(sid, "there")
        assert (await answered(wire))[2] == b"4there"
        assert (await answered(wire))[2] == b"a page"


async def test_a_connection_serves_sockets_and_pages_in_turn(url: str) -> None:
    async with connected(url) as wire:
        sid = await greeted(wire)
        wire.writer.write(asks("/page"))
        assert (await answered(wire))[2] == b"a page"
        wire.writer.write(asks(f"{PATH}&sid={sid}", body=b"1"))
        assert (await answered(wire))[2] == b"ok"


async def test_a_request_in_pieces_is_served_all_the_same(url: str) -> None:
    async with connected(url) as wire:
        sid = await greeted(wire)
        for byte in asks(f"{PATH}&sid={sid}", body=b"1"):
            wire.writer.write(bytes([byte]))
            await wire.writer.drain()
            await asyncio.sleep(0)
        assert (await answered(wire))[2] == b"ok"


async def test_who_does_not_read_its_answers_is_not_read_either() -> None:
    engine = Engine(cors_allowed_origins=[])
    async with served(engine) as name, connected(name) as wire:
        sid = await greeted(wire)
        many = 30
        for number in range(many):
            await engine.send(sid, f"{number:03}" + 100_000 * "x")
        polls = asks(f"{PATH}&sid={sid}") * 2
        wire.writer.write(polls + asks("/page"))
        bodies = [(await answered(wire))[2] for _ in range(3)]
        packets = [packet for body in bodies[:2] for packet in body.split(b"\x1e")]
        assert [packet[:4] for packet in packets] == [f"4{n:03}".encode() for n in range(many)]
        assert bodies[2] == b"a page"


def broken(_: Any) -> bytes:
    raise RuntimeError("a secret")


async def test_a_fault_of_ours_is_told_and_the_connection_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Engine(cors_allowed_origins=[])

    async with served(engine) as name, connected(name) as wire:
        sid = await greeted(wire)
        monkeypatch.setattr(payload, "joined", broken)
        engine.sockets[sid].send(text_frame(b"4there"))
        with capture_logs() as logs:
            wire.writer.write(asks(f"{PATH}&sid={sid}"))
            status, headers, body = await answered(wire)
        assert b"secret" not in body
        assert status == "HTTP/1.1 500 Internal Server Error"
        assert headers["content-type"].startswith("application/problem+json")
        assert orjson.loads(body)["code"] == "INTERNAL_ERROR"
        assert await wire.reader.read() == b""
        assert [(line["event"], line["log_level"]) for line in logs] == [
            ("request_failed", "error")
        ]


async def test_who_asks_for_nothing_is_hung_up_on() -> None:
    async with (
        served(Engine(cors_allowed_origins=[]), head_seconds=0.1) as name,
        connected(name) as silent,
        connected(name) as polling,
    ):
        sid = await greeted(polling)
        assert await silent.reader.read() == b""
        polling.writer.write(asks(f"{PATH}&sid={sid}", body=b"1"))
        assert (await answered(polling))[2] == b"ok"


async def test_a_connection_that_is_kept_open_may_not_be_silent_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("talksy.transports.http.IDLE_SECONDS", 0.1)
    async with served(Engine(cors_allowed_origins=[])) as name, connected(name) as wire:
        await greeted(wire)
        assert await wire.reader.read() == b""


async def test_a_server_that_stops_answers_who_waits_and_closes_all() -> None:
    async with AsyncExitStack() as stack:
        server = AsyncExitStack()
        engine = Engine(cors_allowed_origins=[])
        name = await server.enter_async_context(served(engine))
        idle, waiting = [await stack.enter_async_context(connected(name)) for _ in range(2)]
        await greeted(idle)
        sid = await greeted(waiting)
        waiting.writer.write(asks(f"{PATH}&sid={sid}"))
        await waits(engine.sockets[sid])
        await server.aclose()
        assert (await answered(waiting))[2] == b"1"
        assert await waiting.reader.read() == await idle.reader.read() == b""
