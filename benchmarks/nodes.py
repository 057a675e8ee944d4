"""What it costs that others read along: two busy nodes, and one on which nobody reads.

python -m benchmarks.nodes

Half of the turns run on A, half on B; each is read on its own node and on the other. Clients run in
a process of their own, on the same machine. CPU is that of the nodes' processes, so it has all that
a node does for its clients, too. Needs Linux (``/proc``), PostgreSQL and Redis.
"""

import asyncio
import os
import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.faults.crowd import Plan, Report, running_crowd
from tests.faults.fleet import Fleet, running_fleet
from tests.faults.reader import Habits
from tests.postgres import running_postgres

LOADS = ((50, 20.0, 400), (300, 3.0, 180))
"""Turns, tokens a second of each, tokens of each."""
HEAD = (
    "turns × tokens/s",
    "CPU of A, B in µs a token",
    "of C in % of a core",
    "with nobody anywhere",
    "of Redis in µs a token",
    "commands a 1,000 tokens",
    "of C a second",
    "p50 / p99 to the other node in ms",
)
COMMANDS = re.compile(r"^talksy_redis_commands\S* (\S+)$", re.MULTILINE)
SKIPPED = 40
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Spent:
    """What had been spent at some moment."""

    at: float
    cpu: tuple[float, ...]
    """Seconds, of each node and then of Redis."""
    commands: tuple[float, ...]
    """To Redis, of each node."""


async def main() -> None:
    print("|".join(("", *HEAD, "")))
    print("|".join(("", *("---" for _ in HEAD), "")))
    with running_postgres() as postgres:
        for turns, rate, tokens in LOADS:
            async with running_fleet(postgres) as fleet:
                idle = await _difference(fleet, asyncio.sleep(10))
                plan = Plan(fleet.urls[:2], turns, tokens, rate, readers=(Habits(), Habits()))
                with running_crowd(plan) as crowd:
                    await crowd.begun()
                    busy = await _difference(fleet, asyncio.sleep(10))
                    report = await crowd.report(tokens / rate + 60, fleet.urls)
                _print(turns, rate, idle, busy, report)


async def _difference(fleet: Fleet, work: object) -> tuple[Spent, Spent]:
    before = await _spent(fleet)
    await work  # type: ignore[misc]
    return before, await _spent(fleet)


async def _spent(fleet: Fleet) -> Spent:
    processes = [node.server.process.pid for node in fleet.nodes if node.server]
    processes.append(int(fleet.redis.ask("INFO", "server")["process_id"]))
    commands = []
    async with aiohttp.ClientSession() as http:
        for url in fleet.urls:
            async with http.get(f"{url}/metrics") as answer:
                found = COMMANDS.search(await answer.text())
                commands.append(float(found[1]) if found else 0.0)
    return Spent(time.monotonic(), tuple(map(_cpu, processes)), tuple(commands))


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def _print(
    turns: int, rate: float, idle: tuple[Spent, Spent], busy: tuple[Spent, Spent], report: Report
) -> None:
    seconds = busy[1].at - busy[0].at
    tokens = turns * rate * seconds
    cpu = [after - before for before, after in zip(busy[0].cpu, busy[1].cpu, strict=True)]
    quiet = (idle[1].cpu[2] - idle[0].cpu[2]) / (idle[1].at - idle[0].at)
    commands = [b - a for a, b in zip(busy[0].commands, busy[1].commands, strict=True)]
    delays = _delays(report)
    cuts = statistics.quantiles(delays, n=100)
    print(
        f"| {turns} × {rate:g} | {cpu[0] / tokens * 2e6:.0f}, {cpu[1] / tokens * 2e6:.0f} "
        f"| {cpu[2] / seconds:.2%} | {quiet:.2%} | {cpu[3] / tokens * 1e6:.1f} "
        f"| {sum(commands[:2]) / tokens * 1000:.0f} | {commands[2] / seconds:.1f} "
        f"| {cuts[49] * 1000:.1f} / {cuts[98] * 1000:.1f} |",
        flush=True,
    )


def _delays(report: Report) -> Sequence[float]:
    """How much later each event came on the other node than at home."""
    home = {told.turn: told.times for told in report.told if told.home}
    return [
        far - near
        for told in report.told
        if not told.home
        # The first ones came before the other reader did.
        for near, far in list(zip(home[told.turn], told.times, strict=False))[SKIPPED:]
    ]


if __name__ == "__main__":
    asyncio.run(main())
