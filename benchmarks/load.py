"""The processes that the clients live in, so that what they cost is not the server's."""

import asyncio
import gc
import multiprocessing
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from threading import Barrier
from typing import TypeVar

import uvloop

from benchmarks.machine import LOAD_CORE, open_files, pin

W = TypeVar("W")
R = TypeVar("R")

NAP_SECONDS = 0.001
MEETING_SECONDS = 300.0
LAG_SECONDS = 0.005

_meetings: list[Barrier] = []


class Load:
    """Two processes for clients, each of which does one piece of work at a time.

    Work is a coroutine function of a module and the order that it is given.
    """

    def __init__(self, first: ProcessPoolExecutor, second: ProcessPoolExecutor) -> None:
        self._first = first
        self._second = second

    async def run(self, work: Callable[[W], Awaitable[R]], order: W) -> R:
        """Does it in the first process; what came of it."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._first, _done, work, order)

    async def beside(self, work: Callable[[W], Awaitable[R]], order: W) -> R:
        """Does it in the second process, which gives way to the first."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._second, _done, work, order)


@asynccontextmanager
async def opened_load() -> AsyncIterator[Load]:
    """The processes, on a core of their own where there are two."""
    spawn = multiprocessing.get_context("spawn")
    meeting = spawn.Barrier(2)
    with ExitStack() as stack:
        pools = [
            stack.enter_context(
                ProcessPoolExecutor(1, spawn, initializer=_begin, initargs=(meeting, nice))
            )
            for nice in (0, 5)
        ]
        yield Load(*pools)


async def met() -> float:
    """Waits until the work in the other process says so, too; the moment, by the machine's clock.

    Raises ``BrokenBarrierError`` where the other one failed.
    """
    await asyncio.to_thread(_meetings[0].wait, MEETING_SECONDS)
    return time.monotonic()


@contextmanager
def napping() -> Iterator[None]:
    """As long as it lasts, the loop naps and never waits for the network.

    A server that sends to somebody who waits pays for waking him up, and how often it does depends
    on its rate: peers would not be compared by their own work.
    """
    loop = asyncio.get_running_loop()
    tired = True

    def nap() -> None:
        if tired:
            time.sleep(NAP_SECONDS)
            loop.call_later(0, nap)

    nap()
    try:
        yield
    finally:
        tired = False


class Lag:
    """How late the clients' own loop is, which is in every delay that they see."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._loop = asyncio.get_running_loop()
        self._due = time.monotonic()
        self._handle = self._loop.call_soon(self._look)

    def _look(self) -> None:
        now = time.monotonic()
        self.seconds.append(max(0.0, now - self._due))
        self._due = now + LAG_SECONDS
        self._handle = self._loop.call_later(LAG_SECONDS, self._look)

    def close(self) -> None:
        """Looks no more."""
        self._handle.cancel()


def _begin(meeting: Barrier, nice: int) -> None:
    _meetings.append(meeting)
    open_files()
    os.nice(nice)
    pin(os.getpid(), LOAD_CORE)
    gc.disable()  # between two orders is time enough


def _done(work: Callable[[W], Awaitable[R]], order: W) -> R:
    async def run() -> R:
        return await work(order)

    try:
        return uvloop.run(run())
    except BaseException:
        _meetings[0].abort()
        raise
    finally:
        gc.collect()
