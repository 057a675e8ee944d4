"""What vendors say of sound, and how their sound comes."""

import io
import json
import wave
from typing import Any

from tests.vendors.replay import Scenario, frame

LETTER = b"\x01\x02" * 480
"""20 ms of 24 kHz for each character of a text."""


def transcribed(*deltas: str, done: bool = True, **how: Any) -> Scenario:
    """A transcription as OpenAI streams it; ``how`` are fields of ``Scenario``."""
    writes = [frame({"type": "transcript.text.delta", "delta": delta}) for delta in deltas]
    if done:
        writes.append(frame({"type": "transcript.text.done", "text": "".join(deltas)}))
        writes.append(b"data: [DONE]\n\n")
    return Scenario(tuple(writes), **how)


def told(**fields: Any) -> Scenario:
    """A transcription that comes whole."""
    return Scenario((json.dumps(fields).encode(),), headers={"Content-Type": "application/json"})


def segment(text: str, *, avg_logprob: float = -0.2, no_speech_prob: float = 0.01) -> Any:
    """A piece of a transcription, and how sure Whisper is of it."""
    return {
        "id": 0,
        "start": 0.0,
        "end": 2.0,
        "text": text,
        "avg_logprob": avg_logprob,
        "no_speech_prob": no_speech_prob,
    }


def hum(letters: int) -> bytes:
    """The sound of so many characters, at 24 kHz."""
    return LETTER * letters


def spoken(sound: bytes, kind: str = "audio/pcm", *, size: int = 4_801, **how: Any) -> Scenario:
    """Sound in pieces of ``size`` bytes, an odd number."""
    pieces = tuple(sound[at : at + size] for at in range(0, len(sound), size))
    return Scenario(pieces, headers={"Content-Type": kind}, **how)


def wav(pcm: bytes, rate: int = 24_000, channels: int = 1) -> bytes:
    """The same as a file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(channels)
        written.setsampwidth(2)
        written.setframerate(rate)
        written.writeframes(pcm)
    return file.getvalue()
