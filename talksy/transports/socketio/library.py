"""Engine.IO as the library has it, under the same door: a queue and a writer a socket.

It is what ``SOCKETIO_TRANSPORT=library`` returns to. Leaned on beyond the library's public API:
``create_queue``, ``sockets``, ``_async`` and ``_log_error_once``.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import engineio
import structlog
from aiohttp import web
from engineio.async_drivers.aiohttp import WebSocket, translate_request
from engineio.exceptions import EngineIOError, SocketIsClosedError
from engineio.packet import MESSAGE, NOOP, Packet
from engineio.payload import Payload

from talksy.errors import ValidationError
from talksy.transports.rest.headers import request_id
from talksy.transports.rest.problems import problem
from talksy.transports.socketio.engine.connection import HIGH_WATER
from talksy.transports.socketio.engine.frames import is_text, payload
from talksy.transports.socketio.guard import Guard
from talksy.transports.socketio.outbox import HARD_LIMIT

log = structlog.get_logger(__name__)

# Per process: a client that was offline sends in one payload what it has gathered.
Payload.max_decode_packets = 1_000

CLIENT_TYPES = frozenset("1345")
"""What a client may send: close, pong, message, upgrade; over a WebSocket a probe, too."""
BODY_SECONDS = 10.0
"""How long a polled body may take to come."""
PROBE = "2probe"
MALFORMED = "4?"
"""A message that no Socket.IO packet is: it stands for a frame that no Engine.IO packet is."""


PAYLOAD_PACKETS = 16
"""As many packets the stock Python client reads in one polled payload."""
EMPTY_BYTES = 400
"""About what a packet without data takes."""


class Queue(asyncio.Queue[Packet | None]):
    """A connection's queue that knows its bytes and says when they were taken.

    Engine.IO takes one packet with ``get`` and the rest with ``get_nowait``: it is given
    ``PAYLOAD_PACKETS`` at most.
    """

    def __init__(self) -> None:
        super().__init__()
        self._given = 0
        self._telling = False
        self.bytes = 0
        self.taken: Callable[[], None] | None = None

    async def put(self, item: Packet | None) -> None:
        """What the library itself sends. Raises ``SocketIsClosedError`` past the limit."""
        if item is not None and self.bytes > HARD_LIMIT and item.packet_type in {MESSAGE, NOOP}:
            raise SocketIsClosedError
        await super().put(item)

    async def get(self) -> Packet | None:
        self._given = 0
        return await super().get()

    def get_nowait(self) -> Packet | None:
        if self._given == PAYLOAD_PACKETS:
            raise asyncio.QueueEmpty
        item = super().get_nowait()
        self._given += 1
        return item

    def _put(self, item: Packet | None) -> None:
        super()._put(item)
        if item is not None:
            self.bytes += _length(item)

    def _get(self) -> Packet | None:
        item = super()._get()
        if item is not None:
            self.bytes -= _length(item)
            if not self._telling:
                self._telling = True
                asyncio.get_running_loop().call_soon(self._tell)
        return item

    def _tell(self) -> None:
        self._telling = False
        call, self.taken = self.taken, None
        if call is not None:
            call()


def _length(packet: Packet) -> int:
    return len(packet.data) if isinstance(packet.data, str | bytes) else EMPTY_BYTES


class QueueLink:
    """An outbox's ``Link`` to a socket of the library."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    @property
    def buffered(self) -> int:
        return self._queue.bytes

    def send(self, frame: bytes) -> bool:
        data = payload(frame)
        self._queue.put_nowait(Packet(MESSAGE, data=data[1:].decode() if is_text(frame) else data))
        return self._queue.bytes > HIGH_WATER

    def when_room(self, call: Callable[[], None] | None) -> None:
        self._queue.taken = call


class Driver(WebSocket):  # type: ignore[misc]
    """Engine.IO's WebSocket over aiohttp, without deflate: that takes 90 KB a connection."""

    async def __call__(self, environ: dict[str, Any]) -> web.StreamResponse:
        request: web.Request = environ["aiohttp.request"]
        self._sock = web.WebSocketResponse(
            max_msg_size=self.server.max_http_buffer_size, compress=False
        )
        try:
            await self._sock.prepare(request)
        except ConnectionError:
            return web.Response()  # for nobody: the client has gone
        # The handler is a method of the socket this connection belongs to, or upgrades.
        self._socket.wire = request.transport
        try:
            await self.handler(self)
        finally:
            # An upgrade that came to nothing leaves polling as it was.
            self._socket.upgrading = False
        return self._sock

    @property
    def _socket(self) -> Any:
        return self.handler.__self__

    async def wait(self) -> str | bytes:
        """The next frame; one that is no Engine.IO packet as a message that is refused."""
        # A probe that does not go on must not hold the connection; TimeoutError is an OSError.
        probing = not self._socket.upgraded
        async with asyncio.timeout(self.server.ping_timeout if probing else None):
            data: str | bytes = await super().wait()
        known = not isinstance(data, str) or data[:1] in CLIENT_TYPES or data == PROBE
        return data if known else MALFORMED


class _Body:
    """A request's body, read whole: aiohttp's ``read(n)`` gives what has come so far."""

    def __init__(self, request: web.Request) -> None:
        self._content = request.content

    async def read(self, length: int) -> bytes:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await self._content.readexactly(length)
            # The library logs what it cannot read and answers "OK"; this way it says so and closes.
            packets = Payload(encoded_payload=body.decode()).packets
            if not all(str(packet.packet_type) in CLIENT_TYPES for packet in packets):
                raise ValueError("no such packet type")
        except (TimeoutError, asyncio.IncompleteReadError, ValueError, LookupError) as error:
            raise EngineIOError("not an Engine.IO payload") from error
        return body


def _environ(request: web.Request) -> dict[str, Any]:
    """What the library reads a request from; it holds the address of nobody but itself."""
    environ = {**translate_request(request), "wsgi.input": _Body(request)}
    return {**environ, "REMOTE_ADDR": request.remote or ""}


class Engine(engineio.AsyncServer):  # type: ignore[misc]
    """Engine.IO with our queue and our driver."""

    _async: dict[str, Any]

    def __init__(self, *, guard: Guard, prefix: str, **options: Any) -> None:
        """``guard`` may answer a request before we do; ``prefix`` begins the ids of sockets."""
        # The app's own middleware answers browsers; without origins the library leaves it to it.
        super().__init__(cors_allowed_origins=[], **options)
        self._async = {**self._async, "websocket": Driver, "translate_request": _environ}
        self._guard = guard
        self._prefix = prefix

    def generate_id(self) -> str:
        return f"{self._prefix}{super().generate_id()}"

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        """Serves polling and upgrades."""
        if (refused := await self._guard(request)) is not None:
            return refused
        sid = request.query.get("sid", "")
        if (socket := self.sockets.get(sid)) and socket.closed:
            del self.sockets[sid]
        if request.method != "POST" or socket is None:
            return cast("web.StreamResponse", await super().handle_request(request))
        if request.content_length is None:
            return problem(ValidationError("a payload needs a Content-Length"), request_id(request))
        # One payload after the other, also from a client that does not wait: order is kept.
        async with vars(socket).setdefault("posting", asyncio.Lock()):
            return cast("web.StreamResponse", await super().handle_request(request))

    async def disconnect(self, sid: str | None = None) -> None:
        """Closes a socket without waiting for its client to read what lies in its queue."""
        if socket := self.sockets.pop(sid, None):
            await socket.close(wait=False, reason=self.reason.SERVER_DISCONNECT)

    def _log_error_once(self, message: str, _key: str) -> None:
        # A client's mistake, which the client is told, is no error of ours.
        log.info("bad_request", reason=message)

    def create_queue(self, *_: Any, **__: Any) -> Queue:
        return Queue()
