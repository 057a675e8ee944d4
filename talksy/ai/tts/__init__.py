"""Voices: one contract, a file for each vendor."""

from talksy.ai.tts.base import Speech, Synthesizer

__all__ = ["Speech", "Synthesizer"]
