"""What a user wants kept is told to that user, in any session."""

import asyncio
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from talksy.database import Database
from talksy.database.facts import Facts
from talksy.errors import ValidationError
from talksy.tools import Caller
from talksy.tools.builtin.memory import memory_tools

ADA = Caller("call_1", "usr_ada", "ses_1")
LATER = Caller("call_2", "usr_ada", "ses_2")
BOB = Caller("call_3", "usr_bob", "ses_3")


class Memory:
    def __init__(self, database: Database) -> None:
        clock = count(1_700_000_000_000, 1000)
        self._remember, self._recall = memory_tools(Facts(database), lambda: next(clock))

    async def remember(self, caller: Caller, content: str) -> Mapping[str, Any]:
        given = self._remember.check({"content": content})
        return dict(await self._remember.run(given, caller))

    async def recall(self, caller: Caller, **given: Any) -> list[str]:
        found = await self._recall.run(self._recall.check(given), caller)
        return [f"{fact['content']} ({fact['sessionId']})" for fact in found]


async def test_facts_are_kept_for_later_sessions_of_the_same_user(tmp_path: Path) -> None:
    async with Database.open(f"sqlite:///{tmp_path}/talksy.db") as database:
        memory = Memory(database)
        kept = await memory.remember(ADA, "Prefers trains.")
        await memory.remember(ADA, "Lives in Köln.")
        assert kept["rememberedAt"] == "2023-11-14T22:13:20+00:00"
        assert await memory.recall(LATER) == ["Lives in Köln. (ses_1)", "Prefers trains. (ses_1)"]
        assert await memory.recall(LATER, query="TRAINS prefers") == ["Prefers trains. (ses_1)"]
        assert await memory.recall(LATER, limit=1) == ["Lives in Köln. (ses_1)"]
        assert await memory.recall(BOB) == []


async def test_a_fact_has_its_bounds(tmp_path: Path) -> None:
    async with Database.open(f"sqlite:///{tmp_path}/talksy.db") as database:
        memory = Memory(database)
        for content in ("", 2001 * "x"):
            with pytest.raises(ValidationError, match="content"):
                await memory.remember(ADA, content)
        await asyncio.gather(*(memory.remember(ADA, f"{n}") for n in range(3)))
        assert len(await memory.recall(ADA)) == 3
