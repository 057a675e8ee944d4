"""From sound to what was said: one stream of one microphone.

The frames are judged where they come in; what is recognised comes back from elsewhere, in tasks of
its own. A frame waits for nothing but for whether somebody calls, where that is asked.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

import structlog

from talksy.ai.stt import Hearing, Recognizer, Transcript
from talksy.ai.vad import Judged, SpeechDetector
from talksy.ai.wake import Wake
from talksy.errors import Overloaded, TalksyError
from talksy.voice.attention import Attention
from talksy.voice.detection import (
    Endpointer,
    Heard,
    Ignored,
    Interrupted,
    Paused,
    SpeechStarted,
    SpeechStopped,
    Spoken,
)

log = structlog.get_logger(__name__)

UTTERANCES = 4
"""So many wait to be recognised; what is said then is not heard."""


@dataclass(frozen=True, slots=True)
class Understood:
    """What was said, or is being said. Times are of the stream's clock."""

    text: str
    final: bool
    start_ms: int
    end_ms: int
    confidence: float | None = None
    language: str | None = None
    endpoint_ms: int = 0
    """From the end of speech to the decision that it was over."""
    stt_ms: int = 0
    """From there to the final text."""


class Listener(Protocol):
    """Who is told what is heard. All of it returns at once."""

    def woken(self, wake: Wake) -> None:
        """The wake word was said."""
        ...

    def began(self, started: SpeechStarted) -> None:
        """Somebody speaks."""
        ...

    def stopped(self, stopped: SpeechStopped) -> None:
        """Somebody has spoken."""
        ...

    def understood(self, said: Understood) -> None:
        """What somebody says."""
        ...

    def interrupted(self) -> None:
        """Somebody speaks over the assistant, and means it."""
        ...

    def ignored(self) -> None:
        """A sound came over the assistant that was nothing."""
        ...

    def failed(self, error: TalksyError) -> None:
        """Something was not heard."""
        ...


class Ears:
    """One stream."""

    def __init__(
        self,
        detector: SpeechDetector,
        endpointer: Endpointer | None,
        recognizer: Recognizer,
        listener: Listener,
        *,
        language: str | None = None,
        phrases: Sequence[str] = (),
        attention: Attention | None = None,
    ) -> None:
        """Without an ``endpointer`` all that is heard to the end of the stream is one utterance."""
        self._detector = detector
        self._endpointer = endpointer
        self._recognizer = recognizer
        self._listener = listener
        self._language = language
        self._phrases = phrases
        self._attention = attention
        self._awake_until = 0
        """On the stream's clock; only looked at where there is a wake word."""
        self._now_ms = 0
        self._speaking = False
        self._utterance: Utterance | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: asyncio.Task[None] | None = None

    @property
    def speaking(self) -> bool:
        """Whether somebody speaks."""
        return self._speaking

    def assistant_speaks(self, speaks: bool) -> None:
        """Whether the assistant can be heard from here on."""
        if self._endpointer is not None:
            self._endpointer.assistant_speaks = speaks

    async def hear(self, pcm: bytes) -> None:
        """Takes the next piece, of any length: it is judged at once, so it should be short."""
        for frame in self._detector.hear(pcm):
            if await self._attentive(frame):
                self._follow(frame)

    def _follow(self, frame: Judged) -> None:
        self._now_ms = frame.end_ms
        if self._endpointer is not None:
            for heard in self._endpointer.hear(frame):
                self._take(heard, frame.end_ms)
            return
        if self._utterance is None:
            self._speaking = True
            self._utterance = self._begin(frame.start_ms)
        if self._utterance is not None:
            self._utterance.push(frame.pcm)

    async def _attentive(self, frame: Judged) -> bool:
        """Whether what is said is said to the assistant."""
        attention = self._attention
        if attention is None or self._awake(frame.end_ms):
            return True
        if not (wakes := await self._try_wake(attention.hear(frame.pcm))):
            return False
        self._awake_until = frame.end_ms + attention.listen_ms
        if self._endpointer is not None:
            self._endpointer.finish()
        self._listener.woken(wakes[-1])
        return False

    def _awake(self, now_ms: int) -> bool:
        endpointer = self._endpointer
        answering = endpointer is not None and endpointer.assistant_speaks
        return self._speaking or answering or now_ms <= self._awake_until

    async def _try_wake(self, hearing: Awaitable[list[Wake]]) -> list[Wake]:
        try:
            return await hearing
        except TalksyError as error:
            self._listener.failed(error)
            return []

    def _take(self, heard: Heard, now_ms: int) -> None:
        match heard:
            case Interrupted():
                self._listener.interrupted()
            case Ignored():
                self._listener.ignored()
            case SpeechStarted():
                self._speaking = True
                self._listener.began(heard)
                self._utterance = self._begin(heard.offset_ms)
            case Spoken(pcm):
                if self._utterance is not None:
                    self._utterance.push(pcm)
            case Paused():
                if self._utterance is not None:
                    self._utterance.pause()
            case SpeechStopped():
                self._speaking = False
                # Who has just spoken may well go on.
                if self._attention is not None:
                    self._awake_until = now_ms + self._attention.listen_ms
                self._listener.stopped(heard)
                if self._utterance is not None:
                    self._utterance.end(heard.offset_ms, now_ms)
                self._utterance = None

    def _begin(self, start_ms: int) -> "Utterance | None":
        if len(self._tasks) >= UTTERANCES:
            self._listener.failed(Overloaded("too much is being said: wait for an answer"))
            return None
        utterance = Utterance(start_ms, self._listener)
        work = utterance.recognise(self._recognizer, self._language, self._phrases, self._last)
        task = asyncio.create_task(work, name="utterance")
        self._last = task
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return utterance

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("utterance_failed", exc_info=error)

    async def finish(self) -> None:
        """The stream is over: what is being said ends with what was heard of it."""
        for frame in self._detector.finish():
            if await self._attentive(frame):
                self._follow(frame)
        if self._attention is not None and not self._awake(self._now_ms):
            for wake in await self._try_wake(self._attention.finish()):
                self._listener.woken(wake)
        for heard in self._endpointer.finish() if self._endpointer is not None else ():
            self._take(heard, heard.offset_ms)
        if self._utterance is not None:
            self._utterance.end(self._now_ms, self._now_ms)
            self._utterance = None
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Nobody listens any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Utterance:
    """What is said between two silences, on its way to a recogniser."""

    def __init__(self, start_ms: int, listener: Listener) -> None:
        self._start_ms = start_ms
        self._end_ms = start_ms
        self._listener = listener
        self._waiting: list[bytes | None] = []
        """What came before the recogniser was there; None for a pause."""
        self._hearing: Hearing | None = None
        self._failed = False
        self._ended_at: float | None = None
        self._endpoint_ms = 0

    def push(self, pcm: bytes) -> None:
        """The next piece of it."""
        self._pass_on(pcm)

    def pause(self) -> None:
        """This may have been all of it."""
        self._pass_on(None)

    def _pass_on(self, pcm: bytes | None) -> None:
        if self._hearing is None:
            self._waiting.append(pcm)
        else:
            self._try(self._hearing, pcm)

    def end(self, end_ms: int, now_ms: int) -> None:
        """It is over; that was found out at ``now_ms``, on the stream's clock."""
        self._end_ms = end_ms
        self._endpoint_ms = now_ms - end_ms
        self._ended_at = monotonic()
        if self._hearing is not None:
            self._hearing.end()

    def _try(self, hearing: Hearing, pcm: bytes | None) -> None:
        if self._failed:
            return
        if pcm is None:
            hearing.pause()
            return
        try:
            hearing.push(pcm)
        except TalksyError as error:
            self._failed = True
            self._listener.failed(error)

    async def recognise(
        self,
        recognizer: Recognizer,
        language: str | None,
        phrases: Sequence[str],
        former: "asyncio.Task[None] | None",
    ) -> None:
        """Tells what is said until it is known. What was said before is told before."""
        if former is not None and not former.done():
            await asyncio.wait({former})
        try:
            async with recognizer.listen(language=language, phrases=phrases) as hearing:
                waiting, self._waiting = self._waiting, []
                for pcm in waiting:
                    self._try(hearing, pcm)
                self._hearing = hearing
                if self._ended_at is not None:
                    hearing.end()
                async for said in hearing:
                    self._listener.understood(self._told(said))
        except TalksyError as error:
            if not self._failed:
                self._listener.failed(error)

    def _told(self, said: Transcript) -> Understood:
        ended_at = self._ended_at if said.final else None
        return Understood(
            said.text,
            said.final,
            self._start_ms,
            self._end_ms if said.final else self._start_ms + said.end_ms,
            said.confidence,
            said.language,
            self._endpoint_ms,
            round(1000 * (monotonic() - ended_at)) if ended_at is not None else 0,
        )
