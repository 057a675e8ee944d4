"""Sound of another rate as 16 kHz, piece by piece."""

from array import array
from importlib.util import find_spec
from sys import byteorder
from typing import Any

from talksy.audio import IN_RATE, SAMPLE_BYTES


class Resampler:
    """One stream of PCM at ``rate``. Pieces may have any length, an odd number of bytes too.

    By libsoxr where it is installed (``talksy[voice]``), in its quickest quality, 6 ms late; else
    by straight lines between the samples, which is good enough to be understood.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._odd = b""
        self._stream: Any = None
        self._at = 0.0
        """Where the next sample stands, counted in those that came, from ``_last`` on."""
        self._last = 0
        if rate != IN_RATE and find_spec("soxr") is not None:
            import soxr  # type: ignore[import-untyped]

            self._stream = soxr.ResampleStream(rate, IN_RATE, 1, dtype="int16", quality="LQ")

    def feed(self, pcm: bytes) -> bytes:
        """The next piece at 16 kHz."""
        if self._rate == IN_RATE:
            return pcm
        whole = self._odd + pcm
        self._odd = whole[len(whole) - len(whole) % SAMPLE_BYTES :]
        samples = array("h", whole[: len(whole) - len(self._odd)])
        if byteorder == "big":
            samples.byteswap()
        made = self._soxr(samples) if self._stream is not None else self._lines(samples)
        if byteorder == "big":
            made.byteswap()
        return made.tobytes()

    def _soxr(self, samples: "array[int]") -> "array[int]":
        import numpy as np

        made = self._stream.resample_chunk(np.frombuffer(samples, dtype=np.int16))
        return array("h", made.tobytes())

    def _lines(self, samples: "array[int]") -> "array[int]":
        if not samples:
            return samples
        points = array("h", [self._last])
        points.extend(samples)
        step, at = self._rate / IN_RATE, self._at
        made = array("h")
        while at < len(points) - 1:
            before = int(at)
            share = at - before
            made.append(round(points[before] * (1 - share) + points[before + 1] * share))
            at += step
        self._at = at - len(samples)
        self._last = points[-1]
        return made
