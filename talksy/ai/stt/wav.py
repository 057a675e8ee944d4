"""PCM as the file that vendors want."""

import io
import wave

from talksy.audio import IN_RATE, SAMPLE_BYTES

NAME = "speech.wav"
"""They look at a file's name for what is in it."""


def wav(pcm: bytes) -> bytes:
    """A WAV file of what is heard."""
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(SAMPLE_BYTES)
        written.setframerate(IN_RATE)
        written.writeframes(pcm)
    return file.getvalue()
