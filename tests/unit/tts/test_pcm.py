"""From what engines give to 24 kHz."""

import math
import struct

import pytest

from talksy.ai.tts.pcm import lines, resampled, unwrapped
from tests.vendors.audio import wav

TONE = struct.pack("<2205h", *(round(9_000 * math.sin(at / 8)) for at in range(2_205)))


def test_a_file_is_unwrapped_and_its_rate_told() -> None:
    assert unwrapped(wav(TONE, 22_050)) == (TONE, 22_050)


def test_sizes_that_a_program_could_not_know_are_not_believed() -> None:
    file = bytearray(wav(TONE, 22_050) + b"\x01")
    file[4:8] = file[40:44] = b"\x00\xf0\xff\x7f"
    assert unwrapped(bytes(file)) == (TONE, 22_050)


def test_what_stands_before_the_sound_is_passed_by() -> None:
    file = wav(TONE, 22_050)
    extra = b"LIST" + (3).to_bytes(4, "little") + b"abc\x00"
    assert unwrapped(file[:36] + extra + file[36:]) == (TONE, 22_050)


@pytest.mark.parametrize(
    "file", [b"", b"<html>", wav(TONE)[:30], wav(TONE)[:36], wav(TONE, channels=2), TONE]
)
def test_what_is_no_sound_of_ours_is_refused(file: bytes) -> None:
    with pytest.raises(ValueError, match=r"it is no|there is no"):
        unwrapped(file)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 48_000])
async def test_the_same_sound_comes_out_at_24_khz(rate: int) -> None:
    for made in (await resampled(TONE, rate), lines(TONE, rate)):
        samples = struct.unpack(f"<{len(made) // 2}h", made)
        assert len(samples) == pytest.approx(2_205 * 24_000 / rate, abs=2)
        middle = samples[100:-100]
        expected = [
            9_000 * math.sin(at * rate / 24_000 / 8) for at in range(100, len(samples) - 100)
        ]
        assert max(abs(a - b) for a, b in zip(middle, expected, strict=True)) < 200


async def test_nothing_stays_nothing() -> None:
    assert await resampled(b"", 22_050) == lines(b"", 22_050) == b""
