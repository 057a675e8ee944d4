"""Sound as it is carried everywhere: signed 16-bit little-endian PCM, one channel.

Words: they import nothing of ours. Places in a stream are counted from its first sample.
"""

from collections.abc import Iterator

IN_RATE = 16_000
"""Samples a second of what is heard."""
OUT_RATE = 24_000
"""Samples a second of what is spoken."""
SAMPLE_BYTES = 2


def milliseconds(size: int, rate: int = IN_RATE) -> float:
    """How long so many bytes of PCM last."""
    return size * 1_000 / (rate * SAMPLE_BYTES)


def size_of(ms: float, rate: int = IN_RATE) -> int:
    """The bytes of so many milliseconds: whole samples, rounded down."""
    return int(ms * rate / 1_000) * SAMPLE_BYTES


class Carry:
    """Cuts a stream that comes in pieces of any length into frames of ``samples`` each.

    A piece may end in the middle of a sample. However the stream was cut before, the frames are the
    same; fewer bytes than a frame has are kept.
    """

    def __init__(self, samples: int) -> None:
        self._size = samples * SAMPLE_BYTES
        self._kept = b""

    def cut(self, pcm: bytes) -> Iterator[bytes]:
        """Takes the next piece, then gives the frames that are whole with it.

        The piece is taken at once; each frame is a copy, which the caller may keep.
        """
        kept = self._kept + pcm if self._kept else bytes(pcm)
        whole = len(kept) - len(kept) % self._size
        self._kept = kept[whole:]
        return (kept[at : at + self._size] for at in range(0, whole, self._size))

    def rest(self) -> bytes:
        """The whole samples that are left at the end of a stream; then it begins anew."""
        kept, self._kept = self._kept, b""
        return kept[: len(kept) - len(kept) % SAMPLE_BYTES]
