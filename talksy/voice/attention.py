"""Whether somebody calls the assistant, whatever becomes of the engine that listens for it."""

from collections import deque
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from talksy.ai.wake import Wake, WakeDetector, WakeEngines
from talksy.audio import size_of
from talksy.errors import TalksyError
from talksy.voice.profiles import WakeWord

RETRY_MS = 5_000
"""Of sound: so long nobody listens where an engine could not be opened anew."""
_RECENT_BYTES = size_of(2_000)
"""What an engine that is opened anew hears again: the call that its forerunner died of."""


class Attention:
    """What it takes to be listened to: a detector of the wake word, open while this is entered."""

    def __init__(self, engines: WakeEngines, word: WakeWord) -> None:
        self._engines = engines
        self._word = word
        self._open = AsyncExitStack()
        self._detector: WakeDetector | None = None
        self._recent: deque[bytes] = deque()
        self._recent_size = 0
        self._deaf_size = 0

    @property
    def listen_ms(self) -> int:
        """How long is listened for speech after the wake word."""
        return self._word.listen_ms

    async def __aenter__(self) -> Self:
        """Raises what ``WakeEngines.listen`` does."""
        self._detector = await self._opened()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    async def hear(self, pcm: bytes) -> list[Wake]:
        """Takes the next piece, and waits until it is judged.

        An engine that broke down is opened anew, and hears again what it may not have judged.
        Raises why that was in vain, once; then nothing is heard until it succeeds.
        """
        self._keep(pcm)
        detector = self._detector
        if detector is None:
            self._deaf_size += len(pcm)
            return await self._renew() if self._deaf_size >= size_of(RETRY_MS) else []
        try:
            wakes = await _judged(detector, pcm)
        except TalksyError:
            return await self._renew()
        return self._told(wakes)

    async def finish(self) -> list[Wake]:
        """The stream is over: gives what was not known yet. Raises as the engine."""
        return await self._detector.finish() if self._detector is not None else []

    async def _renew(self) -> list[Wake]:
        known, self._detector, self._deaf_size = self._detector is None, None, 0
        await self._open.aclose()
        try:
            detector = await self._opened()
            wakes = await _judged(detector, b"".join(self._recent))
        except TalksyError:
            if known:
                return []
            raise
        self._detector = detector
        return self._told(wakes)

    async def _opened(self) -> WakeDetector:
        word = self._word
        return await self._open.enter_async_context(
            self._engines.listen(word.phrase, sensitivity=word.sensitivity, engine=word.engine)
        )

    def _keep(self, pcm: bytes) -> None:
        self._recent.append(pcm)
        self._recent_size += len(pcm)
        while self._recent_size > _RECENT_BYTES:
            self._recent_size -= len(self._recent.popleft())

    def _told(self, wakes: list[Wake]) -> list[Wake]:
        """The same; who was heard is not heard again."""
        if wakes:
            self._recent.clear()
            self._recent_size = 0
        return wakes


async def _judged(detector: WakeDetector, pcm: bytes) -> list[Wake]:
    return detector.hear(pcm) + await detector.settle()
