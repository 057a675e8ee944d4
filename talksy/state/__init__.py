"""Short-lived shared state behind small contracts.

``Windows`` counts what was done lately. Here it lives in this process's memory.
"""

from talksy.state.base import Clock, Verdict, Windows
from talksy.state.memory import MemoryWindows

__all__ = ["Clock", "MemoryWindows", "Verdict", "Windows"]
