"""Speech by loudness and colour, in pure Python: the detector that is always there.

A frame is taken for speech when it stands out of the noise floor, and when neighbouring samples
resemble each other or oppose each other, as in vowels and hissed consonants; in white noise they do
neither. It cannot tell a voice from music, a hum that starts or a door; a new steady sound of that
kind is taken for speech until the floor has risen to it, a second for each 4 dB.
"""

from array import array
from math import log10
from operator import mul

_QUIET = 30.0**2
"""The lowest noise floor (mean square): what is below counts as silence in any room."""
_RISE, _FALL = 1.02, 0.5
"""A frame lifts the floor by 0.09 dB, and lowers it by half of the way: it lies in the pauses."""
_CLEAR_DB = 18.0
"""So far above the floor a frame is surely no part of it."""
_CLEAR_COLOUR = 0.6
"""The likeness (-1 to 1) of neighbouring samples from which no noise is white: 7 deviations of what
160 pairs of white noise have."""


class EnergyJudge:
    """Frames of 20 ms, about 40 µs each; next to nothing in silence."""

    name = "energy"
    samples = 320

    def __init__(self) -> None:
        self._floor = _QUIET

    def judge(self, frame: bytes) -> float:
        """As ``Judge.judge``: 0.5 is about 9 dB above the floor, where the colour is clear."""
        heard = array("h", frame)
        mean: float = sum(heard) / len(heard)
        power: float = sum(map(mul, heard, heard)) / len(heard) - mean * mean
        if power <= self._floor:
            self._floor = max(_QUIET, self._floor + (power - self._floor) * _FALL)
            return 0.0
        loud = min(1.0, 10 * log10(power / self._floor) / _CLEAR_DB)
        self._floor *= _RISE
        alike: float = sum(map(mul, heard[::2], heard[1::2])) * 2 / len(heard) - mean * mean
        return loud * min(1.0, abs(alike / power) / _CLEAR_COLOUR)

    def forget(self) -> None:
        """As ``Judge.forget``."""
        self._floor = _QUIET
