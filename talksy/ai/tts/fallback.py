"""A synthesizer made of synthesizers: who speaks is the first that can.

Before the first sound of a sentence a failure is not heard: the sentence is asked for again where
that may help, else the next voice says it, and goes on to the end of the answer. After it nothing
is said twice: the failure is told.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

import structlog

from talksy.ai.llm.base import Unwatched, Watcher
from talksy.ai.llm.fallback import Choice, Course, Silence, summed
from talksy.ai.several import ping_any, warm_all
from talksy.ai.tts.base import Speech, Synthesizer
from talksy.ai.tts.sentences import said, sentences
from talksy.errors import ProviderFault

log = structlog.get_logger(__name__)

SILENCE = Silence(first_token=5.0, gap=5.0)


class FallbackSynthesizer(Synthesizer):
    """A ``Synthesizer`` whose speech comes from the first of ``choices`` that can speak. A voice is
    the first one's; whoever stands in has its own usual one.
    """

    def __init__(
        self,
        choices: Sequence[Choice[Synthesizer]],
        *,
        watcher: Watcher | None = None,
        silence: Silence = SILENCE,
    ) -> None:
        self.choices = tuple(choices)
        self.provider, self.model = choices[0].names
        self._watcher = watcher or Unwatched()
        self._silence = silence

    async def stream(
        self, texts: AsyncIterator[str], *, voice: str | None = None, language: str | None = None
    ) -> AsyncGenerator[Speech]:
        """As ``Synthesizer.stream``."""
        able: Sequence[Choice[Synthesizer]] = self.choices
        async with aclosing(sentences(texts)) as cut:
            async for sentence in cut:
                if not said(sentence):
                    yield Speech(b"", sentence, self.provider)
                    continue
                course = Course(able, self._silence)

                def ask(engine: Synthesizer, text: str = sentence) -> AsyncGenerator[Speech]:
                    first = engine is self.choices[0].model
                    return engine.pieces(text, voice if first else None, language)

                async with aclosing(self._spoken(course, able, ask)) as pieces:
                    async for piece in pieces:
                        yield piece
                able = able[course.place :]

    async def speak(
        self, sentence: str, voice: str | None, language: str | None
    ) -> AsyncGenerator[bytes]:
        """As ``Synthesizer.speak``."""

        async def texts() -> AsyncGenerator[str]:
            yield sentence

        async with aclosing(self.stream(texts(), voice=voice, language=language)) as pieces:
            async for piece in pieces:
                yield piece.pcm

    async def warm(self) -> None:
        """Warms them all; raises what the first said where none can be."""
        await warm_all([choice.model for choice in self.choices])

    async def ping(self) -> None:
        """Returns when one of them can speak; raises what the first said where none can."""
        await ping_any([choice.model for choice in self.choices])

    async def close(self) -> None:
        """Closes them all."""
        for choice in self.choices:
            await choice.model.close()

    async def _spoken(
        self,
        course: Course[Synthesizer],
        able: Sequence[Choice[Synthesizer]],
        ask: Callable[[Synthesizer], AsyncGenerator[Speech]],
    ) -> AsyncGenerator[Speech]:
        """One sentence."""
        while True:
            try:
                async with course.call(ask) as call:
                    async for piece in call.parts:
                        call.patience.rest(self._silence.gap)
                        if not call.begun:
                            call.begin()
                            self._begins(able, course.place)
                        yield self._stamped(piece, able[course.place])
                        call.patience.begin()
            except ProviderFault as fault:
                if course.begun:
                    raise
                pause = course.failed(fault)
                if pause is not None:
                    self._watcher.retried(*able[course.place].names)
                    await asyncio.sleep(pause)
                elif not course.go_on():
                    raise summed(course.faults) from None
            else:
                return

    def _begins(self, able: Sequence[Choice[Synthesizer]], place: int) -> None:
        if place:
            self._watcher.moved(*able[place - 1].names, reset=False)
            provider, model = able[place].names
            log.info("speech_degraded", provider=provider, model=model)

    def _stamped(self, piece: Speech, choice: Choice[Synthesizer]) -> Speech:
        degraded = choice is not self.choices[0] or choice.makeshift
        return replace(piece, provider=choice.names[0], degraded=degraded)
