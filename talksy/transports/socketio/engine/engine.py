"""Engine.IO v4 for aiohttp, on connections of our own, behind python-engineio's API.

aiohttp reads every request; one that upgrades leaves it (``takeover``). What a socket costs is then
its own few objects: no task, no queue, no timer.

Of the library it keeps what it says to applications (``send``, sessions, handlers, options), but
not compression and JSONP. Leaned on beyond its public API: ``sockets``, ``handlers``, ``_async``,
``_trigger_event``, ``_get_socket``, ``_cors_headers``, ``_cors_allowed_origins`` and
``_generate_sid_cookie``.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import engineio
import orjson
import structlog
from aiohttp import web

from talksy.ids import random_text
from talksy.transports.requests import DOORS, Ask, Guard, Reply, TooBig
from talksy.transports.socketio.engine import payload
from talksy.transports.socketio.engine.connection import Connection, Outgoing
from talksy.transports.socketio.engine.environ import Environ
from talksy.transports.socketio.engine.frames import (
    NORMAL,
    Violation,
    binary_frame,
    text_frame,
)
from talksy.transports.socketio.engine.socket import (
    SERVER_DISCONNECT,
    TRANSPORT_CLOSE,
    PollRefused,
    Socket,
)
from talksy.transports.socketio.engine.takeover import Relayed, Taken, websocket_key
from talksy.transports.socketio.engine.turnstile import Turnstile
from talksy.wheel import Wheel

log = structlog.get_logger(__name__)

GRAINS = 20
"""The wheel's grain is this part of the shortest wait, a second at most."""
LEAVERS = 16
"""So many sockets whose connections are over are closed in one turn of the loop: a network that
goes takes thousands along."""
GOODBYE_SECONDS = 1.0
"""How long clients have to answer our goodbye when the server stops."""

UNKNOWN_TRANSPORT = (0, "Transport unknown")
UNKNOWN_SID = (1, "Session ID unknown")
BAD_METHOD = (2, "Bad handshake method")
BAD_REQUEST = (3, "Bad request")
FORBIDDEN = (4, "Forbidden")
UNSUPPORTED = (5, "Unsupported protocol version")
"""Refusals, with the numbers and words that other servers give them."""

Serve = Callable[[Socket, str | bytes], Coroutine[Any, Any, None] | None]


class Engine(engineio.AsyncServer):  # type: ignore[misc]
    """An Engine.IO server. The ``Home`` of its sockets, the ``Host`` of its connections."""

    sockets: dict[str, Socket]
    _async: dict[str, Any]
    ping_interval: float
    ping_timeout: float
    max_http_buffer_size: int

    def __init__(
        self,
        *,
        connect_timeout: float | None = None,
        guard: Guard | None = None,
        prefix: str = "",
        violated: Callable[[str], None] = lambda _why: None,
        keep: Collection[str] | None = None,
        **options: Any,
    ) -> None:
        """``connect_timeout``: so long, in seconds, a socket may stay without being ``joined``.
        ``guard`` may answer a request before we do; ``prefix`` begins the ids of sockets;
        ``violated`` is told, in a word, what a client did wrong; ``keep`` are the only headers of a
        handshake that its handlers will ask for, None for all.
        """
        # Handed in, since the library gives a logger of its own a handler of its own.
        options = {"logger": logging.getLogger("engineio"), **options}
        super().__init__(**{**options, "async_mode": "aiohttp", "monitor_clients": False})
        self._async = {**self._async, "create_route": _route}
        self._connect_timeout = connect_timeout
        self._guard = guard
        self._prefix = prefix
        self._told = violated
        self._keep = keep
        self._tasks: set[asyncio.Task[Any]] = set()
        self._connections: set[Connection] = set()
        self._alone: asyncio.Event | None = None
        """Set when the last connection is over, while somebody waits for that."""
        waits = [self.ping_interval, self.ping_timeout, connect_timeout or self.ping_interval]
        self.wheel = Wheel(min(1.0, min(waits) / GRAINS))
        self.outgoing = Outgoing()
        self.leavers = Turnstile(LEAVERS)
        self.serve: Serve | None = None
        """Serves the messages, instead of the ``message`` handler; what it returns is awaited
        before the socket's next message is served.
        """
        self.left: Callable[[Socket], None] | None = None
        """Called when a socket is closed, before its ``disconnect`` handlers are."""

    # ---- python-engineio's API

    def generate_id(self) -> str:
        return f"{self._prefix}{random_text()}"

    async def send(self, sid: str, data: Any) -> None:
        if socket := self.sockets.get(sid):
            socket.send(_message(data))

    async def send_packet(self, sid: str, pkt: engineio.packet.Packet) -> None:
        if socket := self.sockets.get(sid):
            encoded = pkt.encode()
            binary = not isinstance(encoded, str)
            socket.send(binary_frame(bytes(encoded)) if binary else text_frame(encoded.encode()))

    async def disconnect(self, sid: str | None = None) -> None:
        found = [self.sockets.get(sid)] if sid is not None else list(self.sockets.values())
        for socket in found:
            if socket is not None:
                socket.close(SERVER_DISCONNECT)

    def _get_socket(self, sid: str) -> Socket:
        socket = self.sockets[sid]
        if socket.closed:
            raise KeyError("Session is disconnected")
        return socket

    async def shutdown(self) -> None:
        """Closes every socket, and waits a moment for the clients' goodbyes."""
        await self.disconnect()
        if self._connections:
            self._alone = asyncio.Event()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._alone.wait(), GOODBYE_SECONDS)
        for connection in list(self._connections):
            connection.abort()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=GOODBYE_SECONDS)
        self.wheel.close()
        await super().shutdown()

    # ---- a Home, a Host

    def receive(self, socket: Socket, data: str | bytes) -> Coroutine[Any, Any, None] | None:
        """A ``Home``'s."""
        if self.serve is not None:
            return self.serve(socket, data)
        work: Coroutine[Any, Any, None] = self._trigger_event("message", socket.sid, data)
        return work

    def late(self, socket: Socket) -> None:
        """A ``Home``'s: it was opened and never joined."""
        self.violated("never_joined")
        socket.close(TRANSPORT_CLOSE)

    def gone(self, socket: Socket, reason: str) -> None:
        """A ``Home``'s."""
        if self.left is not None:
            self.left(socket)
        self.spawn(self._trigger_event("disconnect", socket.sid, reason))

    def forget(self, socket: Socket) -> None:
        """A ``Home``'s."""
        self.sockets.pop(socket.sid, None)

    def violated(self, why: str) -> None:
        """A ``Home``'s and a ``Host``'s."""
        log.info("protocol_violation", why=why)
        self._told(why)

    def ended(self, connection: Connection) -> None:
        """A ``Host``'s."""
        self._connections.discard(connection)
        if self._alone is not None and not self._connections:
            self._alone.set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """A ``Home``'s."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("message_failed", exc_info=error)

    # ---- requests

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        """Serves polling and upgrades that aiohttp read."""
        if self._guard is not None and (refused := await self._guard(request)) is not None:
            return refused
        reply = await self.answer(Relayed(request))
        if reply is None:
            return Taken()
        return web.Response(
            body=reply.body,
            status=reply.status,
            content_type=reply.kind,
            charset="UTF-8",
            headers=reply.headers,
        )

    def lets(self, ask: Ask) -> bool:
        """A ``Door``'s."""
        sid = ask.query.get("sid")
        return (sid is None or sid in self.sockets) and (
            self._guard is None or self._guard.lets(ask)
        )

    async def answer(self, ask: Ask) -> Reply | None:
        """Serves polling and upgrades that are let through; None where nobody is to be answered."""
        if ask.method == "OPTIONS":
            return self._reply(ask, b"")
        fault = self._fault(ask)
        if fault is not None:
            return self._refuse(ask, fault)
        try:
            if ask.query["transport"] == "websocket":
                return await self._websocket(ask)
            return await self._polling(ask)
        except ConnectionError:
            return None  # the client has gone
        except (PollRefused, Violation):
            return self._refuse(ask, BAD_REQUEST)
        except TooBig:
            return self._refuse(ask, (3, "Payload too large"), status=413)

    def _fault(self, ask: Ask) -> tuple[int, str] | None:
        """What keeps a request from being served."""
        query = ask.query
        sid = query.get("sid")
        if query.get("transport") not in self.transports:
            return UNKNOWN_TRANSPORT
        if not self._origin_allowed(ask):
            return FORBIDDEN
        if sid is not None and not self._alive(sid):
            return UNKNOWN_SID
        if sid is None and query.get("EIO") != "4":
            return UNSUPPORTED
        if ask.method != "GET" and (sid is None or ask.method != "POST"):
            return BAD_METHOD
        return None

    def _alive(self, sid: str) -> bool:
        if socket := self.sockets.get(sid):
            socket.check()
        return sid in self.sockets

    def _origin_allowed(self, ask: Ask) -> bool:
        origin = ask.header("origin")
        if origin is None or self.cors_allowed_origins == []:
            return True
        allowed = self._cors_allowed_origins(Environ(ask))
        return allowed is None or origin in allowed

    async def _websocket(self, ask: Ask) -> Reply | None:
        key = websocket_key(ask)
        sid = ask.query.get("sid")
        if key is None:
            return self._refuse(ask, BAD_REQUEST)
        if sid is not None:
            self._upgrade(ask, key, self.sockets[sid])
            return None
        socket = await self._open(ask)
        if socket is None:
            return self._refuse(ask, FORBIDDEN, status=401)
        try:
            connection, tail = ask.take_over(key, partial(self._own, socket))
        except ConnectionResetError:
            socket.close(TRANSPORT_CLOSE, tell=False)
            raise
        socket.take_over(connection)
        socket.send(self._hello(socket, upgrades=False))
        if tail:
            connection.data_received(tail)
        return None

    def _upgrade(self, ask: Ask, key: bytes, socket: Socket) -> None:
        """A WebSocket that is to replace polling."""
        connection, tail = ask.take_over(key, partial(self._own, socket))
        if socket.upgraded or socket.upgrading or socket.closed or not self.allow_upgrades:
            self.violated("upgrade")
            connection.close(NORMAL)
            return
        connection.expect(self.ping_timeout)
        if tail:
            connection.data_received(tail)

    def _own(self, socket: Socket, transport: asyncio.Transport, answer: bytes) -> Connection:
        connection = Connection(transport, socket, self)
        connection.send(answer)
        self._connections.add(connection)
        return connection

    async def _open(self, ask: Ask) -> Socket | None:
        """A new socket; None where the application lets it not in."""
        socket = Socket(self, self.generate_id())
        self.sockets[socket.sid] = socket
        accepted = await self._trigger_event("connect", socket.sid, Environ(ask, self._keep))
        if accepted is not None and accepted is not True:
            self.wheel.take_off(socket)
            self.forget(socket)
            return None
        if self._connect_timeout is not None:
            socket.expect(self._connect_timeout)
        return socket

    def _hello(self, socket: Socket, *, upgrades: bool) -> bytes:
        words = {
            "sid": socket.sid,
            "upgrades": ["websocket"] if upgrades else [],
            "pingInterval": round(self.ping_interval * 1000),
            "pingTimeout": round(self.ping_timeout * 1000),
            "maxPayload": self.max_http_buffer_size,
        }
        return text_frame(payload.OPEN.encode() + orjson.dumps(words))

    async def _polling(self, ask: Ask) -> Reply:
        sid = ask.query.get("sid")
        if sid is None:
            return await self._greet(ask)
        socket = self.sockets[sid]
        if socket.upgraded:
            return self._refuse(ask, BAD_REQUEST)
        if ask.method == "POST":
            # What was posted before is served before more is read, also of who does not wait.
            async with socket.posting:
                await self._take(socket, ask)
            return self._reply(ask, b"ok", "text/html")
        return self._reply(ask, payload.joined(await socket.poll()))

    async def _take(self, socket: Socket, ask: Ask) -> None:
        """Serves a payload. Raises ``Violation``, ``TooBig``."""
        try:
            socket.post(await ask.body(self.max_http_buffer_size))
        except Violation as error:
            socket.violation(error)
            raise
        await socket.settled()

    async def _greet(self, ask: Ask) -> Reply:
        socket = await self._open(ask)
        if socket is None:
            return self._refuse(ask, FORBIDDEN, status=401)
        upgrades = self.allow_upgrades and "websocket" in self.transports
        socket.send(self._hello(socket, upgrades=upgrades))
        cookies = []
        if self.cookie:
            plain = {"name": self.cookie, "path": "/", "SameSite": "Lax"}
            attributes = self.cookie if isinstance(self.cookie, dict) else plain
            cookies = [("Set-Cookie", self._generate_sid_cookie(socket.sid, attributes))]
        return self._reply(ask, payload.joined(await socket.poll()), cookies=cookies)

    def _refuse(self, ask: Ask, fault: tuple[int, str], *, status: int = 400) -> Reply:
        code, message = fault
        log.info("bad_request", reason=message)
        words = orjson.dumps({"code": code, "message": message})
        return self._reply(ask, words, "application/json", status)

    def _reply(
        self,
        ask: Ask,
        body: bytes,
        kind: str = "text/plain",
        status: int = 200,
        cookies: Sequence[tuple[str, str]] = (),
    ) -> Reply:
        """With what lets pages of other origins read it, where they may."""
        shared = self._cors_headers(Environ(ask)) if self.cors_allowed_origins != [] else []
        return Reply(body, status, kind, (*shared, *cookies))


def _message(data: Any) -> bytes:
    """A message as python-engineio's ``send`` takes it: text, bytes, or what JSON has."""
    if isinstance(data, bytes | bytearray):
        return binary_frame(bytes(data))
    text = data.encode() if isinstance(data, str) else orjson.dumps(data)
    return text_frame(payload.MESSAGE.encode() + text)


def _route(app: web.Application, engine: Engine, path: str) -> None:
    app.router.add_route("*", path, engine.handle_request)
    if DOORS not in app:
        app[DOORS] = {}
    app[DOORS][path] = engine
