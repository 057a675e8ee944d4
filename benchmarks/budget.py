"""Where the microseconds of a chunk go."""

import asyncio
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import orjson

from benchmarks.bench import Bench
from benchmarks.load import napping
from benchmarks.machine import LOAD_CORE, SERVER_CORE, pin
from benchmarks.peers import UNCOALESCED, running_talksy
from benchmarks.report import Section
from benchmarks.rounds import Figure, short
from benchmarks.steps import OPTIONS, ROUNDS, ROW, append, guarded, journaled, streamed, timed
from benchmarks.streams import Streams, stream
from talksy.ai.llm import LanguageModel, open_model
from talksy.events import Chunk
from talksy.journal.mirror import Reader, opened
from talksy.journal.run import Bounds
from talksy.messages import Prompt
from talksy.transports import wire
from talksy.transports.socketio.engine.frames import text_frame
from talksy.transports.socketio.outbox import Outbox

ALONE = "burst=1"
"""A token a turn of the loop."""
LINES, WRITES = 200, 100


@dataclass(frozen=True)
class Taps:
    """Connections on which everything is read and nothing is looked at."""

    port: int
    count: int


async def swallow(order: Taps) -> None:
    """Reads until the server hangs up."""
    with napping():
        loop = asyncio.get_running_loop()
        lines = [
            await loop.create_connection(_Tap, "127.0.0.1", order.port) for _ in range(order.count)
        ]
        await asyncio.gather(*(tap.over for _, tap in lines))


class _Tap(asyncio.Protocol):
    def __init__(self) -> None:
        self.over = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.over.set_result(None)


class _Line(asyncio.Protocol):
    def __init__(self, lines: list[asyncio.WriteTransport], full: asyncio.Event) -> None:
        self._lines = lines
        self._full = full

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._lines.append(cast("asyncio.WriteTransport", transport))
        if len(self._lines) == LINES:
            self._full.set()


async def _sent(bench: Bench, frame: bytes) -> float:
    """Microseconds to give a frame to the system, on many connections in turn."""
    lines: list[asyncio.WriteTransport] = []
    full = asyncio.Event()
    server = await asyncio.get_running_loop().create_server(
        lambda: _Line(lines, full), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    reading = asyncio.create_task(bench.load.run(swallow, Taps(port, LINES)))
    await full.wait()
    rounds = []
    for _ in range(ROUNDS):
        spent = 0.0
        for _ in range(WRITES):
            started = time.process_time()
            for line in lines:
                line.write(frame)
            spent += time.process_time() - started
            await asyncio.sleep(0.001)
        rounds.append(spent / WRITES / LINES * 1e6)
    for line in lines:
        line.close()
    await reading
    server.close()
    return statistics.median(rounds)


def _delivered(chunk: Chunk) -> float:
    """A chunk appended to a mirror, and brought to a socket by its outbox."""

    def run() -> None:
        mirror = opened(ROW)
        outbox = Outbox(_Nowhere(), lambda _: None, patience=30)
        outbox.open()
        outbox.attach(Reader(mirror, -1, outbox.wake))
        for _ in range(1_000):
            mirror.append(chunk)

    return timed(run, 20) / 1_000


class _Nowhere:
    """A link that takes everything at once."""

    buffered = 0

    def send(self, frame: bytes) -> bool:  # noqa: ARG002
        return False

    def when_room(self, call: Callable[[], None] | None) -> None:
        pass


async def _read(model: LanguageModel) -> float:
    """A token of a model that is only read."""

    async def course(prompts: Sequence[Prompt]) -> None:
        async for _ in model.stream(prompts):
            pass

    return await streamed(course, ALONE)


async def _parts(bench: Bench) -> dict[str, float]:
    """Each step, in µs. What cannot be had alone is a difference."""
    mirror, chunk = opened(ROW), Chunk("123 ", 123)
    packet = b"42" + orjson.dumps(wire.numbered(mirror, 124, chunk))
    bare, behind = await _read(open_model("mock", OPTIONS)), await _read(guarded())
    kept = append(0)
    made = await journaled(Bounds(coalesce_ms=0), ALONE)
    encoded = timed(lambda: orjson.dumps(wire.numbered(mirror, 124, chunk)), 100_000)
    framed = timed(lambda: text_frame(packet), 100_000)
    return {
        "model: the mock, with its turn of the loop": bare,
        "model: time limits and breaker around it": behind - bare,
        "event: the turn, its bounds, the chunk, counted for `/metrics`": made - behind - kept,
        "journal: appended": kept,
        "journal: its reader woken, taken into the outbox": (
            _delivered(chunk) - kept - encoded - framed
        ),
        "encode: the payload, as JSON": encoded,
        "frame: around it": framed,
        f"send: given to the system, on {LINES} connections in turn": await _sent(
            bench, text_frame(packet)
        ),
    }


async def budget(bench: Bench) -> Section:
    """Each step alone, and the whole as a server does it."""
    pin(os.getpid(), SERVER_CORE)
    try:
        parts = await _parts(bench)
    finally:
        pin(os.getpid(), LOAD_CORE)
    async with running_talksy(UNCOALESCED) as talksy:
        order = Streams(talksy, bench.clients(LINES, 20), bench.count(400, 300))
        whole = Figure(
            [(await bench.load.run(stream, order)).per_chunk for _ in range(bench.times(3))]
        ).median
    parts["all else: the loop, garbage, cold caches, what runs each second"] = whole - sum(
        parts.values()
    )
    section = Section(
        "budget: where a chunk's microseconds go",
        "In µs, each step timed by itself, without the others and so with warm caches; the whole "
        "as in *chunk*.",
        ["", "µs", "share"],
    )
    for name, value in {**parts, "a chunk": whole}.items():
        section.rows.append([name, short(value), f"{value / whole:.0%}"])
    return section
