"""Speech of OpenAI, and of every server that speaks its API."""

from collections.abc import AsyncGenerator
from typing import Unpack

from talksy.ai.openai import OpenAI
from talksy.ai.tts.base import Synthesizer
from talksy.ai.vendor import Access

_SETTINGS = {"key": "OPENAI_API_KEY", "model": "TTS_PROVIDER", "url": "OPENAI_BASE_URL"}
_EARLY = "The speech ended early: try again."


class OpenAISynthesizer(Synthesizer):
    """A ``Synthesizer`` behind OpenAI's speech; the server is that of ``OpenAI``. It hears the
    language from the text. ``voice`` is the one where nobody asks for another.
    """

    def __init__(
        self, *, model: str = "gpt-4o-mini-tts", voice: str = "alloy", **access: Unpack[Access]
    ) -> None:
        self._vendor = OpenAI(_SETTINGS, model=model, **access)
        self._voice = voice
        self.provider, self.model = self._vendor.name, model

    async def speak(
        self,
        sentence: str,
        voice: str | None,
        language: str | None,  # noqa: ARG002
    ) -> AsyncGenerator[bytes]:
        """As ``Synthesizer.speak``. Closing the generator closes the HTTP response."""
        speech = self._vendor.client.audio.speech.with_streaming_response
        request = speech.create(
            input=sentence, model=self.model, voice=voice or self._voice, response_format="pcm"
        )
        spoken = False
        try:
            async with request as response:
                if not _is_sound(response.headers.get("content-type", "")):
                    raise TypeError("it is no sound")
                async for sound in response.iter_bytes():
                    spoken = True
                    yield sound
        except self._vendor.raises as fault:
            raise self._vendor.failure(fault) from None
        if not spoken:
            raise self._vendor.wrong("ended_early", _EARLY, "broken", None)

    async def ping(self) -> None:
        """As ``Vendor.ping``."""
        await self._vendor.ping()

    async def close(self) -> None:
        """Closes the connections."""
        await self._vendor.close()


def _is_sound(kind: str) -> bool:
    """A page of a proxy would be a terrible noise."""
    return not kind.startswith(("text/", "application/json"))
