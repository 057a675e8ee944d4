"""Engine.IO as we run it: our queue, our driver, our check of origins.

Leaned on beyond the library's public API: ``create_queue``, ``sockets``,
``_async`` and ``_log_error_once``.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import engineio
import structlog
from aiohttp import web
from engineio.async_drivers.aiohttp import WebSocket, translate_request
from engineio.exceptions import EngineIOError
from engineio.payload import Payload

from talksy.errors import OriginDenied, PayloadTooLarge, ServerDraining, ValidationError
from talksy.transports.handover import Handover
from talksy.transports.origin import origin_allowed
from talksy.transports.rest.headers import request_id
from talksy.transports.rest.problems import problem
from talksy.transports.socketio.outbox import Queue

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
    return {**translate_request(request), "wsgi.input": _Body(request)}


class Engine(engineio.AsyncServer):  # type: ignore[misc]
    """Engine.IO with our queue, our driver and our check of origins."""

    _async: dict[str, Any]

    def __init__(
        self,
        *,
        origins: Sequence[str],
        name: str | None,
        handover: Handover | None,
        draining: Callable[[], bool],
        **options: Any,
    ) -> None:
        """``name`` begins the ids of sockets, so that requests for them can be sent here."""
        # The app's own middleware answers browsers; without origins the library leaves it to it.
        super().__init__(cors_allowed_origins=[], **options)
        self._async = {**self._async, "websocket": Driver, "translate_request": _environ}
        self._origins = tuple(origins)
        self._prefix = f"{name}." if name else ""
        self._handover = handover
        self._draining = draining

    def generate_id(self) -> str:
        return f"{self._prefix}{super().generate_id()}"

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        """Serves polling and upgrades, for pages of the allowed origins."""
        origin = request.headers.get("Origin")
        if not origin_allowed(self._origins, origin, request.host):
            log.info("origin_denied", origin=origin)
            return problem(OriginDenied(), request_id(request))
        if (request.content_length or 0) > self.max_http_buffer_size:
            too_large = PayloadTooLarge(f"a payload may have {self.max_http_buffer_size} bytes")
            return problem(too_large, request_id(request))
        sid = request.query.get("sid", "")
        if not sid and self._draining():
            # Said so that a balancer asks the next node, and the stock client asks again.
            return problem(ServerDraining(), request_id(request))
        if self._handover and (other := self._handover.owner(sid)):
            told = await self._handover.pass_on(request, other)
            if told is not None:
                return told
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
