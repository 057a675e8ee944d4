"""Where the bytes of an idle connection are."""

import asyncio
import gc
import sys
import sysconfig
import tempfile
import tracemalloc
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from benchmarks.bench import Bench
from benchmarks.client import Client
from benchmarks.peers import SETTINGS, USERS, Peer, register
from benchmarks.report import Section
from benchmarks.rounds import short
from benchmarks.streams import connected
from talksy.app import open_node
from talksy.config import Settings
from talksy.gateway import Gateway
from talksy.transports.http import Runner
from tests.server import DEFAULTS

TALKSY = Path(sys.modules["talksy"].__file__ or "").parent
LIBRARIES = Path(sysconfig.get_path("purelib"))
SETTLE_SECONDS = 2.0
"""What a connection begins with is gone by then."""
ARRIVE_SECONDS = 120.0
SHOWN = 12


@dataclass(frozen=True)
class Stay:
    """Connections that are held until the server hangs up."""

    peer: Peer
    count: int


async def stay(order: Stay) -> None:
    """Comes, and does nothing more."""
    clients = await connected(Client, order.peer, "websocket", order.count)
    await asyncio.gather(*(client.ended for client in clients), return_exceptions=True)


async def keeps(bench: Bench) -> Section:
    """By the lines of code that made them."""
    few, many = bench.clients(200, 20), bench.clients(1_200, 120)
    section = Section(
        "keeps: where an idle connection's bytes are",
        f"Each with a user and a session, as they grow from {few:,} to {many:,}, in a node that is "
        "traced while it runs (`tracemalloc`): what was made in which part of the code, and is "
        "still there. Without what lies free between them in pages, which *memory* has.",
        ["made in", "bytes a connection", "pieces"],
    )
    with tempfile.TemporaryDirectory(prefix="talksy-bench-") as folder:
        chosen = {**DEFAULTS, **SETTINGS, "DATA_DIR": folder, "BCRYPT_ROUNDS": 4}
        tokens = await register(chosen, USERS)
        settings = Settings.load(
            {name: str(value) for name, value in chosen.items()}, env_file=None
        )
        async with open_node(settings) as node:
            runner = Runner(node.app, access_log=None, shutdown_timeout=1.0)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            peer = Peer("Talksy", runner.addresses[0][1], 0, tokens)
            tracemalloc.start()
            staying = [asyncio.create_task(bench.load.run(stay, Stay(peer, few)))]
            size, count = await _held(node.gateway, few)
            staying.append(asyncio.create_task(bench.load.beside(stay, Stay(peer, many - few))))
            sizes, counts = await _held(node.gateway, many)
            tracemalloc.stop()
            await node.drain(0)
            await asyncio.gather(*staying)
            await runner.cleanup()
    sizes.subtract(size)
    counts.subtract(count)
    shown = sizes.most_common(SHOWN)
    rest = ("all else", sizes.total() - sum(kept for _, kept in shown))
    counts[rest[0]] = counts.total() - sum(counts[part] for part, _ in shown)
    for part, kept in (*shown, rest):
        each = short(counts[part] / (many - few))
        section.rows.append([part, f"{kept / (many - few):,.0f}", each])
    section.rows.append(["together", f"{sizes.total() / (many - few):,.0f}", ""])
    return section


async def _held(gateway: Gateway, count: int) -> tuple[Counter[str], Counter[str]]:
    """The bytes and the objects that are there with so many connections, by what made them."""
    async with asyncio.timeout(ARRIVE_SECONDS):
        while gateway.connections < count:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
    await asyncio.sleep(SETTLE_SECONDS)
    gc.collect()
    size: Counter[str] = Counter()
    number: Counter[str] = Counter()
    for trace in tracemalloc.take_snapshot().statistics("filename"):
        part = _part(Path(trace.traceback[0].filename))
        size[part] += trace.size
        number[part] += trace.count
    return size, number


def _part(file: Path) -> str:
    for root, depth in ((TALKSY, 2), (LIBRARIES, 1)):
        if file.is_relative_to(root):
            told = "/".join(file.relative_to(root).parts[:depth])
            return f"talksy/{told}" if root is TALKSY else told
    return "Python and uvloop"
