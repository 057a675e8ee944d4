"""What is kept when a process dies, stops, or loses its database."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from talksy.ai.llm import Answering
from talksy.database import Database
from talksy.database.lane import Checkpoint, Draft
from talksy.events import Ending
from tests.integration.database.opened import locked, until, writing
from tests.integration.database.rows import NOW
from tests.integration.journal.rig import KEEP, Rig, node, serving
from tests.unit.conversation.script import Script


@pytest.fixture
async def rig(database: Database, file: Path) -> AsyncIterator[Rig]:
    async with serving(node(database, file)) as opened:
        yield opened


# ---- a process that died


async def died(database: Database, file: Path) -> tuple[str, str]:
    """A node that died with one turn running and one waiting; returns their ids."""
    dead = node(database, file, owner="node_dead")
    running, waiting = [
        await dead.lane.admit(Draft("ses_1", said, said, streamed=True), NOW)
        for said in ("m1", "m2")
    ]
    assert running.started is not None
    reached = Checkpoint(running.started, "hel", 2, 1, "script", "script-1", degraded=True)
    await dead.lane.checkpoint([reached])
    return running.turn_id, waiting.turn_id


async def test_what_a_dead_process_left_running_ends_with_what_was_stored(
    database: Database, file: Path
) -> None:
    running, _ = await died(database, file)
    async with serving(node(database, file)) as rig:
        reader = await rig.journal.read("ses_1", running, 1, lambda: None)
        assert reader is not None
        ending = Ending(
            "interrupted", "hel", 1, "script", "script-1", degraded=True, ended_at=NOW + 1
        )
        assert reader.take() == (2, ending)
        assert rig.row(running, "status, text, events") == ("interrupted", "hel", 2)


async def test_what_waited_behind_it_goes_on(database: Database, file: Path) -> None:
    _, waiting = await died(database, file)
    async with serving(node(database, file)) as rig:
        assert (await rig.ending("m2")).reason == "completed"
        assert rig.row(waiting) == ("completed", "hello")
    said = await rig.history.read("ses_1", 10)
    assert [(message.content, message.interrupted) for message in said or ()] == [
        ("m1", False),
        ("hel", True),
        ("m2", False),
        ("hello", False),
    ]


async def test_the_text_of_a_running_turn_is_stored_from_time_to_time(rig: Rig) -> None:
    admission = await rig.say("m1", "hel", go_on := asyncio.Event(), "lo", asyncio.Event())
    read = "status, text, events, chunks"
    await until(lambda: rig.row(admission.turn_id, read) == ("running", "hel", 2, 1))
    go_on.set()
    await until(lambda: rig.row(admission.turn_id, read) == ("running", "hello", 3, 2))


async def test_who_stands_in_for_another_is_stored_with_the_text(rig: Rig) -> None:
    stands_in = Answering("other", "other-1", degraded=True)
    admission = await rig.say("m1", stands_in, "hel", asyncio.Event())
    read = "text, provider, model, degraded"
    await until(lambda: rig.row(admission.turn_id, read) == ("hel", "other", "other-1", 1))


async def test_a_plain_turn_is_stored_from_time_to_time_too(rig: Rig) -> None:
    admission = await rig.say("m1", "hel", asyncio.Event(), streamed=False)
    await until(lambda: rig.row(admission.turn_id) == ("running", "hel"))


# ---- a process that stops


async def test_stopping_interrupts_what_runs_and_leaves_the_queue(
    database: Database, file: Path
) -> None:
    async with serving(node(database, file)) as rig:
        model = Script("hel", asyncio.Event())
        rig.models["m1"] = model
        running = await rig.say("m1")
        await rig.say("m2")
        await model.idle.wait()
    assert rig.client("m1").got[-1][1] == Ending(
        "interrupted", "hel", 1, "script", "script-1", ended_at=NOW + 1
    )
    assert rig.row(running.turn_id) == ("interrupted", "hel")
    assert model.open == 0
    assert rig.announced == ["m1"]
    async with serving(node(database, file, owner="node_b")) as next_node:
        assert (await next_node.ending("m2")).reason == "completed"


async def test_a_turn_may_end_by_itself_while_the_node_drains(rig: Rig) -> None:
    await rig.say("m1", "hel", go_on := asyncio.Event(), "lo")
    draining = asyncio.create_task(rig.journal.drain(5))
    await asyncio.sleep(0)
    go_on.set()
    await draining
    assert (await rig.ending("m1")).reason == "completed"
    assert rig.journal.running == 0


async def test_a_turn_that_takes_longer_than_the_drain_is_interrupted(rig: Rig) -> None:
    await rig.say("m1", "hel", asyncio.Event())
    await rig.journal.drain(0.01)
    assert (await rig.ending("m1")).reason == "interrupted"


async def test_draining_twice_is_draining_once(rig: Rig) -> None:
    await rig.say("m1", asyncio.Event())
    await asyncio.gather(rig.journal.drain(0), rig.journal.drain(0))
    assert (await rig.ending("m1")).reason == "interrupted"


async def test_a_turn_started_by_an_ending_on_its_way_is_stopped_too(
    database: Database, file: Path
) -> None:
    """The queue moved on in the transaction that was under way when the stop came."""
    async with serving(node(database, file)) as rig:
        rig.models["m2"] = Script(asyncio.Event())
        await rig.say("m1", go_on := asyncio.Event())
        second = await rig.say("m2")
        async with writing(database) as written:
            go_on.set()
            # The ending waits for this write to be over, with the next turn in its hands.
            await until(lambda: written.waiting)
            closing = asyncio.create_task(rig.journal.drain(0))
            await asyncio.sleep(0)
        await closing
        assert rig.journal.running == 0
    assert rig.row(second.turn_id, "status") == ("interrupted",)


# ---- a database that is away

HASTY = replace(KEEP, patience_seconds=0.05)


@pytest.mark.usefixtures("impatient")
async def test_an_ending_waits_for_the_database_and_then_the_readers_are_told_without_it(
    database: Database, file: Path
) -> None:
    async with serving(node(database, file, keep=HASTY)) as rig:
        admission = await rig.say("m1", "hel", go_on := asyncio.Event(), "lo")
        await rig.say("m2")
        await until(lambda: rig.client("m1").text == "hel")
        async with locked(file):
            go_on.set()
            ending = await rig.ending("m1")
            assert (ending.reason, ending.text) == ("interrupted", None)
            assert rig.row(admission.turn_id, "status") == ("running",)
            assert await rig.journal.stop(admission.turn_id, "cancelled") == ending
        await rig.ending("m2")
    assert rig.row(admission.turn_id) == ("interrupted", "hello")
    endings = [event for _, event in rig.client("m1").got if isinstance(event, Ending)]
    assert endings == [ending]


@pytest.mark.usefixtures("impatient")
async def test_an_ending_that_waits_is_told_as_it_is_where_the_database_comes_back_in_time(
    database: Database, file: Path
) -> None:
    async with serving(node(database, file)) as rig:
        admission = await rig.say("m1", "hel", go_on := asyncio.Event(), "lo")
        async with locked(file):
            with capture_logs() as logs:
                go_on.set()
                await until(lambda: any(line["event"] == "ending_waits" for line in logs))
        assert (await rig.ending("m1")).reason == "completed"
    assert rig.row(admission.turn_id) == ("completed", "hello")


@pytest.mark.usefixtures("impatient")
async def test_a_turn_whose_ending_still_waits_is_not_forgotten(
    database: Database, file: Path
) -> None:
    rig = node(database, file, keep=replace(KEEP, ended_seconds=0, patience_seconds=0))
    async with serving(rig):
        admission = await rig.say("m1", go_on := asyncio.Event())
        async with locked(file):
            with capture_logs() as logs:
                go_on.set()
                await rig.ending("m1")
                before = len(logs)
                await until(lambda: len(logs) > before)
                reader = await rig.journal.read("ses_1", admission.turn_id, -1, lambda: None)
                assert reader is not None
                assert [(reader.take() or (0,))[0] for _ in range(2)] == [0, 1]
                assert reader.over


@pytest.mark.usefixtures("impatient")
async def test_a_checkpoint_that_failed_is_made_up_for(rig: Rig, file: Path) -> None:
    admission = await rig.say("m1", go_on := asyncio.Event(), "hel", asyncio.Event())
    async with locked(file):
        with capture_logs() as logs:
            go_on.set()
            await until(lambda: any(line["event"] == "checkpoint_failed" for line in logs))
    await until(lambda: rig.row(admission.turn_id) == ("running", "hel"))


@pytest.mark.usefixtures("impatient")
async def test_a_node_stops_although_its_database_stays_away(
    database: Database, file: Path
) -> None:
    rig = node(database, file, keep=HASTY)
    with capture_logs() as logs:
        async with serving(rig):
            admission = await rig.say("m1", "hel", asyncio.Event())
            await until(lambda: rig.client("m1").text == "hel")
            async with locked(file):
                await rig.journal.drain(0)
    assert "turn_abandoned" in [line["event"] for line in logs]
    assert rig.row(admission.turn_id, "status") == ("running",)
    async with serving(node(database, file, owner="node_b")) as next_node:
        assert next_node.row(admission.turn_id, "status") == ("interrupted",)


@pytest.mark.usefixtures("impatient")
async def test_a_node_that_cannot_recover_does_not_start_and_leaves_no_task(
    database: Database, file: Path
) -> None:
    await died(database, file)
    rig = node(database, file)
    before = asyncio.all_tasks()
    async with locked(file):
        with pytest.raises(Exception, match="busy"):
            async with rig.journal.open(rig.compose, rig.announce):
                pass
    assert asyncio.all_tasks() == before


async def test_an_attempt_that_succeeds_late_is_what_the_readers_are_told(
    database: Database, file: Path
) -> None:
    """Told without it meanwhile, they would have another ending than the history."""
    async with serving(node(database, file, keep=HASTY)) as rig:
        admission = await rig.say("m1", "hel", go_on := asyncio.Event(), "lo")
        (run,) = rig.journal._runs.all()
        async with locked(file):
            go_on.set()
            await until(lambda: run.overdue)
        assert (await rig.ending("m1")).reason == "completed"
    assert rig.row(admission.turn_id) == ("completed", "hello")


async def test_readers_wait_for_the_database_by_the_clock_and_for_the_attempt_under_way(
    database: Database, file: Path
) -> None:
    """Many endings at once, each attempt slow: all are told in time, and stored in the end."""
    turns = [f"m{number}" for number in range(5)]
    async with serving(node(database, file, keep=HASTY)) as rig:
        go_on = asyncio.Event()
        for said in turns:
            await rig.say(said, "hel", go_on, session=f"ses_{said}")
        async with locked(file):
            go_on.set()
            endings = [await rig.ending(said) for said in turns]
        assert {(ending.reason, ending.text) for ending in endings} == {("interrupted", None)}
        await until(lambda: rig.journal.running == 0)
