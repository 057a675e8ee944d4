"""Clients that speak and are spoken to."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from benchmarks.client import Client
from benchmarks.peers import Peer
from talksy.ai.vad import SpeechDetector
from talksy.audio import size_of
from talksy.voice import BUILT_IN, USUAL, Endpointer, Interrupted
from tests.clips import clip

PIECE_MS = 40
PIECE = size_of(PIECE_MS)
SAID = clip("what_time_is_it").pcm
"""2.2 s, a third of it speech."""
AUDIO = b'451-["audio",{"_placeholder":true,"num":0}]'
LONG = "Please repeat all of this very long sentence, which nobody wants to hear to its end. " * 3


class Microphone(Client):
    """Says the same again and again, and notes what it is told."""

    def __init__(self, peer: Peer, auth: Mapping[str, Any], sid: str = "") -> None:
        super().__init__(peer, auth, sid)
        self.understood: list[float] = []
        """Seconds from each ``speech_stopped`` to its final transcript."""
        self.failed = 0
        """Errors that came by themselves: what was said was not heard."""
        self.sounds = 0
        """Frames of sound that came."""
        self.spoken = asyncio.Event()
        """Set while an answer can be heard."""
        self.cleared: dict[str, float] = {}
        """When each answer was taken back."""
        self.late = 0
        """Frames of sound of an answer that had been taken back."""
        self._stopped: list[float] = []

    async def listened(self, **ask: Any) -> None:
        """Begins a stream. Raises ``ConnectionError`` where that is refused."""
        answer = await self.ask("voice_start", ask)
        if not answer["ok"]:
            raise ConnectionError(str(answer))

    async def speak(self, pcm: bytes) -> list[float]:
        """Says it as fast as anybody does; when each piece was sent."""
        sent = []
        start = time.monotonic()
        for number, at in enumerate(range(0, len(pcm), PIECE)):
            await asyncio.sleep(start + number * PIECE_MS / 1000 - time.monotonic())
            sent.append(time.monotonic())
            self.attach(AUDIO, pcm[at : at + PIECE])
        return sent

    def packet(self, packet: bytes) -> None:
        """As ``Client.packet``; takes what is of voice for itself."""
        if packet.startswith(b'451-["audio_'):
            self._sound(orjson.loads(packet[4:])[1])
        elif packet.startswith(b'42["audio_'):
            name, told = orjson.loads(packet[2:])
            self._told(name, told["turnId"])
        elif packet.startswith(b'42["speech_stopped"'):
            self._stopped.append(time.monotonic())
        elif packet.startswith(b'42["final_transcript"'):
            self.understood.append(time.monotonic() - self._stopped.pop(0))
        elif packet.startswith(b'42["error"'):
            self.failed += 1
            del self._stopped[:1]
        else:
            super().packet(packet)

    def _sound(self, told: Mapping[str, Any]) -> None:
        self.sounds += 1
        self.late += told["turnId"] in self.cleared

    def _told(self, name: str, turn_id: str) -> None:
        if name == "audio_start":
            self.spoken.set()
        else:
            self.spoken.clear()
        if name == "audio_clear":
            self.cleared[turn_id] = time.monotonic()


@dataclass(frozen=True)
class Interruption:
    """An answer that was spoken over."""

    silent: int
    """So many silent pieces came before."""
    sent: Sequence[float]
    """When each piece of what was said was sent, by the machine's clock."""
    cleared: float
    """When ``audio_clear`` came."""

    def obeyed(self, detector: SpeechDetector) -> float:
        """Seconds from when the piece was sent with which a server knows that this interrupts, to
        ``audio_clear``: told by a detector like the server's, and the same rules.
        """
        endpointer = Endpointer(BUILT_IN[USUAL].turn_detection)
        endpointer.assistant_speaks = True
        frames = detector.hear(bytes(PIECE * self.silent) + SAID) + detector.finish()
        decided = next(
            frame.end_ms
            for frame in frames
            if any(isinstance(heard, Interrupted) for heard in endpointer.hear(frame))
        )
        return self.cleared - self.sent[-(-decided // PIECE_MS) - 1 - self.silent]


async def interrupt(client: Microphone) -> Interruption:
    """Speaks over an answer. Raises ``ValueError`` where it goes on."""
    await client.listened(profile=USUAL)
    answer = await client.ask("user_message_stream", {"text": LONG, "speak": True})
    quiet = bytes(PIECE)
    silent = 0
    while not client.spoken.is_set():
        await client.speak(quiet)
        await asyncio.sleep(PIECE_MS / 1000)
        silent += 1
    sent = await client.speak(SAID)
    await client.speak(quiet * 20)
    await client.ask("voice_stop", {})
    cleared = client.cleared.get(answer["turnId"])
    if cleared is None:
        raise ValueError("an answer was spoken over and went on")
    return Interruption(silent, sent, cleared)
