"""What somebody says, from the first sound of it to the last."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from talksy.audio import SAMPLE_BYTES, milliseconds, size_of
from talksy.errors import Overloaded

LONGEST_MS = 120_000
"""Nobody says more in one go; what listens cuts long before."""
_BLOCK = size_of(100)
"""Bytes a reader is given at once, however they came, so that what it makes of them is the same."""


class Utterance:
    """One utterance, kept while it is recognised.

    It may be read by one after the other, each from its beginning: where a recogniser fails in the
    middle of it, the next one hears all of it.
    """

    def __init__(self) -> None:
        self.ended = False
        self._pcm = bytearray()
        self._pauses: list[int] = []
        """Where what had come might have been all."""
        self._stirred = asyncio.Event()
        self._at_end: Callable[[], None] = lambda: None

    @property
    def ms(self) -> int:
        """How long it is by now."""
        return int(milliseconds(len(self._pcm)))

    def push(self, pcm: bytes) -> None:
        """Takes the next piece, of any length; a piece may end within a sample.

        Raises ``Overloaded`` where it would become longer than ``LONGEST_MS``; what was pushed
        before stays. What comes after the end is dropped.
        """
        if self.ended:
            return
        if len(self._pcm) + len(pcm) > size_of(LONGEST_MS):
            raise Overloaded(f"An utterance has at most {LONGEST_MS // 1_000} s: end it.")
        self._pcm += pcm
        self._stirred.set()

    def pause(self) -> None:
        """What has come may be all."""
        if not self.ended:
            self._pauses.append(len(self._pcm) - len(self._pcm) % SAMPLE_BYTES)
            self._stirred.set()

    def end(self) -> None:
        """Nothing more comes."""
        if not self.ended:
            self.ended = True
            self._stirred.set()
            self._at_end()

    def when_ended(self, call: Callable[[], None]) -> None:
        """Calls at the end, or now where it has ended; in the place of what was asked before."""
        self._at_end = call
        if self.ended:
            call()

    async def blocks(self) -> AsyncGenerator[bytes]:
        """All of it as it comes, 100 ms at a time; the last block, and the last before a pause, may
        be shorter. An empty one says that this may be all: a pause lasts.
        """
        at, passed = 0, 0
        while True:
            pause = self._pauses[passed] if passed < len(self._pauses) else None
            end = at + _BLOCK if pause is None else min(at + _BLOCK, pause)
            if at < end <= len(self._pcm):
                yield bytes(self._pcm[at:end])
                at = end
            elif pause is not None:
                passed += 1
                if not self.ended and not self._whole(at):
                    yield b""
            elif self.ended:
                if rest := self._whole(at):
                    yield rest
                return
            else:
                self._stirred.clear()
                await self._stirred.wait()

    async def whole(self) -> bytes:
        """All of it, when it has ended."""
        while not self.ended:
            self._stirred.clear()
            await self._stirred.wait()
        return self._whole()

    def _whole(self, at: int = 0) -> bytes:
        """What there is from ``at`` on, without half a sample."""
        return bytes(self._pcm[at : len(self._pcm) - len(self._pcm) % SAMPLE_BYTES])
