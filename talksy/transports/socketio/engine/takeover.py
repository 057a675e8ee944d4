"""aiohttp reads the upgrade request; then the connection is ours.

Leaned on beyond the library's public API: ``RequestHandler``'s ``_message_tail``,
``_reading_paused``, ``transport`` and ``connection_lost``, and that ``finish_response`` takes a
``ConnectionError`` of a response's ``prepare`` for a client that has gone.
"""

import asyncio
import base64
import binascii
import hashlib
import socket
from collections.abc import Callable

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from talksy.transports.requests import Ask, P, TooBig
from talksy.transports.socketio.engine.frames import PROTOCOL_ERROR, Violation

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
)
SEND_BUFFER = 128 * 1024
"""What the system may hold of a socket, in bytes (Linux takes twice that): left to itself it takes
megabytes from each client that does not read before we learn of it."""
BODY_SECONDS = 10.0
"""How long a polled body may take to come."""


class Taken(web.Response):
    """For aiohttp, which has nothing to answer any more."""

    def __init__(self) -> None:
        super().__init__(status=101)

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:  # noqa: ARG002
        """Raises what aiohttp takes for a client that has gone."""
        raise ConnectionResetError


def websocket_key(ask: Ask) -> bytes | None:
    """The key of a request for an upgrade as RFC 6455, 4.2.1, wants it; None where it is not."""
    key = (ask.header("sec-websocket-key") or "").encode("utf-8", "surrogateescape")
    hops = (ask.header("connection") or "").lower().split(",")
    try:
        sixteen = len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return None
    if (
        not sixteen
        or ask.method != "GET"
        or ask.version < (1, 1)
        or (ask.header("upgrade") or "").lower() != "websocket"
        or "upgrade" not in map(str.strip, hops)
        or ask.header("sec-websocket-version") != "13"
    ):
        return None
    return key


def switched(
    transport: asyncio.Transport, key: bytes, make: Callable[[asyncio.Transport, bytes], P]
) -> P:
    """An upgrade that is accepted: from here on the connection is ours."""
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    connection = make(transport, _SWITCHING % accept)
    transport.set_protocol(connection)
    plain = transport.get_extra_info("socket")
    if plain is not None and plain.family != socket.AF_UNIX:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    return connection


class Relayed:
    """A request that aiohttp read. An ``Ask``."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.method = request.method
        self.version = request.version
        self.query = request.query
        self.raw_path = request.raw_path
        self.raw_headers = request.raw_headers
        self.remote = request.remote

    def header(self, name: str) -> str | None:
        """An ``Ask``'s."""
        return self._request.headers.get(name)

    async def body(self, most: int) -> bytes:
        """An ``Ask``'s."""
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in self._request.content.iter_any():
                    body += part
                    if len(body) > most:
                        raise TooBig
        except TimeoutError:
            raise Violation(PROTOCOL_ERROR, "body") from None
        return bytes(body)

    def take_over(
        self, key: bytes, make: Callable[[asyncio.Transport, bytes], P]
    ) -> tuple[P, bytes]:
        """An ``Ask``'s."""
        protocol, transport = self._request.protocol, self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        tail, protocol._message_tail = protocol._message_tail, b""  # noqa: SLF001
        if protocol._reading_paused:  # noqa: SLF001
            protocol.resume_reading()
        connection = switched(transport, key, make)
        protocol.transport = None  # else it would be closed by the next line
        protocol.connection_lost(None)
        return connection, tail
