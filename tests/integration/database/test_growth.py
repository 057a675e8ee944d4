"""What there was before costs nothing. SQLite counts its steps; PostgreSQL has the same indexes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import Connection

from talksy.database import Database
from talksy.database.rows import SessionRow
from talksy.database.sessions import SessionRows
from tests.integration.database.rows import NOW, Story

FEW, MANY = 120, 600
"""Turns of a session, sessions of a user: a page of history is full with the few, too."""
STEPS = 10
MOST = 1.25
"""An index of more rows may be a level deeper."""


@pytest.fixture
def url(file: Path) -> str:
    return f"sqlite:///{file}"


@dataclass
class Machine:
    """The steps of SQLite's virtual machine."""

    database: Database
    taken: list[None] = field(default_factory=list)

    async def steps(self, work: Callable[[], Awaitable[object]]) -> int:
        """How many it takes."""
        await self.database.write(self._count)
        await self.database.read(self._count)
        self.taken.clear()
        await work()
        return len(self.taken) * STEPS

    def _count(self, connection: Connection) -> None:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.set_progress_handler(lambda: self.taken.append(None), STEPS)


async def converse(story: Story, upto: int) -> None:
    for number in range(story.now - NOW, 2 * upto, 2):
        await story.end(await story.start(f"m{number}"))


async def test_a_long_session_costs_what_a_short_one_does(story: Story) -> None:
    machine = Machine(story.database)

    async def figures() -> dict[str, int]:
        turn = await story.start("last")
        ended = await machine.steps(lambda: story.end(turn))
        admitted = await machine.steps(lambda: story.say("next"))
        return {
            "end": ended,
            "admit": admitted,
            "queue": await machine.steps(lambda: story.say("waits")),
            "read": await machine.steps(lambda: story.history.read(story.session_id, 100)),
            "scene": await machine.steps(lambda: story.history.scene(story.session_id, 100)),
            "waiting": await machine.steps(lambda: story.lane.waiting(story.session_id)),
        }

    await converse(story, FEW)
    before = await figures()
    story.session_id, story.now = "ses_2", NOW
    await converse(story, MANY)
    after = await figures()
    assert all(after[name] <= steps * MOST + STEPS for name, steps in before.items()), (
        before,
        after,
    )


async def test_who_has_had_many_sessions_costs_what_others_do(database: Database) -> None:
    machine, rows = Machine(database), SessionRows(database, node="node_a")

    def new(user_id: str, number: int) -> SessionRow:
        name = f"{user_id}_{number}"
        return SessionRow(name, user_id, NOW, NOW, NOW, NOW + 5_000, None, 0)

    async def had(user_id: str, count: int) -> int:
        past = [new(user_id, number) for number in range(count)]
        await rows.add(past, now=NOW, most=count)
        await rows.expire([row.id for row in past], NOW + 6_000)
        come = [new(user_id, count)]
        return await machine.steps(lambda: rows.add(come, now=NOW + 6_000, most=1))

    few, many = await had("usr_ada", FEW), await had("usr_bob", MANY)
    assert many <= few * MOST + STEPS
