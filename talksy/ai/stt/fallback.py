"""A recogniser made of recognisers: who hears is the first that can.

A failure before the final is not seen: the utterance is kept, and the next one hears all of it
again, its partials in the place of the former ones.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import structlog

from talksy.ai.llm.base import Unwatched, Watcher
from talksy.ai.llm.fallback import Choice, Course, Silence, summed
from talksy.ai.several import ping_any, warm_all
from talksy.ai.stt.base import Capabilities, Recognizer, Transcript
from talksy.ai.stt.utterance import LONGEST_MS, Utterance
from talksy.errors import ProviderFault

log = structlog.get_logger(__name__)

FINAL_SECONDS = 10.0
"""From the end of an utterance to its final, or to the next partial on the way there."""


class FallbackRecognizer(Recognizer):
    """A ``Recognizer`` whose transcripts come from the first of ``choices`` that can hear."""

    def __init__(
        self,
        choices: Sequence[Choice[Recognizer]],
        *,
        watcher: Watcher | None = None,
        final: float = FINAL_SECONDS,
    ) -> None:
        """``final`` is in seconds, of each attempt."""
        self.choices = tuple(choices)
        self.provider, self.model = choices[0].names
        engines = [choice.model.capabilities for choice in choices]
        known = frozenset[str]().union(*(engine.languages for engine in engines))
        self.capabilities = Capabilities(
            engines[0].streaming,
            known if all(engine.languages for engine in engines) else frozenset(),
            engines[0].experimental,
        )
        self._watcher = watcher or Unwatched()
        self._final = final
        # Nobody knows how long somebody speaks; the limit counts from the end of that.
        self._silence = Silence(LONGEST_MS / 1_000 + 2 * final, LONGEST_MS / 1_000 + final)

    async def transcribe(
        self, utterance: Utterance, *, language: str | None = None, phrases: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript]:
        """As ``Recognizer.transcribe``."""
        able = [each for each in self.choices if each.model.capabilities.hears(language)]
        course = Course(able, self._silence)

        def ask(engine: Recognizer) -> AsyncGenerator[Transcript]:
            return engine.transcribe(utterance, language=language, phrases=phrases)

        while True:
            try:
                async with course.call(ask) as call:
                    while (told := await self._next(call.parts, utterance)) is not None:
                        call.patience.rest(self._silence.gap)
                        if not call.begun:
                            call.begin()
                            self._begins(able, course.place)
                        if told.final:
                            call.outcome = "ok"  # whoever leaves now has had it all
                        yield self._stamped(told, able[course.place])
                        if told.final:
                            return
                        call.patience.begin()
            except ProviderFault as fault:
                await self._recover(course, able, fault)
            else:
                return

    async def warm(self) -> None:
        """Warms them all; raises what the first said where none can be."""
        await warm_all([choice.model for choice in self.choices])

    async def ping(self) -> None:
        """Returns when one of them can hear; raises what the first said where none can."""
        await ping_any([choice.model for choice in self.choices])

    async def close(self) -> None:
        """Closes them all."""
        for choice in self.choices:
            await choice.model.close()

    async def _next(
        self, parts: AsyncGenerator[Transcript], utterance: Utterance
    ) -> Transcript | None:
        """What comes next, None at the end. Raises ``TimeoutError`` where the utterance has ended
        and nothing came for too long.
        """
        clock = asyncio.get_running_loop().time
        async with asyncio.timeout(None) as scope:
            utterance.when_ended(lambda: scope.reschedule(clock() + self._final))
            try:
                return await anext(parts, None)
            finally:
                utterance.when_ended(lambda: None)

    async def _recover(
        self, course: Course[Recognizer], able: Sequence[Choice[Recognizer]], fault: ProviderFault
    ) -> None:
        pause = course.failed(fault)
        if pause is not None:
            self._watcher.retried(*able[course.place].names)
            await asyncio.sleep(pause)
        elif not course.go_on():
            raise summed(course.faults)

    def _begins(self, able: Sequence[Choice[Recognizer]], place: int) -> None:
        if place:
            self._watcher.moved(*able[place - 1].names, reset=False)
            provider, model = able[place].names
            log.info("hearing_degraded", provider=provider, model=model)

    def _stamped(self, told: Transcript, choice: Choice[Recognizer]) -> Transcript:
        degraded = choice is not self.choices[0] or choice.makeshift
        return replace(told, provider=choice.names[0], degraded=degraded)
