"""Speech of Groq."""

from collections.abc import AsyncGenerator
from typing import Unpack

from talksy.ai.groq import Groq
from talksy.ai.tts.base import Synthesizer
from talksy.ai.tts.pcm import resampled, unwrapped
from talksy.ai.vendor import Access

_SETTINGS = {"key": "GROQ_API_KEY", "model": "TTS_PROVIDER", "url": "GROQ_BASE_URL"}


class GroqSynthesizer(Synthesizer):
    """A ``Synthesizer`` behind Groq's speech, which comes as a WAV file; the server is that of
    ``Groq``. ``voice`` is the one where nobody asks for another.
    """

    def __init__(
        self,
        *,
        model: str = "canopylabs/orpheus-v1-english",
        voice: str = "hannah",
        **access: Unpack[Access],
    ) -> None:
        self._vendor = Groq(_SETTINGS, model=model, **access)
        self._voice = voice
        self.provider, self.model = self._vendor.name, model

    async def speak(
        self,
        sentence: str,
        voice: str | None,
        language: str | None,  # noqa: ARG002 - the model has one
    ) -> AsyncGenerator[bytes]:
        """As ``Synthesizer.speak``. Closing the generator closes the HTTP response."""
        speech = self._vendor.client.audio.speech.with_streaming_response
        request = speech.create(
            input=sentence, model=self.model, voice=voice or self._voice, response_format="wav"
        )
        try:
            async with request as response:
                pcm, rate = unwrapped(await response.read())
        except self._vendor.raises as fault:
            raise self._vendor.failure(fault) from None
        yield await resampled(pcm, rate)

    async def ping(self) -> None:
        """As ``Vendor.ping``."""
        await self._vendor.ping()

    async def close(self) -> None:
        """Closes the connections."""
        await self._vendor.close()
