"""The server's side of the spotter: starts it, gives it orders, hears its answers."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from typing import Any, Self

import structlog

from talksy.ai.wake import spotter
from talksy.errors import Overloaded, ProviderTimeout, ProviderUnavailable

log = structlog.get_logger(__name__)

ANSWER_SECONDS = 5.0
"""It answers within milliseconds, unless it has a decoder to load."""
MOST_BYTES = 256 * 1024
"""Orders that may wait: with what the pipe holds, 10 s of one voice. Then it stands still."""
GONE = "The wake word engine broke down: say it again."


class Link:
    """One process. Where it dies it stays so: who needs another starts another."""

    def __init__(self, process: Process, most: int) -> None:
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        self._process = process
        self._orders = process.stdin
        self._most = most
        self._ears: dict[int, Ear] = {}
        self._last = 0
        self.alive = True
        self._reading = asyncio.create_task(self._read(), name="wake word answers")

    @classmethod
    async def start(cls, most: int) -> Self:
        """A process that will listen, to ``most`` streams at once, as soon as it has loaded."""
        # It is given nothing of ours, neither environment nor terminal.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", spotter.__file__),
            stdin=PIPE,
            stdout=PIPE,
            env={},
            start_new_session=True,
        )
        return cls(process, most)

    def ear(self) -> "Ear":
        """A stream of its own. Raises ``Overloaded`` where there are too many."""
        if len(self._ears) >= self._most:
            raise Overloaded
        self._last += 1
        ear = self._ears[self._last] = Ear(self, self._last)
        return ear

    def order(self, order: int, number: int, rest: int, body: bytes = b"") -> None:
        """Says it at once. Raises ``Overloaded`` where nobody takes it, and kills who should."""
        if not self.alive:
            raise ProviderUnavailable(GONE)
        if self._orders.transport.get_write_buffer_size() > MOST_BYTES:
            log.warning("wake_engine_still", streams=len(self._ears))
            self.abandon()
            raise Overloaded
        self._orders.write(spotter.HEAD.pack(order, number, rest) + body)

    def forget(self, number: int) -> None:
        """Nobody listens to that stream any more."""
        if self._ears.pop(number, None):
            with contextlib.suppress(Overloaded, ProviderUnavailable):
                self.order(spotter.CLOSE, number, 0)

    def abandon(self) -> None:
        """Kills it, since it does not do what it should; its streams are told."""
        self.alive = False
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Ends it."""
        self.abandon()
        await self._reading
        await self._process.wait()
        self._orders.close()

    async def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        try:
            async for line in self._process.stdout:
                said = json.loads(line)
                if ear := self._ears.get(said["stream"]):
                    ear.hear(said)
        finally:
            if self.alive:
                log.warning("wake_engine_died", streams=len(self._ears))
            self.abandon()
            for ear in self._ears.values():
                ear.hear(None)


class Ear:
    """One stream of a ``Link``: what was found in it, and what it waits for."""

    def __init__(self, link: Link, number: int) -> None:
        self._link, self._number = link, number
        self._answer: asyncio.Future[Mapping[str, Any] | None] | None = None
        self.found: list[tuple[float, int]] = []
        """Confidence and place (ms) of each phrase; who takes them clears it."""

    def begin(self, at_ms: int) -> None:
        """Speech begins. Raises ``Overloaded`` and ``ProviderUnavailable``, as all of these."""
        self._link.order(spotter.BEGIN, self._number, at_ms)

    def audio(self, pcm: bytes) -> None:
        """The next piece of it."""
        self._link.order(spotter.AUDIO, self._number, len(pcm), pcm)

    def end(self) -> None:
        """It ends."""
        self._link.order(spotter.END, self._number, 0)

    async def open(
        self, phrase: str, threshold: float, *, seconds: float = ANSWER_SECONDS
    ) -> list[str]:
        """Takes up a phrase; gives the words of it that are not known: then it listens to nothing.

        Raises ``ProviderTimeout``, too.
        """
        body = json.dumps({"phrase": phrase, "threshold": threshold}).encode()
        self._link.order(spotter.OPEN, self._number, len(body), body)
        unknown: list[str] = (await self._answered(seconds))["opened"]
        return unknown

    async def settle(self) -> None:
        """Waits until all that was heard is judged. Raises ``ProviderTimeout``, too."""
        self._link.order(spotter.SETTLE, self._number, 0)
        await self._answered(ANSWER_SECONDS)

    def close(self) -> None:
        """No more."""
        self._link.forget(self._number)

    def hear(self, said: Mapping[str, Any] | None) -> None:
        """What the process says of this stream; None where it is gone."""
        if said and "wake" in said:
            self.found.append((said["wake"][0], said["wake"][1]))
        elif self._answer and not self._answer.done():
            self._answer.set_result(said)

    async def _answered(self, seconds: float) -> Mapping[str, Any]:
        self._answer = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                said = await self._answer
        except TimeoutError:
            log.warning("wake_engine_silent")
            self._link.abandon()
            raise ProviderTimeout("The wake word engine took too long: say it again.") from None
        if said is None:
            raise ProviderUnavailable(GONE)
        return said
