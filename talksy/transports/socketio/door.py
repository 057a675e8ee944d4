"""What a Socket.IO server of ours does with its clients, on whichever transport they are.

Leaned on beyond the library's public API: its server's hooks ``_handle_connect``,
``_handle_event``, ``_handle_ack``, ``_handle_eio_message``, ``_handle_eio_disconnect`` and
``_send_packet``, ``_binary_packet`` and ``environ``.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import socketio
import structlog
from socketio.exceptions import ConnectionRefusedError as Refused
from socketio.packet import CONNECT_ERROR, DISCONNECT, EVENT

from talksy.errors import InternalError, Overloaded, TalksyError, Unauthenticated, ValidationError
from talksy.gateway import Gateway, Hello
from talksy.ids import new_id
from talksy.metrics import Metrics
from talksy.transports.address import Network, client_address
from talksy.transports.asking import bearer_of
from talksy.transports.reading import check_json
from talksy.transports.socketio import json
from talksy.transports.socketio.desk import Desk, hello
from talksy.transports.socketio.engine.environ import Environ
from talksy.transports.socketio.outbox import Link, Outbox
from talksy.transports.socketio.packets import plain_connect

log = structlog.get_logger(__name__)

ROOT = "/"
AT_ONCE = 64
"""So many are let in at a time, from the token to what they missed: enough for a trip to the
database to be full, and not so many that all of them wait for each other there."""
LINE_SECONDS = 8.0
"""How long somebody waits for those before: less than a socket has to join."""
ASKING = re.compile(r"2(?:/[^,]*,)?(\d{1,15})\[")
"""How an event begins that asks for an acknowledgement, with its number."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one socket may do; times in seconds."""

    packet_bytes: int = 2_000_000
    connect: float = 10.0
    """From opening the transport to joining the namespace."""
    ping_interval: float = 10.0
    ping_timeout: float = 5.0
    slow: float = 30.0
    """How long its full buffer may stay untouched."""


class Door(socketio.AsyncServer):  # type: ignore[misc]
    """Lets clients in, serves what they ask, and lets them go.

    ``guest`` of a socket of the engine is its ``Desk``, as long as it is in.
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        trusted_proxies: Sequence[Network],
        limits: Limits,
        metrics: Metrics,
        **options: Any,
    ) -> None:
        self._gateway = gateway
        self._limits = limits
        self._metrics = metrics
        self._trusted = tuple(trusted_proxies)
        self._entrance = asyncio.Semaphore(AT_ONCE)
        super().__init__(
            async_handlers=False,  # events of one client in their order
            json=json,
            max_http_buffer_size=limits.packet_bytes,
            ping_interval=limits.ping_interval,
            ping_timeout=limits.ping_timeout,
            http_compression=False,
            **options,
        )
        self.on("connect", self._enter)
        self.on("disconnect", self._exit)

    # ---- what the transports do each in their way

    def _link(self, socket: Any) -> Link:
        """The way to a socket."""
        raise NotImplementedError

    def _expect(self, socket: Any) -> None:
        """Gives a socket its time to join the namespace: without it, it may not stay."""
        raise NotImplementedError

    def _welcome(self, socket: Any) -> None:
        """It has joined in time."""
        raise NotImplementedError

    def _hang_up(self, socket: Any, *, final: bool = False) -> None:
        """Closes a socket behind what it was sent; ``final`` tells the stock client not to come
        back by itself.
        """
        raise NotImplementedError

    def _break(self, socket: Any) -> None:
        """Closes a socket whose client breaks the protocol."""
        raise NotImplementedError

    # ---- what other processes send

    def members(self, room: str) -> Iterator[str]:
        """The sockets of a user, a session or a login, by their Engine.IO ids."""
        for connection in self._gateway.members(room):
            if isinstance(connection.outlet, Outbox):
                yield connection.outlet.eio_sid

    def hand(self, eio_sid: str, frames: Sequence[bytes]) -> None:
        """Sends a socket what another process sent it, unless it has gone."""
        if desk := self._desk(eio_sid):
            desk.hand(frames)

    def _desk(self, eio_sid: str) -> Desk | None:
        desk = getattr(self.eio.sockets.get(eio_sid), "guest", None)
        return desk if isinstance(desk, Desk) else None

    # ---- coming

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        if namespace in {None, ROOT} and (desk := self._desk(eio_sid)):
            desk.refuse(ValidationError("this socket is connected already"))
            return
        if namespace not in {None, ROOT}:
            await super()._handle_connect(eio_sid, namespace, data)
            return
        try:
            await self._stand_in_line()
        except Overloaded as error:
            log.info("connect_refused", code=error.code)
            told = {"message": error.message, "data": dict(error.payload())}
            refusal = self.packet_class(CONNECT_ERROR, data=told, namespace=ROOT)
            await self._send_packet(eio_sid, refusal)
            return
        try:
            if eio_sid not in self.environ:
                return  # it has gone meanwhile
            await super()._handle_connect(eio_sid, namespace, data)
            if desk := self._desk(eio_sid):
                await desk.open()
        finally:
            self._entrance.release()

    async def _stand_in_line(self) -> None:
        """Until few enough are being let in. Raises ``Overloaded`` where that takes too long."""
        if not self._entrance.locked():
            await self._entrance.acquire()
            return
        try:
            async with asyncio.timeout(LINE_SECONDS):
                await self._entrance.acquire()
        except TimeoutError:
            with self._metrics.attempt("connect"):
                raise Overloaded(retry_after=1) from None

    async def _enter(self, sid: str, environ: Environ | dict[str, Any], auth: Any) -> None:
        """The connect handler: lets the client in, or refuses it with the contract's code."""
        eio_sid = self.manager.eio_sid_from_sid(sid, ROOT)
        socket = self.eio.sockets[eio_sid]
        outbox = Outbox(
            self._link(socket),
            hang_up=lambda final: self._hang_up(socket, final=final),
            patience=self._limits.slow,
            metrics=self._metrics,
            eio_sid=eio_sid,
        )
        try:
            request = environ.copy()
            greeting = _greeting(request, auth)
            forwarded = request.get("HTTP_X_FORWARDED_FOR", "")
            where = client_address(request["REMOTE_ADDR"], forwarded, self._trusted)
            connection = await self._gateway.connect(greeting, where, outbox)
        except TalksyError as error:
            log.info("connect_refused", code=error.code)
            raise Refused(error.message, dict(error.payload())) from None
        except Exception:
            ours = InternalError(new_id("req"))
            log.exception("connect_failed", request_id=ours.request_id)
            raise Refused(ours.message, dict(ours.payload())) from None
        desk = Desk(self._gateway, connection, outbox, greeting)
        if socket.closed:
            desk.close()  # it went while it was let in
            raise Refused("the client has gone")
        socket.guest = desk
        self._welcome(socket)

    # ---- going

    async def _exit(self, sid: str, _reason: str) -> None:
        eio_sid = self.manager.eio_sid_from_sid(sid, ROOT)
        socket = self.eio.sockets.get(eio_sid)
        if socket is not None and not (socket.closing or socket.closed):
            self._leave(socket)
            self._expect(socket)

    def _leave(self, socket: Any) -> None:
        """Nothing of a socket's is served from here on."""
        desk, socket.guest = getattr(socket, "guest", None), None
        if desk is not None:
            desk.close()

    def _goodbye(self) -> str:
        """What tells the stock client not to come back by itself."""
        return str(self.packet_class(DISCONNECT, namespace=ROOT).encode())

    # ---- events

    async def _serve_packet(self, socket: Any, data: str | bytes) -> None:
        """Serves a message of the engine. An event that cannot be read is answered with what is
        wrong; who sends what is no packet at all is told, and hung up on.
        """
        eio_sid = socket.sid
        if eio_sid not in self.environ:
            return  # it is being closed, or has been
        desk = self._desk(eio_sid)
        between = eio_sid in self._binary_packet
        event = isinstance(data, str) and data[:1] == str(EVENT) and not between
        try:
            if between and not isinstance(data, bytes):
                raise ValueError("text where an attachment was announced")
            if isinstance(data, str) and not between and (auth := plain_connect(data)) is not None:
                await self._handle_connect(eio_sid, ROOT, auth)
                return
            # The library's own way with it, not a transport's that leads here.
            await socketio.AsyncServer._handle_eio_message(self, eio_sid, data)  # noqa: SLF001
        except Exception as error:  # noqa: BLE001 - the library raises what it stumbles over
            self._binary_packet.pop(eio_sid, None)
            log.info("bad_packet", error=type(error).__name__)
            if desk is not None:
                asked = ASKING.match(data) if isinstance(data, str) else None
                await desk.malformed(_fault(error), int(asked[1]) if asked else None)
            if desk is None or not event:
                self._break(socket)

    async def _handle_event(
        self,
        eio_sid: str,
        namespace: str | None,
        id: int | None,  # noqa: A002 - the library's name
        data: list[Any],
    ) -> None:
        if namespace not in {None, ROOT}:
            raise ValueError(f"this socket is not connected to {namespace}")
        desk = self._desk(eio_sid)
        if desk is None:
            log.warning("event_before_connect")
            return
        if data[0] != "audio":
            try:
                for part in data:
                    check_json(part)
            except ValidationError as error:
                await desk.malformed(error, id)
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


def _greeting(environ: Mapping[str, Any], auth: Any) -> Hello:
    query = parse_qs(environ["QUERY_STRING"])
    if "token" in query:
        raise Unauthenticated("tokens do not travel in the query, which logs keep: use auth.token")
    token = bearer_of(environ.get("HTTP_AUTHORIZATION", ""))
    return hello(auth, bearer=token, session_id=query.get("sessionId", [None])[0])
