"""The wake word engines of a node, and who of them listens for which phrase."""

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

from talksy.ai.slot import Slot
from talksy.ai.wake.base import WakeDetector, WakeEngine
from talksy.errors import ProviderUnavailable

log = structlog.get_logger(__name__)

ENGINES = Slot(
    what="wake word engine",
    built_in={
        "micro": "talksy.ai.wake.micro:MicroWake",
        "keyphrase": "talksy.ai.wake.keyphrase:KeyphraseWake",
        "mock": "talksy.ai.wake.mock:MockWake",
    },
    plugins="talksy.wake",
    contract=WakeEngine,
)
_USUAL = ("micro", "keyphrase")


class WakeEngines:
    """Opens each when it is first asked for; ``options`` holds the arguments of each by name."""

    def __init__(self, options: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._options = options or {}
        self._opened: dict[str, WakeEngine] = {}

    async def warm(self, name: str) -> None:
        """Loads an engine ahead. Raises ``ValueError`` as ``Slot.open``, else as ``listen``."""
        await self._engine(name).warm()

    async def prepare(self, phrase: str, engine: str | None = None) -> None:
        """Loads ahead who would ``listen``. Raises as ``warm``."""
        await (await self._chosen(phrase, engine)).warm()

    @asynccontextmanager
    async def listen(
        self, phrase: str, *, sensitivity: float = 0.5, engine: str | None = None
    ) -> AsyncGenerator[WakeDetector]:
        """A detector for one stream; without an ``engine``, of the first that knows the phrase.

        Raises ``ValidationError`` for a phrase that nobody knows, ``ProviderUnavailable`` where
        none is installed (the ``hint`` says what is missing), else as ``WakeEngine.listen``.
        """
        chosen = await self._chosen(phrase, engine)
        async with chosen.listen(phrase, sensitivity) as detector:
            yield detector

    async def close(self) -> None:
        """Ends what runs for them."""
        for engine in self._opened.values():
            await engine.close()

    async def _chosen(self, phrase: str, engine: str | None) -> WakeEngine:
        return self._engine(engine) if engine else await self._usual(phrase)

    async def _usual(self, phrase: str) -> WakeEngine:
        *others, last = self._knowing(phrase)
        for engine in others:
            try:
                await engine.warm()
            except ProviderUnavailable as error:
                log.info("wake_engine_passed", engine=engine.name, hint=error.hint)
            else:
                return engine
        return last

    def _knowing(self, phrase: str) -> Iterator[WakeEngine]:
        yield from (each for name in _USUAL if (each := self._engine(name)).knows(phrase))

    def _engine(self, name: str) -> WakeEngine:
        if name not in self._opened:
            self._opened[name] = ENGINES.open(name, self._options)
        return self._opened[name]
