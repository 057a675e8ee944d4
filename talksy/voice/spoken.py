"""A turn that is spoken while it is written. Its mouth is inside it: both end together."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import structlog

from talksy.ai.llm import Answering, Delta
from talksy.conversation import Give, Given, Parked, Turn
from talksy.events import Ending, Reason, StreamReset, ToolAsked
from talksy.voice.mouth import Mouth
from talksy.voice.timing import Timing

log = structlog.get_logger(__name__)


class SpokenTurn:
    """A ``Turn`` that has ended when the last of it was heard, or when nobody is to hear more.

    Cut short, its text is what was heard.
    """

    def __init__(
        self,
        turn: Turn,
        mouth: Mouth,
        timing: Timing,
        ended: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """``ended`` is called when nothing is heard of it any more, with whether that was all: what
        waits for a person goes on.
        """
        self._on_end = ended
        self._turn = turn
        self._mouth = mouth
        self._timing = timing
        self._stopped: Reason | None = None
        self._silent = asyncio.Event()

    @property
    def answering(self) -> Answering:
        """Who answers."""
        return self._turn.answering

    def stop(self, reason: Reason, error: Mapping[str, Any] | None = None) -> None:
        """As ``Turn.stop``; from here on nothing more is heard."""
        self._stopped = self._stopped or reason
        self._mouth.hush()
        self._silent.set()
        self._turn.stop(reason, error)

    async def run(self, give: Give) -> Ending | Parked:
        """As ``Turn.run``."""

        def both(part: Given) -> None:
            give(part)
            if isinstance(part, Delta):
                self._timing.wrote()
                self._mouth.say(part.text)
            elif isinstance(part, StreamReset):
                self._mouth.restart()
            elif isinstance(part, ToolAsked):
                self._mouth.say("")  # what was said so far is not to wait for what follows

        speaking = asyncio.create_task(self._mouth.run(), name="mouth")
        ending: Ending | Parked | None = None
        try:
            ending = await self._turn.run(both)
            self._mouth.end()
            if self._stopped is None:
                await self._heard(speaking)
        finally:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)
            if not speaking.cancelled() and (error := speaking.exception()):
                log.error("mouth_failed", exc_info=error)
            self._on_end(isinstance(ending, Ending))
        if isinstance(ending, Parked):
            return ending
        cut = self._stopped if self._stopped in {"cancelled", "interrupted"} else None
        ending = replace(ending, metrics=self._timing.told())
        if cut is None:
            return ending
        return replace(ending, reason=cut, text=self._mouth.heard, heard=True)

    async def _heard(self, speaking: asyncio.Task[None]) -> None:
        """Returns when all was heard, or nothing more is to be."""
        silent = asyncio.create_task(self._silent.wait(), name="silence")
        try:
            await asyncio.wait({speaking, silent}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            silent.cancel()
            await asyncio.gather(silent, return_exceptions=True)
