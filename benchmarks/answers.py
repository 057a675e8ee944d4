"""How soon, and at what cost, a client is answered."""

import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.bench import Bench
from benchmarks.client import Client
from benchmarks.load import napping
from benchmarks.machine import quiet, worked
from benchmarks.peers import Peer, running_node, running_talksy
from benchmarks.report import Check, Section
from benchmarks.rounds import Figure, interleaved, quantile, short
from benchmarks.streams import connected

PAUSE_SECONDS = 0.02
CLIENTS = 10
ASKED = 10
"""How often each client asks before anything counts."""


@dataclass(frozen=True)
class Questions:
    """One question at a time, of ten clients in turn."""

    peer: Peer
    count: int


@dataclass(frozen=True)
class Acks:
    """``count`` events of each of ``clients``, one behind the acknowledgement of the other."""

    peer: Peer
    clients: int
    count: int


def _note(first: asyncio.Future[float]) -> None:
    first.set_result(time.perf_counter())


async def ask(order: Questions) -> Sequence[float]:
    """Milliseconds from each question to the first chunk of its answer."""
    clients = await connected(Client, order.peer, "websocket", CLIENTS)
    told = []
    for number in range(CLIENTS * ASKED + order.count):
        client = clients[number % CLIENTS]
        first: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        client.begins = partial(_note, first)
        asked = time.perf_counter()
        answer = asyncio.create_task(client.say("/mock tokens=3 delay_ms=0"))
        told.append((await first - asked) * 1000)
        await answer
        await client.ended
        await asyncio.sleep(PAUSE_SECONDS)
    return told[CLIENTS * ASKED :]


async def acknowledge(order: Acks) -> float:
    """Microseconds of the server's CPU an event."""
    with napping():
        clients = await connected(Client, order.peer, "websocket", order.clients)
        event = "auth_refresh" if order.peer.tokens else "echo"

        async def one(number: int, count: int) -> None:
            payload = order.peer.auth(number) or {"token": "x" * 300}
            for _ in range(count):
                answer = await clients[number].ask(event, payload)
                assert answer["ok"], answer

        async def every(count: int) -> None:
            await asyncio.gather(*(one(number, count) for number in range(order.clients)))

        await every(ASKED)
        await quiet(order.peer.pid)
        before = worked(order.peer.pid)
        await every(order.count)
        spent = worked(order.peer.pid) - before
        for client in clients:
            client.leave()
        return spent / order.clients / order.count * 1e6


async def first(bench: Bench) -> Section:
    """How long until the first words."""
    section = Section(
        "first: until the first chunk",
        "From `user_message_stream` to the first `stream_chunk`, in ms, one question at a time, "
        "one each 20 ms or so, with a model that answers at once. Talksy stores the message "
        "before, and waits until it is on the disk: what that takes by itself stands below.",
        ["", "p50", "p99"],
    )
    async with running_talksy() as talksy, running_node() as node:
        visits = {
            peer.name: partial(bench.load.run, ask, Questions(peer, bench.count(300, 30)))
            for peer in (talksy, node)
        }
        told = await interleaved(visits, bench.times(3))
    for name, rounds in told.items():
        half = Figure([quantile(values, 0.5) for values in rounds])
        most = Figure([quantile(values, 0.99) for values in rounds])
        section.rows.append([name, str(half), str(most)])
        if name == "Talksy":
            section.checks.append(Check("first chunk, p50", half.median, 2, "ms"))
            section.checks.append(Check("first chunk, p99", most.median, 10, "ms"))
    flushed = flushes(bench.count(300, 30))
    quantiles = [short(quantile(flushed, share)) for share in (0.5, 0.99)]
    section.rows.append(["4 KB flushed to the same disk", *quantiles])
    return section


def flushes(count: int) -> Sequence[float]:
    """Milliseconds that the disk takes to keep 4 KB, each time."""
    told = []
    with tempfile.TemporaryFile(prefix="talksy-bench-") as file:
        for _ in range(count):
            started = time.perf_counter()
            os.pwrite(file.fileno(), bytes(4096), 0)
            os.fdatasync(file.fileno())
            told.append((time.perf_counter() - started) * 1000)
            time.sleep(PAUSE_SECONDS)
    return told


async def ack(bench: Bench) -> Section:
    """What a round trip costs that touches no store."""
    clients, count = bench.clients(50, 20), bench.count(200, 50)
    section = Section(
        "ack: an event and its answer",
        "The server's CPU in µs an acknowledged event that touches no store: with Talksy "
        "`auth_refresh` with the token that the client has, which is parsed, validated, counted "
        "against its window and looked up; with Node an echo of as many bytes.",
        ["Talksy", "Node", "ratio"],
    )
    async with running_talksy() as talksy, running_node() as node:
        visits = {
            peer.name: partial(bench.load.run, acknowledge, Acks(peer, clients, count))
            for peer in (talksy, node)
        }
        told = await interleaved(visits, bench.times(7))
    ours, theirs = Figure(told["Talksy"]), Figure(told["Node"])
    section.rows.append([str(ours), str(theirs), f"{ours.to(theirs):.2f}"])
    section.checks.append(Check("an ack", ours.to(theirs), 1))
    return section
