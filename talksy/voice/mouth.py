"""Speaks an answer while it is written, and knows what was heard of it.

What is sent runs ahead of what is played by a little, so that a network may halt for a moment and
still little is to be taken back when somebody speaks in between.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from talksy.ai.tts import Speech, Synthesizer
from talksy.audio import OUT_RATE, milliseconds, size_of
from talksy.errors import TalksyError

log = structlog.get_logger(__name__)

LEAD_MS = 1_500
"""So far what is sent may be ahead of what is played."""
FRAME_MS = 40
"""The length of a frame of sound: shorter ones cost more, longer ones are late."""
REPORT_MS = 1_000
"""A client that tells what it has played is taken to have played on for so long since."""


class Speaker(Protocol):
    """Where the sound of a session goes. All of it returns at once."""

    def start(self, turn_id: str) -> None:
        """An answer is about to be heard."""
        ...

    def play(self, turn_id: str, pcm: bytes, text: str | None) -> None:
        """A frame of it, at 24 kHz; the first of a piece has the text that the piece says."""
        ...

    def finish(self, turn_id: str) -> None:
        """That was all of it."""
        ...

    def clear(self, turn_id: str) -> None:
        """What was sent and not played is void."""
        ...

    def fault(self, turn_id: str, error: TalksyError) -> None:
        """It is not spoken to its end; the text goes on."""
        ...


@dataclass(frozen=True, slots=True)
class Voice:
    """How it sounds."""

    name: str | None = None
    language: str | None = None


class Mouth:
    """Speaks one answer."""

    def __init__(
        self,
        synthesizer: Synthesizer,
        speaker: Speaker,
        turn_id: str,
        voice: Voice,
        *,
        now: Callable[[], float],
        spoke: Callable[[], None] = lambda: None,
    ) -> None:
        """``now`` is a clock in seconds; ``spoke`` is called when the first sound is sent."""
        self._synthesizer = synthesizer
        self._speaker = speaker
        self._turn_id = turn_id
        self._voice = voice
        self._now = now
        self._spoke = spoke
        self._texts: asyncio.Queue[str | None] = asyncio.Queue()
        """What is to be said; another one since the answer began anew."""
        self._pieces: list[Speech] = []
        self._next = 0
        """The first of them that was not sent whole."""
        self._sent_ms = 0.0
        self._began_at: float | None = None
        """When the first frame was sent, put off by the silences since."""
        self._from_ms = 0.0
        """Where the present listener began to hear it."""
        self._played: tuple[float, float] | None = None
        """What the client told last, in milliseconds, and when."""
        self._hushed = False
        """Nothing more is sent."""
        self._round = 0
        """What was sent in an earlier one is void, or said again."""
        self._turned = asyncio.Event()
        """Set when this one is over: there is nothing to wait for."""

    # ---- what is to be said

    def say(self, text: str) -> None:
        """The next words of the answer."""
        self._texts.put_nowait(text)

    def end(self) -> None:
        """There are no more."""
        self._texts.put_nowait(None)

    async def run(self) -> None:
        """Speaks until all was said and played, or nothing more is to be said.

        What goes wrong is told to the client; the answer goes on as text.
        """
        said: asyncio.Queue[str | None] | None = None
        try:
            while said is not self._texts and not self._hushed:
                said = self._texts
                await self._speak(said)
        except TalksyError as error:
            log.warning("speech_failed", turn_id=self._turn_id, code=error.code)
            if not self._hushed:
                self._speaker.fault(self._turn_id, error)
        await self._finish()

    def restart(self) -> None:
        """What was said is void: the answer begins anew."""
        former, self._texts = self._texts, asyncio.Queue()
        former.put_nowait(None)
        if self._began_at is not None and not self._hushed:
            self._speaker.clear(self._turn_id)
        self._pieces.clear()
        self._next, self._sent_ms, self._from_ms, self._began_at = 0, 0.0, 0.0, None
        self._turn_round()

    def again(self) -> None:
        """Somebody else hears it from here on: what is being heard is said again from its piece's
        beginning.
        """
        if self._began_at is None or self._hushed:
            return
        left, ms = self.heard_ms, 0.0
        self._next = 0
        for piece in self._pieces:
            if left < ms + piece.duration_ms:
                break
            self._next, ms = self._next + 1, ms + piece.duration_ms
        self._sent_ms, self._from_ms, self._began_at = ms, ms, self._now() - ms / 1000
        self._turn_round()

    def hush(self) -> None:
        """Nothing more is sent, and what was not played is taken back."""
        if not self._hushed and self._began_at is not None:
            self._speaker.clear(self._turn_id)
        self.mute()

    def mute(self) -> None:
        """Nothing more is sent: nobody is there to hear it."""
        self._hushed = True
        self._turned.set()

    def _turn_round(self) -> None:
        self._played = None
        self._round += 1
        self._turned.set()
        self._turned = asyncio.Event()

    async def _speak(self, texts: asyncio.Queue[str | None]) -> None:
        async def words() -> AsyncIterator[str]:
            while (text := await texts.get()) is not None:
                yield text

        speaking = self._synthesizer.stream(
            words(), voice=self._voice.name, language=self._voice.language
        )
        async with aclosing(speaking) as pieces:
            async for piece in pieces:
                if texts is not self._texts or self._hushed:
                    return
                self._pieces.append(piece)
                await self._send()

    # ---- what is heard

    def played(self, ms: float) -> None:
        """The client has played so much of the answer, since it began to hear it."""
        self._played = (min(self._from_ms + ms, self._sent_ms), self._now())

    def left(self) -> None:
        """The client plays no more of it."""
        self._played = (self.heard_ms, self._now())

    @property
    def heard(self) -> str:
        """What has been heard by now: to the word."""
        left = self.heard_ms
        said: list[str] = []
        for piece in self._pieces:
            said.append(piece.text if left >= piece.duration_ms else piece.heard(left))
            left -= piece.duration_ms
            if left <= 0:
                break
        return "".join(said)

    @property
    def heard_ms(self) -> float:
        """How much of it has been played, as far as that can be known."""
        if self._began_at is None:
            return 0.0
        if self._played is None:
            return min(self._sent_ms, 1000 * (self._now() - self._began_at))
        ms, told_at = self._played
        return min(self._sent_ms, ms + min(REPORT_MS, 1000 * (self._now() - told_at)))

    # ---- how it is sent

    async def _send(self) -> None:
        """Sends what was not sent."""
        while self._next < len(self._pieces) and not self._hushed:
            if await self._play(self._pieces[self._next]):
                self._next += 1

    async def _finish(self) -> None:
        """Returns when all was heard that there is."""
        while self._began_at is not None and not self._hushed:
            now = self._round
            await self._send()
            await self._until(self._sent_ms)
            if now == self._round and not self._hushed:
                self._speaker.finish(self._turn_id)
                return

    async def _play(self, piece: Speech) -> bool:
        """Whether all of it was sent."""
        size, now = size_of(FRAME_MS, OUT_RATE), self._round
        text: str | None = piece.text
        for first in range(0, len(piece.pcm), size):
            await self._until(self._sent_ms - LEAD_MS)
            if self._hushed or now != self._round:
                return False
            if self._began_at is None:
                self._began_at = self._now()
                self._speaker.start(self._turn_id)
                self._spoke()
            frame = piece.pcm[first : first + size]
            self._speaker.play(self._turn_id, frame, text)
            text = None
            self._behind()
            self._sent_ms += milliseconds(len(frame), OUT_RATE)
        return True

    def _behind(self) -> None:
        """Where all was played before this frame came, the clock stood still meanwhile."""
        if self._began_at is not None:
            silent = self._now() - self._began_at - self._sent_ms / 1000
            if silent > 0:
                self._began_at += silent

    async def _until(self, ms: float) -> None:
        """Returns when so much was played, or that does not count any more."""
        turned = self._turned
        while self._began_at is not None and not turned.is_set():
            left = self._began_at + ms / 1000 - self._now()
            if left <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await turned.wait()
