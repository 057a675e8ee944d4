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
from typing import Any, Self, TypeVar

import bcrypt

from talksy.auth.credentials import PASSWORD_MAX_BYTES
from talksy.errors import Overloaded

T = TypeVar("T")

PATIENCE_SECONDS = 2.0
"""How long somebody waits for those before: who would have to wait longer is told so, at once as
far as it can be foreseen."""
NICE = 19
"""The least weight that Linux knows: who hashes has the time that streams leave. Not its class for
the idle, which may never come to give the GIL back where other programs are busy."""


class Passwords:
    """Hashes and checks passwords; open it with ``async with``.

    ``threads`` run at once (bcrypt gives the GIL back) and at most ``waiting`` more wait, fewer
    where that would take longer than ``PATIENCE_SECONDS``; beyond that everything raises
    ``Overloaded``.
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
        self._pace = 0.0
        """About how many seconds one takes, as of late."""
        self._began: dict[int, float] = {}
        """When each thread that works now began."""
        self._dummy = b""
        self.completed = 0
        """Hashes made and passwords checked so far."""

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
        # On a full machine those that run say more than those that have ended.
        slowest = time.monotonic() - min(list(self._began.values()), default=time.monotonic())
        pace = max(self._pace, slowest)
        # Until one of the threads is free.
        wait = max(0, self._inside - self._threads + 1) * pace / self._threads
        if self._inside >= self._most or wait > PATIENCE_SECONDS:
            raise Overloaded(retry_after=1)

    async def _run(self, work: Callable[[], T]) -> T:
        with self._lock:
            self.must_have_room()
            self._inside += 1
        future = self._pool.submit(self._timed, work)
        # A caller may give up while its thread runs on: the place is free when the thread is.
        future.add_done_callback(self._leave)
        answer = asyncio.wrap_future(future)
        try:
            await asyncio.wait([answer], timeout=PATIENCE_SECONDS)
        except asyncio.CancelledError:
            answer.cancel()
            raise
        if future.cancel():
            raise Overloaded(retry_after=1)  # its turn has not come
        result = await answer
        self.completed += 1
        return result

    def _timed(self, work: Callable[[], T]) -> T:
        began = self._began[threading.get_ident()] = time.monotonic()
        try:
            return work()
        finally:
            del self._began[threading.get_ident()]
            self._pace += (time.monotonic() - began - self._pace) / 4

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
