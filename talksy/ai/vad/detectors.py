"""The detectors of a node: opened ahead, each lent to one stream at a time."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

from talksy.ai.vad.base import SpeechDetector
from talksy.ai.vad.engines import ENGINES, open_detector
from talksy.errors import Overloaded, ProviderUnavailable

log = structlog.get_logger(__name__)


class Detectors:
    """Lends ``most`` detectors at once, whatever their kind; ``options`` as ``open_detector``.

    One that is given back hears the next stream: to open some takes 0.1 s and 10 MB, so what was
    lent before is kept.
    """

    def __init__(
        self, options: Mapping[str, Mapping[str, Any]] | None = None, *, most: int = 100
    ) -> None:
        self._options = options or {}
        self._most = most
        self._idle: dict[str, list[SpeechDetector]] = {}
        self._missing: set[str] = set()
        self.lent = 0

    async def warm(self, name: str, count: int) -> str:
        """Opens so many detectors ahead, and says which: see ``lend``."""
        opened = [await self._open(name) for _ in range(count)]
        for detector in opened:
            self._idle.setdefault(detector.name, []).append(detector)
        return opened[0].name if opened else name

    @asynccontextmanager
    async def lend(self, name: str) -> AsyncGenerator[SpeechDetector]:
        """A detector for one stream, as new.

        Where what ``name`` runs on is not installed, it is the next of ``ENGINES`` that is: the
        detector has its own name. Raises ``Overloaded`` where too many are lent, else as
        ``open_detector``.
        """
        if self.lent >= self._most:
            raise Overloaded
        self.lent += 1
        try:
            detector = await self._open(name)
            try:
                yield detector
            finally:
                detector.finish()
                self._idle.setdefault(detector.name, []).append(detector)
        finally:
            self.lent -= 1

    async def _open(self, name: str) -> SpeechDetector:
        """An idle one, else a new one, opened in a thread: the loop goes on."""
        try:
            if idle := self._idle.get(name):
                return idle.pop()
            if name not in self._missing:
                return await asyncio.to_thread(open_detector, name, self._options)
        except ProviderUnavailable as error:
            self._missing.add(name)
            log.warning("detector_missing", detector=name, hint=error.hint)
        others = list(ENGINES)
        return await self._open(others[others.index(name) + 1])
