"""One microphone and the loudspeaker beside it."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import monotonic, time
from typing import Any, Protocol

import structlog

from talksy.ai.wake import Wake
from talksy.audio import SAMPLE_BYTES
from talksy.errors import (
    InternalError,
    RateLimited,
    TalksyError,
    ValidationError,
    error_payload,
)
from talksy.events import (
    Fault,
    Notice,
    Sound,
    SoundBegan,
    SoundEnded,
    SoundVoid,
    SpeechBegan,
    SpeechEnded,
    Transcribed,
    Woken,
)
from talksy.gateway.connection import Connection
from talksy.gateway.requests import Receipt, VoiceStart
from talksy.ids import new_id
from talksy.metrics.voice import VoiceMetrics
from talksy.sessions import Session
from talksy.state import Slot
from talksy.voice import Endpointer, Engines, Profile, SpeechStarted, SpeechStopped
from talksy.voice.ears import Attention, Ears, Understood
from talksy.voice.mouth import Mouth
from talksy.voice.resample import Resampler

log = structlog.get_logger(__name__)

AHEAD_SECONDS = 30.0
"""So much sound may come before it can have been spoken: somebody sends what was recorded."""
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


class Stream:
    """What one connection says, and what is said to it. A ``Listener`` and a ``Speaker``."""

    def __init__(self, slot: Slot, connection: Connection, session: Session, owner: Owner) -> None:
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
        self._resampler: Resampler | None = None
        self._rate = 0
        self._bytes = 0
        self._began_at = 0.0
        self._refused = False
        self.mouths: dict[str, Mouth] = {}
        """What is being spoken, by turn."""
        self._speaking: str | None = None
        """The turn that can be heard."""
        self._numbers: dict[str, int] = {}
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
                waking = engines.wake.listen(
                    wake.phrase, sensitivity=wake.sensitivity, engine=wake.engine
                )
                attention = Attention(await opening.enter_async_context(waking), wake.listen_ms)
            await self._deafen()
            self._open = opening.pop_all()
        self.profile, self.synthesizer = profile, synthesizer
        self.voice = profile.voice
        self._mode = ask.mode
        self._resampler = Resampler(ask.sample_rate)
        self._rate = ask.sample_rate * SAMPLE_BYTES
        self._bytes, self._began_at, self._refused = 0, monotonic(), False
        self._ears = Ears(
            detector,
            Endpointer(rules) if (rules := profile.turn_detection).type != "none" else None,
            recognizer,
            self,
            language=profile.language,
            attention=attention,
        )
        self._ears.assistant_speaks(self._speaking is not None)

    def hear(self, pcm: bytes) -> None:
        """Takes the next piece. Raises ``ValidationError`` or ``RateLimited``."""
        if self._ears is None or self._resampler is None:
            return
        if not self._bytes and pcm.startswith(HEADERS):
            raise ValidationError("this is a file and no PCM: send its samples alone")
        self._bytes += len(pcm)
        if self._bytes / self._rate > monotonic() - self._began_at + AHEAD_SECONDS:
            self._bytes -= len(pcm)
            raise RateLimited("sound comes faster than anybody speaks: send it in real time")
        self._owner.metrics.heard(len(pcm) / self._rate)
        self._ears.hear(self._resampler.feed(pcm))

    async def close(self) -> None:
        """Listens no more; what was being said is understood first."""
        if self.connection.closed:
            for mouth in self.mouths.values():
                mouth.mute()
        await self._deafen()
        if self._dictated:
            words, self._dictated = Words(" ".join(self._dictated)), []
            self._queue(self._answered(words))
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _deafen(self) -> None:
        ears, self._ears = self._ears, None
        try:
            if ears is not None:
                await ears.finish()
        finally:
            if ears is not None:
                await ears.close()
            await self._open.aclose()

    # ---- what is heard

    def woken(self, wake: Wake) -> None:
        """As ``Listener.woken``."""
        now = round(1000 * time())
        self._tell(Woken(wake.phrase, wake.confidence, now))

    def began(self, started: SpeechStarted) -> None:
        """As ``Listener.began``."""
        self._tell(SpeechBegan(self.id, started.offset_ms, started.probability))

    def stopped(self, stopped: SpeechStopped) -> None:
        """As ``Listener.stopped``."""
        self._tell(SpeechEnded(self.id, stopped.offset_ms, stopped.probability))

    def understood(self, said: Understood) -> None:
        """As ``Listener.understood``."""
        if not said.final:
            self._tell(_transcribed(said))
            return
        self._queue(self._final(said))

    def interrupted(self) -> None:
        """As ``Listener.interrupted``."""
        if (turn_id := self._speaking) is None:
            return
        self._owner.metrics.over("barge_in")
        self.mouths[turn_id].hush()
        self._owner.cut(turn_id)

    def ignored(self) -> None:
        """As ``Listener.ignored``."""
        self._owner.metrics.over("false")

    def failed(self, error: TalksyError) -> None:
        """As ``Listener.failed``."""
        self._owner.metrics.understood("failed")
        request_id = new_id("req")
        log.info("not_heard", code=error.code, request_id=request_id)
        self._tell(Fault(error_payload(error, requestId=request_id)))

    async def _final(self, said: Understood) -> None:
        self._owner.metrics.understood("understood" if said.text.strip() else "empty", said.stt_ms)
        answered = self._mode == "turn" and self.profile.turn_detection.create_response
        if not said.text.strip():
            self._tell(_transcribed(said))
        elif answered:
            words = Words(said.text, said.endpoint_ms, said.stt_ms)
            await self._answered(words, said)
        else:
            await self._owner.count(self)
            if self._mode == "dictate":
                self._dictated.append(said.text)
            self._tell(_transcribed(said))

    async def _answered(self, words: Words, said: Understood | None = None) -> None:
        receipt = await self._owner.ask(self, words)
        try:
            if said is not None:
                self._tell(_transcribed(said, receipt.turn_id))
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

    def speak(self, turn_id: str, mouth: Mouth) -> None:
        """A turn is about to be spoken."""
        self.mouths[turn_id] = mouth

    def spoke(self, turn_id: str) -> None:
        """It has ended."""
        self.mouths.pop(turn_id, None)
        self._numbers.pop(turn_id, None)
        self._silent(turn_id)

    def played(self, turn_id: str, ms: float) -> None:
        """The client has played so much of it."""
        if mouth := self.mouths.get(turn_id):
            mouth.played(ms)

    def start(self, turn_id: str) -> None:
        """As ``Speaker.start``."""
        self._speaking = turn_id
        if self._ears is not None:
            self._ears.assistant_speaks(True)
        self._tell(SoundBegan(turn_id, self._number(turn_id)))

    def play(self, turn_id: str, pcm: bytes, text: str | None) -> None:
        """As ``Speaker.play``."""
        self._tell(Sound(turn_id, self._number(turn_id), pcm, text))

    def finish(self, turn_id: str) -> None:
        """As ``Speaker.finish``."""
        self._silent(turn_id)
        self._tell(SoundEnded(turn_id, self._number(turn_id)))

    def clear(self, turn_id: str) -> None:
        """As ``Speaker.clear``."""
        self._silent(turn_id)
        self._tell(SoundVoid(turn_id))

    def fault(self, turn_id: str, error: TalksyError) -> None:
        """As ``Speaker.fault``."""
        self._silent(turn_id)
        self._tell(Fault(error_payload(error, turnId=turn_id, requestId=new_id("req"))))

    def _silent(self, turn_id: str) -> None:
        if self._speaking == turn_id:
            self._speaking = None
            if self._ears is not None:
                self._ears.assistant_speaks(False)

    def _number(self, turn_id: str) -> int:
        number = self._numbers.get(turn_id, 0)
        self._numbers[turn_id] = number + 1
        return number

    def _tell(self, notice: Notice) -> None:
        if not self.connection.closed:
            self.connection.outlet.tell(notice)


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
