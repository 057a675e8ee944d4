"""What every recogniser promises."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Self, final

from talksy.ai.stt.utterance import Utterance
from talksy.errors import ValidationError

_LEAST_MS = 100
"""Vendors refuse less, and nobody says a word in it."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said, as far as it is known. Times are milliseconds from the utterance's start."""

    text: str
    final: bool
    start_ms: int = 0
    end_ms: int = 0
    confidence: float | None = None
    """From 0 to 1; None where the engine does not say."""
    language: str | None = None
    provider: str = ""
    degraded: bool = False
    """It was not the first choice that heard it."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a recogniser can do."""

    streaming: bool = False
    """Partials come while somebody speaks, not only after the end."""
    languages: frozenset[str] = frozenset()
    """What it understands, as ``en``; empty for any."""
    experimental: bool = False
    """It hears short English phrases in a quiet room; whoever offers it should say so."""

    def hears(self, language: str | None) -> bool:
        """Whether it understands a language such as ``en-GB``; None is its own choice."""
        spoken = (language or "").lower().partition("-")[0]
        return not spoken or not self.languages or spoken in self.languages


class Hearing:
    """One utterance on its way to text. Whoever pushes and whoever reads may be two tasks.

    Reading gives ``Partial* Final``: each partial replaces the one before, and the one final ends
    it, also where it was cut off. A failure ends it instead, as ``Recognizer.transcribe`` raises.
    """

    def __init__(self, utterance: Utterance, transcripts: AsyncGenerator[Transcript]) -> None:
        self._utterance = utterance
        self._transcripts = transcripts
        self._last = Transcript("", final=False)
        self._aborted = False
        self._over = False
        self._scope: asyncio.Timeout | None = None

    def push(self, pcm: bytes) -> None:
        """What was said next: 16 kHz, of any length, odd ones too. Never waits.

        Raises ``Overloaded`` where it would become too long to be kept; what was pushed before is
        heard all the same.
        """
        self._utterance.push(pcm)

    def pause(self) -> None:
        """What was pushed so far may be all; whoever can makes the final of it, in case it is."""
        self._utterance.pause()

    def end(self) -> None:
        """Nothing more is said; the final follows."""
        self._utterance.end()

    def abort(self) -> None:
        """Makes the last partial the final, now."""
        self._aborted = True
        self._utterance.end()
        if self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Transcript:
        if self._over:
            raise StopAsyncIteration
        self._over = True  # unless what comes is a partial
        told = None if self._aborted else await self._next()
        if told is None:
            await self._transcripts.aclose()
            # Cut off, or the engine thought that its last word was enough.
            told = replace(self._last, final=True, end_ms=self._last.end_ms or self._utterance.ms)
        self._last, self._over = told, told.final
        return told

    async def _next(self) -> Transcript | None:
        """What comes next; None where nothing does, or it was cut off meanwhile."""
        # A scope can end this wait alone, so nothing is left behind and no task is needed.
        scope = asyncio.timeout(None)
        try:
            async with scope as self._scope:
                return await anext(self._transcripts, None)
        except TimeoutError:
            if not scope.expired():
                raise
            return None
        finally:
            self._scope = None


class Recognizer(ABC):
    """A recogniser of one vendor, or of several behind it. Utterances may run side by side."""

    provider: str
    """The vendor's name, such as ``openai``."""
    model: str
    """The vendor's name of the model."""
    capabilities: Capabilities

    @final
    def check(self, language: str | None) -> None:
        """Raises ``ValidationError`` for a language that nobody here understands."""
        if not self.capabilities.hears(language):
            known = ", ".join(sorted(self.capabilities.languages))
            fault = f"is not understood by {self.provider}: say one of {known}"
            raise ValidationError(f"language {fault}", faults=[("language", fault)])

    @final
    @asynccontextmanager
    async def listen(
        self, *, language: str | None = None, phrases: Sequence[str] = ()
    ) -> AsyncIterator[Hearing]:
        """Hears one utterance. ``phrases`` are what is likely to be said.

        The block ends after whoever reads has stopped, and what runs for it ends with the block.
        Raises ``ValidationError`` for a language that nobody here understands.
        """
        self.check(language)
        utterance = Utterance()
        transcripts = self.transcribe(utterance, language=language, phrases=phrases)
        async with aclosing(transcripts):
            yield Hearing(utterance, transcripts)

    @abstractmethod
    def transcribe(
        self, utterance: Utterance, *, language: str | None = None, phrases: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript]:
        """``Partial* Final?``; where there is no final, the last partial is it.

        Closing the generator ends what runs for it. Raises ``ProviderUnavailable`` or
        ``ProviderTimeout``, whose messages name no secret and carry no vendor text; where too many
        speak at once that is ``EngineBusy``, before it has begun.
        """

    async def warm(self) -> None:  # noqa: B027 - most have nothing to load
        """Loads what is needed, so that nothing is loaded while somebody speaks. Raises as
        ``transcribe`` does.
        """

    @abstractmethod
    async def ping(self) -> None:
        """Returns when somebody could be heard now; raises as ``transcribe`` does, with a ``hint``
        for the operator. Costs nothing.
        """

    @abstractmethod
    async def close(self) -> None:
        """Gives back connections and ends processes."""


class BatchRecognizer(Recognizer):
    """A ``Recognizer`` whose engine takes a whole utterance at once."""

    @abstractmethod
    def recognize(
        self, pcm: bytes, *, language: str | None, phrases: Sequence[str]
    ) -> AsyncGenerator[Transcript]:
        """As ``transcribe``, of all that was said; the times are filled in."""

    async def transcribe(
        self, utterance: Utterance, *, language: str | None = None, phrases: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript]:
        """As ``Recognizer.transcribe``."""
        pcm = await utterance.whole()
        if utterance.ms < _LEAST_MS:
            yield Transcript("", final=True, end_ms=utterance.ms, provider=self.provider)
            return
        async with aclosing(self.recognize(pcm, language=language, phrases=phrases)) as told:
            async for each in told:
                yield replace(each, end_ms=utterance.ms, provider=self.provider)
