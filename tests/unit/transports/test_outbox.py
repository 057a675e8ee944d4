"""A slow client loses nothing and hurts nobody; one that does not read at all is hung up on."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
import pytest
from structlog.testing import capture_logs

from talksy.errors import SlowConsumer, Unauthenticated
from talksy.events import Chunk, Draining, Ending, Event, Sound
from talksy.journal import Mirror, Reader
from talksy.journal.mirror import opened
from talksy.transports.shapes import Message
from talksy.transports.socketio.direct import frames
from talksy.transports.socketio.engine import Engine
from talksy.transports.socketio.engine import Socket as Link
from talksy.transports.socketio.engine.connection import HIGH_WATER
from talksy.transports.socketio.engine.frames import payload
from talksy.transports.socketio.engine.socket import PACKETS
from talksy.transports.socketio.outbox import HARD_LIMIT, Outbox
from tests.unit.journal.turns import turn

SIZE = 1_000
"""Characters of a chunk."""
PLENTY = 3 * HIGH_WATER // SIZE
"""Chunks that are more than the buffer takes."""


@dataclass
class Socket:
    """A client that polls, and whether it was hung up on."""

    patience: float = 60.0
    hung_up: list[bool] = field(default_factory=list)
    hang_ups: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.link = Link(Engine(), "sid")
        self.outbox = Outbox(self.link, self._hang_up, patience=self.patience)

    def _hang_up(self, final: bool) -> None:
        self.hung_up.append(final)
        self.hang_ups.set()

    @property
    def waiting(self) -> int:
        """How many bytes wait for the client."""
        return self.link.buffered

    async def packets(self) -> list[bytes]:
        """What a poll takes."""
        return [payload(frame) for frame in await self.link.poll()]

    async def poll(self) -> list[str]:
        """The same without the type of a message."""
        return [packet.decode()[1:] for packet in await self.packets()]

    async def raw(self) -> list[str]:
        """What waits now."""
        got: list[str] = []
        while self.waiting:
            got += await self.poll()
        return got

    async def take(self) -> list[Any]:
        """The same as ``[name, payload]``, acks without a name."""
        return [orjson.loads(data.lstrip("23")) for data in await self.raw()]

    async def take_all(self) -> list[Any]:
        """What the client gets when it takes until nothing comes."""
        got: list[Any] = []
        while more := await self.take():
            got += more
            await asyncio.sleep(0)
        return got


@pytest.fixture
async def socket() -> Socket:
    """Connected, and open."""
    made = Socket()
    made.outbox.open()
    return made


def read(socket: Socket, mirror: Mirror, after: int = -1) -> Reader:
    reader = Reader(mirror, after, socket.outbox.wake)
    socket.outbox.attach(reader)
    return reader


def speak(mirror: Mirror, count: int, text: str = "x" * SIZE) -> None:
    for index in range(count):
        mirror.append(Chunk(text, index))


def seqs(got: list[Any]) -> list[int]:
    return [payload["seq"] for _, payload in got]


def page(text: str) -> tuple[Literal["conversation_history"], list[Message]]:
    """An event with ``text`` in it."""
    return "conversation_history", [
        {"id": "m", "role": "user", "content": text, "timestamp": 0, "turnId": None}
    ]


async def test_what_is_told_leaves_in_order(socket: Socket) -> None:
    socket.outbox.tell(Draining(1))
    socket.outbox.ack(7, {"ok": True})
    socket.outbox.event(page("ä"))
    assert await socket.raw() == [
        '2["server_draining",{"reconnectAfterMs":1}]',
        '37[{"ok":true}]',
        '2["conversation_history",[{"id":"m","role":"user","content":"ä","timestamp":0,"turnId":null}]]',
    ]


async def test_what_is_told_before_the_client_is_in_waits() -> None:
    socket = Socket()
    mirror = opened(turn())
    socket.outbox.tell(Draining(1))
    read(socket, mirror)
    speak(mirror, 1)
    assert not socket.waiting
    socket.outbox.open()
    assert [name for name, _ in await socket.take()] == [
        "server_draining",
        "stream_start",
        "stream_chunk",
    ]


async def test_what_another_process_sends_keeps_its_place_and_stays_in_one_piece() -> None:
    socket = Socket()
    socket.outbox.pass_on(frames(['51-["news",{"_placeholder":true,"num":0}]', b"sound"]))
    socket.outbox.tell(Draining(1))
    assert not socket.waiting
    socket.outbox.open()
    first, attachment, last = await socket.packets()
    assert (first[:4], attachment, last[:3]) == (b"451-", b"sound", b"42[")


async def test_sound_is_attached_to_its_event(socket: Socket) -> None:
    socket.outbox.tell(Draining(1))
    socket.outbox.tell(Sound("trn_1", 7, b"\0\xff", "Hi."))
    socket.outbox.tell(Draining(2))
    before, event, attachment, after = await socket.packets()
    assert event.startswith(b'451-["audio_chunk",{')
    assert orjson.loads(event[4:])[1] == {
        "turnId": "trn_1",
        "audioSeq": 7,
        "sampleRate": 24_000,
        "text": "Hi.",
        "audio": {"_placeholder": True, "num": 0},
    }
    assert attachment == b"\0\xff"
    assert (before[:3], after[:3]) == (b"42[", b"42[")


async def test_a_client_that_is_closed_was_sent_no_half_of_a_packet(socket: Socket) -> None:
    socket.outbox.event(page("x" * (HARD_LIMIT - 150)))
    for number in range(3):
        socket.outbox.tell(Sound("trn_1", number, b"sound"))
    assert socket.hung_up == [False]
    _, event, attachment, error = await socket.packets()
    assert (event[:4], attachment, error[:3]) == (b"451-", b"sound", b"42[")


async def test_a_client_that_reads_nothing_is_closed_whoever_sends_it_something(
    socket: Socket,
) -> None:
    for _ in range(3):
        socket.outbox.pass_on(frames("2" + "x" * HARD_LIMIT))
    assert socket.hung_up == [False]
    assert socket.waiting < 2 * HARD_LIMIT


async def test_a_turn_is_sent_as_it_comes(socket: Socket) -> None:
    mirror = opened(turn())
    read(socket, mirror)
    assert seqs(await socket.take()) == [0]
    speak(mirror, 2)
    assert seqs(await socket.take()) == [1, 2]
    mirror.finish(Ending("completed", ""))
    assert seqs(await socket.take()) == [3]
    assert not mirror.readers


async def test_a_turn_that_has_ended_is_sent_at_once(socket: Socket) -> None:
    mirror = opened(turn())
    mirror.finish(Ending("completed", ""))
    read(socket, mirror)
    assert seqs(await socket.take()) == [0, 1]
    assert not socket.outbox._readers


async def test_past_the_high_water_a_reader_waits_and_loses_nothing(socket: Socket) -> None:
    mirror = opened(turn())
    reader = read(socket, mirror)
    speak(mirror, PLENTY)
    mirror.finish(Ending("completed", ""))
    assert HIGH_WATER < socket.waiting < HIGH_WATER + 2 * SIZE
    assert reader.after < PLENTY - 1
    assert seqs(await socket.take_all()) == list(range(PLENTY + 2))
    assert not mirror.readers
    assert socket.hung_up == []


async def test_a_slow_client_does_not_slow_another() -> None:
    slow, quick = Socket(), Socket()
    mirror = opened(turn())
    for socket in (slow, quick):
        socket.outbox.open()
        read(socket, mirror)
    got = []
    for index in range(PLENTY):
        mirror.append(Chunk("x" * SIZE, index))
        got += await quick.take()
        await asyncio.sleep(0)
    assert seqs(got) == list(range(PLENTY + 1))
    assert slow.waiting < HIGH_WATER + 2 * SIZE


async def test_several_turns_share_the_buffer(socket: Socket) -> None:
    mirrors = [opened(turn(id=f"trn_{number}")) for number in range(3)]
    for mirror in mirrors:
        speak(mirror, PLENTY)
        mirror.finish(Ending("completed", ""))
        read(socket, mirror)
    got = await socket.take_all()
    for mirror in mirrors:
        own = [entry for entry in got if entry[1]["turnId"] == mirror.turn_id]
        assert seqs(own) == list(range(PLENTY + 2))


async def test_acks_are_not_held_back_by_a_full_buffer(socket: Socket) -> None:
    mirror = opened(turn())
    read(socket, mirror)
    speak(mirror, PLENTY)
    before = socket.waiting
    socket.outbox.ack(1, {"ok": True})
    assert socket.waiting > before


async def test_past_the_hard_limit_the_socket_is_closed_and_may_come_back(
    socket: Socket,
) -> None:
    while not socket.hung_up:
        socket.outbox.event(page("x" * 100_000))
    assert socket.waiting < HARD_LIMIT + 200_000
    assert socket.hung_up == [False]
    name, payload = (await socket.take())[-1]
    assert (name, payload["code"]) == ("error", SlowConsumer.code)
    socket.outbox.event(page(""))
    assert not socket.waiting, "nothing follows"


async def test_a_client_that_leaves_its_full_buffer_untouched_is_closed() -> None:
    socket = Socket(patience=0.01)
    socket.outbox.open()
    mirror = opened(turn())
    read(socket, mirror)
    speak(mirror, PLENTY)
    async with asyncio.timeout(5):
        await socket.hang_ups.wait()
    assert socket.hung_up == [False]
    assert (await socket.take())[-1][1]["code"] == "SLOW_CONSUMER"


async def test_a_client_that_takes_only_a_part_at_a_time_is_waited_for(socket: Socket) -> None:
    mirror = opened(turn())
    read(socket, mirror)
    speak(mirror, PLENTY)
    timer = socket.outbox._waiting
    assert timer is not None
    taken = await socket.poll()
    await asyncio.sleep(0)
    assert len(taken) == PACKETS
    assert timer.cancelled()
    assert socket.outbox._waiting is not None, "the next wait has begun"
    assert socket.waiting > HIGH_WATER, "there was room for more"


async def test_a_poll_takes_no_more_packets_than_clients_read(socket: Socket) -> None:
    for number in range(PACKETS + 3):
        socket.outbox.ack(number, {"ok": True})
    assert [len(await socket.poll()) for _ in range(2)] == [PACKETS, 3]


async def test_one_event_may_be_as_long_as_it_must(socket: Socket) -> None:
    socket.outbox.event(page("x" * 2 * HARD_LIMIT))
    assert socket.hung_up == []
    socket.outbox.event(page(""))
    assert socket.hung_up == [False]


async def test_a_reader_that_explodes_closes_the_socket_and_not_the_turn() -> None:
    exploding, other = Socket(), Socket()
    mirror = opened(turn())
    for socket in (exploding, other):
        socket.outbox.open()
        read(socket, mirror)
    await other.take()
    # What no JSON can carry, and no adapter of ours gives.
    with capture_logs() as logs:
        event: Event = Chunk(object(), 0)  # type: ignore[arg-type]
        exploding.outbox.wake()
        mirror.events.append(event)
        exploding.outbox.wake()
    assert [line["event"] for line in logs] == ["outbox_failed"]
    assert exploding.hung_up == [False]
    mirror.events.pop()
    speak(mirror, 1)
    mirror.finish(Ending("completed", ""))
    assert seqs(await other.take()) == [1, 2]


async def test_closing_tells_why_once_and_whether_coming_back_helps(socket: Socket) -> None:
    socket.outbox.close(Unauthenticated("revoked"))
    socket.outbox.close(SlowConsumer())
    socket.outbox.tell(Draining(1))
    ((name, fault),) = await socket.take()
    assert (name, fault["code"], fault["message"]) == ("error", "UNAUTHENTICATED", "revoked")
    assert fault["requestId"].startswith("req_")
    assert socket.hung_up == [True]


async def test_a_socket_that_has_gone_is_sent_nothing(socket: Socket) -> None:
    mirror = opened(turn())
    read(socket, mirror)
    speak(mirror, PLENTY)
    timer = socket.outbox._waiting
    socket.outbox.shut()
    assert timer is not None
    assert timer.cancelled()
    await socket.take()
    socket.outbox.wake()
    socket.outbox.tell(Draining(1))
    await asyncio.sleep(0)
    assert not socket.waiting


async def test_an_event_is_encoded_once_for_all_who_read_it() -> None:
    sockets = [Socket() for _ in range(3)]
    mirror = opened(turn())
    for socket in sockets:
        socket.outbox.open()
        read(socket, mirror)
    speak(mirror, 2)
    first, *others = [await socket.link.poll() for socket in sockets]
    assert seqs([orjson.loads(payload(frame)[2:]) for frame in first]) == [0, 1, 2]
    for other in others:
        assert all(mine is theirs for mine, theirs in zip(first[1:], other[1:], strict=True))
