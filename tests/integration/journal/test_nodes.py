"""Turns of several nodes: read, cancelled and ended from afar, with each log on each database."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
from structlog.testing import capture_logs

from talksy.ai.llm import StreamReset
from talksy.database.lane import Checkpoint, Draft
from talksy.events import Chunk, Ending, Started
from talksy.journal.lines import line_of, line_of_ending
from talksy.state import Append, Bus, MemoryBus, MemoryHub, MemoryLog, TurnLog
from talksy.state.redis import RedisState
from tests.integration.database.opened import Fresh, fresh, postgres, tables, until
from tests.integration.database.rows import NOW
from tests.integration.journal.fleet import Fleet, left_behind, several
from tests.redis import shared_redis

__all__ = ["fresh", "postgres", "tables"]


@pytest.fixture
def url(fresh: Fresh) -> Iterator[str]:
    """A database of each kind in turn."""
    with fresh() as where:
        yield where


@pytest.fixture(params=["memory", "redis"])
async def fleet(request: pytest.FixtureRequest, url: str) -> AsyncIterator[Fleet]:
    """Nodes with a log of each kind in turn."""
    hub = MemoryHub()
    async with AsyncExitStack() as stack:

        async def ways(name: str) -> tuple[TurnLog, Bus]:
            if request.param == "memory":
                return MemoryLog(hub), MemoryBus(hub)
            opening = RedisState.open(shared_redis().url, node=name)
            state = await stack.enter_async_context(opening)
            return state.log, state.bus

        yield await stack.enter_async_context(several(url, ways))


# ---- reading from afar


async def test_what_one_node_writes_another_reads(fleet: Fleet) -> None:
    a, _ = await fleet.join("node_a"), await fleet.join("node_b")
    said = await a.say("m1", "hel", go_on := asyncio.Event(), "lo", " there")
    reader = await fleet.follow("node_b", said.turn_id)
    await until(lambda: reader.text == "hel")
    go_on.set()
    assert await reader.ending() == await a.ending("m1")
    assert reader.text == "hello there"


async def test_who_comes_late_gets_all_that_was_said_however_long(fleet: Fleet) -> None:
    """More than one read of the log, and more than one flush."""
    a, _ = await fleet.join("node_a"), await fleet.join("node_b")
    words = [f"{number} " for number in range(1_000)]
    said = await a.say("m1", *words, go_on := asyncio.Event(), "end")
    await until(lambda: len(a.client("m1").got) > 1_000)
    reader = await fleet.follow("node_b", said.turn_id)
    await until(lambda: len(reader.got) > 1_000)
    go_on.set()
    await reader.ending()
    assert reader.text == "".join(words) + "end"


async def test_an_ended_turn_is_read_from_the_log_number_by_number(fleet: Fleet) -> None:
    a, _ = await fleet.join("node_a"), await fleet.join("node_b")
    said = await a.say("m1", "a", "b", "c")
    await a.ending("m1")
    await until(lambda: a.journal.stats().behind == 0)
    reader = await fleet.follow("node_b", said.turn_id, after=1)
    assert [number for number, _ in reader.got] == [2, 3, 4]
    assert (await reader.ending(first=2)).text is None


async def test_a_plain_answer_comes_with_its_ending(fleet: Fleet) -> None:
    a, _ = await fleet.join("node_a"), await fleet.join("node_b")
    said = await a.say("m1", "hel", go_on := asyncio.Event(), "lo", streamed=False)
    reader = await fleet.follow("node_b", said.turn_id)
    go_on.set()
    assert (await reader.ending()).text == "hello"


async def test_a_reset_stands_in_the_text_of_an_ending_that_was_cut_short(fleet: Fleet) -> None:
    a, _ = await fleet.join("node_a"), await fleet.join("node_b")
    steps = ("no", StreamReset("provider_unavailable"), "yes", asyncio.Event())
    said = await a.say("m1", *steps)
    reader = await fleet.follow("node_b", said.turn_id)
    await until(lambda: reader.text == "noyes")
    await a.journal.stop(said.turn_id, "cancelled")
    assert ((await reader.ending()).text, reader.text) == ("yes", "noyes")


async def test_nobody_follows_what_nobody_reads(fleet: Fleet) -> None:
    a, b = await fleet.join("node_a"), await fleet.join("node_b")
    await a.say("m1", "hel", "lo")
    await a.ending("m1")
    stats = b.journal.stats()
    assert (stats.followed, stats.nudges, stats.log_reads) == (0, 0, 0)


# ---- cancelling from afar


async def test_a_turn_is_cancelled_from_another_node(fleet: Fleet) -> None:
    a, b = await fleet.join("node_a"), await fleet.join("node_b")
    said = await a.say("m1", "hel", asyncio.Event())
    await until(lambda: a.client("m1").text == "hel")
    ending = await b.journal.stop_far(await fleet.row(said.turn_id), "cancelled")
    assert ending is not None
    assert (ending.reason, ending.text) == ("cancelled", "hel")
    assert await a.ending("m1") == ending


async def test_cancelling_what_has_ended_tells_how(fleet: Fleet) -> None:
    a, b = await fleet.join("node_a"), await fleet.join("node_b")
    said = await a.say("m1", "hello", go_on := asyncio.Event())
    row = await fleet.row(said.turn_id)
    go_on.set()
    await a.ending("m1")
    ending = await b.journal.stop_far(row, "cancelled")
    assert ending is not None
    assert (ending.reason, ending.text) == ("completed", "hello")


async def test_without_a_word_the_lease_tells_of_a_cancellation(fleet: Fleet) -> None:
    a, b = await fleet.join("node_a", lease_ms=1_000), await fleet.join("node_b")
    said = await a.say("m1", "hel", asyncio.Event())
    await b.lane.want(said.turn_id, "cancelled")
    assert (await a.ending("m1")).reason == "cancelled"


async def test_an_interrupting_message_asks_the_turn_to_make_way(fleet: Fleet) -> None:
    a, b = await fleet.join("node_a"), await fleet.join("node_b")
    await a.say("m1", "hel", asyncio.Event())
    admission = await b.lane.admit(
        Draft("ses_1", "m2", "m2", streamed=True, on_busy="interrupt"), NOW
    )
    assert admission.interrupts is not None
    b.journal.urge(admission.interrupts, "interrupted")
    assert (await a.ending("m1")).reason == "interrupted"
    assert (await a.ending("m2")).reason == "completed"


# ---- nodes that die


async def test_a_dead_nodes_turn_ends_with_what_the_log_has(fleet: Fleet) -> None:
    dead = await fleet.member("node_dead")
    (row,) = await left_behind(dead, "m1")
    turn_log, _ = await fleet.ways("node_dead")
    lines = [line_of(event) for event in (Started("m1"), Chunk("hel", 0), Chunk("lo", 1))]
    await turn_log.append([Append("ses_1", row.id, 1, 0, lines)])
    await dead.lane.checkpoint([Checkpoint(row, "hel", 2, 1)])
    b = await fleet.join("node_b")
    reader = await fleet.follow("node_b", row.id)
    ending = await reader.ending()
    assert (ending.reason, ending.text, ending.chunks) == ("interrupted", "hello", 2)
    found = await fleet.row(row.id)
    assert (found.status, found.text, found.events) == ("interrupted", "hello", 3)
    assert b.journal.stats().taken_over == 1


async def test_a_checkpoint_may_know_more_than_a_log_that_forgot(fleet: Fleet) -> None:
    dead = await fleet.member("node_dead")
    (row,) = await left_behind(dead, "m1")
    await dead.lane.checkpoint([Checkpoint(row, "hello", 3, 2)])
    await fleet.join("node_b")
    reader = await fleet.follow("node_b", row.id)
    ending = await reader.ending()
    assert (ending.reason, ending.text) == ("interrupted", "hello")
    assert reader.text == ""


async def test_an_ending_found_in_the_log_is_the_ending(fleet: Fleet) -> None:
    """The writer died between its commit, which was lost with its server, and nothing."""
    dead = await fleet.member("node_dead")
    (row,) = await left_behind(dead, "m1")
    turn_log, _ = await fleet.ways("node_dead")
    told = Ending("completed", None, 1, "script", "script-1", ended_at=NOW)
    lines = [line_of(Started("m1")), line_of(Chunk("hello", 0))]
    lines.append(line_of_ending(told, 2, text=False))
    await turn_log.append([Append("ses_1", row.id, 1, 0, lines, final=True)])
    await fleet.join("node_b")
    await until_ended(fleet, row.id)
    found = await fleet.row(row.id)
    assert (found.status, found.text, found.next_turn_id) == ("completed", "hello", None)


async def test_what_had_said_nothing_yet_is_tried_again_once(fleet: Fleet) -> None:
    dead = await fleet.member("node_dead")
    (row,) = await left_behind(dead, "m1", "m2")
    b = await fleet.join("node_b")
    assert (await b.ending("m2")).reason == "completed"
    old = await fleet.row(row.id)
    assert old.next_turn_id is not None
    again = await fleet.row(old.next_turn_id)
    assert (old.status, again.status, again.text) == ("interrupted", "completed", "hello")
    assert (again.attempt, again.ordinal) == (2, 2)
    assert b.announced == ["m1", "m2"]


async def test_what_kills_its_node_twice_is_not_tried_again(fleet: Fleet) -> None:
    first = await fleet.member("node_first")
    (row,) = await left_behind(first, "m1")
    second = await fleet.member("node_second")
    (orphan,) = await second.lane.orphans()
    claimed = await second.lane.claim(orphan)
    assert claimed is not None
    ending = Ending("interrupted", "", next_turn_id="trn_second", ended_at=NOW)
    await second.lane.finish(claimed, ending, events=0, run_again=True)
    b = await fleet.join("node_b")
    await until_ended(fleet, "trn_second")
    assert (await fleet.row("trn_second")).next_turn_id is None
    assert b.announced == []
    assert (await fleet.row(row.id)).next_turn_id == "trn_second"


async def test_a_cancelled_turn_of_a_dead_node_ends_as_cancelled(fleet: Fleet) -> None:
    dead = await fleet.member("node_dead")
    (row,) = await left_behind(dead, "m1")
    await dead.lane.want(row.id, "cancelled")
    await fleet.join("node_b")
    await until_ended(fleet, row.id)
    found = await fleet.row(row.id)
    assert (found.status, found.next_turn_id) == ("cancelled", None)


async def test_several_who_see_a_dead_node_end_its_turn_once(fleet: Fleet) -> None:
    dead = await fleet.member("node_dead")
    (row,) = await left_behind(dead, "m1")
    await dead.lane.checkpoint([Checkpoint(row, "hello", 3, 2)])
    living = [await fleet.join(f"node_{number}") for number in range(3)]
    await until_ended(fleet, row.id)
    await until(lambda: sum(rig.journal.stats().taken_over for rig in living) == 1)


async def test_an_orderly_stop_leaves_the_queue_to_others_at_once(fleet: Fleet) -> None:
    """Its lease is given back, and is not waited for."""
    b = await fleet.join("node_b", lease_ms=60_000)
    async with AsyncExitStack() as stack:
        a = await fleet.member("node_a", lease_ms=60_000)
        await stack.enter_async_context(a.journal.open(a.compose, a.announce))
        await a.say("m1", "hel", asyncio.Event())
        await a.say("m2")
    assert (await a.ending("m1")).reason == "interrupted"
    assert (await b.ending("m2")).reason == "completed"


# ---- nodes that are taken for dead


async def test_who_was_taken_for_dead_tells_its_readers_the_others_ending(fleet: Fleet) -> None:
    a, b = await fleet.join("node_a", lease_ms=60_000), await fleet.join("node_b")
    said = await a.say("m1", "hel", asyncio.Event(), "never")
    far = await fleet.follow("node_b", said.turn_id)
    await until(lambda: far.text == "hel")
    await fleet.bury("node_a")
    ending = await far.ending()
    assert (ending.reason, ending.text) == ("interrupted", "hel")
    # What it still writes is refused by the log, or it learns by renewing its lease.
    a.journal._hold._asked.set()
    assert await a.ending("m1") == ending
    await until(lambda: a.journal.running == 0)
    assert (a.journal.stats().lost, b.journal.stats().taken_over) == (1, 1)


async def test_what_it_said_beyond_is_void(fleet: Fleet) -> None:
    """The log is sealed: nothing of a former writer gets behind the ending."""
    dead = await fleet.member("node_dead")
    (row,) = await left_behind(dead, "m1")
    turn_log, _ = await fleet.ways("node_dead")
    lines = [line_of(Started("m1")), line_of(Chunk("hel", 0))]
    await turn_log.append([Append("ses_1", row.id, 1, 0, lines)])
    await fleet.join("node_b")
    reader = await fleet.follow("node_b", row.id)
    await reader.ending()
    late = Append("ses_1", row.id, 1, 2, [line_of(Chunk("late", 1))])
    assert (await turn_log.append([late]))[0].have == -1
    assert reader.text == "hel"


async def test_a_loop_that_stood_still_shows_nothing_before_it_has_asked(fleet: Fleet) -> None:
    a = await fleet.join("node_a", lease_ms=60_000)
    await a.say("m1", "hel", go_on := asyncio.Event(), "lo", last := asyncio.Event(), "!")
    await until(lambda: a.client("m1").text == "hel")
    a.journal._hold._seen_at -= 60
    go_on.set()
    await asyncio.sleep(0)
    assert a.client("m1").text == "hel"
    await until(lambda: a.client("m1").text == "hello")
    last.set()
    assert (await a.ending("m1")).reason == "completed"


async def test_nodes_without_a_way_to_each_other_say_so(fleet: Fleet) -> None:
    await fleet.join("node_a")

    async def none(_name: str) -> tuple[None, None]:
        return None, None

    fleet.ways = none  # type: ignore[assignment]
    with capture_logs() as logs:
        b = await fleet.join("node_b")
    assert "nodes_without_redis" in [line["event"] for line in logs]
    # It learns the ending from the database.
    a = fleet.members["node_a"]
    said = await a.say("m1", "hello", go_on := asyncio.Event())
    reader = await fleet.follow("node_b", said.turn_id)
    go_on.set()
    assert (await reader.ending()).text == "hello"
    assert b.journal.stats().endings_asked == 1


async def until_ended(fleet: Fleet, turn_id: str) -> None:
    async with asyncio.timeout(5):
        while (await fleet.row(turn_id)).status == "running":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
