"""One Engine.IO session: a client that polls, a WebSocket, or the one becoming the other."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import structlog

from talksy.transports.socketio.engine import payload
from talksy.transports.socketio.engine.connection import HIGH_WATER, UNREAD, Connection
from talksy.transports.socketio.engine.frames import (
    NORMAL,
    PROTOCOL_ERROR,
    Violation,
    text_frame,
)
from talksy.wheel import Wheel

log = structlog.get_logger(__name__)

PING = text_frame(payload.PING.encode())
NOOP = text_frame(payload.NOOP.encode())
CLOSE = text_frame(payload.CLOSE.encode())
PROBED = text_frame(b"3probe")
PACKETS = 16
"""As many packets the stock Python client reads in one polled payload."""
INBOX = 64
"""So many messages may wait for the one that is served; then nothing more is read."""
HELD_SECONDS = 0.1
"""How long a poll is held that comes in the middle of an upgrade."""
READ_SECONDS = 1.0
"""How long a polling client has to read its last packets."""

PING_TIMEOUT = "ping timeout"
SERVER_DISCONNECT = "server disconnect"
TRANSPORT_CLOSE = "transport close"
TRANSPORT_ERROR = "transport error"
"""Reasons, in the words that python-socketio gives its handlers."""


class Home(Protocol):
    """What a socket needs of its engine."""

    wheel: Wheel
    ping_interval: float
    ping_timeout: float

    def receive(self, socket: "Socket", data: str | bytes) -> Coroutine[Any, Any, None] | None:
        """Serves a message; what is returned is awaited before the next one is served.

        May raise ``Violation``.
        """

    def late(self, socket: "Socket") -> None:
        """Its ``deadline`` has come."""

    def gone(self, socket: "Socket", reason: str) -> None:
        """It is closed. What it was sent last may still be read by a poll."""

    def forget(self, socket: "Socket") -> None:
        """Nobody will ask for it any more."""

    def violated(self, why: str) -> None:
        """Counts what a client did wrong."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs it beside everything else."""


class PollRefused(Exception):
    """A poll that is not answered as one: 400."""


class Socket:
    """An Engine.IO session. An ``Owner`` of its connection."""

    __slots__ = (
        "_awaiting",
        "_home",
        "_inbox",
        "_ping_at",
        "_poll",
        "_posting",
        "_queue",
        "_queued",
        "_room",
        "_session",
        "_settled",
        "closed",
        "connection",
        "deadline",
        "due",
        "guest",
        "sid",
        "upgraded",
        "upgrading",
    )

    def __init__(self, home: Home, sid: str) -> None:
        self.sid = sid
        self.connection: Connection | None = None
        """The WebSocket, where it has one."""
        self.upgraded = False
        """Whether it is on its WebSocket."""
        self.upgrading: Connection | None = None
        """The WebSocket that is to replace polling, from its probe on."""
        self.closed = False
        """Nothing is served or sent any more."""
        self.deadline: float | None = None
        """When the engine is told that it is ``late``, on the loop's clock."""
        self.guest: Any = None
        """Whatever the application keeps of it here."""
        self.due = 0
        self._home = home
        self._session: dict[str, Any] | None = None
        self._queue: list[bytes] | None = None
        self._queued = 0
        self._poll: asyncio.Future[None] | None = None
        self._posting: asyncio.Lock | None = None
        self._inbox: deque[str | bytes] | None = None
        self._settled: asyncio.Future[None] | None = None
        self._room: Callable[[], None] | None = None
        self._awaiting = False
        self._ping_at = home.wheel.now() + home.ping_interval
        self.plan()

    @property
    def session(self) -> dict[str, Any]:
        """What ``save_session`` keeps."""
        if self._session is None:
            self._session = {}
        return self._session

    @session.setter
    def session(self, session: dict[str, Any]) -> None:
        self._session = session

    @property
    def closing(self) -> bool:
        """As python-engineio's sockets have it."""
        return self.closed

    # ---- out

    def send(self, frame: bytes) -> bool:
        """Sends an Engine.IO packet, as the WebSocket frame that it would be.

        Returns whether more than a high-water mark waits for the client now.
        """
        if self.connection is not None:
            return self.connection.send(frame)
        if not self.closed:
            self._enqueue(frame)
        return self._queued > HIGH_WATER

    @property
    def buffered(self) -> int:
        """How many bytes wait for the client to take them."""
        waiting = self.connection.buffered if self.upgraded and self.connection else 0
        return self._queued + waiting

    def when_room(self, call: Callable[[], None] | None) -> None:
        """Calls once when the client has taken something; None for not any more."""
        self._room = call

    def on_room(self, connection: Connection) -> None:  # noqa: ARG002
        """An ``Owner``'s."""
        self._tell_room()

    def _tell_room(self) -> None:
        call, self._room = self._room, None
        if call is not None:
            call()

    def _enqueue(self, frame: bytes) -> None:
        if self._queue is None:
            self._queue = []
        self._queue.append(frame)
        self._queued += len(frame)
        if self._queued > UNREAD:
            self._home.violated("unread")
            self.close(TRANSPORT_ERROR, tell=False)
        elif not self.upgrading:
            self._answer()

    def _answer(self) -> None:
        """Lets a waiting poll go."""
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(None)

    # ---- in

    def on_text(self, connection: Connection, text: str) -> None:
        """An ``Owner``'s: a packet as text."""
        if connection is not self.connection:
            self._probe(connection, text)
        elif not self.closed:
            self._packet(text)

    def on_binary(self, connection: Connection, data: bytes) -> None:
        """An ``Owner``'s: a message of bytes."""
        if connection is not self.connection:
            raise Violation(PROTOCOL_ERROR, "upgrade")
        self._message(data)

    def post(self, body: bytes) -> None:
        """Takes the packets of a polled body. Raises ``Violation``."""
        for packet in payload.split(body):
            if not self.closed:
                self._packet(packet)

    @property
    def posting(self) -> asyncio.Lock:
        """Held while a payload is read and served."""
        if self._posting is None:
            self._posting = asyncio.Lock()
        return self._posting

    async def settled(self) -> None:
        """Returns when no message waits to be served."""
        while self._inbox is not None:
            if self._settled is None:
                self._settled = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._settled)

    def _packet(self, packet: str) -> None:
        kind = packet[:1]
        if kind in {payload.MESSAGE, payload.BINARY}:
            self._message(payload.content(packet))
        elif kind == payload.PONG:
            self._pong()
        elif kind == payload.CLOSE:
            self.close(TRANSPORT_CLOSE, tell=False)
        elif kind != payload.UPGRADE:
            raise Violation(PROTOCOL_ERROR, "packet_type")

    def _message(self, data: str | bytes) -> None:
        if self.closed:
            return
        if self._inbox is not None:
            self._inbox.append(data)
            if len(self._inbox) >= INBOX and self.connection is not None:
                self.connection.pause()
            return
        work = self._home.receive(self, data)
        if work is not None:
            self._inbox = deque()
            self._home.spawn(self._serve(work, self._inbox))

    async def _serve(self, work: Coroutine[Any, Any, None], waiting: deque[str | bytes]) -> None:
        """Serves a message, and then what came meanwhile, one after the other."""
        try:
            await _finished(work)
            while waiting and not self.closed:
                more = self._home.receive(self, waiting.popleft())
                if more is not None:
                    await _finished(more)
        except Violation as error:
            self.violation(error)
        finally:
            self._inbox = None
            if self._settled is not None:
                self._settled.set_result(None)
                self._settled = None
            if self.connection is not None:
                self.connection.resume()

    def violation(self, error: Violation) -> None:
        """Ends it for what its client did wrong."""
        if self.upgraded and self.connection is not None:
            self.connection.violation(error)
            return
        self._home.violated(error.why)
        self._give_up(TRANSPORT_ERROR)

    # ---- time

    def expect(self, seconds: float) -> None:
        """From now on it has so long; then the engine is told that it is late."""
        self.deadline = self._home.wheel.now() + seconds
        self.plan()

    def plan(self) -> None:
        """Goes on the wheel for what comes next."""
        at = self._ping_at if self.deadline is None else min(self._ping_at, self.deadline)
        self._home.wheel.put(self, at - self._home.wheel.now())

    def expire(self) -> None:
        """Its time has come, for whatever it was."""
        home, now = self._home, self._home.wheel.now()
        if self.closed:
            home.forget(self)
            return
        if self.deadline is not None and now >= self.deadline:
            self.deadline = None
            home.late(self)
        elif now >= self._ping_at and self._awaiting and self._inbox is None:
            self._give_up(PING_TIMEOUT)
        elif now >= self._ping_at:
            # A pong may wait behind a message that is being served: then it has more time.
            if not self._awaiting:
                self._awaiting = True
                self.send(PING)
            # As planned, unless the loop stood still: then nobody could answer.
            self._ping_at = max(self._ping_at, now - home.wheel.grain) + home.ping_timeout
        if not self.closed:
            self.plan()

    def check(self) -> None:
        """Closes it if its time is over: the wheel may be a moment late."""
        if self._awaiting and self._inbox is None and self._home.wheel.now() >= self._ping_at:
            self._give_up(PING_TIMEOUT)

    def _give_up(self, reason: str) -> None:
        """Closes it; who polls now is told, who asks later is not known any more."""
        self.close(reason, tell=self._poll is not None)

    def _pong(self) -> None:
        if self._awaiting:
            self._awaiting = False
            self._ping_at = self._home.wheel.now() + self._home.ping_interval
            self.plan()

    # ---- a WebSocket for who polls

    def take_over(self, connection: Connection) -> None:
        """It came by a WebSocket."""
        self.connection = connection
        self.upgraded = True
        self._posting = None

    def _probe(self, connection: Connection, text: str) -> None:
        """What comes over a WebSocket that is to replace polling."""
        if text == "2probe" and not (self.upgrading or self.upgraded or self.closed):
            self.upgrading = connection
            connection.send(PROBED)
            self._answer()
        elif text == payload.UPGRADE and connection is self.upgrading:
            connection.settle()
            self.upgrading = None
            self.take_over(connection)
            queue, self._queue, self._queued = self._queue, None, 0
            self._answer()
            for frame in queue or ():
                connection.send(frame)
            if self.closed:
                # Not before: the stock client, in the middle of this, would wait for its ping.
                connection.close()
        else:
            raise Violation(PROTOCOL_ERROR, "upgrade")

    def on_lost(self, connection: Connection, *, broken: bool) -> None:
        """An ``Owner``'s: a WebSocket of its is over."""
        if connection is self.connection:
            self.connection = None
            self.close(TRANSPORT_ERROR if broken else TRANSPORT_CLOSE, tell=False)
        elif connection is self.upgrading:
            self.upgrading = None

    # ---- polling

    async def poll(self) -> Sequence[bytes]:
        """The packets that wait, or the first that comes. Raises ``PollRefused``."""
        if self.upgraded:
            raise PollRefused
        if self.upgrading:
            await asyncio.sleep(HELD_SECONDS)
            if self.upgraded:
                raise PollRefused
            return [NOOP]
        if self._poll is not None:
            self._home.violated("second_poll")
            self.close(TRANSPORT_ERROR)
            raise PollRefused
        if not self._queue and not self.closed:
            self._poll = asyncio.get_running_loop().create_future()
            try:
                await self._poll
            finally:
                self._poll = None
        return self._take()

    def _take(self) -> Sequence[bytes]:
        queue = self._queue
        if not queue or self.upgrading:
            if self.closed:
                self._home.forget(self)
            return [NOOP]
        taken = queue[:PACKETS]
        # The stock client closes on CLOSE before it looks at what came in the same payload.
        if len(taken) > 1 and taken[-1] is CLOSE:
            taken.pop()
        del queue[: len(taken)]
        self._queued -= sum(map(len, taken))
        if self.closed and not queue:
            self._home.forget(self)
        else:
            asyncio.get_running_loop().call_soon(self._tell_room)
        return taken

    # ---- the end

    def close(self, reason: str, *, code: int = NORMAL, tell: bool = True) -> None:
        """Closes it; with ``tell`` behind what was sent and a CLOSE, else at once."""
        if self.closed:
            return
        if tell:
            self.send(CLOSE)
        self.closed = True
        self._room = None
        self._home.wheel.take_off(self)
        if self.upgraded and self.connection is not None:
            self.connection.close(code)
        if tell and not self.upgraded:
            self._home.wheel.put(self, READ_SECONDS)
        else:
            self._queue, self._queued = None, 0
            self._home.forget(self)
        self._answer()
        self._home.gone(self, reason)


async def _finished(work: Coroutine[Any, Any, None]) -> None:
    """Serves a message; one that fails takes none of the others along. Raises ``Violation``."""
    try:
        await work
    except Violation:
        raise
    except Exception:
        log.exception("message_failed")
