"""Whether somebody speaks: one contract, a file for each engine, and a pool of detectors."""

from talksy.ai.vad.base import Judge, Judged, SpeechDetector
from talksy.ai.vad.detectors import Detectors
from talksy.ai.vad.engines import ENGINES, open_detector

__all__ = [
    "ENGINES",
    "Detectors",
    "Judge",
    "Judged",
    "SpeechDetector",
    "open_detector",
]
