"""What every database promises about the lane of a session."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace

import pytest

from talksy.database.lane import Admission, Checkpoint, Draft, Lane
from talksy.errors import IdempotencyConflict, TurnInProgress, TurnQueueFull
from talksy.events import Ending, Reason
from talksy.messages import Usage
from tests.integration.database.rows import NOW, Story


async def test_of_parallel_messages_one_runs_and_three_wait(story: Story) -> None:
    results = await asyncio.gather(
        *(story.say(f"m{number}") for number in range(20)), return_exceptions=True
    )
    admitted = [result for result in results if isinstance(result, Admission)]
    assert sum(isinstance(result, TurnQueueFull) for result in results) == 16
    assert [item.started is not None for item in admitted] == [True, False, False, False]
    assert [item.queued for item in admitted] == [False, True, True, True]


async def test_the_lane_holds_between_nodes(story: Story) -> None:
    other = replace(story, lane=Lane(story.database, owner="node_b"))
    lanes = [story, other] * 20
    turns = [f"ses_{number // 2}" for number in range(40)]

    def admit(on: Story, session_id: str, number: int) -> Awaitable[Admission]:
        return replace(on, session_id=session_id).say(f"m{number}")

    results = await asyncio.gather(
        *(admit(on, turn, n) for n, (on, turn) in enumerate(zip(lanes, turns, strict=True)))
    )
    started = [result.started for result in results if result.started is not None]
    assert sorted(row.session_id for row in started) == sorted(set(turns))


async def test_a_started_turn_has_its_row(story: Story) -> None:
    turn = await story.start("m1", streamed=False)
    assert (turn.session_id, turn.message_id, turn.owner) == ("ses_1", "m1", "node_a")
    assert (turn.status, turn.fence, turn.attempt, turn.streamed) == ("running", 1, 1, False)
    assert await story.lane.find("ses_1", turn.id) == turn
    assert await story.lane.find("ses_2", turn.id) is None


async def test_the_model_asked_for_is_that_of_the_turn_when_it_starts(story: Story) -> None:
    running = await story.start("m1", model="large")
    assert (running.model, running.provider) == ("large", None)
    await story.say("m2", model="small")
    waiting = await story.end(running)
    assert waiting is not None
    assert waiting.model == "small"
    await story.lane.checkpoint([Checkpoint(waiting, "", 1, 0)])
    assert await story.lane.find("ses_1", waiting.id) == replace(waiting, events=1)


async def test_a_retry_may_ask_for_another_model(story: Story) -> None:
    await story.end(await story.start("m1", model="large"), "failed")
    assert (await story.start("m1", retry=True, model="small")).model == "small"


async def test_foremost_is_what_runs_then_what_waits_then_the_newest(story: Story) -> None:
    assert await story.lane.foremost("ses_1") is None
    first = await story.start("m1")
    second, third = await story.say("m2"), await story.say("m3")
    # Its turn is newer than the one that runs, and by a clock that is ahead.
    await story.lane.drop("ses_1", third.turn_id, NOW + 1_000_000)
    assert await story.lane.foremost("ses_1") == first.id
    await story.lane.finish(first, Ending("completed", "", ended_at=NOW), events=1, advance=False)
    assert await story.lane.foremost("ses_1") == second.turn_id
    running = await story.lane.next("ses_1", NOW)
    assert running is not None
    await story.end(running)
    assert await story.lane.foremost("ses_1") == second.turn_id


async def test_what_waits_runs_in_the_order_it_was_accepted(story: Story) -> None:
    await story.start("m1")
    queued = [(await story.say(f"m{number}")).turn_id for number in (2, 3, 4)]
    assert await story.lane.waiting("ses_1") == queued
    order = []
    running = await story.lane.running("ses_1")
    while running is not None:
        order.append(running.message_id)
        running = await story.end(running)
    assert order == ["m1", "m2", "m3", "m4"]


async def test_a_message_that_will_not_wait_is_refused_and_leaves_nothing(story: Story) -> None:
    await story.start("m1")
    with pytest.raises(TurnInProgress):
        await story.say("m2", on_busy="reject")
    assert await story.history.find("ses_1", "m2") is None


@pytest.mark.parametrize("on_busy", ["reject", "interrupt"])
async def test_with_nothing_running_any_message_starts(story: Story, on_busy: str) -> None:
    admission = await story.say("m1", on_busy=on_busy)
    assert admission.started is not None
    assert admission.interrupts is None


async def test_an_interrupting_message_goes_before_what_waits(story: Story) -> None:
    running = await story.start("m1")
    await story.say("m2")
    admission = await story.say("m3", on_busy="interrupt")
    assert admission.queued
    assert admission.interrupts is not None
    assert (admission.interrupts.id, admission.interrupts.wanted) == (running.id, "interrupted")
    third = await story.end(running, "interrupted")
    assert third is not None
    assert third.message_id == "m3"
    second = await story.end(third)
    assert second is not None
    await story.end(second)
    assert await story.texts() == ["m1", "re m1", "m3", "re m3", "m2", "re m2"]


async def test_an_interrupting_message_may_find_nothing_that_waits(story: Story) -> None:
    running = await story.start("m1")
    admission = await story.say("m2", on_busy="interrupt")
    assert admission.queued
    assert admission.interrupts is not None
    assert (admission.interrupts.id, admission.interrupts.wanted) == (running.id, "interrupted")


async def test_an_interrupting_message_does_not_push_another_onto_a_dropped_one(
    story: Story,
) -> None:
    running = await story.start("m1")
    await story.say("m2")
    dropped = (await story.say("m3")).turn_id
    assert await story.lane.drop("ses_1", dropped, story.now)
    await story.say("m4", on_busy="interrupt")
    fourth = await story.end(running, "interrupted")
    assert fourth is not None
    assert await story.end(fourth)
    # The message to be answered is the last that its model reads.
    assert await story.context("m2") == ["m1", "re m1", "m4", "re m4", "m2"]


async def test_the_same_message_again_starts_nothing(story: Story) -> None:
    first = await story.say("m1")
    again = await story.say("m1")
    assert again == Admission(first.turn_id, duplicate=True)
    waiting = await story.say("m2")
    again = await story.say("m2")
    assert again == Admission(waiting.turn_id, queued=True, duplicate=True)


async def test_of_the_same_message_in_parallel_one_counts(story: Story) -> None:
    results = await asyncio.gather(*(story.say("m1") for _ in range(8)))
    assert len({result.turn_id for result in results}) == 1
    assert [result.duplicate for result in results].count(False) == 1


@pytest.mark.parametrize("retry", [False, True])
async def test_a_message_id_belongs_to_its_text(story: Story, retry: bool) -> None:
    await story.start("m1")
    with pytest.raises(IdempotencyConflict):
        await story.say("m1", text="something else", retry=retry)


async def test_a_message_id_belongs_to_its_session(story: Story) -> None:
    await story.start("m1")
    other = replace(story, session_id="ses_2")
    assert (await other.start("m1", text="something else")).session_id == "ses_2"


async def test_what_was_accepted_is_known_without_a_write(story: Story) -> None:
    def draft(message_id: str, text: str, retry: bool = False) -> Draft:
        return Draft("ses_1", message_id, text, streamed=True, retry=retry)

    turn = await story.start("m1")
    assert await story.lane.known(draft("m1", "m1")) == Admission(turn.id, duplicate=True)
    assert await story.lane.known(draft("m2", "m2")) is None
    assert await story.lane.known(draft("m1", "m1", retry=True)) is None
    with pytest.raises(IdempotencyConflict):
        await story.lane.known(draft("m1", "other"))


@pytest.mark.parametrize("reason", ["cancelled", "interrupted", "failed"])
async def test_a_turn_that_did_not_complete_is_tried_again(story: Story, reason: Reason) -> None:
    first = await story.start("m1")
    await story.end(first, reason)
    again = await story.say("m1", retry=True, streamed=False)
    assert again.started is not None
    assert not again.duplicate
    assert again.started.id != first.id
    assert (again.started.attempt, again.started.streamed) == (2, False)


async def test_a_turn_that_completed_is_not_tried_again(story: Story) -> None:
    turn = await story.start("m1")
    await story.end(turn)
    assert await story.say("m1", retry=True) == Admission(turn.id, duplicate=True)


async def test_a_turn_that_runs_or_waits_is_not_tried_again(story: Story) -> None:
    running, waiting = await story.say("m1"), await story.say("m2")
    assert (await story.say("m1", retry=True)).turn_id == running.turn_id
    assert (await story.say("m2", retry=True)).turn_id == waiting.turn_id


async def test_a_retried_message_moves_to_where_it_is_answered_now(story: Story) -> None:
    await story.end(await story.start("m1"), "failed", "half")
    running = await story.start("m2")
    await story.say("m1", retry=True)
    first = await story.end(running)
    assert first is not None
    assert await story.context("m1") == ["m2", "re m2", "m1"]
    await story.end(first)
    assert await story.texts() == ["m2", "re m2", "m1", "half", "re m1"]


async def test_a_turn_that_waits_can_be_dropped_once(story: Story) -> None:
    running = await story.start("m1")
    waiting = (await story.say("m2")).turn_id
    assert await story.lane.drop("ses_2", waiting, NOW) is None
    dropped = await story.lane.drop("ses_1", waiting, NOW + 9)
    assert dropped is not None
    assert (dropped.id, dropped.status, dropped.ended_at) == (waiting, "cancelled", NOW + 9)
    assert await story.lane.drop("ses_1", waiting, NOW) is None
    assert await story.lane.drop("ses_1", running.id, NOW) is None
    assert await story.end(running) is None
    assert await story.texts() == ["m1", "re m1", "m2"]


async def test_a_dropped_message_can_be_tried_again(story: Story) -> None:
    running = await story.start("m1")
    await story.lane.drop("ses_1", (await story.say("m2")).turn_id, NOW)
    again = await story.say("m2", retry=True)
    assert again.queued
    second = await story.end(running)
    assert second is not None
    assert (second.id, second.attempt) == (again.turn_id, 2)


async def test_an_ending_is_stored_with_all_it_knows(story: Story) -> None:
    turn = await story.start("m1")
    ending = Ending(
        reason="failed",
        text="half an ans",
        chunks=3,
        provider="mock",
        model="mock-1",
        usage=Usage(7, 3),
        error={"code": "PROVIDER_TIMEOUT", "message": "slow"},
        degraded=True,
        ended_at=NOW + 50,
    )
    assert (await story.lane.finish(turn, ending, events=4)).won
    row = await story.lane.find("ses_1", turn.id)
    assert row is not None
    assert (row.status, row.text, row.events, row.chunks) == ("failed", "half an ans", 4, 3)
    assert (row.provider, row.model, row.usage) == ("mock", "mock-1", Usage(7, 3))
    assert (row.error, row.degraded, row.ended_at) == (ending.error, True, NOW + 50)
    said = await story.history.read("ses_1", 10)
    assert said is not None
    assert (said[1].content, said[1].interrupted, said[1].turn_id) == (row.text, True, turn.id)


async def test_a_turn_has_one_ending(story: Story) -> None:
    turn = await story.start("m1")
    endings = [Ending("completed", f"answer {number}", ended_at=NOW) for number in range(5)]
    results = await asyncio.gather(
        *(story.lane.finish(turn, ending, events=1) for ending in endings)
    )
    assert [result.won for result in results].count(True) == 1
    assert await story.history.count("ses_1") == 2


async def test_a_turn_that_changed_hands_is_not_ended_by_its_former_writer(story: Story) -> None:
    turn = await story.start("m1")
    former = replace(turn, fence=turn.fence - 1)
    finished = await story.lane.finish(former, Ending("completed", "x", ended_at=NOW), events=1)
    assert not finished.won
    assert await story.lane.find("ses_1", turn.id) == turn


async def test_an_ending_without_text_adds_no_answer(story: Story) -> None:
    turn = await story.start("m1")
    await story.lane.finish(turn, Ending("cancelled", None, ended_at=NOW), events=1)
    assert await story.texts() == ["m1"]


async def test_an_ending_may_leave_the_queue_alone(story: Story) -> None:
    turn = await story.start("m1")
    await story.say("m2")
    ending = Ending("completed", "x", ended_at=NOW)
    assert (await story.lane.finish(turn, ending, events=1, advance=False)).next is None
    assert await story.lane.stalled() == ["ses_1"]
    second = await story.lane.next("ses_1", NOW)
    assert second is not None
    assert second.message_id == "m2"
    assert await story.lane.next("ses_1", NOW) is None, "it runs"
    assert await story.lane.stalled() == []
    assert await story.lane.next("ses_2", NOW) is None, "nothing waits"


async def test_what_was_left_waiting_goes_before_a_new_message(story: Story) -> None:
    turn = await story.start("m1")
    await story.say("m2")
    await story.lane.finish(turn, Ending("completed", "x", ended_at=NOW), events=1, advance=False)
    admission = await story.say("m3")
    assert admission.queued
    assert admission.started is not None
    assert admission.started.message_id == "m2"


async def test_a_checkpoint_keeps_what_running_turns_have_said(story: Story) -> None:
    ended = await story.start("m0")
    await story.end(ended, text="whole")
    running = await story.start("m1")
    await story.lane.checkpoint(
        [Checkpoint(running, "half", 3, 2, "mock", "mock-1"), Checkpoint(ended, "ha", 2, 1)]
    )
    row = await story.lane.find("ses_1", running.id)
    assert row == replace(running, text="half", events=3, chunks=2, provider="mock", model="mock-1")
    former = await story.lane.find("ses_1", ended.id)
    assert former is not None
    assert former.text == "whole"


async def test_the_turns_of_another_node_are_orphans(story: Story) -> None:
    turn = await story.start("m1")
    await story.end(await replace(story, session_id="ses_2").start("m1"))
    assert await story.lane.orphans() == []
    assert await Lane(story.database, owner="node_b").orphans() == [turn]
