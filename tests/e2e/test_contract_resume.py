"""Lost lines, second devices: everybody gets every event of a turn once, in order."""

import asyncio

import pytest

from tests.e2e.accounts import Account
from tests.e2e.client import Client, check_turn, tokens
from tests.e2e.conftest import Door

LONG = "/mock tokens=60 delay_ms=5 chars=40"
WHOLE = tokens(60, 40)


async def cut(client: Client, turn_id: str, seq: int = 3) -> int:
    """Cuts the line once ``seq`` of a turn is there; returns the last number that came."""
    await client.until(turn_id, seq)
    await client.drop()
    return int(client.turn(turn_id)[-1].data["seq"])


def read(client: Client, turn_id: str) -> str:
    """The chunks of a turn so far, as one text."""
    return "".join(chunk["content"] for chunk in client.named("stream_chunk", turnId=turn_id))


async def whole_text(before: Client, now: Client, turn_id: str, after: int) -> str:
    """The answer as the ending gives it, else as the chunks up to ``after`` and those ``now``
    make it: the ending may come as the next number with the whole text, or after the rest.
    """
    end = await now.ending(turn_id)
    seqs = [event.data["seq"] for event in now.turn(turn_id)]
    assert seqs == list(range(after + 1, after + 1 + len(seqs)))
    known = [chunk for chunk in before.named("stream_chunk") if chunk["seq"] <= after]
    pieces = [chunk["content"] for chunk in (*known, *now.named("stream_chunk", turnId=turn_id))]
    return str(end.get("text", "".join(pieces)))


async def test_a_cut_line_loses_nothing_with_resume_in_the_handshake(
    client: Client, door: Door, account: Account
) -> None:
    session = (await client.session())["sessionId"]
    turn_id = (await client.say(LONG))["turnId"]
    last = await cut(client, turn_id)

    back = await door.open(account, sessionId=session, resume=[{"turnId": turn_id, "after": last}])
    end = await back.ending(turn_id)

    rest = check_turn(back.turn(turn_id), after=last)
    assert read(client, turn_id) + rest == WHOLE
    assert end["reason"] == "completed"
    restored = back.named("SESSION_RESTORED")[0]
    (active,) = restored["activeTurns"]
    assert active["turnId"] == turn_id
    assert active["lastSeq"] >= last
    assert back.place("SESSION_RESTORED") < back.place("stream_chunk")


async def test_a_cut_line_loses_nothing_with_the_resume_event(
    client: Client, door: Door, account: Account
) -> None:
    session = (await client.session())["sessionId"]
    turn_id = (await client.say(LONG))["turnId"]
    last = await cut(client, turn_id)
    back = await door.open(account, sessionId=session)

    ack = await back.call("resume", {"turnId": turn_id, "after": last})
    await back.ending(turn_id)

    assert (ack["ok"], ack["status"]) == (True, "running")
    assert ack["firstSeq"] <= last + 1 <= ack["lastSeq"] + 1
    assert read(client, turn_id) + check_turn(back.turn(turn_id), after=last) == WHOLE
    assert back.place("ack") < back.place("stream_chunk")


async def test_a_line_cut_again_and_again_loses_nothing(
    client: Client, door: Door, account: Account
) -> None:
    session = (await client.session())["sessionId"]
    turn_id = (await client.say(LONG))["turnId"]
    text = ""
    last = await cut(client, turn_id)
    text += read(client, turn_id)
    for _ in range(3):
        resume = [{"turnId": turn_id, "after": last}]
        client = await door.open(account, sessionId=session, resume=resume)
        last = await cut(client, turn_id, last + 3)
        text += read(client, turn_id)

    back = await door.open(account, sessionId=session)
    await back.call("resume", {"turnId": turn_id, "after": last})
    await back.ending(turn_id)

    assert text + check_turn(back.turn(turn_id), after=last) == WHOLE


async def test_resume_from_the_start_gives_the_whole_turn(
    client: Client, door: Door, account: Account
) -> None:
    session = (await client.session())["sessionId"]
    turn_id = (await client.say(LONG))["turnId"]
    await client.until(turn_id, 3)

    other = await door.open(account, sessionId=session, resume=[{"turnId": turn_id, "after": -1}])
    await other.ending(turn_id)

    assert check_turn(other.turn(turn_id)) == WHOLE


async def test_a_second_resume_sends_nothing(client: Client) -> None:
    turn_id = (await client.say(LONG))["turnId"]
    await client.until(turn_id, 3)

    acks = [await client.call("resume", {"turnId": turn_id, "after": -1}) for _ in range(2)]
    await client.ending(turn_id)

    assert [ack["already"] for ack in acks] == [True, True]
    assert check_turn(client.turn(turn_id)) == WHOLE


@pytest.mark.parametrize("after", [-1, 0, 2])
async def test_a_finished_turn_is_resumed_to_its_end(
    client: Client, door: Door, account: Account, after: int
) -> None:
    session = (await client.session())["sessionId"]
    turn_id = (await client.say(LONG))["turnId"]
    await client.ending(turn_id)
    other = await door.open(account, sessionId=session)

    ack = await other.call("resume", {"turnId": turn_id, "after": after})

    assert ack["status"] == "completed"
    assert await whole_text(client, other, turn_id, after) == WHOLE


async def test_a_turn_whose_line_is_gone_for_good_is_in_history(
    client: Client, door: Door, account: Account
) -> None:
    session = (await client.session())["sessionId"]
    turn_id = (await client.say(LONG))["turnId"]
    await cut(client, turn_id)

    back = await door.open(account, sessionId=session)
    await back.call("resume", {"turnId": turn_id, "after": -1})
    await back.ending(turn_id)
    await back.call("get_history")

    answer = (await back.wait("conversation_history"))[1]
    assert (answer["turnId"], answer["content"]) == (turn_id, WHOLE)
    assert answer.get("interrupted", False) is False


async def test_a_turn_that_ran_with_nobody_there_is_resumed_with_its_text(
    client: Client, door: Door, account: Account
) -> None:
    session = (await client.session())["sessionId"]
    first = (await client.say(LONG))["turnId"]
    behind = (await client.say("/mock tokens=3 delay_ms=5"))["turnId"]
    last = await cut(client, first)
    back = await door.open(account, sessionId=session)
    await back.ending(behind)

    await back.call("resume", {"turnId": first, "after": last})

    assert await whole_text(client, back, first, last) == WHOLE


async def test_a_plain_turn_is_resumed_to_its_answer(
    client: Client, door: Door, account: Account
) -> None:
    session = (await client.session())["sessionId"]
    turn_id = (await client.say(LONG, stream=False))["turnId"]
    await client.drop()

    back = await door.open(account, sessionId=session, resume=[{"turnId": turn_id, "after": -1}])
    answer = await back.ending(turn_id)

    assert (answer["seq"], answer["text"], answer["reason"]) == (0, WHOLE, "completed")


async def test_a_waiting_turn_is_resumed_before_it_starts(
    client: Client, door: Door, account: Account
) -> None:
    session = (await client.session())["sessionId"]
    running = (await client.say("/mock hang_after=1"))["turnId"]
    waiting = (await client.say("/mock tokens=3"))["turnId"]
    await client.drop()

    back = await door.open(account, sessionId=session, resume=[{"turnId": waiting, "after": -1}])
    restored = await back.wait("SESSION_RESTORED")
    await back.call("cancel", {"turnId": running})
    await back.ending(waiting)

    assert {turn["turnId"] for turn in restored["activeTurns"]} == {running, waiting}
    assert [t["lastSeq"] for t in restored["activeTurns"] if t["turnId"] == waiting] == [-1]
    assert check_turn(back.turn(waiting)) == tokens(3)


async def test_nobody_resumes_a_strangers_turn(
    client: Client, door: Door, stranger: Account
) -> None:
    turn_id = (await client.say("/mock tokens=3"))["turnId"]
    await client.ending(turn_id)
    other = await door.open(stranger)

    theirs = await other.refused("resume", {"turnId": turn_id, "after": -1})
    unknown = await other.refused("resume", {"turnId": "trn_unknown", "after": -1})

    assert theirs == unknown
    assert theirs["code"] == "TURN_NOT_FOUND"


async def test_an_unknown_turn_in_the_handshake_is_told_of(
    client: Client, door: Door, account: Account
) -> None:
    session = (await client.session())["sessionId"]

    back = await door.open(
        account, sessionId=session, resume=[{"turnId": "trn_unknown", "after": -1}]
    )

    error = await back.wait("error")
    assert error["code"] == "TURN_NOT_FOUND"
    assert error["turnId"] == "trn_unknown"
    assert await back.wait("SESSION_RESTORED")


# ---------------------------------------------------------------------------- several devices


async def test_all_devices_see_the_same_stream(
    client: Client, door: Door, account: Account
) -> None:
    session = (await client.session())["sessionId"]
    others = [await door.open(account, sessionId=session) for _ in range(2)]

    turn_id = (await client.say(LONG))["turnId"]
    for device in (client, *others):
        await device.ending(turn_id)

    assert check_turn(client.turn(turn_id)) == WHOLE
    assert others[0].turn(turn_id) == others[1].turn(turn_id) == client.turn(turn_id)


@pytest.mark.parametrize("stream", [True, False])
async def test_the_other_device_is_told_of_the_message_before_the_turn(
    client: Client, door: Door, account: Account, stream: bool
) -> None:
    session = (await client.session())["sessionId"]
    other = await door.open(account, sessionId=session)

    ack = await client.say("/mock tokens=3", stream=stream)
    await other.ending(ack["turnId"])

    (message,) = other.named("message_added")
    assert message.keys() == {"id", "role", "content", "timestamp", "turnId"}
    assert (message["role"], message["content"]) == ("user", "/mock tokens=3")
    assert (message["id"], message["turnId"]) == (ack["messageId"], ack["turnId"])
    first = other.turn(ack["turnId"])[0]
    assert other.place("message_added") < other.events.index(first)
    assert not client.named("message_added")


async def test_a_waiting_message_is_told_before_its_turn_too(
    client: Client, door: Door, account: Account
) -> None:
    other = await door.open(account, sessionId=(await client.session())["sessionId"])
    running = (await client.say("/mock hang_after=1"))["turnId"]
    waiting = await client.say("/mock tokens=3")

    await other.call("cancel", {"turnId": running})
    await other.ending(waiting["turnId"])

    assert len(other.named("message_added")) == 2
    assert other.place("message_added", id=waiting["messageId"]) < other.place(
        "stream_start", turnId=waiting["turnId"]
    )
    assert check_turn(other.turn(waiting["turnId"])) == tokens(3)


async def test_devices_that_speak_at_once_see_the_same_order(
    client: Client, door: Door, account: Account
) -> None:
    other = await door.open(account, sessionId=(await client.session())["sessionId"])
    acks = await asyncio.gather(*(c.say("/mock tokens=4") for c in (client, other) * 2))
    for device in (client, other):
        for ack in acks:
            await device.ending(ack["turnId"])

    orders = [[start["turnId"] for start in c.named("stream_start")] for c in (client, other)]
    assert orders[0] == orders[1]
    for ack in acks:
        assert client.turn(ack["turnId"]) == other.turn(ack["turnId"])


async def test_a_device_that_comes_later_is_not_sent_a_turn_unasked(
    client: Client, door: Door, account: Account
) -> None:
    running = (await client.say("/mock hang_after=1"))["turnId"]
    late = await door.open(account, sessionId=(await client.session())["sessionId"])
    await late.session()

    await client.call("cancel", {"turnId": running})
    after = await client.say("/mock tokens=1")
    await late.ending(after["turnId"])

    assert late.turn(running) == []


async def test_another_session_of_the_same_user_hears_nothing(
    client: Client, door: Door, account: Account
) -> None:
    apart = await door.open(account)
    await apart.session()

    turn_id = (await client.say("/mock tokens=1"))["turnId"]
    await client.ending(turn_id)
    await apart.ending((await apart.say("/mock tokens=1"))["turnId"])

    assert apart.turn(turn_id) == []
    assert not apart.named("message_added")
