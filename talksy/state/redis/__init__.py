"""The shared state in Redis, or in what speaks like it."""

from talksy.state.redis.standing import Standing, Unfit, look
from talksy.state.redis.state import RedisState, RedisStats

__all__ = ["RedisState", "RedisStats", "Standing", "Unfit", "look"]
