"""Many who talk at once, through two nodes, in a few sessions; and what must be true afterwards."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field, replace

from sqlalchemy import select

from talksy.database import Database
from talksy.database.history import History
from talksy.database.lane import Lane
from talksy.database.tables import messages, turns
from talksy.errors import TurnQueueFull
from talksy.events import Reason
from tests.integration.database.rows import Story

REASONS: tuple[Reason, ...] = ("completed", "failed", "interrupted")
SESSIONS = ("ses_0", "ses_1", "ses_2")


@dataclass
class Crowd:
    """What was acknowledged and what was begun."""

    acknowledged: set[str] = field(default_factory=set)
    begun: list[str] = field(default_factory=list)

    async def person(self, story: Story, number: int, words: int) -> None:
        """Says one thing after another; who is handed a turn ends it, and the next one too."""
        chance = random.Random(number)
        for word in range(words):
            said = f"m{number}.{word}"
            with suppress(TurnQueueFull):
                admission = await story.say(said, on_busy=chance.choice(("queue", "interrupt")))
                self.acknowledged.add(said)
                if admission.queued and chance.random() < 0.3:
                    await story.lane.drop(story.session_id, admission.turn_id, story.now)
                turn = admission.started
                while turn is not None:
                    self.begun.append(turn.id)
                    turn = await story.end(turn, chance.choice(REASONS))


async def talk(url: str, *, people: int = 12, words: int = 4) -> None:
    """Lets them talk at the database of this URL, and looks at what is left."""
    crowd = Crowd()
    async with Database.open(url) as one, Database.open(url, upgrade=False) as other:
        nodes = [
            Story(database, Lane(database, owner=owner), History(database))
            for database, owner in ((one, "node_a"), (other, "node_b"))
        ]
        async with asyncio.TaskGroup() as talking:
            for number in range(people):
                story = replace(nodes[number % 2], session_id=SESSIONS[number % 3])
                talking.create_task(crowd.person(story, number, words))
        for session_id in SESSIONS:
            await _check(crowd, one, session_id)
        assert len(crowd.begun) == len(set(crowd.begun)), "a turn begins once"
        assert await nodes[0].lane.stalled() == [], "nothing is left waiting"
        query = select(messages.c.id).where(messages.c.role == "user")
        said = await one.read(lambda rows: rows.execute(query).scalars().all())
        assert set(said) == crowd.acknowledged


async def _check(crowd: Crowd, database: Database, session_id: str) -> None:
    query = (
        select(messages, turns.c.status, turns.c.message_id)
        .join(turns, turns.c.id == messages.c.turn_id)
        .where(messages.c.session_id == session_id)
    )
    said = await database.read(lambda rows: rows.execute(query).all())
    asked = {row.id: row for row in said if row.role == "user"}
    assert sorted(row.position for row in asked.values()) == list(range(len(asked)))
    for row in said:
        question = row if row.role == "user" else asked[row.reply_to]
        assert row.position == question.position
        assert row.message_id == question.id
        assert row.state == "shown"
        assert row.status != "running"
        assert (row.status == "cancelled") is (row.turn_id not in crowd.begun)
    answered = [row.reply_to for row in said if row.role != "user"]
    assert len(answered) == len(set(answered)), "a turn ends once"
