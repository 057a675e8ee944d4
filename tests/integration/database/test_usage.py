"""What every database promises about what was used."""

import asyncio
from dataclasses import replace

import pytest

from talksy.database import Database
from talksy.database.lane import Lane
from talksy.database.sessions import SessionRows
from talksy.database.usage import MOST_TOKENS, Usage, Used, day
from talksy.events import Ending
from talksy.messages import Usage as Tokens
from tests.integration.database.rows import NOW, Story
from tests.integration.database.test_sessions import row

TODAY = day(NOW)
DAY_MS = 86_400_000
ENDING = Ending("completed", "x", 1, "mock", "mock-1", Tokens(7, 3), ended_at=NOW)


@pytest.fixture
async def usage(database: Database) -> Usage:
    for number, user in enumerate(("usr_ada", "usr_ada", "usr_bob"), 1):
        rows = SessionRows(database, node="node_a")
        await rows.add([row(f"ses_{number}", user)], now=NOW, most=9)
    return Usage(database)


async def run(story: Story, ending: Ending, session_id: str = "ses_1") -> None:
    """A turn from its beginning to its ending."""
    there = replace(story, session_id=session_id)
    turn = await there.start(f"m{ending.ended_at}.{ending.reason}.{ending.model}")
    assert (await story.lane.finish(turn, ending, events=2)).won


async def test_turns_are_summed_by_day_and_model(usage: Usage, story: Story) -> None:
    later = replace(ENDING, ended_at=NOW + DAY_MS)
    for ending in (ENDING, replace(ENDING, reason="failed"), replace(ENDING, model="b"), later):
        await run(story, ending)
    assert await usage.of("usr_ada", TODAY, day(NOW + DAY_MS)) == [
        Used(TODAY, "mock", "b", 1, 7, 3),
        Used(TODAY, "mock", "mock-1", 2, 14, 6),
        Used(day(NOW + DAY_MS), "mock", "mock-1", 1, 7, 3),
    ]
    assert await usage.of("usr_ada", "2020-01-01", "2020-12-31") == []


async def test_each_user_has_a_sum_and_all_have_one(usage: Usage, story: Story) -> None:
    for session_id in ("ses_1", "ses_2", "ses_3"):
        await run(story, ENDING, session_id)
    assert await usage.of("usr_ada", TODAY, TODAY) == [Used(TODAY, "mock", "mock-1", 2, 14, 6)]
    assert await usage.all(TODAY, TODAY) == [Used(TODAY, "mock", "mock-1", 3, 21, 9)]


async def test_a_turn_that_was_cut_short_counts_and_one_that_never_ran_does_not(
    usage: Usage, story: Story
) -> None:
    await run(story, Ending("cancelled", "x", 1, "mock", "mock-1", ended_at=NOW))
    await run(story, Ending("failed", None, ended_at=NOW))
    running = await story.start("m1")
    await story.lane.drop("ses_1", (await story.say("m2")).turn_id, NOW)
    assert await usage.all(TODAY, TODAY) == [Used(TODAY, "mock", "mock-1", 1, 0, 0)]
    assert running.status == "running"


async def test_a_turn_counts_once_whoever_ends_it(usage: Usage, story: Story) -> None:
    turn = await story.start("m1")
    lanes = [story.lane, Lane(story.database, owner="node_b")] * 5
    ended = await asyncio.gather(*(lane.finish(turn, ENDING, events=2) for lane in lanes))
    assert sum(finished.won for finished in ended) == 1
    former = replace(turn, fence=turn.fence - 1)
    assert not (await story.lane.finish(former, ENDING, events=2)).won
    assert await usage.all(TODAY, TODAY) == [Used(TODAY, "mock", "mock-1", 1, 7, 3)]


async def test_turns_that_end_at_once_are_all_counted(usage: Usage, story: Story) -> None:
    sessions = ("ses_1", "ses_2") * 4
    for number in range(4):
        await asyncio.gather(
            *(run(story, replace(ENDING, ended_at=NOW + number), ses) for ses in set(sessions))
        )
    assert await usage.of("usr_ada", TODAY, TODAY) == [Used(TODAY, "mock", "mock-1", 8, 56, 24)]


async def test_no_vendor_can_count_beyond_what_a_sum_holds(usage: Usage, story: Story) -> None:
    await run(story, replace(ENDING, usage=Tokens(2**80, -5)))
    assert await usage.all(TODAY, TODAY) == [Used(TODAY, "mock", "mock-1", 1, MOST_TOKENS, 0)]
