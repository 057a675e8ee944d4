"""The synthesizer that needs no voice: it hums."""

import math
import struct
from collections.abc import AsyncGenerator

from talksy.ai.tts.base import Synthesizer
from talksy.audio import OUT_RATE, size_of

LETTER_MS = 60
"""Of sound for each letter."""
_PITCH = 220
_LOUDNESS = 6_000
_SECOND = struct.pack(
    f"<{OUT_RATE}h",
    *(
        round(_LOUDNESS * math.sin(2 * math.pi * _PITCH * sample / OUT_RATE))
        for sample in range(OUT_RATE)
    ),
)
"""One second of the tone, whose end fits its beginning."""


class MockSynthesizer(Synthesizer):
    """A ``Synthesizer`` that gives a tone of 60 ms for each character of a sentence, in one piece,
    whatever the voice.
    """

    provider = "mock"

    def __init__(self, *, model: str = "mock") -> None:
        self.model = model

    async def speak(
        self,
        sentence: str,
        voice: str | None,  # noqa: ARG002
        language: str | None,  # noqa: ARG002
    ) -> AsyncGenerator[bytes]:
        """As ``Synthesizer.speak``; it never fails."""
        size = size_of(LETTER_MS * len(sentence), OUT_RATE)
        yield (_SECOND * (size // len(_SECOND) + 1))[:size]

    async def ping(self) -> None:
        """Returns at once: there is nobody to reach."""

    async def close(self) -> None:
        """Holds nothing."""
