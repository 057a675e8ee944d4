"""Ears before the turn, a mouth inside it."""

from talksy.voice.detection import (
    Endpointer,
    Heard,
    Ignored,
    Interrupted,
    Paused,
    SpeechStarted,
    SpeechStopped,
    Spoken,
)
from talksy.voice.engines import Engines
from talksy.voice.profiles import BUILT_IN, USUAL, OwnProfile, Profile, TurnDetection, WakeWord

__all__ = [
    "BUILT_IN",
    "USUAL",
    "Endpointer",
    "Engines",
    "Heard",
    "Ignored",
    "Interrupted",
    "OwnProfile",
    "Paused",
    "Profile",
    "SpeechStarted",
    "SpeechStopped",
    "Spoken",
    "TurnDetection",
    "WakeWord",
]
