"""Whether somebody calls: one contract, and a file for each engine."""

from talksy.ai.wake.base import Wake, WakeDetector, WakeEngine
from talksy.ai.wake.engines import ENGINES, WakeEngines

__all__ = ["ENGINES", "Wake", "WakeDetector", "WakeEngine", "WakeEngines"]
