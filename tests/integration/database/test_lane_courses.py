"""Random courses of a session, compared with a plain list of what waits."""

import asyncio
from dataclasses import dataclass, field
from typing import Literal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from talksy.database import Database
from talksy.database.history import History
from talksy.database.lane import Lane, OnBusy
from talksy.database.rows import TurnRow
from talksy.errors import TurnInProgress, TurnQueueFull
from talksy.events import Reason
from tests.integration.database.opened import Fresh
from tests.integration.database.rows import Story

Step = tuple[Literal["say", "again"], int, OnBusy] | tuple[Literal["end"], Reason] | int
BUSY = st.sampled_from(["queue", "queue", "interrupt", "reject"])
STEPS = st.one_of(
    st.tuples(st.just("say"), st.just(0), BUSY),
    st.tuples(st.just("again"), st.integers(0, 5), BUSY),
    st.tuples(st.just("end"), st.sampled_from(["completed", "failed", "cancelled"])),
    st.integers(0, 2),  # drops one of those that wait
)


@dataclass
class Course:
    """What should be in the rows."""

    story: Story
    running: TurnRow | None = None
    waiting: list[tuple[str, str]] = field(default_factory=list)
    """``(message id, turn id)``, first first."""
    said: list[str] = field(default_factory=list)
    short: set[str] = field(default_factory=set)
    """Messages whose last turn did not complete."""

    async def take(self, step: Step) -> None:
        match step:
            case ("say", _, on_busy):
                self.said.append(f"m{len(self.said)}")
                if not await self.say(self.said[-1], on_busy):
                    self.said.pop()
            case ("again", number, on_busy) if self.said:
                message_id = self.said[number % len(self.said)]
                if message_id in self.short and await self.say(message_id, on_busy):
                    self.short.discard(message_id)
            case ("end", reason) if self.running is not None:
                await self.end(reason)
            case int(number) if self.waiting:
                message_id, turn_id = self.waiting.pop(number % len(self.waiting))
                assert await self.story.lane.drop("ses_1", turn_id, self.story.now)
                self.short.add(message_id)

    async def say(self, message_id: str, on_busy: OnBusy) -> bool:
        try:
            admission = await self.story.say(
                message_id, on_busy=on_busy, retry=message_id in self.short
            )
        except (TurnInProgress, TurnQueueFull):
            assert self.running is not None
            assert on_busy == "reject" or len(self.waiting) == 3
            return False
        assert not admission.duplicate
        assert admission.queued is (self.running is not None)
        if self.running is None:
            self.running = admission.started
        elif on_busy == "interrupt":
            self.waiting.insert(0, (message_id, admission.turn_id))
        else:
            self.waiting.append((message_id, admission.turn_id))
        return True

    async def end(self, reason: Reason) -> None:
        assert self.running is not None
        if reason != "completed":
            self.short.add(self.running.message_id)
        started = await self.story.end(self.running, reason)
        expected = self.waiting.pop(0) if self.waiting else None
        assert (started and (started.message_id, started.id)) == expected
        self.running = started

    async def check(self) -> None:
        assert await self.story.lane.waiting("ses_1") == [turn for _, turn in self.waiting]
        if self.running is not None:
            assert (await self.story.context(self.running.message_id))[-1] == (
                self.running.message_id
            )
        query = text("SELECT role, position, id, reply_to FROM messages")
        rows = await self.story.database.read(lambda found: found.execute(query).all())
        own = {row.id: row.position for row in rows if row.role == "user"}
        assert sorted(own) == sorted(self.said)
        assert len(set(own.values())) == len(own), "each message has a position of its own"
        assert all(own[row.reply_to] == row.position for row in rows if row.role != "user")


async def run(url: str, steps: list[Step]) -> None:
    async with Database.open(url, upgrade=False) as database:
        course = Course(Story(database, Lane(database, owner="node_a"), History(database)))
        for step in steps:
            await course.take(step)
            await course.check()


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.lists(STEPS, min_size=8, max_size=25))
def test_whatever_happens_one_runs_and_the_rest_wait_in_order(
    fresh: Fresh, steps: list[Step]
) -> None:
    with fresh() as url:
        asyncio.run(run(url, steps))
