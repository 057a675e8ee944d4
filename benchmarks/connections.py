"""What a connection costs: to make, and to keep."""

import asyncio
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.bench import Bench
from benchmarks.client import Client, Way
from benchmarks.costs import WAYS
from benchmarks.load import napping
from benchmarks.machine import quiet, resident, worked
from benchmarks.peers import Peer, running_node, running_talksy
from benchmarks.report import Check, Section
from benchmarks.rounds import Figure, interleaved
from benchmarks.streams import connected

COLLECT_SECONDS = 1.0


@dataclass(frozen=True)
class Idle:
    """Connections that do nothing: so many to warm up, then ``few``, then ``many``."""

    peer: Peer
    few: int
    many: int
    way: Way


@dataclass(frozen=True)
class Arrivals:
    """Connections to be made."""

    peer: Peer
    count: int
    way: Way


async def hold(order: Idle) -> float:
    """Bytes that each connection between ``few`` and ``many`` takes."""
    for client in await connected(Client, order.peer, order.way, order.few):
        client.leave()
    clients: list[Client] = []
    held = []
    for count in (order.few, order.many):
        clients += await connected(Client, order.peer, order.way, count - len(clients))
        await quiet(order.peer.pid)
        await _collected(order.peer)
        held.append(resident(order.peer.pid))
    for client in clients:
        client.leave()
    return (held[1] - held[0]) / (order.many - order.few)


async def _collected(peer: Peer) -> None:
    """Lets Node give back what it does not need: it has no reason to while there is memory."""
    if not peer.tokens:
        os.kill(peer.pid, signal.SIGUSR2)
        await asyncio.sleep(COLLECT_SECONDS)
        await quiet(peer.pid)


async def arrive(order: Arrivals) -> float:
    """Microseconds of the server's CPU a connection, until the client knows that it is in."""
    with napping():
        await quiet(order.peer.pid)
        before = worked(order.peer.pid)
        clients = await connected(Client, order.peer, order.way, order.count)
        spent = worked(order.peer.pid) - before
        for client in clients:
            client.leave()
        return spent / order.count * 1e6


async def memory(bench: Bench) -> Section:
    """What an idle connection keeps."""
    few, many = bench.clients(1_000, 100), bench.clients(5_000, 300)
    section = Section(
        "memory: an idle connection",
        f"Resident memory in KB, as it grows from {few:,} to {many:,} connections, after {few:,} "
        "others have come and gone. With Talksy each has a user and a session of its own. Browsers "
        "keep the connection that they polled on for a while; here it is closed.",
        ["", "Talksy", "Node", "ratio"],
    )
    for way, name in WAYS.items():
        kept: dict[str, Sequence[float]] = {}
        for start in (running_talksy, running_node):
            values = []
            for _ in range(bench.times(3)):
                # What was freed is used again: each round needs a server of its own.
                async with start() as peer:
                    values.append(await bench.load.run(hold, Idle(peer, few, many, way)) / 1024)
            kept[peer.name] = values
        ours, theirs = Figure(kept["Talksy"]), Figure(kept["Node"])
        section.rows.append([name, str(ours), str(theirs), f"{ours.to(theirs):.2f}"])
        section.checks.append(Check(f"an idle connection, {name}", ours.median, 6, "KB"))
    return section


async def connect(bench: Bench) -> Section:
    """What it takes to let a client in."""
    count = bench.clients(500, 50)
    section = Section(
        "connect: letting a client in",
        f"{count} connect, 32 at a time; the server's CPU in µs each, until the client knows that "
        "it is in: with Talksy its token is checked, which the cache has from before, its session "
        "is stored and told.",
        ["", "Talksy", "Node", "ratio"],
    )
    async with running_talksy() as talksy, running_node() as node:
        visits = {
            f"{peer.name} {way}": partial(bench.load.run, arrive, Arrivals(peer, count, way))
            for peer in (talksy, node)
            for way in WAYS
        }
        told = await interleaved(visits, bench.times(5))
    for way, name in WAYS.items():
        ours, theirs = (Figure(told[f"{peer} {way}"]) for peer in ("Talksy", "Node"))
        section.rows.append([name, str(ours), str(theirs), f"{ours.to(theirs):.2f}"])
        section.checks.append(Check(f"a connect, {name}", ours.to(theirs), 1))
    return section
