"""A recogniser whose every step is written down beforehand."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from talksy.ai.stt import Capabilities, Hearing, Recognizer, Transcript, Utterance

Step = str | Transcript | BaseException | asyncio.Event
"""A text is a partial, exceptions are raised, events waited for."""
END = "<end>"
"""The step that waits for the end of the utterance."""
SOUND = b"\x01\x00" * 16_000
"""One second of it."""


class ScriptedRecognizer(Recognizer):
    """A ``Recognizer`` that follows ``steps``, the same in every utterance."""

    model = "script-1"

    def __init__(
        self, *steps: Step, name: str = "script", languages: frozenset[str] = frozenset()
    ) -> None:
        self.provider = name
        self.capabilities = Capabilities(languages=languages)
        self._steps = steps
        self.heard: list[bytes] = []
        """What each ``END`` has waited for."""
        self.asked = 0
        self.open = 0
        """Utterances that were begun and not closed."""
        self.idle = asyncio.Event()
        """Set when one waits."""

    async def transcribe(
        self,
        utterance: Utterance,
        *,
        language: str | None = None,  # noqa: ARG002
        phrases: Sequence[str] = (),  # noqa: ARG002
    ) -> AsyncGenerator[Transcript]:
        self.asked += 1
        self.open += 1
        try:
            for step in self._steps:
                match step:
                    case "<end>":
                        self.heard.append(await utterance.whole())
                    case str():
                        yield Transcript(step, final=False, end_ms=utterance.ms)
                    case Transcript():
                        yield step
                    case BaseException():
                        raise step
                    case asyncio.Event():
                        self.idle.set()
                        await step.wait()
        finally:
            self.open -= 1

    async def ping(self) -> None:
        if self._steps and isinstance(self._steps[0], BaseException):
            raise self._steps[0]

    async def close(self) -> None: ...


def final(text: str) -> Transcript:
    return Transcript(text, final=True)


async def read(hearing: Hearing) -> list[Transcript]:
    """All that an utterance comes to."""
    return [told async for told in hearing]


async def hear(recognizer: Recognizer, pcm: bytes = SOUND, *, size: int = 640) -> list[Transcript]:
    """What is made of ``pcm``, given in pieces of ``size`` bytes."""
    async with recognizer.listen() as hearing:
        for at in range(0, len(pcm), size):
            hearing.push(pcm[at : at + size])
        hearing.end()
        return await read(hearing)


def texts(told: Sequence[Transcript]) -> list[tuple[str, bool]]:
    return [(each.text, each.final) for each in told]
