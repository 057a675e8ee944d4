"""Synthesizers: one contract, a file for each vendor, and a synthesizer made of synthesizers."""

from talksy.ai.tts.base import Speech, Synthesizer
from talksy.ai.tts.fallback import FallbackSynthesizer
from talksy.ai.tts.vendors import VENDORS, open_synthesizer

__all__ = ["VENDORS", "FallbackSynthesizer", "Speech", "Synthesizer", "open_synthesizer"]
