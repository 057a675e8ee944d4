"""The Socket.IO side of a node, on connections of ours or on the library's."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, Literal, cast

import engineio
import structlog
from socketio.packet import BINARY_EVENT

from talksy.gateway import Gateway
from talksy.metrics import Metrics
from talksy.transports.address import Network
from talksy.transports.handover import Handover
from talksy.transports.socketio import direct, library
from talksy.transports.socketio.desk import Desk
from talksy.transports.socketio.door import Door, Limits
from talksy.transports.socketio.engine import Socket
from talksy.transports.socketio.engine.frames import PROTOCOL_ERROR, Violation, text_frame
from talksy.transports.socketio.engine.socket import SERVER_DISCONNECT
from talksy.transports.socketio.guard import Guard
from talksy.transports.socketio.outbox import Link
from talksy.transports.socketio.packets import Strict, plain_event
from talksy.transports.socketio.rooms import Rooms

log = structlog.get_logger(__name__)

READ_SECONDS = 1.0
"""How long a polling client of the library's is waited for before its socket is closed."""
ABORT_SECONDS = 5.0
"""How long a socket of the library's that was closed may take to go by itself."""

KEPT = frozenset({"authorization", "x-forwarded-for"})
"""Headers of the handshake that are asked for later."""

SOUND = Strict(BINARY_EVENT)
"""Stands for an announced ``audio`` event in place of a packet of its own: there are 25 a second of
each who speaks."""
SOUND_FOLLOWS = '51-["audio",{"_placeholder":true,"num":0}]'
"""How stock clients announce it where they ask for no acknowledgement."""

Transport = Literal["own", "library"]


class Server(Door, direct.Server):
    """On connections of ours."""

    def __init__(self, *arguments: Any, limits: Limits, metrics: Metrics, **options: Any) -> None:
        super().__init__(
            *arguments,
            limits=limits,
            metrics=metrics,
            connect_timeout=limits.connect,
            violated=metrics.violation,
            keep=KEPT,
            cors_allowed_origins=[],  # the app's own middleware answers browsers
            **options,
        )
        self.eio.left = self._leave

    def stats(self) -> dict[str, Any]:
        """``{websocket, polling, queued_bytes}``: sockets by what they came by, and what waits for
        their clients.
        """
        sockets = list(self.eio.sockets.values())
        websockets = sum(socket.upgraded for socket in sockets)
        return {
            "websocket": websockets,
            "polling": len(sockets) - websockets,
            "queued_bytes": sum(socket.buffered for socket in sockets),
        }

    def _link(self, socket: Socket) -> Link:
        return socket

    def _expect(self, socket: Socket) -> None:
        socket.expect(self._limits.connect)

    def _welcome(self, socket: Socket) -> None:
        socket.deadline = None

    def _hang_up(self, socket: Socket, *, final: bool = False) -> None:
        self._leave(socket)
        if final:
            socket.send(text_frame(f"4{self._goodbye()}".encode()))
        socket.close(SERVER_DISCONNECT)

    def _break(self, socket: Socket) -> None:
        self._leave(socket)
        socket.violation(Violation(PROTOCOL_ERROR, "packet"))

    async def close(self) -> None:
        """Closes every socket."""
        await self.shutdown()

    def _serve(self, socket: Socket, data: str | bytes) -> Coroutine[Any, Any, None] | None:
        desk = cast("Desk | None", socket.guest)
        announced = self._binary_packet.get(socket.sid)
        if announced is SOUND and type(data) is bytes:
            del self._binary_packet[socket.sid]
            if desk is not None:
                desk.hear(data)
            return None
        if announced is None and desk is not None and type(data) is str:
            if data == SOUND_FOLLOWS:
                self._binary_packet[socket.sid] = SOUND
                return None
            event = plain_event(data)
            if event is not None:
                return desk.receive(*event)
        return self._serve_packet(socket, data)


class LibraryServer(Door):
    """On the library's own."""

    def __init__(self, *arguments: Any, limits: Limits, **options: Any) -> None:
        super().__init__(*arguments, limits=limits, async_mode="aiohttp", **options)
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._leaving: set[str] = set()
        """Sockets that are being closed: nothing more of theirs is read."""

    def _engineio_server_class(self) -> type[library.Engine]:
        return library.Engine

    def stats(self) -> dict[str, Any]:
        """As ``Server.stats``."""
        sockets = list(self.eio.sockets.values())
        websockets = sum(socket.upgraded for socket in sockets)
        return {
            "websocket": websockets,
            "polling": len(sockets) - websockets,
            "queued_bytes": sum(socket.queue.bytes for socket in sockets),
        }

    def _link(self, socket: Any) -> Link:
        return library.QueueLink(socket.queue)

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        await super()._handle_eio_connect(eio_sid, environ)
        self._expect(self.eio.sockets[eio_sid])

    async def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        socket = self.eio.sockets.get(eio_sid)
        if socket is not None and eio_sid not in self._leaving:
            await self._serve_packet(socket, data)

    def _expect(self, socket: Any) -> None:
        loop = asyncio.get_running_loop()
        self._timers[socket.sid] = loop.call_later(self._limits.connect, self._late, socket)

    def _late(self, socket: Any) -> None:
        del self._timers[socket.sid]
        log.info("handshake_timeout")
        self._hang_up(socket)

    def _welcome(self, socket: Any) -> None:
        if timer := self._timers.pop(socket.sid, None):
            timer.cancel()

    def _hang_up(self, socket: Any, *, final: bool = False) -> None:
        self._leave(socket)
        self._leaving.add(socket.sid)
        if final:
            message = engineio.packet.Packet(engineio.packet.MESSAGE, data=self._goodbye())
            socket.queue.put_nowait(message)
        task = asyncio.create_task(self._part(socket))
        self._tasks.add(task)
        task.add_done_callback(self._parted)

    def _parted(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("hang_up_failed", exc_info=error)

    def _break(self, socket: Any) -> None:
        self._metrics.violation("packet")
        self._hang_up(socket)

    async def _part(self, socket: Any) -> None:
        """Closes a socket behind what its client was sent."""
        if not socket.upgraded:
            # The stock client closes on CLOSE before it looks at what came in the same payload.
            with suppress(TimeoutError):
                await asyncio.wait_for(socket.queue.join(), READ_SECONDS)
        await socket.close(wait=False, reason=self.reason.SERVER_DISCONNECT)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        if timer := self._timers.pop(eio_sid, None):
            timer.cancel()
        self._leaving.discard(eio_sid)
        if socket := self.eio.sockets.get(eio_sid):
            self._leave(socket)
            loop = asyncio.get_running_loop()
            # Ends a waiting poll and the WebSocket's writer, behind the CLOSE that comes next.
            loop.call_soon(socket.queue.put_nowait, None)
            if transport := getattr(socket, "wire", None):
                loop.call_later(ABORT_SECONDS, transport.abort)
        await super()._handle_eio_disconnect(eio_sid, reason)
        self._binary_packet.pop(eio_sid, None)

    async def close(self) -> None:
        """Closes every socket."""
        await asyncio.gather(*(self._part(socket) for socket in list(self.eio.sockets.values())))
        await self.shutdown()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def open_server(
    transport: Transport,
    gateway: Gateway,
    *,
    origins: Sequence[str],
    trusted_proxies: Sequence[Network],
    limits: Limits | None = None,
    metrics: Metrics | None = None,
    rooms: Rooms | None = None,
    name: str | None = None,
    handover: Handover | None = None,
) -> Server | LibraryServer:
    """The Socket.IO side of a node.

    ``origins`` is ``("*",)`` or an exact list of those whose pages may connect; by way of ``rooms``
    other processes may send something to clients; ``name`` begins the ids of sockets, so that
    requests for them can be sent here.
    """
    limits = limits or Limits()
    kind = Server if transport == "own" else LibraryServer
    return kind(
        gateway,
        trusted_proxies=trusted_proxies,
        limits=limits,
        metrics=metrics or Metrics(),
        client_manager=rooms,
        serializer=Strict,
        prefix=f"{name}." if name else "",
        guard=Guard(
            origins=origins,
            packet_bytes=limits.packet_bytes,
            draining=lambda: gateway.draining,
            handover=handover,
        ),
        # As the engine does.
        logger=logging.getLogger("socketio"),
        engineio_logger=logging.getLogger("engineio"),
    )
