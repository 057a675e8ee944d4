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

_ORDER = list(ENGINES.built_in)


class Detectors:
    """Lends ``most`` detectors at once, whatever their kind; ``options`` as of ``open_detector``.

    What was lent is kept for the next: to open some takes 0.1 s and 10 MB.
    """

    def __init__(
        self, options: Mapping[str, Mapping[str, Any]] | None = None, *, most: int = 100
    ) -> None:
        self._options = options
        self._most = most
        self._idle: dict[str, list[SpeechDetector]] = {}
        self._missing: set[str] = set()
        self.lent = 0
        """How many are in use."""

    async def warm(self, name: str, count: int) -> None:
        """Opens so many ahead. Raises as ``open_detector``."""
        for detector in [await self._open(name) for _ in range(count)]:
            self._keep(detector)

    @asynccontextmanager
    async def lend(self, name: str) -> AsyncGenerator[SpeechDetector]:
        """A detector for one stream, as new.

        Where what a built-in one runs on is not installed, it is the next of ``ENGINES`` that is:
        the detector says by its name which. Raises ``Overloaded`` where all are lent, else as
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
                self._keep(detector)
        finally:
            self.lent -= 1

    def _keep(self, detector: SpeechDetector) -> None:
        self._idle.setdefault(detector.name, []).append(detector)

    async def _open(self, name: str) -> SpeechDetector:
        if idle := self._idle.get(name):
            return idle.pop()
        if name not in self._missing:
            try:
                # In a thread, so that the loop goes on.
                return await asyncio.to_thread(open_detector, name, self._options)
            except ProviderUnavailable as error:
                if name not in _ORDER:
                    raise
                log.warning("detector_missing", detector=name, hint=error.hint)
                self._missing.add(name)
        return await self._open(_ORDER[_ORDER.index(name) + 1])
