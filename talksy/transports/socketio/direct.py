"""python-socketio on our Engine.IO: its API, without its tasks.

A packet is encoded once for all who get it, as the frames that are written, and written at once.
Rooms know their members and members their rooms, so that who goes is not looked for in all of them.

Leaned on beyond the library's public API: of the server ``_engineio_server_class``,
``_send_packet``, ``_send_eio_packet``, ``_handle_connect``, ``_handle_disconnect``,
``_handle_event``, ``_handle_ack``, ``_binary_packet`` and ``environ``; of the manager ``rooms``,
``callbacks``, ``pending_connect``, ``pending_disconnect``, ``basic_enter_room``,
``basic_leave_room``, ``basic_disconnect``, ``_generate_ack_id`` and the ``_fwdm`` of its bidicts.
"""

import logging
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from typing import Any

import engineio
import socketio
import structlog
from bidict import ValueDuplicationError
from socketio import packet
from socketio.packet import Packet

from talksy.transports.socketio.engine import Engine, Socket
from talksy.transports.socketio.engine.frames import (
    PROTOCOL_ERROR,
    Violation,
    binary_frame,
    text_frame,
)

log = structlog.get_logger(__name__)

ROOT = "/"
BACKLOG = 4_000_000
"""Bytes that may wait for a client before it is closed."""
Work = Coroutine[Any, Any, None]


def frames(encoded: str | Sequence[str | bytes]) -> list[bytes]:
    """A Socket.IO packet as the frames of its Engine.IO messages."""
    parts = [encoded] if isinstance(encoded, str) else encoded
    return [
        text_frame(b"4" + part.encode()) if isinstance(part, str) else binary_frame(bytes(part))
        for part in parts
    ]


class Members(socketio.AsyncManager):  # type: ignore[misc]
    """Who is in which room. Emits are frames, made once and written at once."""

    server: "Server"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._rooms_of: dict[tuple[str, str], set[str]] = {}
        """The rooms of a client beside its own, by namespace and sid."""

    # A client's own room is no object: who asks for it is told by the namespace's list.

    def basic_enter_room(self, sid: str, namespace: str, room: Any, eio_sid: Any = None) -> None:
        if room == sid:
            return
        super().basic_enter_room(sid, namespace, room, eio_sid=eio_sid)
        if room is not None:
            self._rooms_of.setdefault((namespace, sid), set()).add(room)

    def basic_leave_room(self, sid: str, namespace: str, room: Any) -> None:
        super().basic_leave_room(sid, namespace, room)
        if mine := self._rooms_of.get((namespace, sid)):
            mine.discard(room)
            if not mine:
                del self._rooms_of[namespace, sid]

    def basic_disconnect(self, sid: str, namespace: str, **_: Any) -> None:
        for room in list(self._rooms_of.get((namespace, sid), ())):
            self.basic_leave_room(sid, namespace, room)
        self.basic_leave_room(sid, namespace, None)
        self.callbacks.pop(sid, None)
        for pending in (self.pending_connect, self.pending_disconnect):
            if sid in pending.get(namespace, ()):
                del pending[namespace][sid]

    async def pre_connect(self, eio_sid: str, namespace: str) -> str | None:
        return self._register(eio_sid, namespace)

    def _register(self, eio_sid: str, namespace: str) -> str | None:
        sid: str = self.server.eio.generate_id()
        try:
            self.basic_enter_room(sid, namespace, None, eio_sid=eio_sid)
        except ValueDuplicationError:
            return None  # it is connected already
        self.pending_connect.setdefault(namespace, {})[sid] = None
        return sid

    async def connect(self, sid: str, namespace: str) -> str | None:
        if not self.is_pre_connected(sid, namespace):
            found = self._register(sid, namespace)
            if found is None:
                return None
            sid = found
        self.pending_connect[namespace].pop(sid, None)
        return sid

    def pre_disconnect(self, sid: str, namespace: str) -> Any:
        self.pending_disconnect.setdefault(namespace, {})[sid] = None
        return self.rooms[namespace][None].get(sid)

    def get_rooms(self, sid: str, namespace: str) -> list[str]:
        return [sid, *self._rooms_of.get((namespace, sid), ())]

    def get_participants(self, namespace: str, room: Any) -> Iterator[tuple[str, str]]:
        everybody = self.rooms.get(namespace, {}).get(None)
        if everybody is None:
            return
        found: dict[str, str] = {}
        for one in room if isinstance(room, list | tuple) else [room]:
            if one is not None and one in everybody:
                found[one] = everybody[one]
            elif (members := self.rooms[namespace].get(one)) is not None:
                found.update(members._fwdm)  # noqa: SLF001
        yield from found.items()

    async def emit(
        self,
        event: str,
        data: Any,
        namespace: str,
        room: Any = None,
        skip_sid: Any = None,
        callback: Any = None,
        to: Any = None,
        **_: Any,
    ) -> None:
        arguments = [event, *_arguments(data)]
        skipped = skip_sid if isinstance(skip_sid, list | tuple) else (skip_sid,)
        shared: list[bytes] | None = None
        for sid, eio_sid in self.get_participants(namespace, to or room):
            if sid in skipped:
                continue
            if callback is not None:
                number = self._generate_ack_id(sid, callback)
                self.server.put(eio_sid, self._event(arguments, namespace, number))
            else:
                shared = shared or self._event(arguments, namespace)
                self.server.put(eio_sid, shared)

    def _event(self, data: list[Any], namespace: str, number: int | None = None) -> list[bytes]:
        made = self.server.packet_class(packet.EVENT, namespace=namespace, data=data, id=number)
        return frames(made.encode())


class Server(socketio.AsyncServer):  # type: ignore[misc]
    """A Socket.IO server whose connections are ours."""

    eio: Engine
    manager: Members
    _binary_packet: dict[str, Packet]

    def __init__(self, client_manager: Members | None = None, **options: Any) -> None:
        """``client_manager`` is a ``Members``; options are python-socketio's and ``Engine``'s."""
        options = {
            "logger": logging.getLogger("socketio"),
            "engineio_logger": logging.getLogger("engineio"),
            **options,
        }
        super().__init__(client_manager=client_manager or Members(), **options)
        self.eio.serve = self._serve

    def _engineio_server_class(self) -> type[Engine]:
        return Engine

    def put(self, eio_sid: str, packet_frames: Iterable[bytes]) -> None:
        """Sends a socket the frames of one packet, unless it has gone or reads nothing."""
        if socket := self.eio.sockets.get(eio_sid):
            if socket.buffered > BACKLOG:
                self.eio.violated("unread")
                socket.close(self.reason.TRANSPORT_ERROR)
                return
            for frame in packet_frames:
                socket.send(frame)

    async def _send_packet(self, eio_sid: str, pkt: Packet) -> None:
        self.put(eio_sid, frames(pkt.encode()))

    async def _send_eio_packet(self, eio_sid: str, eio_pkt: engineio.packet.Packet) -> None:
        await self.eio.send_packet(eio_sid, eio_pkt)

    # ---- what comes

    def _serve(self, socket: Socket, data: str | bytes) -> Work | None:
        """What the engine calls with each message. Raises ``Violation``."""
        whole = self._read(socket, data)
        return None if whole is None else self._dispatch(socket, whole)

    def _read(self, socket: Socket, data: str | bytes) -> Packet | None:
        """The packet that is whole with this message. Raises ``Violation``."""
        pending = self._binary_packet.get(socket.sid)
        try:
            if isinstance(data, bytes):
                if pending is None:
                    raise ValueError("bytes that nobody announced")
                if not pending.add_attachment(data):
                    return None
                return self._binary_packet.pop(socket.sid)
            if pending is not None:
                raise ValueError("text in the middle of a binary packet")
            read = self.packet_class(encoded_packet=data)
        except Exception as error:
            self._binary_packet.pop(socket.sid, None)
            raise Violation(PROTOCOL_ERROR, "packet") from error
        if read.packet_type in {packet.BINARY_EVENT, packet.BINARY_ACK}:
            if not self._in(socket, read.namespace or ROOT):
                raise Violation(PROTOCOL_ERROR, "packet")
            self._binary_packet[socket.sid] = read
            return None
        return read

    def _dispatch(self, socket: Socket, whole: Packet) -> Work:
        kind, namespace, data = whole.packet_type, whole.namespace or ROOT, whole.data
        work: Work
        if kind == packet.CONNECT:
            if data is not None and not isinstance(data, dict):
                raise Violation(PROTOCOL_ERROR, "packet")
            work = self._handle_connect(socket.sid, namespace, data)
        elif kind == packet.DISCONNECT:
            reason = self.reason.CLIENT_DISCONNECT
            work = self._handle_disconnect(socket.sid, namespace, reason)
        elif kind == packet.CONNECT_ERROR or not self._in(socket, namespace):
            raise Violation(PROTOCOL_ERROR, "packet")
        elif kind in {packet.ACK, packet.BINARY_ACK}:
            if whole.id is None or not isinstance(data, list):
                raise Violation(PROTOCOL_ERROR, "ack")
            work = self._handle_ack(socket.sid, namespace, whole.id, data)
        else:
            work = self._handle_event(socket.sid, namespace, whole.id, data)
        return work

    def _in(self, socket: Socket, namespace: str) -> bool:
        return self.manager.sid_from_eio_sid(socket.sid, namespace) is not None

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        if not self._serves(namespace or ROOT):
            refusal = self.packet_class(
                packet.CONNECT_ERROR, data={"message": "Invalid namespace"}, namespace=namespace
            )
            await self._send_packet(eio_sid, refusal)
            return
        await super()._handle_connect(eio_sid, namespace, data)
        socket = self.eio.sockets.get(eio_sid)
        if socket is not None and self._in(socket, namespace or ROOT):
            socket.deadline = None

    def _serves(self, namespace: str) -> bool:
        return (
            namespace in self.handlers
            or namespace in self.namespace_handlers
            or self.namespaces == "*"
            or namespace in self.namespaces
        )


def _arguments(data: Any) -> list[Any]:
    """What ``emit`` was given, as the arguments of the event."""
    if isinstance(data, tuple):
        return list(data)
    return [] if data is None else [data]
