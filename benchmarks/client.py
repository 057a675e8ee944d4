"""A Socket.IO client that walks WebSocket frames by hand and only counts them.

It costs about a microsecond a chunk, far less than any server that is measured with it.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, cast

import orjson

from benchmarks.peers import Peer
from benchmarks.polling import PATH, opened_door

Way = Literal["websocket", "polling"]
"""How a client comes: by WebSocket at once, or as browsers do, by polling and an upgrade."""

CHUNK = b'42["stream_chunk"'
END = b'42["stream_end"'
GREETING, RESTORED = b'42["SESSION_', b'42["SESSION_RESTORED'
SECONDS = 60.0
TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9


class Refused(Exception):
    """The server said no; what it said."""


class Client(asyncio.Protocol):
    """A client over WebSocket. ``connect`` makes it."""

    def __init__(self, peer: Peer, auth: Mapping[str, Any], sid: str = "") -> None:
        """``sid`` is what Engine.IO calls the connection that is to be upgraded."""
        self.chunks = 0
        self.tokens = 0
        self.turn_id = ""
        self.session_id = ""
        self.restored = False
        """It came back to its session."""
        self.begins: Callable[[], None] | None = None
        """Called at the first chunk of an answer."""
        self.ends: Callable[[], None] | None = None
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        """It is in, and was told its session where there are any."""
        self.probed: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._peer = peer
        self._auth = auth
        self._sid = sid
        self._rest = b""
        self._open = False
        self._why = "the server hung up"
        self._transport: asyncio.WriteTransport

    # ---- what a benchmark says

    def ask(self, event: str, payload: Mapping[str, Any]) -> asyncio.Future[Any]:
        """Sends an event; its acknowledgement."""
        self._number += 1
        answer = self._asked[self._number] = asyncio.get_running_loop().create_future()
        self.send(b"42%d" % self._number + orjson.dumps([event, payload]))
        return answer

    async def say(self, text: str) -> None:
        """Asks for an answer; returns when the question was acknowledged. Raises ``Refused``."""
        self.chunks = self.tokens = 0
        self.ended = asyncio.get_running_loop().create_future()
        answer = await self.ask("user_message_stream", {"text": text})
        if not answer["ok"]:
            raise Refused(str(answer))
        self.turn_id = answer["turnId"]

    def leave(self) -> None:
        """Says goodbye and hangs up."""
        if not self._transport.is_closing():
            self.send(b"41")
            self._transport.close()

    def drop(self) -> None:
        """Is cut off, as by a network that has gone."""
        self._transport.abort()

    # ---- the line

    def send(self, packet: bytes) -> None:
        """Sends an Engine.IO packet, under a mask of zeros."""
        self._transport.write(_head(TEXT, len(packet)) + packet)

    def attach(self, packet: bytes, attached: bytes) -> None:
        """The same with bytes that belong to it."""
        bare = _head(TEXT, len(packet)) + packet
        self._transport.write(bare + _head(BINARY, len(attached)) + attached)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        line: socket.socket = transport.get_extra_info("socket")
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sid = f"&sid={self._sid}" if self._sid else ""
        # It offers to compress, as browsers do.
        self._transport.write(
            f"GET {PATH}websocket{sid} HTTP/1.1\r\nHost: 127.0.0.1:{self._peer.port}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        told = f"{self._peer.name}: {self._why}"
        error = ConnectionError(f"{told} ({exc})" if exc else told)
        for waiting in (self.ready, self.probed, self.ended, *self._asked.values()):
            if not waiting.done():
                waiting.set_exception(error)
                waiting.exception()  # whoever waits is told; nobody has to

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        if not self._open:
            at = data.find(b"\r\n\r\n") + 4
            if at < 4:
                self._rest = data
                return
            self._answered(data[:at])
        while size - at >= 2:
            length, start = data[at + 1], at + 2
            if length >= 126:
                wide = 2 if length == 126 else 8
                length, start = int.from_bytes(data[start : start + wide], "big"), start + wide
            end = start + length
            if end > size:
                break
            if data.startswith(CHUNK, start):
                self.chunks += 1
                self.tokens += data.count(b" ", start, end)  # each token has one, and nothing else
                if self.chunks == 1 and self.begins is not None:
                    self.begins()
                self.chunk(data, start, end)
            else:
                self._frame(data[at], data[start:end])
            at = end
        self._rest = data[at:]

    def chunk(self, data: bytes, start: int, end: int) -> None:
        """A chunk came, from ``start`` to ``end``: for those who look into it."""

    def attached(self, data: bytes) -> None:
        """Bytes came that belong to the packet before: for those who listen."""

    def _answered(self, head: bytes) -> None:
        self._open = True
        if b" 101 " not in head.partition(b"\r\n")[0]:
            self._refuse(head.decode("latin-1"))
        elif b"permessage-deflate" in head:
            self._refuse("it compresses: its frames cannot be counted")
        elif self._sid:
            self.send(b"2probe")

    def _frame(self, first: int, packet: bytes) -> None:
        if first & 15 == CLOSE:
            self._why += f" with {int.from_bytes(packet[:2], 'big')}"
            self._transport.close()
        elif first & 15 == BINARY:
            self.attached(packet)
        elif first & 15 == PING:
            self._transport.write(struct.pack("!BB4x", 0x8A, 0x80))
        else:
            self.packet(packet)

    def packet(self, packet: bytes) -> None:
        """Takes an Engine.IO packet that is no chunk, by whatever way it came."""
        if packet == b"2":
            self.send(b"3")
        elif packet == b"3probe":
            self.probed.set_result(None)
        elif packet.startswith(b"0"):
            self.send(b"40" + orjson.dumps(self._auth))
        elif packet.startswith(GREETING):
            self.session_id = orjson.loads(packet[2:])[1]["sessionId"]
            self.restored = packet.startswith(RESTORED)
            self._welcomed()
        elif packet.startswith(b"40"):
            if not self._peer.tokens:
                self._welcomed()
        elif packet.startswith(END):
            if not self.ended.done():
                self.ended.set_result(None)
            if self.ends is not None:
                self.ends()
        elif packet.startswith(b"43"):
            bracket = packet.index(b"[")
            answer = self._asked.pop(int(packet[2:bracket]))
            answer.set_result(orjson.loads(packet[bracket:])[0])
        elif packet.startswith((b"44", b"41", b"1", b'42["error"')):
            self._refuse(packet.decode())

    def _welcomed(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)

    def _refuse(self, why: str) -> None:
        self._why = why
        if not self.ready.done():
            self.ready.set_exception(Refused(why))
            self.ready.exception()
        self._transport.close()


def _head(kind: int, length: int) -> bytes:
    """Of a frame from a client, with its mask of zeros."""
    if length < 126:
        return struct.pack("!BB4x", 0x80 | kind, 0x80 | length)
    return struct.pack("!BBH4x", 0x80 | kind, 0x80 | 126, length)


C = TypeVar("C", bound=Client)


async def connect(
    make: Callable[[Peer, Mapping[str, Any], str], C], peer: Peer, way: Way, auth: Mapping[str, Any]
) -> C:
    """A client that the server has let in. Raises ``Refused``, ``ConnectionError`` or
    ``TimeoutError``."""
    async with asyncio.timeout(SECONDS):
        if way == "polling":
            return await _upgraded(make, peer, auth)
        client = await _dialled(make(peer, auth, ""), peer)
        await client.ready
        return client


async def _upgraded(
    make: Callable[[Peer, Mapping[str, Any], str], C], peer: Peer, auth: Mapping[str, Any]
) -> C:
    """As the stock client in a browser: in by polling, then over to WebSocket while it polls on."""
    async with opened_door(peer.port) as door:
        (opened,) = await door.poll()
        door.sid = orjson.loads(opened[1:])["sid"]
        await door.post(b"40" + orjson.dumps(auth))
        early = await door.poll()
        client = await _dialled(make(peer, auth, door.sid), peer)
        for packet in early:
            client.packet(packet)
        while not client.probed.done():
            for packet in await door.poll():
                client.packet(packet)
        client.probed.result()
        client.send(b"5")
        await client.ready
        return client


async def _dialled(client: C, peer: Peer) -> C:
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: client, "127.0.0.1", peer.port)
    return client
