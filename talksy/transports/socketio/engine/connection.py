"""A WebSocket after its handshake: frames in, frames out. No task, no stream, no queue."""

import asyncio
from typing import Protocol

import structlog

from talksy.transports.socketio.engine.frames import (
    NORMAL,
    OUR_FAULT,
    PONG,
    PROTOCOL_ERROR,
    Parser,
    Violation,
    close_frame,
    head,
)
from talksy.transports.socketio.engine.turnstile import Turnstile
from talksy.wheel import Wheel

log = structlog.get_logger(__name__)

HIGH_WATER = 64 * 1024
LOW_WATER = 16 * 1024
"""Unsent bytes from which on the transport says so, and below which it says that there is room."""
UNREAD = 4_000_000
"""Unsent bytes from which on a client is given up, whatever it is that it does not read: events, or
the answers to its pings."""
CLOSE_SECONDS = 5.0
"""How long a closed connection may take to go by itself."""


class Owner(Protocol):
    """To whom what comes belongs."""

    def on_text(self, connection: "Connection", text: str) -> None:
        """A text message. May raise ``Violation``."""

    def on_binary(self, connection: "Connection", data: bytes) -> None:
        """A binary message. May raise ``Violation``."""

    def on_room(self, connection: "Connection") -> None:
        """What was written has been taken, or nearly all of it."""

    def on_lost(self, connection: "Connection", *, broken: bool) -> None:
        """It is over, and ``broken`` where the client broke the protocol. Called once."""


class Host(Protocol):
    """What the connections of a node have in common."""

    wheel: Wheel
    outgoing: "Outgoing"
    max_http_buffer_size: int
    """What a message may have, in bytes."""
    leavers: Turnstile
    """Where those go out whose connections are over."""

    def violated(self, why: str) -> None:
        """Counts what a client did wrong."""

    def ended(self, connection: "Connection") -> None:
        """It is over."""


class Outgoing:
    """What the connections of a node write in one turn of the loop: one write each."""

    def __init__(self) -> None:
        self._waiting: list[Connection] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def put(self, connection: "Connection") -> None:
        """Flushes it at the end of this turn."""
        if not self._waiting:
            loop = self._loop = self._loop or asyncio.get_running_loop()
            loop.call_soon(self._flush)
        self._waiting.append(connection)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for connection in waiting:
            try:
                connection.flush()
            except Exception:
                log.exception("write_failed")
                connection.abort()


class Connection(asyncio.Protocol):
    """One WebSocket."""

    __slots__ = (
        "_choked",
        "_host",
        "_out",
        "_parser",
        "_pending",
        "_transport",
        "closing",
        "due",
        "owner",
    )

    def __init__(self, transport: asyncio.Transport, owner: Owner, host: Host) -> None:
        self._transport: asyncio.Transport | None = transport
        self._parser: Parser | None = Parser(self, host.max_http_buffer_size)
        self._host = host
        self._out: list[bytes] | None = None
        self._pending = 0
        self._choked = False
        self.owner: Owner | None = owner
        self.closing = False
        self.due = 0
        transport.set_write_buffer_limits(HIGH_WATER, LOW_WATER)

    # ---- sending: at once, so that nobody comes between the frames of one packet

    def send(self, frame: bytes) -> bool:
        """Writes a whole frame, with all others of this turn of the loop.

        Returns whether more than the high-water mark waits now.
        """
        if self.closing:
            return False
        self._pending += len(frame)
        if self._out is None:
            self._out = [frame]
            self._host.outgoing.put(self)
        else:
            self._out.append(frame)
        return self._choked or self._pending > HIGH_WATER

    def flush(self) -> None:
        """Gives the transport what was sent since the last time."""
        out, self._out = self._out, None
        pending, self._pending = self._pending, 0
        if out and self._transport is not None:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
            if self._choked:
                self._give_up_if_unread()
            elif pending > HIGH_WATER and self.owner is not None:
                self.owner.on_room(self)

    @property
    def buffered(self) -> int:
        """How many bytes the system has not taken yet."""
        size = self._transport.get_write_buffer_size() if self._transport is not None else 0
        return size + self._pending

    def pause_writing(self) -> None:
        """The client reads slower than it is sent to."""
        self._choked = True

    def resume_writing(self) -> None:
        """There is room again."""
        self._choked = False
        if self.owner is not None:
            self.owner.on_room(self)

    # ---- receiving

    def data_received(self, data: bytes) -> None:
        """Reads on; a client that breaks the protocol is hung up on."""
        if self._parser is None:
            return
        try:
            self._parser.feed(data)
        except Violation as error:
            self.violation(error)
        except Exception:
            log.exception("message_failed")
            self.close(OUR_FAULT)

    def on_text(self, text: str) -> None:
        """A text message came."""
        if self.owner is not None and not self.closing:
            self.owner.on_text(self, text)

    def on_binary(self, data: bytes) -> None:
        """A binary message came."""
        if self.owner is not None and not self.closing:
            self.owner.on_binary(self, data)

    def on_ping(self, data: bytes) -> None:
        """Answers a ping of the WebSocket."""
        self.send(head(PONG, len(data)) + data)

    def on_close(self, code: int) -> None:
        """The client says goodbye, or answers ours."""
        if self._parser is not None:
            self._parser.paused = True  # what follows is not read
        self._parser = None
        self.close(NORMAL if code == 1005 else code)
        if self._transport is not None:
            self._transport.close()

    def on_burst(self) -> None:
        """Lets others have their turn."""
        self.pause()
        asyncio.get_running_loop().call_soon(self.resume)

    def pause(self) -> None:
        """Reads no more, so that the client's writes wait."""
        if not self._paused() and self._parser is not None and self._transport is not None:
            self._parser.paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Reads on."""
        if self._paused() and self._parser is not None:
            self._parser.paused = False
            self.data_received(b"")
            if self._transport is not None and not self._paused():
                self._transport.resume_reading()

    def _paused(self) -> bool:
        return self._parser is not None and self._parser.paused

    # ---- ending

    def expect(self, seconds: float) -> None:
        """Closes it unless it is ``settle``\\ d in time."""
        self._host.wheel.put(self, seconds)

    def settle(self) -> None:
        """It may stay."""
        self._host.wheel.take_off(self)

    def expire(self) -> None:
        """Its time has run out: to go, or to say what it wants."""
        if self.closing:
            self.abort()
        else:
            self.violation(Violation(PROTOCOL_ERROR, "silent"))

    def violation(self, error: Violation) -> None:
        """Hangs up on who breaks the protocol, and counts it. What still comes is not read."""
        self._host.violated(error.why)
        self._parser = None
        self.close(error.code, error.why)
        self._lose(broken=True)

    def close(self, code: int = NORMAL, why: str = "") -> None:
        """Says goodbye behind what was sent, and waits a moment for the answer."""
        if self.closing or self._transport is None:
            return
        self.send(close_frame(code, why))
        self.flush()
        self.closing = True
        if self._paused():
            self._parser = None
            self._transport.resume_reading()
        self._host.wheel.put(self, CLOSE_SECONDS)

    def _give_up_if_unread(self) -> None:
        if self.buffered > UNREAD:
            self._host.violated("unread")
            self.abort()
            self._lose(broken=True)

    def abort(self) -> None:
        """Ends it now, whatever lies in its buffer."""
        self.closing = True
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """It is over: everything is let go."""
        self._transport = self._parser = self._out = None
        self.closing = True
        self._host.wheel.take_off(self)
        self._host.ended(self)
        self._host.leavers.enter(self._over)

    def _over(self) -> None:
        self._lose(broken=False)

    def _lose(self, *, broken: bool) -> None:
        owner, self.owner = self.owner, None
        if owner is not None:
            owner.on_lost(self, broken=broken)
