"""What every voice promises."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from talksy.audio import OUT_RATE, milliseconds


@dataclass(frozen=True, slots=True)
class Speech:
    """A piece of speech: 24 kHz PCM, and what it says."""

    pcm: bytes
    text: str

    @property
    def duration_ms(self) -> float:
        """How long it is."""
        return milliseconds(len(self.pcm), OUT_RATE)

    def heard(self, ms: float) -> str:
        """What has been heard of it after so long, to the word."""
        words = self.text.split(" ")
        share = min(1.0, ms / self.duration_ms) if self.duration_ms else 1.0
        return " ".join(words[: int(len(words) * share)])


class Synthesizer(Protocol):
    """A voice of one vendor, or of several behind it."""

    def stream(
        self,
        texts: AsyncIterator[str],
        *,
        voice: str | None = None,
        language: str | None = None,
    ) -> AsyncGenerator[Speech]:
        """Speaks the text as it comes, a sentence at a time. Closing it ends what runs for it."""
        ...
