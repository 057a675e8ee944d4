"""May this identity do this now: the limits, and how often each was met."""

from talksy.ratelimit.limiter import Count, Limiter
from talksy.state import Verdict

__all__ = ["Count", "Limiter", "Verdict"]
