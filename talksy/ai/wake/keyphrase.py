"""Any phrase of English words, by pocketsphinx in a process of its own: see ``spotter``."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.util import find_spec

from talksy.ai.native import lacking
from talksy.ai.vad import Judged, SpeechDetector
from talksy.ai.vad.energy import EnergyJudge
from talksy.ai.wake.base import Wake, WakeDetector
from talksy.ai.wake.link import Ear, Link
from talksy.errors import ValidationError

START_SECONDS = 20.0
"""Half a second on an idle machine."""
_DECADES = 50
"""A sensitivity of 1 is a threshold of 10 to the minus so much."""
_SOUND = 0.3
_LEAD_MS, _LINGER_MS = 300, 400
"""So much is sent of what comes before and after a sound of that likelihood: the phrase is found
0.15 s after its end."""


class KeyphraseWake:
    """A ``WakeEngine``. In silence it costs what ``EnergyJudge`` costs; a voice takes 2 % of a core
    and 27 MB in a process, which is started anew where it died or stood still.
    """

    name = "keyphrase"

    def __init__(self, *, most: int = 16) -> None:
        """It listens to ``most`` streams at once."""
        self._most = most
        self._link: Link | None = None
        self._starting = asyncio.Lock()

    def knows(self, phrase: str) -> bool:
        """As ``WakeEngine.knows``: which words it knows, only ``listen`` can tell."""
        return bool(phrase)

    async def warm(self) -> None:
        """As ``WakeEngine.warm``: a process, 0.3 s and 40 MB."""
        await self._ready()

    @asynccontextmanager
    async def listen(self, phrase: str, sensitivity: float) -> AsyncGenerator[WakeDetector]:
        """As ``WakeEngine.listen``. Raises ``Overloaded`` for too many streams, too."""
        ear = (await self._ready()).ear()
        try:
            if unknown := await ear.open(phrase, 10 ** (-_DECADES * sensitivity)):
                fault = f"has words that the engine keyphrase does not know: {', '.join(unknown)}"
                raise ValidationError(f"phrase {fault}", faults=[("phrase", fault)])
            yield _Keyphrase(phrase, ear)
        finally:
            ear.close()

    async def close(self) -> None:
        """As ``WakeEngine.close``."""
        async with self._starting:
            await self._end()

    async def _ready(self) -> Link:
        async with self._starting:
            if self._link is None or not self._link.alive:
                await self._end()
                if find_spec("pocketsphinx") is None:
                    raise lacking(self.name, "pocketsphinx")
                self._link = await Link.start(self._most)
                # What is asked for first loads what all share.
                ear = self._link.ear()
                await ear.open("hello", 1.0, seconds=START_SECONDS)
                ear.close()
            return self._link

    async def _end(self) -> None:
        if self._link is not None:
            await self._link.close()
            self._link = None


class _Keyphrase:
    """Sends the process what is no silence."""

    def __init__(self, phrase: str, ear: Ear) -> None:
        self._phrase, self._ear = phrase, ear
        self._gate = SpeechDetector(EnergyJudge())
        self._lead: deque[Judged] = deque(maxlen=_LEAD_MS // self._gate.frame_ms)
        self._sound_ms: int | None = None
        """Until when there was a sound; None while there is none to send."""
        self._unsettled = False
        """Whether something was sent that may not be judged yet."""

    def hear(self, pcm: bytes) -> list[Wake]:
        for frame in self._gate.hear(pcm):
            self._follow(frame)
        return self._found()

    async def settle(self) -> list[Wake]:
        if self._unsettled:
            await self._ear.settle()
            self._unsettled = False
        return self._found()

    async def finish(self) -> list[Wake]:
        for frame in self._gate.finish():
            self._follow(frame)
        self._end()
        self._unsettled = True
        return await self.settle()

    def _follow(self, frame: Judged) -> None:
        self._lead.append(frame)
        if frame.probability >= _SOUND:
            if self._sound_ms is None:
                self._ear.begin(self._lead[0].start_ms)
            self._sound_ms = frame.end_ms
        if self._sound_ms is None:
            return
        self._unsettled = True
        self._ear.audio(b"".join(each.pcm for each in self._lead))
        self._lead.clear()
        if frame.end_ms - self._sound_ms >= _LINGER_MS:
            self._end()

    def _end(self) -> None:
        if self._sound_ms is not None:
            self._ear.end()
            self._sound_ms = None

    def _found(self) -> list[Wake]:
        wakes = [Wake(self._phrase, confidence, at) for confidence, at in self._ear.found]
        self._ear.found.clear()
        return wakes
