"""What a client asks about its session."""

import time
from datetime import datetime

from tests.e2e.accounts import Account
from tests.e2e.client import Client, tokens
from tests.e2e.conftest import Door


async def history(client: Client, **query: object) -> list[dict[str, object]]:
    """What ``get_history`` brings."""
    before = len(client.named("conversation_history"))
    ack = await client.call("get_history", query)
    assert ack["ok"] is True, ack
    messages: list[dict[str, object]] = await client.wait("conversation_history", nth=before)
    return messages


async def talk(client: Client, count: int) -> None:
    """Lets ``count`` turns run to their end."""
    for n in range(count):
        await client.ending((await client.say(f"/mock tokens={n + 1}"))["turnId"])


async def test_a_new_session_has_no_history(client: Client) -> None:
    assert await history(client) == []


async def test_history_tells_who_said_what(client: Client) -> None:
    ack = await client.say("/mock tokens=2")
    await client.ending(ack["turnId"])

    asked, answered = await history(client)

    assert {"id", "role", "content", "timestamp", "turnId"} <= asked.keys()
    assert (asked["id"], asked["role"]) == (ack["messageId"], "user")
    assert (answered["role"], answered["content"]) == ("assistant", tokens(2))
    assert asked["turnId"] == answered["turnId"] == ack["turnId"]
    for message in (asked, answered):
        assert message.keys() <= {"id", "role", "content", "timestamp", "turnId", "interrupted"}
        assert abs(float(str(message["timestamp"])) - time.time() * 1000) < 60_000


async def test_history_may_be_asked_for_without_a_payload(client: Client) -> None:
    await talk(client, 1)

    assert (await client.call("get_history"))["ok"] is True
    assert len(await client.wait("conversation_history")) == 2


async def test_history_comes_to_the_one_who_asked(
    client: Client, door: Door, account: Account
) -> None:
    other = await door.open(account, sessionId=(await client.session())["sessionId"])
    await history(client)
    await other.call("get_session_info")

    assert not other.named("conversation_history")


async def test_limit_gives_the_newest_and_before_the_ones_before_it(client: Client) -> None:
    await talk(client, 3)
    whole = await history(client)

    newest = await history(client, limit=2)
    older = await history(client, limit=2, before=newest[0]["id"])

    assert len(whole) == 6
    assert newest == whole[-2:]
    assert older == whole[2:4]
    assert await history(client, before=whole[0]["id"]) == []


async def test_an_answer_that_was_cut_says_so(client: Client) -> None:
    ack = await client.say("/mock tokens=2 hang_after=2")
    await client.wait("stream_chunk")
    await client.call("cancel", {"turnId": ack["turnId"]})
    await client.ending(ack["turnId"])

    asked, answered = await history(client)

    assert "interrupted" not in asked or asked["interrupted"] is False
    assert (answered["content"], answered["interrupted"]) == (tokens(2), True)


async def test_a_refused_message_leaves_no_trace(client: Client) -> None:
    await client.refused("user_message", {"text": ""})
    await client.refused("user_message", {"text": "hello", "onBusy": "never"})

    assert await history(client) == []


async def test_session_info_tells_how_the_session_stands(client: Client) -> None:
    session = await client.session()
    await talk(client, 1)

    ack = await client.call("get_session_info")
    info = await client.wait("session_info")

    assert ack["ok"] is True
    assert info.keys() == {
        "sessionId",
        "status",
        "messageCount",
        "createdAt",
        "lastActivityAt",
        "expiresAt",
        "activeTurns",
    }
    assert info["sessionId"] == session["sessionId"]
    assert info["status"] == "active"
    assert (info["messageCount"], info["activeTurns"]) == (2, [])
    created, active, expires = (
        datetime.fromisoformat(info[name]) for name in ("createdAt", "lastActivityAt", "expiresAt")
    )
    assert created <= active < expires
    assert expires >= datetime.fromisoformat(session["expiresAt"])


async def test_session_info_tells_of_running_and_waiting_turns(client: Client) -> None:
    running = (await client.say("/mock hang_after=1"))["turnId"]
    await client.wait("stream_chunk")
    waiting = (await client.say("/mock tokens=1"))["turnId"]

    await client.call("get_session_info")

    turns = (await client.wait("session_info"))["activeTurns"]
    assert {"turnId": running, "lastSeq": 1} in turns
    assert [turn["turnId"] for turn in turns] == [running, waiting]


async def test_history_of_an_earlier_session_stays_there(
    client: Client, door: Door, account: Account
) -> None:
    await talk(client, 1)
    other = await door.open(account)

    assert await history(other) == []
