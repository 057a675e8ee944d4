"""Recognisers: one contract, a file for each vendor, and a recogniser made of recognisers."""

from talksy.ai.stt.base import BatchRecognizer, Capabilities, Hearing, Recognizer, Transcript
from talksy.ai.stt.fallback import FallbackRecognizer
from talksy.ai.stt.utterance import LONGEST_MS, Utterance
from talksy.ai.stt.vendors import VENDORS, open_recognizer

__all__ = [
    "LONGEST_MS",
    "VENDORS",
    "BatchRecognizer",
    "Capabilities",
    "FallbackRecognizer",
    "Hearing",
    "Recognizer",
    "Transcript",
    "Utterance",
    "open_recognizer",
]
