"""Makes the attempts everywhere they can be made, and prints what held, with the cost of a call.

python -m tests.sandbox
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path

from talksy.tools.sandbox import Sandbox, SandboxBounds
from tests.sandbox.places import PLACES, possible
from tests.sandbox.run import Report, attempt_all

CALLS = 500
SAMPLE = str(Path(__file__).parent / "sample.py")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sandbox", description=__doc__)
    parser.add_argument("--place", choices=[place.name for place in PLACES], help="there alone")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--cost", action="store_true", help="only what a call costs")
    options = parser.parse_args()
    if options.json:
        (place,) = (place for place in PLACES if place.name == options.place)
        place.enter()
        json.dump(asdict(asyncio.run(attempt_all())), sys.stdout)
        return 0
    failed = 0
    if not options.cost:
        places = [each.name for each in possible() if options.place in {None, each.name}]
        reports = {name: Report.of(json.loads(told_of(name))) for name in places}
        _show(reports)
        failed = sum(not each.contained for one in reports.values() for each in one.outcomes)
        for place in PLACES:
            if place.name not in reports:
                print(f"not made as {place.name}")
    asyncio.run(_costs())
    return min(failed, 1)


def told_of(place: str) -> str:
    """Makes the attempts in a process that is such a place; what it says is for ``Report.of``."""
    command = [sys.executable, "-m", "tests.sandbox", "--json", "--place", place]
    folder = Path(__file__).parents[2]
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{place}: {done.stderr[-2000:]}"
    return done.stdout


def _show(reports: dict[str, Report]) -> None:
    for name, report in reports.items():
        missing = f"; no namespaces: {report.missing}" if report.missing else ""
        print(f"{name}: {', '.join(report.layers)}{missing}")
    print(f"\n| | attempt | held by | {' | '.join(reports)} |")
    print("|---|---|---|" + "---|" * len(reports))
    rows = zip(*(report.outcomes for report in reports.values()), strict=True)
    count = 0
    for row in rows:
        attempt = row[0].attempt
        said = [each.short if each.contained else f"**{each.said[:200]}**" for each in row]
        print(f"| {attempt.area} | {attempt.name} | {attempt.by} | {' | '.join(said)} |")
        count += 1
    print(f"\n{count} attempts, each made as {', '.join(reports)}\n")


async def _costs() -> None:
    print(f"| {CALLS} calls, one after another | p50 ms | p99 ms | most ms |\n|---|---|---|---|")
    async with Sandbox([SAMPLE], SandboxBounds(children=8, cpu_seconds=60)) as sandbox:

        async def code() -> None:
            await sandbox.python("1 + 1", seconds=60)

        async def tool() -> None:
            await sandbox.call(SAMPLE, "add", {"a": 40, "b": 2}, seconds=60)

        for name, deed in (("a line of code", code), ("a tool of a module", tool)):
            await _timed(name, deed)
            busy = asyncio.create_task(sandbox.python("while True: pass", seconds=60))
            await _timed(f"{name}, beside a busy loop in the sandbox", deed)
            busy.cancel()
            await asyncio.wait({busy})
        for loops in (0, 1, 2, 4):
            busy_loops = [
                asyncio.create_task(sandbox.python("while True: pass", seconds=60))
                for _ in range(loops)
            ]
            await _lag(loops)
            for each in busy_loops:
                each.cancel()
            if busy_loops:
                await asyncio.wait(busy_loops)


async def _timed(name: str, deed: Callable[[], Awaitable[None]]) -> None:
    took = []
    for _ in range(CALLS):
        began = time.perf_counter()
        await deed()
        took.append((time.perf_counter() - began) * 1000)
    _tell(name, took)


async def _lag(loops: int) -> None:
    """How late a timer of the server's loop is."""
    late = []
    for _ in range(300):
        began = time.perf_counter()
        await asyncio.sleep(0.01)
        late.append((time.perf_counter() - began) * 1000 - 10)
    _tell(f"a timer of the server, late beside {loops} busy loops", late)


def _tell(name: str, figures: list[float]) -> None:
    figures.sort()
    middle, last = figures[len(figures) // 2], figures[len(figures) * 99 // 100]
    print(f"| {name} | {middle:.1f} | {last:.1f} | {figures[-1]:.1f} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
