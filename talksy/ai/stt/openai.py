"""Transcriptions of OpenAI, and of every server that speaks its API."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Unpack

from talksy.ai.openai import OpenAI
from talksy.ai.stt.base import BatchRecognizer, Capabilities, Transcript
from talksy.ai.stt.wav import NAME, wav
from talksy.ai.vendor import Access

_SETTINGS = {"key": "OPENAI_API_KEY", "model": "STT_PROVIDER", "url": "OPENAI_BASE_URL"}
_EARLY = "What was said was not understood to its end: try again."


class OpenAIRecognizer(BatchRecognizer):
    """A ``Recognizer`` behind OpenAI's transcriptions; the server is that of ``OpenAI``.

    The text is streamed, but by ``whisper`` models, which cannot.
    """

    capabilities = Capabilities()

    def __init__(self, *, model: str = "gpt-transcribe", **access: Unpack[Access]) -> None:
        self._vendor = OpenAI(_SETTINGS, model=model, **access)
        self.provider, self.model = self._vendor.name, model

    async def recognize(
        self, pcm: bytes, *, language: str | None, phrases: Sequence[str]
    ) -> AsyncGenerator[Transcript]:
        """As ``BatchRecognizer.recognize``. Closing the generator closes the HTTP response."""
        create = self._vendor.client.audio.transcriptions.create
        request = self._request(pcm, language, phrases)
        try:
            if "whisper" in self.model:
                yield _final((await create(**request)).text, language)
                return
            text = ""
            async with await create(stream=True, **request) as events:
                async for event in events:
                    if event.type == "transcript.text.delta":
                        text += event.delta
                        yield Transcript(text, final=False, language=language)
                    elif event.type == "transcript.text.done":
                        yield _final(event.text, language)
                        return
        except self._vendor.raises as fault:
            raise self._vendor.failure(fault) from None
        raise self._vendor.wrong("ended_early", _EARLY, "broken", None)

    async def ping(self) -> None:
        """As ``Vendor.ping``."""
        await self._vendor.ping()

    async def close(self) -> None:
        """Closes the connections."""
        await self._vendor.close()

    def _request(self, pcm: bytes, language: str | None, phrases: Sequence[str]) -> dict[str, Any]:
        request: dict[str, Any] = {"file": (NAME, wav(pcm), "audio/wav"), "model": self.model}
        if language:
            request["language"] = language.partition("-")[0]
        if phrases and self.model.startswith("gpt-transcribe"):
            request["keywords"] = list(phrases)
        elif phrases:
            request["prompt"] = ", ".join(phrases)
        return request


def _final(text: str, language: str | None) -> Transcript:
    return Transcript(text.strip(), final=True, language=language)
