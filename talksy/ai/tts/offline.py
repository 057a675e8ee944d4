"""The voices that need no key and no network: programs of the system, espeak-ng or flite."""

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncGenerator

import structlog

from talksy.ai.engine import EngineBusy, missing
from talksy.ai.tts.base import Synthesizer
from talksy.ai.tts.pcm import resampled, unwrapped
from talksy.ai.tts.program import Program, Refused
from talksy.errors import ProviderUnavailable

log = structlog.get_logger(__name__)

PROGRAMS = ("espeak-ng", "flite")
"""The best first."""
_VOICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]{0,40}")
_ESPEAK_VOICE, _FLITE_VOICE = "en", "slt"
"""The usual ones."""


class OfflineSynthesizer(Synthesizer):
    """A ``Synthesizer`` on this machine. ``model`` is a program's name, else it is the first of
    ``PROGRAMS`` that there is; ``voice`` one that it lists. Espeak-ng speaks a hundred languages,
    flite English alone.

    At most ``processes`` run at once, ``queue`` more may wait. Raises ``ProviderUnavailable`` where
    the program is not installed.
    """

    provider = "offline"

    def __init__(
        self,
        *,
        model: str = "",
        voice: str | None = None,
        processes: int = 4,
        queue: int = 16,
    ) -> None:
        if model and model not in PROGRAMS:
            raise ValueError(f'there is no offline voice "{model}": say {" or ".join(PROGRAMS)}')
        found = [name for name in ((model,) if model else PROGRAMS) if shutil.which(name)]
        if not found:
            how = f"apt-get install {model}" if model else "apt-get install espeak-ng, or flite"
            raise missing(model or " or ".join(PROGRAMS), how)
        self.model = found[0]
        self._program = Program(self.model, str(shutil.which(self.model)))
        self._voice = voice
        self._listed: list[str] | None = None
        """The voices of flite, once somebody has asked it."""
        self._room = asyncio.Semaphore(processes)
        self._queue = queue
        self._waiting = 0

    async def speak(
        self, sentence: str, voice: str | None, language: str | None
    ) -> AsyncGenerator[bytes]:
        """As ``Synthesizer.speak``."""
        if self._room.locked() and self._waiting >= self._queue:
            raise EngineBusy
        self._waiting += 1
        try:
            await self._room.acquire()
        finally:
            self._waiting -= 1
        try:
            wav = await self._run(sentence, voice or self._voice, language)
        finally:
            self._room.release()
        try:
            pcm, rate = unwrapped(wav)
        except ValueError as error:
            hint = f"{self.model} gave no sound: {error}"
            log.warning("synthesis_failed", program=self.model, hint=hint)
            raise ProviderUnavailable(cause="broken", hint=hint) from None
        yield await resampled(pcm, rate)

    async def warm(self) -> None:
        """Keeps a process ahead for the usual voice, and loads what resamples."""
        if self.model == "espeak-ng":
            await self._program.keep(_espeak(self._voice or _ESPEAK_VOICE))
        await self.ping()

    async def ping(self) -> None:
        """Says a word to itself."""
        async for _ in self.speak("a", None, None):
            pass

    async def close(self) -> None:
        """Ends the process that is kept ahead; each other ends with its sentence."""
        await self._program.close()

    async def _run(self, sentence: str, voice: str | None, language: str | None) -> bytes:
        espeak = self.model == "espeak-ng"
        usual = _ESPEAK_VOICE if espeak else _FLITE_VOICE
        if voice is None:
            voice = language if espeak else None
        make = self._by_espeak if espeak else self._by_flite
        try:
            if voice is None or _VOICE.fullmatch(voice):
                return await make(sentence, voice or usual)
        except Refused:
            if not voice or voice == usual:
                raise
        # Whoever asks for a voice that is not there is spoken to all the same.
        log.warning("voice_unknown", program=self.model)
        return await make(sentence, usual)

    async def _by_espeak(self, sentence: str, voice: str) -> bytes:
        # Double brackets would be read as phonemes.
        text = sentence.replace("[[", "[ [")
        return await self._program.output(_espeak(voice), text)

    async def _by_flite(self, sentence: str, voice: str) -> bytes:
        if self._listed is None:
            self._listed = (await self._program.output(["-lv"], "")).decode().split()
        if voice not in self._listed:
            raise Refused(cause="invalid", hint="flite would speak with any other")
        # It goes back to write the header, so it needs a file.
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            arguments = ["-voice", voice, "-f", "/dev/stdin", "-o", file.name]
            await self._program.output(arguments, sentence)
            return file.read()


def _espeak(voice: str) -> list[str]:
    return ["--stdin", "--stdout", "-b", "1", "-v", voice]
