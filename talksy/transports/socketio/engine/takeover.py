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

from talksy.transports.socketio.engine.connection import Connection

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
)
SEND_BUFFER = 128 * 1024
"""What the system may hold of a socket, in bytes (Linux takes twice that): left to itself it takes
megabytes from each client that does not read before we learn of it."""


class Taken(web.Response):
    """For aiohttp, which has nothing to answer any more."""

    def __init__(self) -> None:
        super().__init__(status=101)

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:  # noqa: ARG002
        """Raises what aiohttp takes for a client that has gone."""
        raise ConnectionResetError


def websocket_key(request: web.Request) -> bytes | None:
    """The key of a request for an upgrade as RFC 6455, 4.2.1, wants it; None where it is not."""
    key = request.headers.get("Sec-WebSocket-Key", "").encode("utf-8", "surrogateescape")
    hops = request.headers.get("Connection", "").lower().split(",")
    try:
        sixteen = len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return None
    if (
        not sixteen
        or request.method != "GET"
        or request.version < (1, 1)
        or request.headers.get("Upgrade", "").lower() != "websocket"
        or "upgrade" not in map(str.strip, hops)
        or request.headers.get("Sec-WebSocket-Version") != "13"
    ):
        return None
    return key


def take_over(
    request: web.Request, key: bytes, make: Callable[[asyncio.Transport], Connection]
) -> tuple[Connection, bytes]:
    """Answers the upgrade and makes the connection ours; with it what the client sent already,
    which is to be given to it.

    Raises ``ConnectionResetError`` where the client has gone.
    """
    protocol, transport = request.protocol, request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError
    tail, protocol._message_tail = protocol._message_tail, b""  # noqa: SLF001
    if protocol._reading_paused:  # noqa: SLF001
        protocol.resume_reading()
    connection = make(transport)
    transport.set_protocol(connection)
    protocol.transport = None  # else it would be closed by the next line
    protocol.connection_lost(None)
    plain = transport.get_extra_info("socket")
    if plain is not None and plain.family != socket.AF_UNIX:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    transport.write(_SWITCHING % accept)
    return connection, tail
