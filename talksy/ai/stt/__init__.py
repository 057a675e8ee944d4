"""Recognisers: one contract, a file for each vendor."""

from talksy.ai.stt.base import Capabilities, Hearing, Recognizer, Transcript

__all__ = ["Capabilities", "Hearing", "Recognizer", "Transcript"]
