"""A connection before anybody has it: plain requests for a door are answered here, at the least
cost; the first one that is anything else takes the connection along to aiohttp.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Protocol, cast

from talksy.transports.requests import Ask, Common, Door, P, Reply
from talksy.transports.socketio.engine.plain import Plain, read
from talksy.transports.socketio.engine.takeover import switched
from talksy.transports.socketio.engine.turnstile import Turnstile

NEWCOMERS = 8
"""So many new sockets are opened in one turn of the loop: of thousands that come at once each has
some more to do then, and between the turns others have theirs.
"""


class House(Protocol):
    """What the connections of a server have in common."""

    @property
    def doors(self) -> Mapping[str, Door]:
        """By their paths."""

    @property
    def common(self) -> Common: ...

    @property
    def newcomers(self) -> Turnstile:
        """Where those who open a socket come in."""

    def came(self, front: "Front") -> None:
        """It is there, and has asked for nothing."""

    def asked(self, front: "Front") -> None:
        """It has asked for something."""

    def left(self, front: "Front") -> None:
        """It is over, or somebody else has the connection."""

    def others(self) -> asyncio.Protocol:
        """Who takes the connection of a request that is not for here."""

    def failed(self, error: BaseException) -> Reply:
        """What a client is told for a fault of ours."""


class Front(asyncio.Protocol):
    """One connection."""

    __slots__ = (
        "_choked",
        "_closing",
        "_held",
        "_house",
        "_remote",
        "_tail",
        "_task",
        "_transport",
    )

    def __init__(self, house: House) -> None:
        self._house = house
        self._transport: asyncio.Transport | None = None
        self._remote: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._choked = False
        self._closing = False
        self._held = False
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It begins."""
        self._transport = cast("asyncio.Transport", transport)
        self._house.came(self)

    def data_received(self, data: bytes) -> None:
        """One request is served after the other."""
        if not self.busy and not self._choked:
            self._read(data)
            return
        self._tail += data
        if self._transport is not None:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """It is over."""
        self._transport = None
        self._house.left(self)

    def pause_writing(self) -> None:
        """The client does not read its answers."""
        self._choked = True

    def resume_writing(self) -> None:
        """It does."""
        self._choked = False
        self._go_on()

    def close(self) -> None:
        """Ends it behind the answer that is on its way."""
        self._closing = True
        if not self.busy and self._transport is not None:
            self._transport.close()

    @property
    def busy(self) -> bool:
        """Whether an answer is on its way."""
        return self._held or self._task is not None

    # ---- a Place

    @property
    def remote(self) -> str:
        """A ``Place``'s."""
        if self._remote is None and self._transport is not None:
            peer = self._transport.get_extra_info("peername")
            self._remote = str(peer[0] if isinstance(peer, tuple | list) else peer)
        return self._remote or ""

    def leave(self, key: bytes, make: Callable[[asyncio.Transport, bytes], P]) -> tuple[P, bytes]:
        """A ``Place``'s."""
        transport, tail = self._let_go()
        connection = switched(transport, key, make)
        transport.resume_reading()
        return connection, tail

    # ---- requests

    def _read(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        found = read(data, self)
        door = self._house.doors.get(found[1]) if found else None
        if found is None or door is None or not door.lets(found[0]):
            self._hand_on(data)
            return
        ask, _, self._tail = found
        self._house.asked(self)
        if "sid" in ask.query:
            self._begin(door, ask)
        else:
            self._held = True
            self._house.newcomers.enter(partial(self._begin, door, ask))

    def _begin(self, door: Door, ask: Plain) -> None:
        self._held = False
        if self._transport is None:
            return  # it has gone while it waited
        self._task = asyncio.create_task(self._serve(door, ask))
        self._task.add_done_callback(self._served)

    def _hand_on(self, data: bytes) -> None:
        transport, _ = self._let_go()
        other = self._house.others()
        transport.set_protocol(other)
        transport.resume_reading()
        other.connection_made(transport)
        other.data_received(data)

    def _let_go(self) -> tuple[asyncio.Transport, bytes]:
        """The connection, and what the client sent already. Raises ``ConnectionResetError`` where
        it has gone.
        """
        transport, tail = self._transport, self._tail
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        self._transport, self._tail = None, b""
        self._house.left(self)
        return transport, tail

    async def _serve(self, door: Door, ask: Plain) -> None:
        try:
            reply = await door.answer(ask)
        except Exception as error:  # noqa: BLE001 - it is logged there
            self._write(ask, self._house.failed(error))
            self._closing = True
            return
        if reply is not None:
            self._write(ask, reply)

    def _write(self, ask: Ask, reply: Reply) -> None:
        if self._transport is None:
            return
        own = "".join(f"{name}: {value}\r\n" for name, value in reply.headers).encode()
        head = _HEAD % (
            reply.status,
            _phrase(reply.status),
            reply.kind.encode(),
            len(reply.body),
            _date(int(time.time())),
        )
        self._transport.write(b"".join((head, self._house.common(ask), own, b"\r\n", reply.body)))

    def _served(self, _: "asyncio.Task[None]") -> None:
        self._task = None
        if self._closing:
            self.close()
        elif self._transport is not None:
            self._house.asked(self)
            self._go_on()

    def _go_on(self) -> None:
        """Serves what came meanwhile."""
        transport = self._transport
        if self.busy or self._choked or transport is None or transport.is_closing():
            return
        data, self._tail = self._tail, b""
        transport.resume_reading()
        if data:
            self._read(data)


_HEAD = b"HTTP/1.1 %d %b\r\nContent-Type: %b; charset=UTF-8\r\nContent-Length: %d\r\nDate: %b\r\n"


def _phrase(status: int) -> bytes:
    return HTTPStatus(status).phrase.encode()


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()
