"""Measures Talksy beside Socket.IO on Node, and writes what comes of it to ``docs/benchmarks.md``.

python -m benchmarks --only chunk ack
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import uvloop

from benchmarks import answers, connections, costs, loads, voices
from benchmarks.bench import Bench, Scenario
from benchmarks.budget import budget
from benchmarks.keeps import keeps
from benchmarks.load import opened_load
from benchmarks.machine import LOAD_CORE, demand, described, open_files, pin
from benchmarks.peers import FOLDER, ready_node
from benchmarks.report import Section, summary
from benchmarks.steps import steps

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
SCENARIOS: Mapping[str, Scenario] = {
    "memory": connections.memory,
    "keeps": keeps,
    "chunk": costs.chunk,
    "budget": budget,
    "growth": costs.growth,
    "burst": costs.burst,
    "paced": costs.paced,
    "redis": costs.redis,
    "connect": connections.connect,
    "reconnect": loads.reconnect,
    "load": loads.load,
    "logins": loads.logins,
    "voice": voices.voice,
    "first": answers.first,
    "ack": answers.ack,
    "steps": steps,
}
PYTHON = ("aiohttp", "python-socketio", "python-engineio", "uvloop", "orjson")
HOW = """\
Talksy is `talksy serve` as it comes, with authentication, sessions, journal, SQLite and metrics on,
only its limits raised, and the mock model. Node is Socket.IO with nothing around it, not even
authentication, and sends the same payloads. Both run all the time and are visited in turn, in an
order of each round's own, after one that does not count. Figures are medians, in brackets the least
and the most. The server has one core and its clients the other one; where CPU is measured they nap
a millisecond at a time, so that nobody pays for waking them. CPU is time on the core, as the kernel
counts it. Machines differ and have moods: believe the ratios.
"""


def main() -> None:
    """The command line."""
    options = _parser().parse_args()
    demand()
    program = ready_node()
    pin(os.getpid(), LOAD_CORE)
    files = open_files()
    sections = uvloop.run(_measured(options, files))
    head = [_head(program, files), summary(sections)]
    print("\n\n".join(head))
    if not options.only and not options.quick:
        PAGE.write_text("\n\n".join([*head, *map(str, sections)]) + "\n", encoding="utf-8")
    shut = [check for section in sections for check in section.checks if not check.gate]
    if options.gate and shut:
        sys.exit("past the gate: " + "; ".join(" ".join(check.row()[:2]) for check in shut))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, help="these, and write no page")
    parser.add_argument("--rounds", type=int, help="how many; each scenario knows by itself")
    parser.add_argument("--quick", action="store_true", help="small counts: does it work at all?")
    parser.add_argument("--gate", action="store_true", help="fail where a ratio is far too high")
    return parser


async def _measured(options: argparse.Namespace, files: int) -> Sequence[Section]:
    sections = []
    async with opened_load() as load:
        bench = Bench(load, files, options.rounds, options.quick)
        for name in options.only or SCENARIOS:
            started = time.monotonic()
            sections.append(await SCENARIOS[name](bench))
            print(f"{sections[-1]}\n\n({time.monotonic() - started:.0f} s)\n", flush=True)
    return sections


def _head(program: str, files: int) -> str:
    node = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    package = json.loads((FOLDER / "node_modules" / "socket.io" / "package.json").read_text())
    words = ", ".join(f"{name} {version(name)}" for name in PYTHON)
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    measured = (
        f"As `{command}` measured it on {datetime.now(UTC):%d %B %Y}, on {described()}: Python "
        f"{platform.python_version()}, {words}; Node {node.stdout.strip()}, socket.io "
        f"{package['version']}."
    )
    lines = ["# What it costs", measured, HOW.strip()]
    if (os.cpu_count() or 1) < 2:
        lines.append("**This machine has one core**, which server and clients had to share.")
    if files < 5_000:
        lines.append(f"**This machine lets a process open no more than {files:,} sockets.**")
    return "\n\n".join(lines)


if __name__ == "__main__":
    main()
