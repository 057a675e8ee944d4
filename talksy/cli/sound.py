"""Sound in and out of the terminal client: WAV files, a microphone, a loudspeaker."""

import asyncio
import sys
import wave
from array import array
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

from talksy.audio import IN_RATE, OUT_RATE, SAMPLE_BYTES, milliseconds, size_of

NO_DEVICE = (
    "a microphone needs sounddevice, and that PortAudio: pip install sounddevice, and on Debian "
    "apt-get install libportaudio2; or give --wav FILE"
)
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
"""What a WAV file may call its samples."""
FRAME_MS = 40
LARGEST = 32_767


class NoSound(Exception):
    """There is nothing to hear, or nothing to hear it with; the text is for the person."""


# ---- files


def read_wav(path: Path) -> tuple[bytes, int]:
    """The PCM of a WAV file as one channel of 16 bits, and its rate. Raises ``NoSound``.

    Takes integers of 8 to 32 bits and floats, any number of channels.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NoSound(f"cannot read {path}: {error.strerror}") from None
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise NoSound(f"{path} is no WAV file")
    chunks = dict(_chunks(data))
    if len(chunks.get(b"fmt ", b"")) < 16 or not chunks.get(b"data"):
        raise NoSound(f"there is no sound in {path}")
    about = chunks[b"fmt "]
    kind, channels, bits = _number(about[:2]), _number(about[2:4]), _number(about[14:16])
    if kind == EXTENSIBLE:
        kind = _number(about[24:26])
    samples = _samples(chunks[b"data"], kind, bits)
    if samples is None or not channels:
        raise NoSound(f"{path} has samples of a kind that is not read here: convert it to PCM")
    if channels > 1:
        voices = [samples[channel::channels] for channel in range(channels)]
        samples = array("h", (sum(frame) // channels for frame in zip(*voices, strict=False)))
    return _bytes(samples), _number(about[4:8])


def write_wav(path: Path, pcm: bytes) -> None:
    """Writes speech, at 24 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(SAMPLE_BYTES)
        file.setframerate(OUT_RATE)
        file.writeframes(pcm)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Those of a RIFF file, by name. Who wrote into a pipe did not know the length of the last."""
    at = 12
    while at + 8 <= len(data):
        size = _number(data[at + 4 : at + 8])
        yield data[at : at + 4], data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _samples(data: bytes, kind: int, bits: int) -> "array[int] | None":
    """As 16 bits; None of what is not known here."""
    width = bits // 8
    if width:
        data = data[: len(data) - len(data) % width]
    if kind == PCM and bits == 8:
        return array("h", ((byte - 128) << 8 for byte in data))
    if kind == PCM and bits in {16, 24, 32}:
        most = bytearray(len(data) // width * SAMPLE_BYTES)
        most[0::2], most[1::2] = data[width - 2 :: width], data[width - 1 :: width]
        return _ordered(array("h", bytes(most)))
    if kind == FLOAT and bits in {32, 64}:
        floats = _ordered(array("f" if bits == 32 else "d", data))
        return array("h", (round(LARGEST * max(-1.0, min(1.0, value))) for value in floats))
    return None


def _ordered(samples: "array[Any]") -> "array[Any]":
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def _bytes(samples: "array[int]") -> bytes:
    return bytes(_ordered(samples).tobytes())


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


# ---- what is heard


class Recorder:
    """Plays to nobody, by the clock, and keeps what would have been heard."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        """``now`` is a clock in seconds."""
        self._now = now
        self.pcm = bytearray()
        self._began_at = 0.0
        self._ms = 0.0

    def start(self) -> None:
        """An answer begins."""
        self._began_at, self._ms = self._now(), 0.0

    def play(self, pcm: bytes) -> None:
        """The next of it."""
        self.pcm += pcm
        self._ms += milliseconds(len(pcm), OUT_RATE)

    def clear(self) -> None:
        """What was not played yet is void."""
        played = self.played_ms
        if void := size_of(self._ms - played, OUT_RATE):
            del self.pcm[-void:]
        self._ms = played

    @property
    def played_ms(self) -> float:
        """How much of the answer was played."""
        return min(self._ms, 1000 * (self._now() - self._began_at))


class Devices(Protocol):
    """What is used of sounddevice."""

    def RawInputStream(self, **options: Any) -> Any:  # noqa: N802 - its name
        """A microphone."""

    def RawOutputStream(self, **options: Any) -> Any:  # noqa: N802 - its name
        """A loudspeaker."""


def devices() -> Devices:
    """The machine's microphone and loudspeaker. Raises ``NoSound`` with what to install."""
    try:
        import sounddevice
    except (ImportError, OSError):
        raise NoSound(NO_DEVICE) from None
    found: Devices = sounddevice
    return found


class Loudspeaker(Recorder):
    """Plays aloud, too."""

    def __init__(self, devices: Devices) -> None:
        super().__init__()
        self._waiting = deque[bytes]()
        """Taken from by a thread of the library's."""
        self._stream = devices.RawOutputStream(
            samplerate=OUT_RATE,
            channels=1,
            dtype="int16",
            blocksize=size_of(FRAME_MS, OUT_RATE) // SAMPLE_BYTES,
            callback=self._fill,
        )
        self._stream.start()

    def play(self, pcm: bytes) -> None:
        super().play(pcm)
        self._waiting.append(pcm)

    def clear(self) -> None:
        super().clear()
        self._waiting.clear()

    def close(self) -> None:
        """Falls silent."""
        self._stream.close()

    def _fill(self, out: Any, frames: int, *_: object) -> None:
        size, found = frames * SAMPLE_BYTES, b""
        while len(found) < size:
            try:
                found += self._waiting.popleft()
            except IndexError:
                found += bytes(size - len(found))
        if len(found) > size:
            self._waiting.appendleft(found[size:])
        out[:] = found[:size]


@asynccontextmanager
async def microphone(devices: Devices) -> AsyncIterator["asyncio.Queue[bytes]"]:
    """What is said from here on, at 16 kHz."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def take(data: Any, *_: object) -> None:
        loop.call_soon_threadsafe(heard.put_nowait, bytes(data))

    size = size_of(FRAME_MS, IN_RATE) // SAMPLE_BYTES
    options = {"samplerate": IN_RATE, "channels": 1, "dtype": "int16"}
    with devices.RawInputStream(blocksize=size, callback=take, **options):
        yield heard
