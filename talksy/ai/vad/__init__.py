"""Whether somebody speaks: one contract, a file for each engine, and a pool of them."""

from talksy.ai.vad.base import Judge, Judged, SpeechDetector
from talksy.ai.vad.detectors import Detectors
from talksy.ai.vad.engines import ENGINES, PLUGINS, known_engines, open_detector

__all__ = [
    "ENGINES",
    "PLUGINS",
    "Detectors",
    "Judge",
    "Judged",
    "SpeechDetector",
    "known_engines",
    "open_detector",
]
