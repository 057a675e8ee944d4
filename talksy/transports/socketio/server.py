"""python-socketio's server, held to our limits and opened to our door.

Leaned on beyond the library's public API: its server's hooks ``_handle_connect``,
``_handle_event``, ``_handle_ack``, ``_handle_eio_connect``, ``_handle_eio_message``,
``_handle_eio_disconnect`` and ``_send_packet``.
"""

import asyncio
import logging
import re
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import socketio
import structlog
from aiohttp import web
from engineio import packet as eio_packet
from socketio.exceptions import ConnectionRefusedError as Refused
from socketio.packet import BINARY_ACK, BINARY_EVENT, CONNECT, DISCONNECT, EVENT, Packet

from talksy.errors import InternalError, TalksyError, Unauthenticated, ValidationError
from talksy.gateway import Gateway, Hello
from talksy.ids import new_id
from talksy.metrics import Metrics
from talksy.transports.address import Network
from talksy.transports.asking import address, bearer
from talksy.transports.handover import Handover
from talksy.transports.socketio import json
from talksy.transports.socketio.desk import Desk, hello
from talksy.transports.socketio.engine import Engine
from talksy.transports.socketio.outbox import Outbox
from talksy.transports.socketio.rooms import Rooms

log = structlog.get_logger(__name__)

ROOT = "/"
PACKET_TYPES = frozenset("0123456")
ASKING = re.compile(r"2(?:/[^,]*,)?(\d{1,15})\[")
"""How an event begins that asks for an acknowledgement, with its number."""
NAMESPACE_CHARS = 100
READ_SECONDS = 1.0
"""How long a polling client is waited for before its socket is closed."""
ABORT_SECONDS = 5.0
"""How long a socket that was closed may take to go by itself."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one socket may do; times in seconds."""

    packet_bytes: int = 2_000_000
    attachments: int = 10
    connect: float = 10.0
    """From opening the transport to joining the namespace."""
    ping_interval: float = 10.0
    ping_timeout: float = 5.0
    slow: float = 30.0
    """How long its full queue may stay untouched."""


class Strict(Packet):  # type: ignore[misc]
    """A Socket.IO packet that is refused where it is not well formed."""

    attachments_allowed = 10
    attached_bytes = 2_000_000
    """All attachments of a packet together."""

    def decode(self, encoded_packet: Any) -> int:
        if not isinstance(encoded_packet, str):
            raise ValueError("binary data that no packet announced")  # noqa: TRY004
        if encoded_packet[:1] not in PACKET_TYPES:
            raise ValueError("no such packet type")
        count = int(super().decode(encoded_packet) or 0)
        if self.packet_type == CONNECT and self.id is not None:
            self.data = self.id  # nobody acknowledges this packet: the number is its auth
        if len(self.namespace or "") > NAMESPACE_CHARS:
            raise ValueError("no such namespace")
        if count > self.attachments_allowed:
            raise ValueError(f"{count} attachments, {self.attachments_allowed} are allowed")
        if self.packet_type in {BINARY_EVENT, BINARY_ACK} and count == 0:
            raise ValueError("a binary packet without attachments")
        events = {EVENT, BINARY_EVENT}
        if self.packet_type in events and not (
            isinstance(self.data, list) and self.data and isinstance(self.data[0], str)
        ):
            raise ValueError("an event is a list that begins with its name")
        return count

    def add_attachment(self, attachment: bytes) -> bool:
        if sum(map(len, self.attachments)) + len(attachment) > self.attached_bytes:
            raise ValueError(f"its attachments have more than {self.attached_bytes} bytes")
        return bool(super().add_attachment(attachment))


class Server(socketio.AsyncServer):  # type: ignore[misc]
    """The Socket.IO side of a node."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        origins: Sequence[str],
        trusted_proxies: Sequence[Network],
        limits: Limits | None = None,
        metrics: Metrics | None = None,
        rooms: Rooms | None = None,
        name: str | None = None,
        handover: Handover | None = None,
    ) -> None:
        """``origins`` is ``("*",)`` or an exact list of those whose pages may connect; by way of
        ``rooms`` other processes may send something to clients; ``name`` begins the ids of
        sockets, so that requests for them can be sent here.
        """
        self._limits = limits or Limits()
        super().__init__(
            client_manager=rooms,
            async_mode="aiohttp",
            async_handlers=False,  # events of one client in their order
            origins=origins,
            name=name,
            handover=handover,
            draining=lambda: gateway.draining,
            json=json,
            serializer=Strict,
            max_http_buffer_size=self._limits.packet_bytes,
            ping_interval=self._limits.ping_interval,
            ping_timeout=self._limits.ping_timeout,
            http_compression=False,
            # Handed in, since the library gives a logger of its own a handler of its own.
            logger=logging.getLogger("socketio"),
            engineio_logger=logging.getLogger("engineio"),
        )
        self._gateway = gateway
        self._metrics = metrics or Metrics()
        self._trusted = tuple(trusted_proxies)
        self._desks: dict[str, Desk] = {}
        self._leaving: set[str] = set()
        """Sockets that are being closed: nothing more of theirs is read."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.on("connect", self._enter)
        self.on("disconnect", self._exit)

    def _engineio_server_class(self) -> type[Engine]:
        return Engine

    def stats(self) -> dict[str, Any]:
        """``{websocket, polling, queued_bytes}``: sockets by what they came by, and what lies in
        their queues.
        """
        sockets = list(self.eio.sockets.values())
        websockets = sum(socket.upgraded for socket in sockets)
        return {
            "websocket": websockets,
            "polling": len(sockets) - websockets,
            "queued_bytes": sum(socket.queue.bytes for socket in sockets),
        }

    # ---- what other processes send

    def members(self, room: str) -> Iterator[str]:
        """The sockets of a user, a session or a login, by their Engine.IO ids."""
        for connection in self._gateway.members(room):
            if isinstance(connection.outlet, Outbox):
                yield connection.outlet.eio_sid

    def hand(self, eio_sid: str, frames: Sequence[str | bytes]) -> None:
        """Sends a socket what another process sent it, unless it has gone."""
        if desk := self._desks.get(eio_sid):
            desk.hand(frames)

    # ---- coming

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        await super()._handle_eio_connect(eio_sid, environ)
        self._expect(eio_sid)

    def _expect(self, eio_sid: str) -> None:
        """Gives a socket its time to join the namespace: without it, it may not stay."""
        loop = asyncio.get_running_loop()
        self._timers[eio_sid] = loop.call_later(self._limits.connect, self._late, eio_sid)

    def _late(self, eio_sid: str) -> None:
        del self._timers[eio_sid]
        log.info("handshake_timeout")
        self._spawn(self._hang_up(eio_sid))

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        if eio_sid in self._desks and namespace in {None, ROOT}:
            self._desks[eio_sid].refuse(ValidationError("this socket is connected already"))
            return
        await super()._handle_connect(eio_sid, namespace, data)
        desk = self._desks.get(eio_sid)
        if desk is None or namespace not in {None, ROOT}:
            return
        socket = self.eio.sockets.get(eio_sid)
        if socket is None or socket.closed:
            # It went while it was let in, when nobody could be told.
            del self._desks[eio_sid]
            desk.close()
            sid = self.manager.sid_from_eio_sid(eio_sid, ROOT)
            await self.manager.disconnect(sid, ROOT, ignore_queue=True)
        else:
            await desk.open()

    async def _enter(self, sid: str, environ: dict[str, Any], auth: Any) -> None:
        """The connect handler: lets the client in, or refuses it with the contract's code."""
        eio_sid = self.manager.eio_sid_from_sid(sid, ROOT)
        outbox = Outbox(
            self.eio.sockets[eio_sid].queue,
            hang_up=lambda final: self._spawn(self._hang_up(eio_sid, final=final)),
            patience=self._limits.slow,
            metrics=self._metrics,
            eio_sid=eio_sid,
        )
        request: web.Request = environ["aiohttp.request"]
        try:
            greeting = _greeting(request, auth)
            where = address(request, self._trusted)
            connection = await self._gateway.connect(greeting, where, outbox)
        except TalksyError as error:
            log.info("connect_refused", code=error.code)
            raise Refused(error.message, dict(error.payload())) from None
        except Exception:
            ours = InternalError(new_id("req"))
            log.exception("connect_failed", request_id=ours.request_id)
            raise Refused(ours.message, dict(ours.payload())) from None
        self._desks[eio_sid] = Desk(self._gateway, connection, outbox, greeting)
        if timer := self._timers.pop(eio_sid, None):
            timer.cancel()

    # ---- going

    async def _exit(self, sid: str, _reason: str) -> None:
        eio_sid = self.manager.eio_sid_from_sid(sid, ROOT)
        desk = self._desks.pop(eio_sid, None)
        if desk is not None:
            desk.close()
        socket = self.eio.sockets.get(eio_sid)
        if socket is not None and not (socket.closing or socket.closed):
            self._expect(eio_sid)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        if timer := self._timers.pop(eio_sid, None):
            timer.cancel()
        self._leaving.discard(eio_sid)
        if socket := self.eio.sockets.get(eio_sid):
            loop = asyncio.get_running_loop()
            # Ends a waiting poll and the WebSocket's writer, behind the CLOSE that comes next.
            loop.call_soon(socket.queue.put_nowait, None)
            if transport := getattr(socket, "wire", None):
                loop.call_later(ABORT_SECONDS, transport.abort)
        await super()._handle_eio_disconnect(eio_sid, reason)
        self._binary_packet.pop(eio_sid, None)

    async def _hang_up(self, eio_sid: str, *, final: bool = False) -> None:
        """Closes a socket; ``final`` tells the stock client not to come back by itself."""
        if desk := self._desks.pop(eio_sid, None):
            desk.close()  # nothing more is served from here on
        socket = self.eio.sockets.get(eio_sid)
        if socket is None:
            return
        if final:
            goodbye = self.packet_class(DISCONNECT, namespace=ROOT).encode()
            socket.queue.put_nowait(eio_packet.Packet(eio_packet.MESSAGE, data=goodbye))
        await self._part(socket)

    async def _part(self, socket: Any) -> None:
        """Closes a socket behind what its client was sent."""
        if not socket.upgraded:
            # The stock client closes on CLOSE before it looks at what came in the same payload.
            with suppress(TimeoutError):
                await asyncio.wait_for(socket.queue.join(), READ_SECONDS)
        await socket.close(wait=False, reason=self.reason.SERVER_DISCONNECT)

    async def close(self) -> None:
        """Closes every socket."""
        await asyncio.gather(*(self._part(socket) for socket in list(self.eio.sockets.values())))
        await self.shutdown()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("hang_up_failed", exc_info=error)

    # ---- events

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        if eio_sid in self._leaving or eio_sid not in self.environ:
            return  # it is being closed, or has been
        desk = self._desks.get(eio_sid)
        try:
            if eio_sid in self._binary_packet and not isinstance(data, bytes):
                raise ValueError("text where an attachment was announced")
            await super()._handle_eio_message(eio_sid, data)
        except Exception as error:  # noqa: BLE001 - the library raises what it stumbles over
            self._binary_packet.pop(eio_sid, None)
            log.info("bad_packet", error=type(error).__name__)
            if desk is None:
                self._leaving.add(eio_sid)
                self._spawn(self._hang_up(eio_sid))
            else:
                asked = ASKING.match(data) if isinstance(data, str) else None
                await desk.malformed(_fault(error), int(asked[1]) if asked else None)

    async def _handle_event(
        self,
        eio_sid: str,
        namespace: str | None,
        id: int | None,  # noqa: A002 - the library's name
        data: list[Any],
    ) -> None:
        if namespace not in {None, ROOT}:
            raise ValueError(f"this socket is not connected to {namespace}")
        desk = self._desks.get(eio_sid)
        if desk is None:
            log.warning("event_before_connect")
            return
        await desk.receive(data[0], data[1:], id)

    async def _handle_ack(self, *_: Any) -> None:
        raise ValueError("nothing was sent that asks for an acknowledgement")


def _fault(error: Exception) -> ValidationError:
    """What was wrong, without what was sent."""
    if isinstance(error, json.Unreadable):
        return error.told
    why = str(error)[:200] if type(error) is ValueError else "malformed"
    return ValidationError(f"This is not a Socket.IO packet: {why}.")


def _greeting(request: web.Request, auth: Any) -> Hello:
    query = parse_qs(request.query_string)
    if "token" in query:
        raise Unauthenticated("tokens do not travel in the query, which logs keep: use auth.token")
    return hello(auth, bearer=bearer(request), session_id=query.get("sessionId", [None])[0])
