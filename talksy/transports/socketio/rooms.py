"""What other processes send to users, sessions and logins, on whichever node their sockets are.

They use the library's own ``AsyncRedisManager(url, write_only=True)`` and the rooms ``user:<id>``,
``session:<id>`` and ``family:<id>``. Nobody enters or leaves these: who is in them is looked up.
Every node reads every emit, some 10 µs for one that is nobody's here: so few and small ones only.
"""

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from socketio.async_pubsub_manager import AsyncPubSubManager
from socketio.packet import EVENT, Packet

from talksy.state import Away, Bus
from talksy.transports.socketio.direct import Members, frames

log = structlog.get_logger(__name__)

ROOT = "/"
CHANNEL = "socketio"
"""Where the stock manager says what it has to say."""
QUEUED = 1_000
"""So many words of other processes wait to be read; those that come then are dropped."""


class Rooms(AsyncPubSubManager):  # type: ignore[misc]
    """python-socketio's manager, which hears what other processes emit.

    The library's own for Redis makes a connection for it that is not told when it hears nothing any
    more, and a new one for each of many emits at once; here it is the bus of the node.
    Leaned on beyond the library's public API: ``_thread``, ``_listen``, ``_publish`` and
    ``_handle_emit``.
    """

    server: Any
    """The ``Server``: it knows who is in a room, and hands what comes to their outboxes."""

    def __init__(self, bus: Bus) -> None:
        """``bus`` takes channels by the names they have in Redis."""
        super().__init__(CHANNEL)
        self._bus = bus
        self._words: asyncio.Queue[str] = asyncio.Queue(QUEUED)
        self.dropped = 0
        """How many words of other processes were not read."""

    def initialize(self) -> None:
        """Nothing yet: ``open`` does."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Listens until it is closed."""
        await self._bus.listen(self.channel, self._hear)
        task = asyncio.create_task(self._thread(), name="rooms")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def get_participants(self, namespace: str, room: Any) -> Iterator[tuple[str, str]]:
        found: dict[str, str] = {}
        for one in room if isinstance(room, list | tuple) else [room]:
            if isinstance(one, str) and one.startswith(("user:", "session:", "family:")):
                for eio_sid in self.server.members(one):
                    if sid := self.sid_from_eio_sid(eio_sid, namespace):
                        found[sid] = eio_sid
            else:
                found.update(super().get_participants(namespace, one))
        yield from found.items()

    def _hear(self, word: str) -> None:
        try:
            self._words.put_nowait(word)
        except asyncio.QueueFull:
            self.dropped += 1
            if self.dropped % QUEUED == 1:
                log.warning("room_words_dropped", dropped=self.dropped)

    async def _listen(self) -> AsyncIterator[dict[str, Any]]:
        while True:
            word = await self._words.get()
            try:
                message = self.json.loads(word)
                if not isinstance(message, dict) or "method" not in message:
                    raise ValueError
            except ValueError:
                log.warning("room_word_unreadable")
            else:
                yield message

    async def _publish(self, data: dict[str, Any]) -> None:
        try:
            await self._bus.say(self.channel, self.json.dumps(data))
        except Away:
            log.warning("room_word_dropped", method=data["method"])

    async def _handle_emit(self, message: dict[str, Any]) -> None:
        """Hands the sockets of a room what was emitted to it; an emit that asks for an
        acknowledgement without that.
        """
        if message.get("namespace") not in {None, ROOT}:
            return
        skipped = message.get("skip_sid")
        skipped = skipped if isinstance(skipped, list) else [skipped]
        here = self.get_participants(ROOT, message.get("room"))
        meant = [eio_sid for sid, eio_sid in here if sid not in skipped]
        if not meant:
            return
        try:
            made = self._frames(message)
        except Exception as error:  # noqa: BLE001 - others made it
            log.warning("emit_unreadable", error=type(error).__name__)
            return
        for eio_sid in meant:
            self.server.hand(eio_sid, made)

    def _frames(self, message: dict[str, Any]) -> list[bytes]:
        """An emit as the frames of its packet: one, and one for each attachment."""
        data = message["data"]
        if message.get("binary"):
            data = Packet.reconstruct_binary(data[0], [b64decode(part) for part in data[1:]])
        # The stock manager says None for no argument at all.
        arguments = [] if data == [None] else data
        made = self.server.packet_class(
            EVENT, namespace=ROOT, data=[str(message["event"]), *arguments]
        )
        return frames(made.encode())


class LibraryRooms(Rooms):
    """For sockets of the library's."""


class DirectRooms(Rooms, Members):
    """For sockets of ours."""
