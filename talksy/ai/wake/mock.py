"""A wake word that needs no voice: it is a sound, and known to the sample."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from talksy.ai.wake.base import Wake, WakeDetector
from talksy.audio import milliseconds

CALL = (b"\x20\x4e" * 8 + b"\xe0\xb1" * 8) * 100
"""What wakes it, whatever the phrase: 0.1 s of a square wave of 1 kHz."""


class MockWake:
    """A ``WakeEngine`` that knows every phrase and mistakes nothing."""

    name = "mock"

    def knows(self, phrase: str) -> bool:
        """As ``WakeEngine.knows``."""
        return bool(phrase)

    async def warm(self) -> None:
        """There is nothing to load."""

    @asynccontextmanager
    async def listen(self, phrase: str, sensitivity: float) -> AsyncGenerator[WakeDetector]:
        """As ``WakeEngine.listen``; the confidence is the ``sensitivity``."""
        yield _Mock(phrase, sensitivity)

    async def close(self) -> None:
        """There is nothing to end."""


class _Mock:
    def __init__(self, phrase: str, confidence: float) -> None:
        self._phrase, self._confidence = phrase, confidence
        self._heard = 0
        self._tail = b""

    def hear(self, pcm: bytes) -> list[Wake]:
        wakes = []
        self._tail += pcm
        self._heard += len(pcm)
        while (found := self._tail.find(CALL)) >= 0:
            self._tail = self._tail[found + len(CALL) :]
            at = int(milliseconds(self._heard - len(self._tail)))
            wakes.append(Wake(self._phrase, self._confidence, at))
        self._tail = self._tail[-len(CALL) + 1 :]
        return wakes

    async def settle(self) -> list[Wake]:
        return []

    async def finish(self) -> list[Wake]:
        return []
