"""Processes in which recognisers run: the engine holds the interpreter's lock while it computes.

Each seat keeps one process, warm from the start. One that dies or hangs costs the utterance it had,
and its seat starts another.
"""

import asyncio
import contextlib
import json
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import structlog

from talksy.ai.engine import EngineBusy
from talksy.ai.stt.sphinx import worker as child
from talksy.errors import ProviderTimeout, ProviderUnavailable

log = structlog.get_logger(__name__)

START_SECONDS = 30.0
"""The engine reads its models: a second on an idle machine."""
HANG_SECONDS = 10.0
"""For a tenth of a second of sound, or for the last look at a whole utterance."""
WAIT_SECONDS = 5.0
"""For a process to be free."""
_LIVED = 10.0
"""Seconds; what dies sooner is not started again at once."""
_LONGEST_PAUSE = 60.0


class Unfit(Exception):
    """The engine does not start; the message says why."""


class Worker:
    """One process. It is asked one thing at a time, and answers each."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._owed = 0
        """Answers that nobody waits for any more."""

    @classmethod
    async def start(cls, order: Mapping[str, Any]) -> Self:
        """A process that is ready. Raises ``Unfit``."""
        try:
            # Nothing of ours goes along: no environment, which has keys, and no descriptor.
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-X", "utf8", child.__file__),
                *(path for path in sys.path if Path(path).is_absolute()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={},
                cwd="/",
            )
        except OSError as error:
            raise Unfit(f"no process could be had: {error.strerror}") from error
        worker = cls(process)
        try:
            said = await worker.ask(b"C", json.dumps(order).encode(), seconds=START_SECONDS)
        except (ProviderUnavailable, ProviderTimeout) as error:
            await worker.close()
            raise Unfit("its process does not start") from error
        except BaseException:
            await worker.close()
            raise
        if "unfit" in said:
            await worker.close()
            raise Unfit(said["unfit"])
        return worker

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.returncode is None

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    async def ask(
        self, kind: bytes, body: bytes = b"", *, seconds: float | None = None
    ) -> dict[str, Any]:
        """Its answer. Raises ``ProviderUnavailable`` where it is gone, ``ProviderTimeout`` where it
        hangs, and then it is killed.
        """
        reading, writing = self._process.stdout, self._process.stdin
        assert reading is not None  # noqa: S101 - both are pipes
        assert writing is not None  # noqa: S101
        try:
            async with asyncio.timeout(seconds or HANG_SECONDS):
                writing.write(child.HEAD.pack(kind, len(body)) + body)
                self._owed += 1
                await writing.drain()
                while True:
                    line = await reading.readuntil(b"\n")
                    self._owed -= 1
                    if not self._owed:
                        return dict(json.loads(line))
        except TimeoutError:
            self.kill()
            log.warning("recognizer_hangs", pid=self.pid)
            raise ProviderTimeout(hint="the offline recogniser did not answer") from None
        except (asyncio.IncompleteReadError, OSError):
            self.kill()
            hint = "the process of the offline recogniser has ended"
            raise ProviderUnavailable(cause="broken", hint=hint) from None

    def kill(self) -> None:
        """Ends it now."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> int:
        """Returns when it has ended: its exit code, of a signal the negative number."""
        return await self._process.wait()

    async def close(self) -> None:
        """Ends it; returns when it is gone."""
        self.kill()
        await self._process.wait()


class Pool:
    """``seats`` processes, and at most ``queue`` who wait for one."""

    def __init__(self, order: Mapping[str, Any], *, seats: int, queue: int) -> None:
        self._order = order
        self._count = seats
        self._queue = queue
        self._waiting = 0
        self._free: asyncio.Queue[Worker | None] = asyncio.Queue()
        self._seats: list[asyncio.Task[None]] = []
        self._unfit: str | None = None
        self._closed = False
        self._stirred = asyncio.Event()
        self.workers: set[Worker] = set()
        """All that are ready, or at work."""

    async def ready(self, most: int | None = None) -> None:
        """Returns when all are ready, or as many as ``most``. Raises ``ProviderUnavailable`` where
        they do not start.
        """
        self._open()
        while len(self.workers) < min(most or self._count, self._count):
            if self._unfit is not None:
                raise ProviderUnavailable(cause="broken", hint=self._unfit)
            self._stirred.clear()
            await self._stirred.wait()

    @asynccontextmanager
    async def hold(self, start: bytes) -> AsyncIterator[tuple[Worker, dict[str, Any]]]:
        """A process that was given the order to ``start`` an utterance, and what it said to that.

        Raises ``EngineBusy`` at once where too many wait, and after ``WAIT_SECONDS`` where none
        became free; ``ProviderUnavailable`` where there are none.
        """
        worker = await self._take()
        try:
            try:
                said = await worker.ask(b"S", start)
            except (ProviderUnavailable, ProviderTimeout):
                # It died of another's utterance; nothing of this one is lost yet.
                worker = await self._take()
                said = await worker.ask(b"S", start)
            yield worker, said
        finally:
            if worker.alive:
                self._free.put_nowait(worker)

    async def close(self) -> None:
        """Ends them all; who waits for one is told."""
        self._closed = True
        for _ in range(self._waiting):
            self._free.put_nowait(None)
        for seat in self._seats:
            seat.cancel()
        await asyncio.gather(*self._seats, return_exceptions=True)
        self._seats.clear()

    async def _take(self) -> Worker:
        self._open()
        while not self._free.empty():
            worker = self._free.get_nowait()
            if worker is not None and worker.alive:
                return worker
        if self._unfit is not None and not self.workers:
            raise ProviderUnavailable(cause="broken", hint=self._unfit)
        if self._waiting >= self._queue:
            raise EngineBusy
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while (worker := await self._free.get()) is None or not worker.alive:
                    self._open()
                return worker
        except TimeoutError:
            raise EngineBusy from None
        finally:
            self._waiting -= 1

    def _open(self) -> None:
        """Starts them, unless they were. Raises ``ProviderUnavailable`` after the end."""
        if self._closed:
            raise ProviderUnavailable(hint="the offline recogniser was closed")
        if not self._seats:
            self._seats = [asyncio.create_task(self._seat()) for _ in range(self._count)]

    async def _seat(self) -> None:
        """Keeps one process, for ever."""
        pause, clock = 0.0, asyncio.get_running_loop().time
        while True:
            began = clock()
            try:
                worker = await Worker.start(self._order)
            except Unfit as error:
                self._unfit = str(error)
                log.error("recognizer_unfit", hint=self._unfit)  # noqa: TRY400 - the hint says it all
            else:
                await self._keep(worker)
            self._stirred.set()
            pause = 0.0 if clock() - began > _LIVED else min(_LONGEST_PAUSE, 2 * pause + 1)
            await asyncio.sleep(pause)

    async def _keep(self, worker: Worker) -> None:
        """Returns when it has ended."""
        self._unfit = None
        self.workers.add(worker)
        self._free.put_nowait(worker)
        self._stirred.set()
        try:
            code = await worker.ended()
            log.warning("recognizer_ended", pid=worker.pid, code=code)
        finally:
            self.workers.discard(worker)
            await worker.close()
