"""Transcriptions of Groq."""

import math
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Unpack

from talksy.ai.groq import Groq
from talksy.ai.stt.base import BatchRecognizer, Capabilities, Transcript
from talksy.ai.stt.wav import NAME, wav
from talksy.ai.vendor import Access

_SETTINGS = {"key": "GROQ_API_KEY", "model": "STT_PROVIDER", "url": "GROQ_BASE_URL"}
_NO_SPEECH = 0.6
_UNSURE = -1.0
"""Whisper's own limits for a segment in which nobody speaks (its ``no_speech_threshold`` and
``logprob_threshold``): it makes up words for those."""


class GroqRecognizer(BatchRecognizer):
    """A ``Recognizer`` behind Groq's transcriptions, which come whole; the server is that of
    ``Groq``. The confidence is the mean probability of a token.
    """

    capabilities = Capabilities()

    def __init__(self, *, model: str = "whisper-large-v3-turbo", **access: Unpack[Access]) -> None:
        self._vendor = Groq(_SETTINGS, model=model, **access)
        self.provider, self.model = self._vendor.name, model

    async def recognize(
        self, pcm: bytes, *, language: str | None, phrases: Sequence[str]
    ) -> AsyncGenerator[Transcript]:
        """As ``BatchRecognizer.recognize``."""
        request: dict[str, Any] = {"file": (NAME, wav(pcm), "audio/wav"), "model": self.model}
        if language:
            request["language"] = language.partition("-")[0]
        if phrases:
            request["prompt"] = ", ".join(phrases)
        try:
            heard = await self._vendor.client.audio.transcriptions.create(
                response_format="verbose_json", **request
            )
            text, confidence = _judged(heard)
        except self._vendor.raises as fault:
            raise self._vendor.failure(fault) from None
        yield Transcript(text, final=True, confidence=confidence, language=language)

    async def ping(self) -> None:
        """As ``Vendor.ping``."""
        await self._vendor.ping()

    async def close(self) -> None:
        """Closes the connections."""
        await self._vendor.close()


def _judged(heard: Any) -> tuple[str, float | None]:
    """The text of those segments in which somebody speaks, and how sure that is."""
    segments = getattr(heard, "segments", None)
    if not segments:
        return heard.text.strip(), None
    spoken = [
        each
        for each in segments
        if each["no_speech_prob"] <= _NO_SPEECH or each["avg_logprob"] >= _UNSURE
    ]
    if not spoken:
        return "", None
    sure = sum(each["avg_logprob"] for each in spoken) / len(spoken)
    return "".join(each["text"] for each in spoken).strip(), round(min(1.0, math.exp(sure)), 3)
