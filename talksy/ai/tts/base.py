"""What every synthesizer promises."""

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from talksy.ai.tts.sentences import said, sentences
from talksy.audio import OUT_RATE, SAMPLE_BYTES, milliseconds, size_of

PIECE_MS = 400
"""So much sound of a sentence that is still being made is given at once, at least."""
LETTERS_A_SECOND = 15.0
"""Of speech, roughly, in any language that has letters."""
_WORD = re.compile(r"\s*\S+\s*")


@dataclass(frozen=True, slots=True)
class Speech:
    """A piece of speech: 24 kHz s16le mono, and the words in it. All texts of an answer together
    are the answer.
    """

    pcm: bytes
    text: str
    provider: str = ""
    degraded: bool = False
    """It was not the first choice that spoke it."""

    @property
    def duration_ms(self) -> float:
        """How long it is."""
        return self.ms_of(len(self.pcm))

    def heard(self, ms: float) -> str:
        """What was heard of the text after so many milliseconds: whole words, by their letters."""
        if ms >= self.duration_ms:
            return self.text
        return _words(self.text, len(self.text) * max(0.0, ms) / self.duration_ms)

    @staticmethod
    def ms_of(size: int) -> float:
        """How long so many bytes last."""
        return milliseconds(size, OUT_RATE)

    @staticmethod
    def bytes_of(ms: float) -> int:
        """The bytes of so many milliseconds."""
        return size_of(ms, OUT_RATE)


class Synthesizer(ABC):
    """A synthesizer of one vendor, or of several behind it. Answers may be spoken side by side."""

    provider: str
    """The vendor's name, such as ``openai``."""
    model: str
    """The vendor's name of the model."""

    async def stream(
        self, texts: AsyncIterator[str], *, voice: str | None = None, language: str | None = None
    ) -> AsyncGenerator[Speech]:
        """Speaks a text while it is written, sentence by sentence; an empty text says that nothing
        follows for a while. Without a ``voice`` it is the usual one of the ``language``.

        Closing the generator ends at once what runs for it. Raises as ``speak`` does.
        """
        async with aclosing(sentences(texts)) as cut:
            async for sentence in cut:
                async with aclosing(self.pieces(sentence, voice, language)) as pieces:
                    async for piece in pieces:
                        yield piece

    async def pieces(
        self, sentence: str, voice: str | None, language: str | None
    ) -> AsyncGenerator[Speech]:
        """One sentence in pieces, each with the words that it has; one piece where it is made at
        once. What has no word in it is a piece without a sound.
        """
        rest, kept = sentence, b""
        if spoken := said(sentence):
            async with aclosing(self.speak(spoken, voice, language)) as sounds:
                async for sound in sounds:
                    # Only of what is not the last is it known that there is text left for it.
                    whole = len(kept) - len(kept) % SAMPLE_BYTES
                    if milliseconds(whole, OUT_RATE) >= PIECE_MS:
                        seconds = milliseconds(whole, OUT_RATE) / 1_000
                        words = _words(rest, LETTERS_A_SECOND * seconds)
                        yield Speech(kept[:whole], words, self.provider)
                        rest, kept = rest[len(words) :], kept[whole:]
                    kept += sound
        yield Speech(kept[: len(kept) - len(kept) % SAMPLE_BYTES], rest, self.provider)

    @abstractmethod
    def speak(
        self, sentence: str, voice: str | None, language: str | None
    ) -> AsyncGenerator[bytes]:
        """The sound of one sentence, 24 kHz s16le mono, in pieces of any length.

        Raises ``ProviderUnavailable`` or ``ProviderTimeout``, whose messages name no secret and
        carry no vendor text; where too much is spoken at once that is ``EngineBusy``, before it has
        begun.
        """

    async def warm(self) -> None:  # noqa: B027 - most have nothing to load
        """Loads what is needed, so that nothing is loaded while somebody waits. Raises as ``speak``
        does.
        """

    @abstractmethod
    async def ping(self) -> None:
        """Returns when it could speak now; raises as ``speak`` does, with a ``hint`` for the
        operator. Costs nothing.
        """

    @abstractmethod
    async def close(self) -> None:
        """Gives back connections."""


def _words(text: str, letters: float) -> str:
    """The words of a text that end within so many letters; never all of them."""
    end = 0
    for word in _WORD.finditer(text):
        if len(text[: word.end()].rstrip()) > letters or word.end() == len(text):
            break
        end = word.end()
    return text[:end]
