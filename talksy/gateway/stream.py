"""One microphone and the loudspeaker beside it."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from time import time
from typing import Any, Protocol

import structlog

from talksy.ai.wake import Wake
from talksy.audio import SAMPLE_BYTES
from talksy.errors import (
    InternalError,
    Overloaded,
    RateLimited,
    TalksyError,
    ValidationError,
    error_payload,
)
from talksy.events import (
    Fault,
    Notice,
    SpeechBegan,
    SpeechEnded,
    Transcribed,
    Woken,
)
from talksy.gateway.connection import Connection
from talksy.gateway.loudspeaker import Loudspeaker
from talksy.gateway.requests import Receipt, VoiceStart
from talksy.ids import new_id
from talksy.metrics.voice import VoiceMetrics
from talksy.sessions import Session
from talksy.state import Slot
from talksy.voice import Endpointer, Engines, Profile, SpeechStarted, SpeechStopped
from talksy.voice.attention import Attention
from talksy.voice.ears import Ears, Understood
from talksy.voice.intake import Intake
from talksy.voice.resample import Resampler

log = structlog.get_logger(__name__)

AHEAD_SECONDS = 30.0
"""So much sound may come before it can have been spoken: somebody sends what was recorded."""
SLICE_SECONDS = 0.2
"""So much is judged in a turn of the loop: some 5 ms of work at most."""
HEADERS = (b"RIFF", b"OggS", b"fLaC", b"ID3", b"\x1aE\xdf\xa3")
"""How files begin that are no PCM: WAV, Ogg, FLAC, MP3, WebM."""


@dataclass(frozen=True, slots=True)
class Words:
    """What somebody has said, to be answered."""

    text: str
    endpoint_ms: int = 0
    stt_ms: int = 0


class Owner(Protocol):
    """What a stream asks of its node."""

    async def ask(self, stream: "Stream", words: Words) -> Receipt:
        """Says it. Raises what ``Gateway.say`` does."""
        ...

    async def count(self, stream: "Stream") -> None:
        """Counts an utterance that nobody answers. Raises ``RateLimited``."""
        ...

    def cut(self, turn_id: str) -> None:
        """Ends what is being spoken."""
        ...

    @property
    def metrics(self) -> VoiceMetrics:
        """What is counted."""
        ...


class Pace:
    """How far the sound of one client is ahead of who speaks it."""

    def __init__(self) -> None:
        self._ahead = 0.0
        """Seconds of sound that came before they can have been spoken, at ``_at``."""
        self._at = 0.0

    def take(self, seconds: float) -> None:
        """So much has come. Raises ``RateLimited`` where it cannot be; then it is not counted."""
        now = _now()
        ahead = max(self._ahead - (now - self._at), 0.0) + seconds
        if ahead > AHEAD_SECONDS:
            raise RateLimited("sound comes faster than anybody speaks: send it in real time")
        self._ahead, self._at = ahead, now

    def give_back(self, seconds: float) -> None:
        """It was not taken after all."""
        self._ahead -= seconds


class Stream:
    """What one connection says, and what is said to it. A ``Listener`` and a ``Hearer``."""

    def __init__(
        self, slot: Slot, connection: Connection, session: Session, owner: Owner, pace: Pace
    ) -> None:
        self.slot = slot
        self.connection = connection
        self.session = session
        self.profile: Profile
        self.synthesizer: Any
        self.voice: str | None = None
        self._owner = owner
        self._mode = "turn"
        self._ears: Ears | None = None
        self._open = AsyncExitStack()
        self._intake: Intake | None = None
        self._rate = 0
        self._head: bytes | None = b""
        """How the sound begins, kept as long as it may be a file; None where it is none."""
        self._pace = pace
        self.loudspeaker = Loudspeaker(self)
        self._dictated: list[str] = []
        self._order: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def id(self) -> str:
        """What the client calls it."""
        return self.slot.key

    # ---- the microphone

    async def listen(self, engines: Engines, profile: Profile, ask: VoiceStart) -> None:
        """Listens as asked from here on; what was being said before is understood first."""
        recognizer, synthesizer = engines.hears(profile.stt), engines.speaks(profile.tts)
        async with AsyncExitStack() as opening:
            detector = await opening.enter_async_context(
                engines.detectors.lend(profile.turn_detection.detector)
            )
            attention = None
            if (wake := profile.wake_word) is not None:
                waking = Attention(engines.wake, wake)
                attention = await opening.enter_async_context(waking)
            await self._deafen()
            self._open = opening.pop_all()
        self.profile, self.synthesizer = profile, synthesizer
        self.voice = profile.voice
        self._mode = ask.mode
        self._rate = ask.sample_rate * SAMPLE_BYTES
        self._head = b""
        ears = self._ears = Ears(
            detector,
            Endpointer(rules) if (rules := profile.turn_detection).type != "none" else None,
            recognizer,
            self,
            language=profile.language,
            attention=attention,
        )
        ears.assistant_speaks(self.loudspeaker.speaking is not None)
        self._intake = Intake(
            partial(self._judge, ears, Resampler(ask.sample_rate)),
            slice_bytes=int(SLICE_SECONDS * self._rate),
            most_bytes=int(AHEAD_SECONDS * self._rate),
        )

    def hear(self, pcm: bytes) -> None:
        """Takes the next piece. Raises ``ValidationError``, ``RateLimited`` or ``Overloaded``."""
        if self._intake is None:
            return
        if self._head is not None:
            pcm, self._head = self._head + pcm, b""
            if pcm.startswith(HEADERS):
                raise ValidationError("this is a file and no PCM: send its samples alone")
            if any(header.startswith(pcm) for header in HEADERS):
                self._head = pcm
                return
            self._head = None
        seconds = len(pcm) / self._rate
        self._pace.take(seconds)
        try:
            self._intake.put(pcm)
        except Overloaded:
            self._pace.give_back(seconds)
            raise
        self._owner.metrics.heard(seconds)

    async def _judge(self, ears: Ears, resampler: Resampler, pcm: bytes) -> None:
        try:
            await ears.hear(resampler.feed(pcm))
        except Exception:
            ours = InternalError(new_id("req"))
            log.exception("sound_failed", request_id=ours.request_id)
            self.failed(ours)

    async def close(self) -> None:
        """Listens no more; what was being said is understood first."""
        try:
            await self._deafen()
            if self._dictated:
                words, self._dictated = Words(" ".join(self._dictated)), []
                self._queue(self._answered(words))
            while self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            # There are some where nobody waits any longer.
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _deafen(self) -> None:
        intake, self._intake = self._intake, None
        try:
            if intake is not None:
                await intake.finish()
            if self._ears is not None:
                await self._ears.finish()
        finally:
            ears, self._ears = self._ears, None
            if intake is not None:
                await intake.close()
            if ears is not None:
                await ears.close()
            await self._open.aclose()

    # ---- what is heard

    def woken(self, wake: Wake) -> None:
        """As ``Listener.woken``."""
        now = round(1000 * time())
        self.tell(Woken(wake.phrase, wake.confidence, now))

    def began(self, started: SpeechStarted) -> None:
        """As ``Listener.began``."""
        self.tell(SpeechBegan(self.id, started.offset_ms, started.probability))

    def stopped(self, stopped: SpeechStopped) -> None:
        """As ``Listener.stopped``."""
        self.tell(SpeechEnded(self.id, stopped.offset_ms, stopped.probability))

    def understood(self, said: Understood) -> None:
        """As ``Listener.understood``."""
        if not said.final:
            self.tell(_transcribed(said))
            return
        self._queue(self._final(said))

    def interrupted(self) -> None:
        """As ``Listener.interrupted``."""
        if (turn_id := self.loudspeaker.speaking) is None:
            return
        self._owner.metrics.over("barge_in")
        self.loudspeaker.hush(turn_id)
        self._owner.cut(turn_id)

    def ignored(self) -> None:
        """As ``Listener.ignored``."""
        self._owner.metrics.over("false")

    def failed(self, error: TalksyError) -> None:
        """As ``Listener.failed``."""
        self._owner.metrics.understood("failed")
        request_id = new_id("req")
        log.info("not_heard", code=error.code, request_id=request_id)
        self.tell(Fault(error_payload(error, requestId=request_id)))

    async def _final(self, said: Understood) -> None:
        self._owner.metrics.understood("understood" if said.text.strip() else "empty", said.stt_ms)
        answered = self._mode == "turn" and self.profile.turn_detection.create_response
        if not said.text.strip():
            self.tell(_transcribed(said))
        elif answered:
            words = Words(said.text, said.endpoint_ms, said.stt_ms)
            await self._answered(words, said)
        else:
            await self._owner.count(self)
            if self._mode == "dictate":
                self._dictated.append(said.text)
            self.tell(_transcribed(said))

    async def _answered(self, words: Words, said: Understood | None = None) -> None:
        receipt = await self._owner.ask(self, words)
        try:
            if said is not None:
                self.tell(_transcribed(said, receipt.turn_id))
        finally:
            receipt.begin()

    def _queue(self, work: Coroutine[Any, Any, None]) -> None:
        """Does it when what was said before is done."""
        task = asyncio.create_task(self._after(self._order, work), name="utterance")
        self._order = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _after(
        self, former: "asyncio.Task[None] | None", work: Coroutine[Any, Any, None]
    ) -> None:
        if former is not None and not former.done():
            await asyncio.wait({former})
        try:
            await work
        except TalksyError as error:
            self.failed(error)
        except Exception:
            ours = InternalError(new_id("req"))
            log.exception("utterance_failed", request_id=ours.request_id)
            self.failed(ours)

    # ---- what is spoken

    def take_over(self, loudspeaker: Loudspeaker) -> None:
        """Hears what somebody did who is no longer there."""
        self.loudspeaker = loudspeaker
        loudspeaker.pass_to(self)

    def assistant_speaks(self, speaks: bool) -> None:
        """As ``Hearer.assistant_speaks``."""
        if self._ears is not None:
            self._ears.assistant_speaks(speaks)

    def tell(self, notice: Notice) -> None:
        """As ``Hearer.tell``."""
        if not self.connection.closed:
            self.connection.outlet.tell(notice)


def _now() -> float:
    """By the clock that all waits here go by: where that is simulated, sound is too."""
    return asyncio.get_running_loop().time()


def _transcribed(said: Understood, turn_id: str | None = None) -> Transcribed:
    return Transcribed(
        said.text,
        said.final,
        said.start_ms,
        said.end_ms,
        said.confidence,
        said.language,
        turn_id,
    )
