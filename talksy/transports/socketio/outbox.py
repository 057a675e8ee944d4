"""Everything a socket is sent leaves here: it alone knows how it is encoded and written.

Events are sent in the order of the calls. While more than a high-water mark waits for the client,
nothing is taken from the readers: what is held back stays in the journal and is read from there
when there is room. So a slow client costs its buffer, never a copy of a stream.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import orjson
import structlog

from talksy.errors import SlowConsumer, TalksyError, error_payload
from talksy.events import Fault, Notice
from talksy.ids import new_id
from talksy.journal import Reader
from talksy.metrics import Metrics
from talksy.transports import wire
from talksy.transports.shapes import Ack, AudioChunk, ServerEvent
from talksy.transports.socketio.engine.frames import binary_frame, text_frame

log = structlog.get_logger(__name__)

HARD_LIMIT = 1_000_000
"""Waiting bytes beyond which the socket is closed."""
PLACEHOLDER = {"_placeholder": True, "num": 0}
"""What stands in a packet for its first attachment."""


class Link(Protocol):
    """The socket that an outbox writes to."""

    @property
    def buffered(self) -> int:
        """How many bytes wait for the client to take them."""

    def send(self, frame: bytes) -> bool:
        """Sends an Engine.IO packet, as the WebSocket frame that it is or would be.

        Returns whether more than a high-water mark waits now.
        """

    def when_room(self, call: Callable[[], None] | None) -> None:
        """Calls once when the client has taken something; None for not any more."""


def event_frame(event: ServerEvent) -> bytes:
    """An event as the frame of its packet."""
    return text_frame(b"42" + orjson.dumps(event))


def sound_frames(chunk: AudioChunk) -> tuple[bytes, bytes]:
    """An ``audio_chunk`` as the frames of its packet: the event, and its sound as it is."""
    event = ("audio_chunk", {**chunk, "audio": PLACEHOLDER})
    return text_frame(b"451-" + orjson.dumps(event)), binary_frame(chunk["audio"])


class Outbox:
    """The way to one socket. An ``Outlet`` of the gateway."""

    __slots__ = (
        "_closed",
        "_early",
        "_hang_up",
        "_link",
        "_metrics",
        "_patience",
        "_pumping",
        "_readers",
        "_waiting",
        "eio_sid",
    )

    def __init__(
        self,
        link: Link,
        hang_up: Callable[[bool], None],
        *,
        patience: float,
        metrics: Metrics | None = None,
        eio_sid: str = "",
    ) -> None:
        """``hang_up`` closes the socket, for good if it is told True; ``patience`` is how long, in
        seconds, a client may leave its full buffer untouched.
        """
        self.eio_sid = eio_sid
        """What Engine.IO calls the socket."""
        self._link = link
        self._hang_up = hang_up
        self._patience = patience
        self._metrics = metrics or Metrics()
        self._readers: tuple[Reader, ...] = ()
        self._early: list[Sequence[bytes]] | None = []
        self._waiting: asyncio.TimerHandle | None = None
        self._pumping = False
        self._closed = False

    def open(self) -> None:
        """The client knows that it is connected: what was told before goes out."""
        early, self._early = self._early or [], None
        for frames in early:
            self._put(frames)
        self.wake()

    def shut(self) -> None:
        """The socket has gone."""
        self._closed = True
        self._link.when_room(None)
        if self._waiting is not None:
            self._waiting.cancel()

    # ---- what the gateway calls

    def tell(self, notice: Notice) -> None:
        """Sends what happened beside the turns."""
        self.event(wire.notice(notice))

    def attach(self, reader: Reader) -> None:
        """Sends what the reader gives, until it is over."""
        self._readers += (reader,)
        self.wake()

    def close(self, error: TalksyError) -> None:
        """Tells the client why, and hangs up."""
        if not self._closed:
            self._closed = True
            fault = Fault(error_payload(error, requestId=new_id("req")))
            self._link.send(event_frame(wire.notice(fault)))
            # Whom coming back would not help is told not to.
            self._hang_up(not error.retryable)

    # ---- what the door calls

    def event(self, event: ServerEvent) -> None:
        """Sends an event: its name and its payload."""
        self._send(sound_frames(event[1]) if event[0] == "audio_chunk" else (event_frame(event),))

    def ack(self, number: int, payload: Ack) -> None:
        """Sends the acknowledgement that was asked for under ``number``."""
        self._send((text_frame(b"43%d%b" % (number, orjson.dumps([payload]))),))

    def pass_on(self, frames: Sequence[bytes]) -> None:
        """Sends a Socket.IO packet that another process made: its frames, one after the other."""
        self._send(frames)

    # ---- how it leaves

    def _send(self, frames: Sequence[bytes]) -> None:
        """Sends the frames of one packet."""
        if self._early is not None:
            self._early.append(frames)
        else:
            self._put(frames)

    def _put(self, frames: Sequence[bytes]) -> None:
        if self._closed:
            return
        # One packet may be as long as it must: the limit is on what lies before it.
        if self._link.buffered > HARD_LIMIT:
            self._give_up("queue_full")
            return
        for frame in frames:
            self._link.send(frame)

    def wake(self) -> None:
        """There is more to read: sends it, as far as there is room. Never raises."""
        if self._closed or self._pumping or self._waiting is not None or self._early is not None:
            return
        self._pumping = True
        try:
            for reader in self._readers:
                if self._drain(reader):
                    self._wait()
                    break
        except Exception:
            # A turn must not suffer from a socket: the client comes back and resumes.
            log.exception("outbox_failed")
            self._closed = True
            self._hang_up(False)
        finally:
            self._pumping = False

    def _drain(self, reader: Reader) -> bool:
        """Sends what a reader has; returns whether there is no room for more."""
        send, mirror, full = self._link.send, reader.mirror, False
        while not full and (taken := reader.take()) is not None:
            seq, event = taken
            last = mirror.written
            if last is None or last[1] is not event or last[0] != seq:
                last = mirror.written = seq, event, event_frame(wire.numbered(mirror, seq, event))
            full = send(last[2])  # encoded once for all who read it next
            if seq + 1 == len(mirror.events) and mirror.end is None:
                break  # the usual case
        if reader.over:
            self._readers = tuple(each for each in self._readers if each is not reader)
        return full

    def _wait(self) -> None:
        """Goes on when the client has taken something, but not for ever."""
        self._link.when_room(self._room)
        loop = asyncio.get_running_loop()
        self._waiting = loop.call_later(self._patience, self._give_up, "queue_untouched")

    def _room(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        self.wake()

    def _give_up(self, why: str) -> None:
        self._metrics.slow_consumer(why)
        log.warning("slow_consumer", why=why, queued_bytes=self._link.buffered)
        self.close(SlowConsumer())
