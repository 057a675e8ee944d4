"""What nodes tell each other, and the look at the rows behind it."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal, get_args

import structlog

from talksy.state import Away, Bus

log = structlog.get_logger(__name__)

Kind = Literal["turns", "tools", "over", "revoked"]
"""``turns`` of a session began, or ended waiting; something is to be told of its ``tools``; a
session is ``over``; a login is ``revoked``."""

CHANNEL = "fleet"
QUEUED = 1_000
"""So many words wait to be said; those that come then are dropped."""


class News:
    """A word for what is quick, a row for what is sure: a word may be lost, a row not.

    Without a bus nothing is told, and all is found by looking.
    """

    def __init__(self, bus: Bus | None, *, node: str, seconds: float = 5.0) -> None:
        """``node`` is what this one is called, without a space; ``seconds`` pass at most between
        two looks at the rows.
        """
        self._bus = bus
        self._node = node
        self._seconds = seconds
        self._hears: dict[str, list[Callable[[str], None]]] = {kind: [] for kind in get_args(Kind)}
        self._looks: list[Callable[[], Awaitable[None]]] = []
        self._words: asyncio.Queue[str] = asyncio.Queue(QUEUED)
        self._due = asyncio.Event()
        self._silenced = 0
        self.dropped = 0
        """How many words of this node nobody was told."""

    def on(self, kind: Kind, hear: Callable[[str], None]) -> None:
        """``hear`` is given the name, and what stands behind it, in each word of this kind that
        another node tells.
        """
        self._hears[kind].append(hear)

    def sweep(self, look: Callable[[], Awaitable[None]]) -> None:
        """``look`` is called every few seconds, and as soon as words may have been missed."""
        self._looks.append(look)

    def tell(self, kind: Kind, name: str) -> None:
        """Tells the other nodes, in the order of the calls. Returns at once and never raises."""
        if self._bus is None:
            return
        try:
            self._words.put_nowait(f"{self._node} {kind} {name}")
        except asyncio.QueueFull:
            self._drop()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Tells, hears and looks until it is closed."""
        tasks = [asyncio.create_task(self._look(), name="news")]
        if self._bus is not None:
            self._bus.on_gap(self._due.set)
            await self._bus.listen(CHANNEL, self._hear)
            tasks.append(asyncio.create_task(self._say(self._bus), name="words"))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _say(self, bus: Bus) -> None:
        while True:
            word = await self._words.get()
            try:
                await bus.say(CHANNEL, word)
            except Away:
                self._drop()
            except Exception:
                log.exception("word_failed")
                self._drop()
            else:
                self._silenced = 0

    def _drop(self) -> None:
        self.dropped += 1
        self._silenced += 1
        if self._silenced == 1:
            # Once an outage: who is not told looks.
            log.warning("news_dropped", dropped=self.dropped)

    def _hear(self, word: str) -> None:
        node, _, told = word.partition(" ")
        if node == self._node:
            return
        kind, _, name = told.partition(" ")
        # What a later version tells beside this is not for us.
        for hear in self._hears.get(kind, ()):
            try:
                hear(name)
            except Exception:
                log.exception("news_failed", kind=kind)

    async def _look(self) -> None:
        while True:
            # Jitter, so that nodes that were started together do not ask together.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._seconds * random.uniform(0.7, 1)):  # noqa: S311
                    await self._due.wait()
            self._due.clear()
            for look in self._looks:
                try:
                    await look()
                except Exception as error:  # noqa: BLE001 - the next one may succeed
                    log.warning("look_failed", error=type(error).__name__)
