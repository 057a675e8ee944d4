"""What a chunk costs: beside Node, as connections grow, coalesced, and with Redis."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from uuid import uuid4

import aiohttp

from benchmarks.bench import Bench
from benchmarks.client import Way
from benchmarks.peers import UNCOALESCED, Peer, running_node, running_talksy
from benchmarks.report import Check, Section
from benchmarks.rounds import Figure, interleaved
from benchmarks.streams import Streamed, Streams, stream
from tests.postgres import postgres_of
from tests.redis import running_redis

WAYS: Mapping[Way, str] = {"websocket": "WebSocket", "polling": "polling, then upgraded"}
COUNTS = (1, 50, 200, 1_000, 5_000)
COMMANDS = re.compile(r"^talksy_redis_commands\S* (\S+)$", re.MULTILINE)


async def _told(
    bench: Bench, orders: Mapping[str, Streams], rounds: int
) -> Mapping[str, Sequence[Streamed]]:
    visits = {name: partial(bench.load.run, stream, order) for name, order in orders.items()}
    return await interleaved(visits, bench.times(rounds))


def _chunks(told: Sequence[Streamed]) -> Figure:
    return Figure([streamed.per_chunk for streamed in told])


def _tokens(told: Sequence[Streamed]) -> Figure:
    return Figure([streamed.per_token for streamed in told])


async def chunk(bench: Bench) -> Section:
    """Single tokens, each in a frame of its own."""
    clients, tokens = bench.clients(200, 20), bench.count(400, 500)
    section = Section(
        "chunk: a token, a frame",
        f"{clients} streams at full speed, one token a turn of the loop, not coalesced; the "
        "server's CPU in µs a chunk, in the time in which all of them run.",
        ["", "Talksy", "Node", "ratio"],
    )
    async with running_talksy(UNCOALESCED) as talksy, running_node() as node:
        orders = {
            f"{peer.name} {way}": Streams(peer, clients, tokens, way=way)
            for peer in (talksy, node)
            for way in WAYS
        }
        told = await _told(bench, orders, 7)
    for way, name in WAYS.items():
        ours, theirs = (_chunks(told[f"{peer} {way}"]) for peer in ("Talksy", "Node"))
        section.rows.append([name, str(ours), str(theirs), f"{ours.to(theirs):.2f}"])
        section.checks.append(Check(f"chunk, {name}", ours.to(theirs), 1.2))
    return section


async def growth(bench: Bench) -> Section:
    """The same with more and more connections, all of which stream."""
    counts = [count for count in COUNTS if count <= bench.clients(COUNTS[-1], 50)]
    section = Section(
        "growth: the same for one and for thousands",
        "As above, by WebSocket, all connections streaming. What the core's caches cannot hold "
        "makes both dearer.",
        ["connections", "Talksy", f"ratio to {counts[1]}", "Node", f"ratio to {counts[1]}"],
    )
    async with running_talksy(UNCOALESCED) as talksy, running_node() as node:
        orders = {
            f"{peer.name} {count}": Streams(peer, count, max(40, min(15_000, 100_000 // count)))
            for peer in (talksy, node)
            for count in counts
        }
        told = await _told(bench, orders, 3)
    figures = {name: _chunks(streamed) for name, streamed in told.items()}
    few = figures[f"Talksy {counts[1]}"]
    for count in counts:
        row = [f"{count:,}"]
        for name in ("Talksy", "Node"):
            figure = figures[f"{name} {count}"]
            row += [str(figure), f"{figure.to(figures[f'{name} {counts[1]}']):.2f}"]
        section.rows.append(row)
    many = figures[f"Talksy {counts[-1]}"]
    what = f"CPU a chunk at {counts[-1]:,} connections"
    section.checks.append(Check(what, many.to(few), 1.25, f"× that at {counts[1]}"))
    return section


async def burst(bench: Bench) -> Section:
    """Tokens that come five at a time, coalesced as by default."""
    clients = bench.clients(200, 20)
    section = Section(
        "burst: five tokens at a time",
        f"{clients} streams, coalesced as by default; Node sends each token in a frame. The "
        "server's CPU in µs a token.",
        ["", "Talksy", "Node", "ratio"],
    )
    paces = {"at full speed": (0, bench.count(2_000, 1_000)), "each 100 ms": (100, 200)}
    async with running_talksy() as talksy, running_node() as node:
        orders = {
            f"{peer.name} {name}": Streams(peer, clients, tokens, delay_ms=delay, burst=5)
            for name, (delay, tokens) in paces.items()
            for peer in (talksy, node)
            if not bench.quick or not delay
        }
        told = await _told(bench, orders, 5)
    for name in paces:
        if f"Talksy {name}" in told:
            _beside(section, told, name, f"a token in bursts of five, {name}", 0.3)
    return section


async def paced(bench: Bench) -> Section:
    """Tokens that come as from a model, coalesced as by default."""
    clients, tokens = bench.clients(200, 20), bench.count(250, 50)
    section = Section(
        "paced: a token each 20 ms",
        f"{clients} streams, spread over those 20 ms, coalesced as by default; Node sends each "
        "token in a frame. The server's CPU in µs a token.",
        ["", "Talksy", "Node", "ratio"],
    )
    async with running_talksy() as talksy, running_node() as node:
        orders = {
            f"{peer.name} each 20 ms": Streams(peer, clients, tokens, delay_ms=20)
            for peer in (talksy, node)
        }
        told = await _told(bench, orders, 5)
    _beside(section, told, "each 20 ms", "a token each 20 ms", 0.8)
    return section


def _beside(
    section: Section, told: Mapping[str, Sequence[Streamed]], name: str, what: str, target: float
) -> None:
    ours, theirs = _tokens(told[f"Talksy {name}"]), _tokens(told[f"Node {name}"])
    section.rows.append([name, str(ours), str(theirs), f"{ours.to(theirs):.2f}"])
    section.checks.append(Check(what, ours.to(theirs), target))


async def redis(bench: Bench) -> Section:
    """A chunk while the turns' log goes to Redis for other nodes."""
    clients, tokens = bench.clients(200, 20), bench.count(400, 300)
    section = Section(
        "redis: the log for other nodes",
        f"As in *chunk*, on PostgreSQL, with and without a Redis that gets every chunk; {clients} "
        "streams whose readers are all on this node.",
        ["", "µs a chunk", "ratio", "commands a 1,000 tokens"],
    )
    with running_redis() as server:
        async with (
            running_talksy({**UNCOALESCED, "DATABASE_URL": await _database()}) as alone,
            running_talksy(
                {**UNCOALESCED, "DATABASE_URL": await _database(), "REDIS_URL": server.url}
            ) as shared,
        ):
            orders = {
                "without": Streams(alone, clients, tokens),
                "with": Streams(shared, clients, tokens),
            }
            before = await _commands(shared)
            told = await _told(bench, orders, 5)
            commands = await _commands(shared) - before
    few, many = _chunks(told["without"]), _chunks(told["with"])
    rounds = bench.times(5)
    said = commands / (clients * tokens * (rounds + (rounds > 1))) * 1000
    section.rows.append(["without Redis", str(few), "1", "0"])
    section.rows.append(["with Redis", str(many), f"{many.to(few):.2f}", f"{said:.3g}"])
    section.checks.append(Check("chunk with Redis", many.to(few), 1.3, "× that without"))
    return section


async def _database() -> str:
    """The URL of a PostgreSQL database that nobody has used."""
    return await postgres_of(Path(uuid4().hex))


async def _commands(peer: Peer) -> float:
    """How many commands a node has sent to Redis."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{peer.port}/metrics") as answer,
    ):
        found = COMMANDS.search(await answer.text())
        return float(found[1]) if found else 0.0
