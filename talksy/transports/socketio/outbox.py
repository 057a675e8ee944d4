"""Everything a socket is sent leaves here: it alone knows how it is encoded and written.

Events are put into the connection's queue in the order of the calls. While the queue is fuller than
a high-water mark nothing is taken from the readers: what is held back stays in the journal and is
read from there when there is room. So a slow client costs its queue, never a copy of a stream.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from engineio.exceptions import SocketIsClosedError
from engineio.packet import MESSAGE, NOOP, Packet

from talksy.errors import SlowConsumer, TalksyError, error_payload
from talksy.events import Fault, Notice
from talksy.ids import new_id
from talksy.journal import Reader
from talksy.metrics import Metrics
from talksy.transports import wire
from talksy.transports.shapes import Ack, ServerEvent
from talksy.transports.socketio.json import dumps

log = structlog.get_logger(__name__)

HIGH_WATER = 64 * 1024
"""Queued bytes beyond which readers wait."""
PAYLOAD_PACKETS = 16
"""As many packets the stock Python client reads in one polled payload."""
HARD_LIMIT = 1_000_000
"""Queued bytes beyond which the socket is closed."""


EMPTY_BYTES = 400
"""About what a packet without data takes."""


class Queue(asyncio.Queue[Packet | None]):
    """A connection's queue that knows its bytes and says when they were taken.

    Engine.IO takes one packet with ``get`` and the rest with ``get_nowait``: it is given
    ``PAYLOAD_PACKETS`` at most.
    """

    def __init__(self) -> None:
        super().__init__()
        self._given = 0
        self._telling = False
        self.bytes = 0
        self.taken: Callable[[], None] | None = None

    async def put(self, item: Packet | None) -> None:
        """What the library itself sends. Raises ``SocketIsClosedError`` past the limit."""
        if item is not None and self.bytes > HARD_LIMIT and item.packet_type in {MESSAGE, NOOP}:
            raise SocketIsClosedError
        await super().put(item)

    async def get(self) -> Packet | None:
        self._given = 0
        return await super().get()

    def get_nowait(self) -> Packet | None:
        if self._given == PAYLOAD_PACKETS:
            raise asyncio.QueueEmpty
        item = super().get_nowait()
        self._given += 1
        return item

    def _put(self, item: Packet | None) -> None:
        super()._put(item)
        if item is not None:
            self.bytes += _length(item)

    def _get(self) -> Packet | None:
        item = super()._get()
        if item is not None:
            self.bytes -= _length(item)
            if not self._telling:
                self._telling = True
                asyncio.get_running_loop().call_soon(self._tell)
        return item

    def _tell(self) -> None:
        self._telling = False
        if self.taken is not None:
            self.taken()


def _length(packet: Packet) -> int:
    return len(packet.data) if isinstance(packet.data, str | bytes) else EMPTY_BYTES


def _event(event: ServerEvent) -> Packet:
    return Packet(MESSAGE, data=f"2{dumps(event)}")


class Outbox:
    """The way to one socket. An ``Outlet`` of the gateway."""

    def __init__(
        self,
        queue: Queue,
        hang_up: Callable[[bool], None],
        *,
        patience: float,
        metrics: Metrics | None = None,
        eio_sid: str = "",
    ) -> None:
        """``hang_up`` closes the socket, for good if it is told True; ``patience`` is how long, in
        seconds, a client may leave its full queue untouched.
        """
        self.eio_sid = eio_sid
        """What Engine.IO calls the socket."""
        self._queue = queue
        self._hang_up = hang_up
        self._patience = patience
        self._metrics = metrics or Metrics()
        self._readers: dict[Reader, None] = {}
        self._early: list[Packet] | None = []
        self._waiting: asyncio.TimerHandle | None = None
        self._pumping = False
        self._closed = False
        queue.taken = self._room

    def open(self) -> None:
        """The client knows that it is connected: what was told before goes out."""
        early, self._early = self._early or [], None
        for packet in early:
            self._put(packet)
        self._pump()

    def shut(self) -> None:
        """The socket has gone."""
        self._closed = True
        self._queue.taken = None
        if self._waiting is not None:
            self._waiting.cancel()

    # ---- what the gateway calls

    def tell(self, notice: Notice) -> None:
        """Sends what happened beside the turns."""
        self.event(wire.notice(notice))

    def attach(self, reader: Reader) -> None:
        """Sends what the reader gives, until it is over."""
        self._readers[reader] = None
        self._pump()

    def wake(self) -> None:
        """There is more to read."""
        self._pump()

    def close(self, error: TalksyError) -> None:
        """Tells the client why, and hangs up."""
        if not self._closed:
            self._closed = True
            fault = Fault(error_payload(error, requestId=new_id("req")))
            self._queue.put_nowait(_event(wire.notice(fault)))
            # Whom coming back would not help is told not to.
            self._hang_up(not error.retryable)

    # ---- what the door calls

    def event(self, event: ServerEvent) -> None:
        """Sends an event: its name and its payload."""
        self._send(_event(event))

    def ack(self, number: int, payload: Ack) -> None:
        """Sends the acknowledgement that was asked for under ``number``."""
        self._send(Packet(MESSAGE, data=f"3{number}{dumps([payload])}"))

    def pass_on(self, frames: Sequence[str | bytes]) -> None:
        """Sends a Socket.IO packet that another process made: its frames, one after the other."""
        for frame in frames:
            self._send(Packet(MESSAGE, data=frame))

    # ---- how it leaves

    def _send(self, packet: Packet) -> None:
        if self._early is not None:
            self._early.append(packet)
        else:
            self._put(packet)

    def _put(self, packet: Packet) -> None:
        if self._closed:
            return
        # One packet may be as long as it must: the limit is on what lies before it.
        if self._queue.bytes > HARD_LIMIT:
            self._give_up("queue_full")
            return
        self._queue.put_nowait(packet)

    def _pump(self) -> None:
        """Sends what the readers have, as far as there is room. Never raises."""
        if self._closed or self._pumping or self._early is not None:
            return
        self._pumping = True
        try:
            for reader in list(self._readers):
                self._drain(reader)
        except Exception:
            # A turn must not suffer from a socket: the client comes back and resumes.
            log.exception("outbox_failed")
            self._closed = True
            self._hang_up(False)
        finally:
            self._pumping = False

    def _drain(self, reader: Reader) -> None:
        while not self._full():
            taken = reader.take()
            if taken is None:
                break
            self.event(wire.numbered(reader.mirror, *taken))
        if reader.over:
            self._readers.pop(reader, None)

    def _full(self) -> bool:
        if self._queue.bytes <= HIGH_WATER:
            return False
        if self._waiting is None:
            loop = asyncio.get_running_loop()
            self._waiting = loop.call_later(self._patience, self._give_up, "queue_untouched")
        return True

    def _room(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        self._pump()

    def _give_up(self, why: str) -> None:
        self._metrics.slow_consumer(why)
        log.warning("slow_consumer", why=why, queued_bytes=self._queue.bytes)
        self.close(SlowConsumer())
