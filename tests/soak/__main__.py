"""Lets a voice stream live through a day, as fast as it goes, and looks at what it leaves behind.

python -m tests.soak --hours 24
"""

import argparse
import asyncio
import gc
import logging
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle

import structlog

from talksy.ai.llm.mock import MockModel
from talksy.ai.stt.sphinx import worker as child
from talksy.database import Database
from talksy.gateway.requests import Hello, VoiceStart
from talksy.sessions import Life
from talksy.voice import Engines
from talksy.voice.opening import VoicePlan, open_engines
from tests.fuzz.tally import resident
from tests.integration.gateway.rig import RULES, House, opened
from tests.soak.client import Counting, Speaker
from tests.soak.clock import DayClock, LeapingLoop
from tests.soak.day import PARTS

GROWTH_MB = 8.0
"""So much more may be held in the end than after the first report: allocators keep some."""
DAYS_MS = 10 * 86_400_000
PATIENT_SECONDS = 600.0
"""Simulated time runs ahead of engines, which work in real time."""
QUIET_SECONDS = 300.0
"""After it nothing is to come of what was."""


@dataclass
class Soak:
    """One stream, and what was held from hour to hour."""

    speaker: Speaker
    loop: LeapingLoop
    held: list[float] = field(default_factory=list)
    """MB, at each report, with the processes that recognise."""
    began: float = field(default_factory=time.monotonic)

    async def live(self, parts: Sequence[str], hours: float, every: float) -> None:
        """Lives through so many simulated hours, and two parts at least; reports after the first
        part, then ``every`` so many hours, and in the end.
        """
        start, due = self.loop.time(), 0.0
        for number, part in enumerate(cycle(parts)):
            await PARTS[part](self.speaker)
            lived = (self.loop.time() - start) / 3600
            over = lived >= hours and number > 0
            if over or lived >= due:
                due = (lived // every + 1) * every
                self.report(lived)
            if over:
                return

    def report(self, lived: float) -> None:
        """Looks at the memory."""
        gc.collect()
        own, others = resident(os.getpid()), _recognisers()
        self.held.append(own + sum(others))
        told = self.speaker.outlet.counted
        beside = "".join(f" + {megabytes:.0f}" for megabytes in others)
        print(
            f"after {lived:5.2f} h: {own:6.1f}{beside} MB ({self.grown:+.1f}); "
            f"{told['SpeechBegan']} utterances, {told['completed']} answers heard, "
            f"{told['interrupted']} cut short; "
            f"{time.monotonic() - self.began:.0f} s",
            flush=True,
        )

    @property
    def grown(self) -> float:
        """MB since the first report."""
        return self.held[-1] - self.held[0]


def _recognisers() -> list[float]:
    """The memory of each process that recognises, in MB."""
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "ppid=,rss=,args="], capture_output=True, text=True, check=True
    )
    lines = [line.split(None, 2) for line in listed.stdout.splitlines()]
    ours = [rss for ppid, rss, args in lines if int(ppid) == os.getpid() and child.__file__ in args]
    return [int(rss) / 1024 for rss in ours]


async def soak(options: argparse.Namespace) -> list[str]:
    """What was left behind; nothing, if all is well."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, LeapingLoop)
    plan = VoicePlan(
        (options.engines,),
        (options.engines,),
        stt_options={"offline": {"workers": 1}},
        stt_seconds=PATIENT_SECONDS,
        tts_seconds=PATIENT_SECONDS,
        warm=1,
    )
    with tempfile.TemporaryDirectory(prefix="talksy-soak-") as folder:
        async with (
            _loaded(plan) as engines,
            Database.open(f"sqlite:///{folder}/talksy.db") as database,
            opened(
                database,
                rules=replace(RULES, messages=1_000_000),
                life=Life(age_ms=DAYS_MS),
                clock=DayClock(loop),
                engines=engines,
                model=MockModel(),
            ) as house,
        ):
            return await _listened(house, loop, options)


@asynccontextmanager
async def _loaded(plan: VoicePlan) -> AsyncIterator[Engines]:
    """The engines, with all that is loaded ahead: what that takes is nobody's leak."""
    async with open_engines(plan) as engines:
        await asyncio.wait([task for task in asyncio.all_tasks() if task.get_name() == "engines"])
        yield engines


async def _listened(house: House, loop: LeapingLoop, options: argparse.Namespace) -> list[str]:
    outlet = Counting()
    connection = await house.gateway.connect(Hello(None), "::1", outlet)
    await house.gateway.welcome(connection, Hello(None))
    before = len(asyncio.all_tasks()), loop.timers()
    speaker = Speaker(house.gateway, connection, outlet)
    await house.gateway.voice_start(connection, VoiceStart())
    soaking = Soak(speaker, loop)
    await soaking.live(options.only, options.hours, options.every)
    await house.gateway.voice_stop(connection)
    left = [f"{code} was told {times} times" for code, times in outlet.faults.items()]
    if soaking.grown > options.growth:
        left.append(f"{soaking.grown:.1f} MB more are held than at the first report")
    loop.leap(QUIET_SECONDS)
    for what, then, now in zip(("tasks", "timers"), before, await _least(loop), strict=True):
        if now > then:
            left.append(f"there were {then} {what} before, and now there are {now}")
    return left


async def _least(loop: LeapingLoop) -> tuple[int, int]:
    """The fewest tasks and timers within a while: what a node does by itself comes and goes."""
    seen = []
    for _ in range(20):
        await asyncio.sleep(0.05)
        seen.append((len(asyncio.all_tasks()), loop.timers()))
    return min(tasks for tasks, _ in seen), min(timers for _, timers in seen)


def _hours(text: str) -> float:
    """So many; some time must go by."""
    hours = float(text)
    if not 0 < hours < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return hours


def main() -> int:
    """The command line; 1 where something is left behind."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--hours", type=_hours, default=24, help="simulated ones")
    parser.add_argument("--every", type=_hours, default=1, help="report so often, too, in hours")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--engines", choices=("offline", "mock"), default="offline")
    parser.add_argument("--growth", type=float, default=GROWTH_MB, help="MB that may be held more")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        left = runner.run(soak(options))
    print("\n".join(left) or "Nothing is left behind.")
    return len(left) > 0


if __name__ == "__main__":
    sys.exit(main())
