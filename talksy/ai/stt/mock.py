"""The recogniser that needs no ears: it knows what was said by the sound of it."""

import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence

from talksy.ai.stt.base import BatchRecognizer, Capabilities, Transcript
from talksy.audio import milliseconds


class MockRecognizer(BatchRecognizer):
    """A ``Recognizer`` whose ``transcripts`` are found by the SHA-256 of an utterance's PCM, in
    hexadecimal. Of any other it says how long it was, in tenths of a second. Partials come word by
    word, and everything is the same however the sound was cut.
    """

    provider = "mock"
    capabilities = Capabilities()

    def __init__(
        self, *, model: str = "mock", transcripts: Mapping[str, str] | None = None
    ) -> None:
        self.model = model
        self._transcripts = dict(transcripts or {})

    async def recognize(
        self,
        pcm: bytes,
        *,
        language: str | None,
        phrases: Sequence[str],  # noqa: ARG002
    ) -> AsyncGenerator[Transcript]:
        """As ``BatchRecognizer.recognize``; it never fails."""
        unknown = f"I heard {milliseconds(len(pcm)) / 1_000:.1f} seconds of sound."
        words = self._transcripts.get(hashlib.sha256(pcm).hexdigest(), unknown).split()
        for count in range(1, len(words)):
            yield Transcript(" ".join(words[:count]), final=False, language=language)
        yield Transcript(" ".join(words), final=True, confidence=1.0, language=language)

    async def ping(self) -> None:
        """Returns at once: there is nobody to reach."""

    async def close(self) -> None:
        """Holds nothing."""
