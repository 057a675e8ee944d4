"""From what engines give to 24 kHz."""

import asyncio
from array import array
from importlib.util import find_spec
from sys import byteorder

from talksy.audio import OUT_RATE, SAMPLE_BYTES


def unwrapped(wav: bytes) -> tuple[bytes, int]:
    """The PCM of a WAV file, and its rate; sizes that a program could not know are not believed.

    Raises ``ValueError`` where it is none, or no s16le mono.
    """
    if wav[:4] != b"RIFF" or wav[8:12] != b"WAVE":
        raise ValueError("it is no WAV file")
    at, rate = 12, 0
    while at + 8 <= len(wav):
        name, size = wav[at : at + 4], int.from_bytes(wav[at + 4 : at + 8], "little")
        at += 8
        if name == b"fmt " and at + 16 <= len(wav):
            kind, channels = wav[at], wav[at + 2]
            rate = int.from_bytes(wav[at + 4 : at + 8], "little")
            if (kind, channels, wav[at + 14]) != (1, 1, 8 * SAMPLE_BYTES):
                raise ValueError("it is no 16-bit mono")
        elif name == b"data" and rate:
            pcm = wav[at : at + size]
            return pcm[: len(pcm) - len(pcm) % SAMPLE_BYTES], rate
        at += size + size % 2
    raise ValueError("there is no sound in it")


async def resampled(pcm: bytes, rate: int) -> bytes:
    """The same sound at 24 kHz: with libsoxr where it is installed (``talksy[voice]``), else by
    straight lines between the samples. A whole sentence at once, off the event loop.
    """
    if rate == OUT_RATE or not pcm:
        return pcm
    make = _soxr if find_spec("soxr") is not None else lines
    return await asyncio.to_thread(make, pcm, rate)


def _soxr(pcm: bytes, rate: int) -> bytes:
    import numpy as np
    import soxr  # type: ignore[import-untyped]

    made = soxr.resample(np.frombuffer(pcm, dtype="<i2").astype(np.int16), rate, OUT_RATE)
    return bytes(made.astype("<i2").tobytes())


def lines(pcm: bytes, rate: int) -> bytes:
    """Resamples in pure Python."""
    points = array("h", pcm)
    if byteorder == "big":
        points.byteswap()
    step, last = rate / OUT_RATE, len(points) - 1
    made = array("h")
    for number in range(len(points) * OUT_RATE // rate):
        at = number * step
        before = min(int(at), last)
        first, second = points[before], points[min(before + 1, last)]
        made.append(round(first + (second - first) * (at - before)))
    if byteorder == "big":
        made.byteswap()
    return made.tobytes()
