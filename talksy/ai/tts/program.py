"""A program of the system that speaks: it is given a text on standard input, and ends with it."""

import asyncio
import contextlib
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence

import structlog

from talksy.errors import ProviderTimeout, ProviderUnavailable

log = structlog.get_logger(__name__)

SECONDS = 15.0
"""For a sentence; it takes some milliseconds."""
REST_SECONDS = 0.2
"""After a sentence: to start a process takes the loop's time, and somebody waits for the sound."""


class Refused(ProviderUnavailable):
    """The program says no: most likely to a voice."""


class Program:
    """One program. To start takes it longer than to speak a sentence, so one process may be kept
    ahead that has nothing left to do but that.
    """

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self._path = path
        self._kept: Sequence[str] | None = None
        """The arguments of the one that is kept ahead."""
        self._ahead: Process | None = None
        self._starting: asyncio.Task[None] | None = None

    async def keep(self, arguments: Sequence[str]) -> None:
        """Keeps a process ahead that has these arguments, from here on."""
        self._kept = arguments
        if self._ahead is None:
            self._ahead = await self._start(arguments)

    async def output(self, arguments: Sequence[str], text: str) -> bytes:
        """What it says to a text. However this ends, its process has ended.

        Raises ``Refused``, and as ``Synthesizer.speak``.
        """
        if (waiting := self._waiting(arguments)) is not None:
            with contextlib.suppress(Refused):  # it may have died while it waited
                return await self._said(waiting, text)
        return await self._said(await self._start(arguments), text)

    async def _said(self, process: Process, text: str) -> bytes:
        try:
            async with asyncio.timeout(SECONDS):
                out, _ = await process.communicate(text.encode())
        except TimeoutError:
            raise ProviderTimeout(hint=f"{self.name} did not end") from None
        finally:
            await _end(process)
            self._restock()
        if process.returncode:
            raise Refused(cause="invalid", hint=f"{self.name} ended with {process.returncode}")
        return out

    async def close(self) -> None:
        """Ends the one that is kept ahead."""
        self._kept = None
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        if self._ahead is not None:
            await _end(self._ahead)

    def _waiting(self, arguments: Sequence[str]) -> Process | None:
        """The one that is kept ahead, where it fits."""
        if arguments != self._kept:
            return None
        process, self._ahead = self._ahead, None
        return process

    def _restock(self) -> None:
        if self._kept is not None and self._ahead is None and self._starting is None:
            self._starting = asyncio.create_task(self._start_ahead(self._kept), name="voice")

    async def _start_ahead(self, arguments: Sequence[str]) -> None:
        try:
            await asyncio.sleep(REST_SECONDS)
            # Where it does not start, whoever speaks next is told.
            with contextlib.suppress(ProviderUnavailable):
                self._ahead = await self._start(arguments)
        finally:
            self._starting = None

    async def _start(self, arguments: Sequence[str]) -> Process:
        try:
            # Nothing of ours goes along: its environment has keys.
            return await asyncio.create_subprocess_exec(
                *(self._path, *arguments), stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}, cwd="/"
            )
        except OSError as error:
            hint = f"{self.name} does not start: {error.strerror}"
            log.warning("synthesis_failed", program=self.name, hint=hint)
            raise ProviderUnavailable(cause="broken", hint=hint) from error


async def _end(process: Process) -> None:
    """Ends a process, if it has not ended; returns when it is gone."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
