"""A synthesizer whose every step is written down beforehand."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from talksy.ai.tts import Speech, Synthesizer

Step = bytes | BaseException | asyncio.Event
"""Sound is given, exceptions raised, events waited for."""
SOUND = b"\x01\x00" * 12_000
"""Half a second of it."""


class ScriptedSynthesizer(Synthesizer):
    """A ``Synthesizer`` that follows ``steps``, the same for every sentence."""

    model = "script-1"

    def __init__(self, *steps: Step, name: str = "script") -> None:
        self.provider = name
        self._steps = steps
        self.asked: list[tuple[str, str | None]] = []
        """Each sentence, and the voice."""
        self.open = 0
        self.idle = asyncio.Event()
        """Set when one waits."""

    async def speak(
        self,
        sentence: str,
        voice: str | None,
        language: str | None,  # noqa: ARG002
    ) -> AsyncGenerator[bytes]:
        self.asked.append((sentence, voice))
        self.open += 1
        try:
            for step in self._steps:
                match step:
                    case bytes():
                        yield step
                    case BaseException():
                        raise step
                    case asyncio.Event():
                        self.idle.set()
                        await step.wait()
        finally:
            self.open -= 1

    async def ping(self) -> None: ...

    async def close(self) -> None: ...


async def written(*texts: str) -> AsyncIterator[str]:
    """A text as a model writes it."""
    for text in texts:
        yield text


async def spoken(
    synthesizer: Synthesizer,
    *texts: str,
    into: list[Speech] | None = None,
    voice: str | None = None,
) -> list[Speech]:
    """All pieces, before a failure also in ``into``."""
    pieces = [] if into is None else into
    async for piece in synthesizer.stream(written(*texts), voice=voice):
        pieces.append(piece)
    return pieces


def words(pieces: Sequence[Speech]) -> list[str]:
    return [piece.text for piece in pieces]
