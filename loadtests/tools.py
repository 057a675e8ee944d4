"""The tool of the load tests, which a person must approve: ``TOOL_MODULES=loadtests.tools``."""

from collections import Counter

from talksy.tools import tool

_done: Counter[str] = Counter()
_MOST = 100_000


@tool(policy="ask", category="custom")
async def load_approval(key: str) -> int:
    """Counts how often it was done under a key, once a person has agreed.

    Args:
        key: Whose count it is.
    """
    if len(_done) >= _MOST:
        _done.clear()
    _done[key] += 1
    return _done[key]
