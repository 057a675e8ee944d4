"""Breaks a server whose ``TOOL_MODULES`` names this: its window of messages lets ``OFF_BY`` more
through than it states.
"""

import os
from dataclasses import replace

from talksy.ratelimit.limiter import Limiter
from talksy.state import Verdict
from talksy.tools import tool


@tool
async def nothing() -> None:
    """There must be one."""


_right = Limiter.take


async def _wrong(limiter: Limiter, key: str, limit: int, window_ms: int, cost: int = 1) -> Verdict:
    off = int(os.environ["OFF_BY"]) if key.startswith("messages:") else 0
    verdict = await _right(limiter, key, limit + off, window_ms, cost)
    return replace(verdict, limit=limit)


setattr(Limiter, "take", _wrong)  # noqa: B010 - it is to be broken
