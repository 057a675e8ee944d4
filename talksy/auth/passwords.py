"""Passwords: bcrypt in a pool of threads that has an end to its queue and lets others go first."""

import asyncio
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import bcrypt

from talksy.auth.credentials import PASSWORD_MAX_BYTES
from talksy.errors import Overloaded

T = TypeVar("T")

PATIENCE_SECONDS = 2.0
"""How long somebody waits for those before: who would have to wait longer is told so on arrival."""
LONGEST_SECONDS = 30.0
"""After so long somebody is told so whose turn was foreseen and has not come: a machine that had
time for passwords may have none any more."""
RECENT_SECONDS = 10.0
"""So long what one took says what the next will take."""
IDLE_SHARE = 0.25
"""So much of one's CPU time the machine counts as idle for those that have just begun: until they
have done more, what they got says little.
"""
NICE = 19
"""The least weight that Linux knows: who hashes has the time that streams leave. Not its class for
the idle, which may never come to give the GIL back where other programs are busy."""


@dataclass(frozen=True, slots=True)
class Done:
    """What one took, in seconds."""

    ended: float
    wall: float
    cpu: float


class Work:
    """What the thread that makes it works on from now on."""

    __slots__ = ("_before", "_clock", "began")

    def __init__(self) -> None:
        self.began = time.monotonic()
        self._before = time.thread_time()
        self._clock: int | None = None
        if sys.platform == "linux":
            self._clock = time.pthread_getcpuclockid(threading.get_ident())

    def cpu(self, now: float, whole: float) -> float:
        """The CPU seconds it had until ``now``, as other threads can tell; ``whole`` is what one
        needs. Where only a thread itself can read its clock, it had a core until it should be done.
        """
        if self._clock is None:
            return min(now - self.began, whole)
        return time.clock_gettime(self._clock) - self._before

    def done(self) -> Done:
        """What it took; for its own thread."""
        now = time.monotonic()
        return Done(now, now - self.began, max(time.thread_time() - self._before, 1e-6))


class Passwords:
    """Hashes and checks passwords; open it with ``async with``.

    ``threads`` run at once (bcrypt gives the GIL back) and at most ``waiting`` more wait, fewer
    where that would take longer than ``PATIENCE_SECONDS`` at the pace of the moment; beyond that
    everything raises ``Overloaded`` on arrival. Who was not refused then has its turn, within
    ``LONGEST_SECONDS``.
    """

    def __init__(self, *, rounds: int = 12, threads: int = 2, waiting: int = 64) -> None:
        self._rounds = rounds
        self._threads = threads
        self._pool = ThreadPoolExecutor(
            threads, thread_name_prefix="bcrypt", initializer=_let_others_go_first
        )
        self._most = threads + waiting
        self._lock = threading.Lock()
        self._inside = 0
        """How many are worked on or wait."""
        self._running: dict[int, Work] = {}
        """What each thread works on now."""
        self._last: Done | None = None
        self._dummy = b""
        self.completed = 0
        """Hashes made and passwords checked so far."""
        self.refused = 0
        """How many were not, for want of time."""

    async def __aenter__(self) -> Self:
        self._dummy = (await self.hash(secrets.token_urlsafe(16))).encode()
        return self

    async def __aexit__(self, *_: object) -> None:
        # Waits for what runs: a fraction of a second, but not one of the loop's.
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """A new salted hash. ``password`` keeps the rule of ``credentials``."""
        salted = await self._run(lambda: bcrypt.hashpw(_encode(password), self._salt()))
        return salted.decode()

    async def check(self, password: str, hashed: str | None) -> bool:
        """Whether ``hashed`` was made of ``password``.

        None, for an account that does not exist, is False after the work of a wrong password.
        """
        secret = _encode(password)
        # bcrypt refuses longer ones at once, which would tell them apart by time.
        fits = len(secret) <= PASSWORD_MAX_BYTES
        against = self._dummy if hashed is None else hashed.encode()
        same = await self._run(lambda: self._compare(secret if fits else b"", against))
        return same and fits and hashed is not None

    def current(self, hashed: str) -> bool:
        """Whether ``hashed``, such as ``$2b$12$…``, cost as much as a new one would."""
        return _rounds_of(hashed.encode()) == self._rounds

    def _compare(self, secret: bytes, against: bytes) -> bool:
        if bcrypt.checkpw(secret, against):
            return True
        # A cheaper hash, from other days, would tell by its time that there is an account. A round
        # more doubles the work, so all the steps between make up for what it lacks.
        for rounds in range(_rounds_of(against), self._rounds):
            bcrypt.hashpw(secret, bcrypt.gensalt(rounds))
        return False

    def _salt(self) -> bytes:
        return bcrypt.gensalt(self._rounds)

    def must_have_room(self) -> None:
        """Raises ``Overloaded`` where the next one would be refused: before anything is looked up
        for somebody who cannot be served.
        """
        # Until one of the threads is free.
        ahead = max(0, self._inside - self._threads + 1)
        wait = ahead * self._pace(time.monotonic()) / self._threads
        if self._inside >= self._most or wait > PATIENCE_SECONDS:
            self.refused += 1
            raise Overloaded(retry_after=1)

    def _pace(self, now: float) -> float:
        """About how many seconds the next one will take: its CPU time, and the time for that which
        others leave. Those that run tell the latter before the first of them has ended.
        """
        last = self._last
        if last is None:
            return 0.0
        wall = cpu = last.cpu * IDLE_SHARE
        if now - last.ended < RECENT_SECONDS:
            wall = last.wall * IDLE_SHARE
        for work in list(self._running.values()):
            wall += now - work.began
            cpu += work.cpu(now, last.cpu)
        return last.cpu * wall / cpu

    async def _run(self, work: Callable[[], T]) -> T:
        with self._lock:
            self.must_have_room()
            self._inside += 1
        future = self._pool.submit(self._timed, work)
        # A caller may give up while its thread runs on: the place is free when the thread is.
        future.add_done_callback(self._leave)
        answer = asyncio.wrap_future(future)
        try:
            await asyncio.wait([answer], timeout=LONGEST_SECONDS)
        except asyncio.CancelledError:
            answer.cancel()
            raise
        if future.cancel():
            self.refused += 1
            raise Overloaded(retry_after=1)  # its turn has not come
        result = await answer
        self.completed += 1
        return result

    def _timed(self, work: Callable[[], T]) -> T:
        running = self._running[threading.get_ident()] = Work()
        try:
            return work()
        finally:
            del self._running[threading.get_ident()]
            self._last = running.done()

    def _leave(self, _: Future[Any]) -> None:
        with self._lock:
            self._inside -= 1


def _let_others_go_first() -> None:
    """Elsewhere than on Linux a priority is a process's, and this one's is right."""
    if sys.platform == "linux":
        with suppress(OSError):  # some sandboxes know no priorities
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


def _rounds_of(hashed: bytes) -> int:
    return int(hashed.split(b"$")[2])


def _encode(password: str) -> bytes:
    # Half of a surrogate pair may come over JSON; it matches nothing, and must not raise.
    return password.encode("utf-8", "surrogatepass")
