"""Messages in, turns out, and what clients ask of turns."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from talksy.database import Database
from talksy.database.lane import Draft
from talksy.errors import (
    IdempotencyConflict,
    Overloaded,
    PayloadTooLarge,
    RateLimited,
    TurnInProgress,
    TurnNotFound,
    TurnQueueFull,
    ValidationError,
)
from talksy.events import Active, Limited, Started
from talksy.gateway import Connection, Say
from talksy.messages import Prompt
from tests.integration.database.opened import locked, until, writing
from tests.integration.gateway.rig import KEEP, RULES, House, opened, session_of


async def test_the_ack_comes_before_the_first_event(house: House) -> None:
    line, connection = await house.join()
    receipt = await house.gateway.say(connection, Say("hi", streamed=True))
    await until(lambda: not house.journal.running)
    assert line.order() == ["SessionCreated"]
    receipt.begin()
    await line.ending(receipt.turn_id)
    assert line.order() == ["SessionCreated", "Started", "Chunk", "Chunk", "Ending"]
    assert (receipt.queued, receipt.duplicate) == (False, False)


async def test_what_other_turns_say_waits_for_the_ack_too(house: House) -> None:
    one, first = await house.join()
    two, second = await house.join(session_id=session_of(first))
    receipt = await house.gateway.say(first, Say("mine", streamed=True))
    receipt.begin()
    later = await house.gateway.say(first, Say("next", streamed=True))
    await two.ending(receipt.turn_id)
    assert one.events(receipt.turn_id) == []
    later.begin()
    await one.ending(receipt.turn_id)
    await two.ending(later.turn_id)
    assert second.reads(later.turn_id) is False


async def test_other_devices_see_the_message_before_its_turn_and_the_sender_does_not(
    house: House,
) -> None:
    one, first = await house.join()
    two, second = await house.join(session_id=session_of(first))
    other, _ = await house.join("bob")
    turn = await house.say(first, "hi", message_id="m1")
    await one.ending(turn)
    await two.ending(turn)
    assert two.order()[1:] == ["MessageAdded", "Started", "Chunk", "Chunk", "Ending"]
    assert (two.added(), one.added()) == (["hi"], [])
    assert one.events(turn) == two.events(turn)
    assert other.order() == ["SessionCreated"]
    back = await house.say(second, "and you?")
    await one.ending(back)
    assert one.added() == ["and you?"]


async def test_a_sender_that_came_back_is_another_device(house: House) -> None:
    _, sender = await house.join()
    house.cast.play("one", go_on := asyncio.Event())
    await house.say(sender, "one")
    waiting = await house.say(sender, "two")
    session_id = session_of(sender)
    house.gateway.leave(sender)
    line, _ = await house.join(session_id=session_id)
    go_on.set()
    await line.ending(waiting)
    assert line.added() == ["two"]


async def test_a_plain_turn_is_its_ending_alone(house: House) -> None:
    line, connection = await house.join()
    turn = await house.say(connection, "hi", streamed=False)
    assert (await line.ending(turn)).text == "hello"
    assert [number for number, _ in line.events(turn)] == [0]


@pytest.mark.parametrize("said", ["", " \n\t "])
async def test_an_empty_message_is_refused_and_costs_nothing(house: House, said: str) -> None:
    line, connection = await house.join()
    for _ in range(RULES.messages + 1):
        with pytest.raises(ValidationError) as caught:
            await house.say(connection, said)
    assert caught.value.faults == (("text", "is empty"),)
    assert line.notices(Limited) == []


async def test_a_message_may_be_so_long_and_no_longer(house: House) -> None:
    _, connection = await house.join()
    await house.say(connection, "x" * RULES.max_chars)
    with pytest.raises(PayloadTooLarge, match="101 characters, 100"):
        await house.say(connection, "x" * 101)


async def test_the_same_message_again_starts_nothing_and_costs_nothing(house: House) -> None:
    line, connection = await house.join()
    turn = await house.say(connection, "hi", message_id="m1")
    for _ in range(RULES.messages + 1):
        receipt = await house.gateway.say(connection, Say("hi", True, message_id="m1"))
        receipt.begin()
        assert (receipt.turn_id, receipt.message_id, receipt.duplicate) == (turn, "m1", True)
    await line.ending(turn)
    assert line.order().count("Started") == 1
    with pytest.raises(IdempotencyConflict):
        await house.say(connection, "other", message_id="m1")
    await line.ending(await house.say(connection, "more"))


async def test_a_refused_message_holds_nothing_back(house: House) -> None:
    line, connection = await house.join()
    house.cast.play("one", "hel", go_on := asyncio.Event(), "lo")
    turn = await house.say(connection, "one")
    await line.said(turn, "hel")
    with pytest.raises(TurnInProgress):
        await house.say(connection, "two", on_busy="reject")
    for number in range(3):
        await house.say(connection, f"q{number}")
    with pytest.raises(TurnQueueFull):
        await house.say(connection, "q3")
    assert len(house.gateway._turns._senders) == 3
    go_on.set()
    await line.ending(turn)


async def test_who_has_said_too_much_is_told_when_to_go_on(house: House) -> None:
    line, connection = await house.join()
    for number in range(RULES.messages):
        await line.ending(await house.say(connection, f"m{number}", message_id=f"m{number}"))
    warned = line.notices(Limited)
    assert [notice.remaining for notice in warned] == [2, 1, 0]
    assert warned[0].retry_after is None
    with pytest.raises(RateLimited) as caught:
        await house.say(connection, "one more")
    assert caught.value.retry_after == 60
    assert line.notices(Limited)[-1].retry_after == 60
    again = await house.gateway.say(connection, Say("m3", True, message_id="m3"))
    again.begin()
    assert again.duplicate
    with pytest.raises(RateLimited):
        await house.say(connection, "unknown", message_id="m99")
    _, elsewhere = await house.join()
    with pytest.raises(RateLimited):
        await house.say(elsewhere, "from another socket")
    _, other = await house.join("bob")
    await house.say(other, "hi")
    house.clock.now += 60_000
    await house.say(connection, "one more")


async def test_reads_have_a_limit_of_their_own(house: House) -> None:
    line, connection = await house.join()
    for _ in range(RULES.reads):
        await house.gateway.charge(connection)
    with pytest.raises(RateLimited, match="20 reads each 60 s"):
        await house.gateway.charge(connection)
    assert [notice.remaining for notice in line.notices(Limited)] == [4, 2, 0, 0]
    await house.say(connection, "hi")


async def test_a_full_node_takes_no_message(database: Database) -> None:
    async with opened(database, keep=replace(KEEP, bytes=1)) as house:
        line, connection = await house.join()
        house.cast.play("hi", "hel", asyncio.Event())
        turn = await house.say(connection, "hi")
        await until(lambda: house.journal.full)
        with pytest.raises(Overloaded):
            await house.say(connection, "more")
        await house.gateway.cancel(connection, None)
        await line.ending(turn)


@pytest.mark.usefixtures("impatient")
async def test_a_message_that_cannot_be_stored_is_refused_and_may_be_sent_again(
    house: House, file: Path
) -> None:
    line, connection = await house.join()
    async with locked(file):
        with pytest.raises(Overloaded):
            await house.say(connection, "hi", message_id="m1")
    turn = await house.say(connection, "hi", message_id="m1")
    await line.ending(turn)


async def rename(house: House, table: str, name: str) -> None:
    order = text(f"ALTER TABLE {table} RENAME TO {name}")
    await house.database.write(lambda rows: rows.execute(order))


async def test_a_message_that_cannot_be_shown_does_not_hide_its_answer(house: House) -> None:
    line, connection = await house.join()
    two, _ = await house.join(session_id=session_of(connection))
    receipt = await house.gateway.say(connection, Say("hi", streamed=True))
    await rename(house, "messages", "lost")
    with capture_logs() as logs:
        receipt.begin()
        await until(lambda: line.events(receipt.turn_id) and two.events(receipt.turn_id))
        assert "message_not_shown" in [entry["event"] for entry in logs]
    await rename(house, "lost", "messages")
    assert (await line.ending(receipt.turn_id)).reason == "completed"


async def test_a_model_is_given_the_system_prompt_and_what_was_said(database: Database) -> None:
    async with opened(database, rules=replace(RULES, system_prompt="be kind", history=3)) as house:
        line, connection = await house.join()
        for said in ("one", "two"):
            await line.ending(await house.say(connection, said))
    assert house.cast.asked[0] == [Prompt("system", "be kind"), Prompt("user", "one")]
    assert house.cast.asked[1] == [
        Prompt("system", "be kind"),
        Prompt("user", "one"),
        Prompt("assistant", "hello"),
        Prompt("user", "two"),
    ]


async def test_a_model_is_given_no_more_than_fits(database: Database) -> None:
    async with opened(database, rules=replace(RULES, context_tokens=3)) as house:
        line, connection = await house.join()
        for said in ("one", "two"):
            await line.ending(await house.say(connection, said))
    assert house.cast.asked[1] == [Prompt("assistant", "hello"), Prompt("user", "two")]


# ---- history and what goes on


async def test_history_is_read_in_pages(house: House) -> None:
    line, connection = await house.join()
    for said in ("one", "two"):
        await line.ending(await house.say(connection, said, message_id=said))
    newest = await house.gateway.history(connection, 1, None)
    assert [message.content for message in newest] == ["hello"]
    before = await house.gateway.history(connection, 10, "two")
    assert [message.content for message in before] == ["one", "hello"]
    with pytest.raises(ValidationError) as caught:
        await house.gateway.history(connection, 10, "unknown")
    assert caught.value.faults == (("before", "is no message of this session"),)


async def test_a_session_tells_what_goes_on_in_it(house: House) -> None:
    line, connection = await house.join()
    house.cast.play("one", "hel", asyncio.Event())
    started = house.clock.now
    house.clock.now += 1_000
    running = await house.say(connection, "one")
    waiting = await house.say(connection, "two")
    await line.said(running, "hel")
    info = await house.gateway.info(connection)
    assert (info.session_id, info.message_count) == (session_of(connection), 1)
    assert (info.created_at, info.last_activity_at) == (started, house.clock.now)
    assert info.active == [Active(running, 1), Active(waiting, -1)]


# ---- cancel


async def test_a_turn_is_cancelled_from_any_device(house: House) -> None:
    one, first = await house.join()
    _, second = await house.join(session_id=session_of(first))
    script = house.cast.play("hi", "hel", asyncio.Event())
    turn = await house.say(first, "hi")
    await script.idle.wait()
    assert await house.gateway.cancel(second, None) == (turn, "cancelled")
    ending = await one.ending(turn)
    assert (ending.reason, ending.text) == ("cancelled", "hel")
    assert script.open == 0
    for named in (turn, None):
        assert await house.gateway.cancel(first, named) == (turn, "cancelled")


async def test_cancelling_what_completed_tells_that(house: House) -> None:
    line, connection = await house.join()
    turn = await house.say(connection, "hi")
    await line.ending(turn)
    assert await house.gateway.cancel(connection, turn) == (turn, "completed")


async def test_a_turn_that_waits_is_cancelled_and_has_its_ending(house: House) -> None:
    line, connection = await house.join()
    house.cast.play("one", go_on := asyncio.Event())
    running = await house.say(connection, "one")
    waiting = await house.say(connection, "two")
    assert await house.gateway.cancel(connection, waiting) == (waiting, "cancelled")
    assert (await line.ending(waiting)).reason == "cancelled"
    assert await house.gateway.cancel(connection, waiting) == (waiting, "cancelled")
    go_on.set()
    assert (await line.ending(running)).reason == "completed"


async def test_a_turn_that_begins_while_it_is_cancelled_is_cancelled(house: House) -> None:
    """The ending before it, which starts it, is on its way when the cancel comes."""
    line, connection = await house.join()
    house.cast.play("one", go_on := asyncio.Event())
    house.cast.play("two", asyncio.Event())
    await house.say(connection, "one")
    waiting = await house.say(connection, "two")
    async with writing(house.database) as file:
        go_on.set()
        await until(lambda: file.waiting)
        cancelling = asyncio.create_task(house.gateway.cancel(connection, waiting))
        await asyncio.sleep(0)
    assert await cancelling == (waiting, "cancelled")
    assert (await line.ending(waiting)).reason == "cancelled"


async def test_what_is_stored_and_nobody_began_can_be_cancelled(house: House) -> None:
    """The word of its start was lost."""
    line, connection = await house.join()
    turn = await stored(house, connection, "hi")
    assert await house.gateway.cancel(connection, None) == (turn, "cancelled")
    assert (await line.ending(turn)).reason == "cancelled"


async def test_who_comes_back_to_a_turn_that_nobody_began_is_given_it(house: House) -> None:
    _, connection = await house.join()
    turn = await stored(house, connection, "hi")
    line, _ = await house.join(session_id=session_of(connection), resume=[(turn, -1)])
    assert (await line.ending(turn)).reason == "completed"
    assert line.text(turn) == "hello"


async def stored(house: House, connection: Connection, text: str) -> str:
    """A message whose turn is this node's to run; its id."""
    draft = Draft(session_of(connection), text, text, streamed=True)
    return (await house.lane.admit(draft, house.clock())).turn_id


async def test_what_is_not_of_this_session_cannot_be_cancelled(house: House) -> None:
    _, mine = await house.join("ada")
    _, theirs = await house.join("bob")
    house.cast.play("hi", asyncio.Event())
    house.cast.play("more", asyncio.Event())
    running = await house.say(theirs, "hi")
    waiting = await house.say(theirs, "more")
    for turn_id in (running, waiting, "trn_unknown", None):
        with pytest.raises(TurnNotFound):
            await house.gateway.cancel(mine, turn_id)
    assert house.journal.running == 1


async def test_an_interrupting_message_ends_what_runs_and_goes_first(house: House) -> None:
    line, connection = await house.join()
    script = house.cast.play("one", "hel", asyncio.Event())
    running = await house.say(connection, "one")
    waiting = await house.say(connection, "two")
    await script.idle.wait()
    urgent = await house.say(connection, "stop!", on_busy="interrupt")
    assert (await line.ending(running)).reason == "interrupted"
    await line.ending(waiting)
    started = [item[0] for item in line.got if isinstance(item, tuple) and item[1] == 0]
    assert started == [running, urgent, waiting]


# ---- resume


async def test_a_turn_being_read_is_not_sent_twice(house: House) -> None:
    line, connection = await house.join()
    house.cast.play("hi", "hel", go_on := asyncio.Event(), "lo")
    turn = await house.say(connection, "hi")
    await line.said(turn, "hel")
    resumed = await house.gateway.resume(connection, turn, -1)
    resumed.begin()
    assert (resumed.status, resumed.last_seq, resumed.already) == ("running", 1, True)
    go_on.set()
    await line.ending(turn)
    assert [number for number, _ in line.events(turn)] == [0, 1, 2, 3]


async def test_an_ended_turn_is_sent_from_any_number(house: House) -> None:
    line, connection = await house.join()
    turn = await house.say(connection, "hi")
    await line.ending(turn)
    line.got.clear()
    resumed = await house.gateway.resume(connection, turn, 1)
    assert (resumed.status, resumed.last_seq, resumed.already) == ("completed", 3, False)
    assert line.got == [], "not before the ack"
    resumed.begin()
    assert [number for number, _ in line.events(turn)] == [2, 3]
    ahead = await house.gateway.resume(connection, turn, 40)
    assert ahead.last_seq == 41
    ahead.begin()


async def test_a_turn_that_waits_begins_by_itself(house: House) -> None:
    line, connection = await house.join()
    house.cast.play("one", go_on := asyncio.Event())
    await house.say(connection, "one")
    waiting = await house.say(connection, "two")
    resumed = await house.gateway.resume(connection, waiting, -1)
    resumed.begin()
    assert (resumed.status, resumed.last_seq, resumed.already) == ("queued", -1, False)
    go_on.set()
    await line.ending(waiting)
    assert isinstance(line.events(waiting)[0][1], Started)


async def test_what_is_not_of_this_session_cannot_be_resumed(house: House) -> None:
    _, mine = await house.join("ada")
    line, theirs = await house.join("bob")
    turn = await house.say(theirs, "hi")
    await line.ending(turn)
    for turn_id in (turn, "trn_unknown"):
        with pytest.raises(TurnNotFound):
            await house.gateway.resume(mine, turn_id, -1)


async def test_a_cancelled_turn_asked_for_while_it_was_waiting_ends_once(house: House) -> None:
    """A device asks for the turn while another's cancel is about to be told to all."""
    _, first = await house.join()
    line, second = await house.join(session_id=session_of(first))
    house.cast.play("one", asyncio.Event())
    await house.say(first, "one")
    for number in range(5):
        waiting = await house.say(first, f"two {number}")
        cancelling = asyncio.create_task(house.gateway.cancel(first, waiting))
        while (resumed := await house.gateway.resume(second, waiting, -1)).status == "queued":
            pass
        if not line.events(waiting):
            resumed.begin()
        await cancelling
        assert (await line.ending(waiting)).reason == "cancelled"
