"""What a user lets the assistant remember, in this session and all others."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from talksy.database.facts import MOST_CHARS, Facts
from talksy.tools.definition import Caller
from talksy.tools.function import FunctionTool, tool

MOST = 50
"""Facts that are told at once."""


def memory_tools(facts: Facts, clock: Callable[[], int]) -> Sequence[FunctionTool[..., Any]]:
    """``remember`` and ``recall``; each user has facts of its own."""

    @tool(category="data")
    async def remember(
        content: Annotated[str, Field(min_length=1, max_length=MOST_CHARS)], caller: Caller
    ) -> dict[str, str]:
        """Keeps a fact about the user for later conversations. Only what the user wants kept.

        Args:
            content: the fact in a sentence, such as "Prefers trains to planes."
        """
        now = clock()
        fact_id = await facts.remember(caller.user_id, content, caller.session_id, now)
        return {"id": fact_id, "rememberedAt": _time(now)}

    @tool(category="data", idempotent=True)
    async def recall(
        caller: Caller,
        query: Annotated[str, Field(max_length=200)] | None = None,
        limit: Annotated[int, Field(ge=1, le=MOST)] = 20,
    ) -> list[dict[str, str]]:
        """Tells what was remembered about the user, newest first.

        Args:
            query: words that a fact must have, in any order; all facts without it
            limit: how many at most
        """
        found = await facts.recall(caller.user_id, query, limit)
        return [
            {
                "content": fact.content,
                "rememberedAt": _time(fact.created_at),
                "sessionId": fact.source,
            }
            for fact in found
        ]

    return remember, recall


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")
