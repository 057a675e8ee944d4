"""Messages and the turns that answer them: plain, streamed, queued, cancelled, repeated."""

import asyncio
import time

import pytest

from tests.e2e.accounts import Account
from tests.e2e.client import Client, check_turn, tokens
from tests.e2e.conftest import Door

HANG = "/mock tokens=2 hang_after=2"


async def hang(client: Client) -> str:
    """Starts a turn that writes two tokens and goes silent; returns its id."""
    turn_id: str = (await client.say(HANG))["turnId"]
    await client.wait("stream_chunk", turnId=turn_id)
    return turn_id


async def test_a_plain_message_gets_one_whole_answer(client: Client) -> None:
    ack = await client.say("/mock tokens=3", stream=False)
    answer = await client.ending(ack["turnId"])

    assert ack.keys() == {"ok", "messageId", "turnId"}
    assert ack["messageId"].startswith("msg_")
    assert ack["turnId"].startswith("trn_")
    assert answer["text"] == "0 1 2 "
    assert answer["messageId"] == ack["messageId"]
    assert (answer["seq"], answer["reason"]) == (0, "completed")
    assert (answer["provider"], answer["model"]) == ("mock", "mock")
    assert abs(answer["timestamp"] - time.time() * 1000) < 60_000
    assert "error" not in answer
    assert answer.get("degraded", False) is False
    assert len(client.turn(ack["turnId"])) == 1
    assert client.place("ack") < client.place("assistant_response")


async def test_the_usage_of_a_turn_is_told(client: Client) -> None:
    ack = await client.say("/mock tokens=3", stream=False)

    usage = (await client.ending(ack["turnId"]))["usage"]

    assert usage["outputTokens"] == 3
    assert usage["inputTokens"] > 0


async def test_a_streamed_message_gets_its_answer_in_chunks(client: Client) -> None:
    session = (await client.session())["sessionId"]

    ack = await client.say("/mock tokens=40 delay_ms=2 chars=10")
    end = await client.ending(ack["turnId"])

    turn = client.turn(ack["turnId"])
    assert turn[0].data == {
        "sessionId": session,
        "turnId": ack["turnId"],
        "messageId": ack["messageId"],
        "seq": 0,
    }
    assert client.place("ack") < client.place("stream_start")
    assert check_turn(turn) == tokens(40, 10)
    assert turn[1].data.keys() == {"content", "index", "turnId", "seq"}
    assert (end["sessionId"], end["reason"]) == (session, "completed")
    assert (end["provider"], end["model"]) == ("mock", "mock")
    assert end["usage"]["outputTokens"] == 40
    assert end["chunks"] == len(turn) - 2 > 1
    assert "text" not in end


async def test_an_empty_answer_is_a_start_and_an_end(client: Client) -> None:
    ack = await client.say("/mock tokens=0")
    end = await client.ending(ack["turnId"])

    assert check_turn(client.turn(ack["turnId"])) == ""
    assert (end["reason"], end["chunks"]) == ("completed", 0)


async def test_text_of_any_script_arrives_as_it_was_sent(client: Client) -> None:
    text = 'Grüße 👩‍👩‍👧 שלום \u2028 \\ " </script> \x01'
    ack = await client.say(text, stream=False)
    await client.ending(ack["turnId"])

    assert (await client.call("get_history"))["ok"]
    assert (await client.wait("conversation_history"))[0]["content"] == text


async def test_a_stream_whose_model_fails_ends_failed_with_what_was_written(
    client: Client,
) -> None:
    ack = await client.say("/mock tokens=10 fail_after=4")
    end = await client.ending(ack["turnId"])

    assert check_turn(client.turn(ack["turnId"])) == tokens(4)
    assert end["reason"] == "failed"
    assert end["error"]["code"] == "PROVIDER_UNAVAILABLE"
    assert end["error"]["message"]
    assert end["text"] == tokens(4)


async def test_a_plain_turn_whose_model_fails_ends_failed(client: Client) -> None:
    ack = await client.say("/mock tokens=10 fail_after=4", stream=False)
    answer = await client.ending(ack["turnId"])

    assert (answer["reason"], answer["text"]) == ("failed", tokens(4))
    assert answer["error"]["code"] == "PROVIDER_UNAVAILABLE"


async def test_a_model_that_is_not_on_the_list_is_refused_by_name(client: Client) -> None:
    error = await client.refused("user_message", {"text": "hello", "model": "gpt-99"})

    assert error["code"] == "VALIDATION_ERROR"
    assert "gpt-99" in error["message"] or "model" in error["message"]


# ---------------------------------------------------------------------------- message ids


async def test_a_client_names_its_message(client: Client) -> None:
    ack = await client.say("/mock tokens=1", messageId="mine-1")

    assert ack["messageId"] == "mine-1"
    assert (await client.wait("stream_start"))["messageId"] == "mine-1"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_message_sent_again_starts_nothing(
    client: Client, door: Door, account: Account, stream: bool
) -> None:
    session = (await client.session())["sessionId"]
    first = await client.say("/mock tokens=1", messageId="mine-1", stream=stream)
    await client.ending(first["turnId"])
    again = await client.say("/mock tokens=1", messageId="mine-1", stream=stream)
    await client.close()
    elsewhere = await door.open(account, sessionId=session)
    later = await elsewhere.say("/mock tokens=1", messageId="mine-1", stream=stream)

    assert "duplicate" not in first
    assert again == later == {**first, "duplicate": True}
    restored = await elsewhere.session()
    assert len(restored["history"]) == 2


async def test_copies_of_a_message_sent_at_the_same_time_start_one_turn(client: Client) -> None:
    acks = await asyncio.gather(
        *(client.say("/mock tokens=5", messageId="mine-1") for _ in range(5))
    )

    assert len({ack["turnId"] for ack in acks}) == 1
    assert sorted(ack.get("duplicate", False) for ack in acks) == [False, True, True, True, True]
    await client.ending(acks[0]["turnId"])
    assert len(client.named("stream_start")) == 1


async def test_a_message_id_used_for_another_text_is_a_conflict(client: Client) -> None:
    ack = await client.say("/mock tokens=1", messageId="mine-1")
    await client.ending(ack["turnId"])

    error = await client.refused("user_message_stream", {"text": "other", "messageId": "mine-1"})

    assert error["code"] == "IDEMPOTENCY_CONFLICT"


async def test_two_users_may_choose_the_same_message_id(
    client: Client, door: Door, stranger: Account
) -> None:
    await client.say("/mock tokens=1", messageId="mine-1")

    ack = await (await door.open(stranger)).say("/mock tokens=2", messageId="mine-1")

    assert "duplicate" not in ack


async def test_retry_starts_a_new_turn_after_a_failed_one(client: Client) -> None:
    text = "/mock tokens=3 fail_after=1"
    first = await client.say(text, messageId="mine-1")
    await client.ending(first["turnId"])

    plain = await client.say(text, messageId="mine-1")
    second = await client.say(text, messageId="mine-1", retry=True)
    end = await client.ending(second["turnId"])

    assert plain["duplicate"] is True
    assert plain["turnId"] == first["turnId"]
    assert second["messageId"] == "mine-1"
    assert second["turnId"] != first["turnId"]
    assert end["reason"] == "failed"
    assert check_turn(client.turn(second["turnId"])) == tokens(1)


async def test_retry_after_a_completed_turn_starts_nothing(client: Client) -> None:
    first = await client.say("/mock tokens=1", messageId="mine-1")
    await client.ending(first["turnId"])

    again = await client.say("/mock tokens=1", messageId="mine-1", retry=True)

    assert again == {**first, "duplicate": True}


async def test_a_retried_message_stands_in_history_once(client: Client) -> None:
    first = await client.say(HANG, messageId="mine-1")
    await client.wait("stream_chunk")
    await client.call("cancel", {"turnId": first["turnId"]})
    second = await client.say(HANG, messageId="mine-1", retry=True)
    await client.wait("stream_chunk", turnId=second["turnId"])
    await client.call("cancel", {"turnId": second["turnId"]})

    await client.call("get_history")

    history = await client.wait("conversation_history")
    assert [message["id"] for message in history].count("mine-1") == 1


# ---------------------------------------------------------------------------- busy sessions


async def test_messages_wait_for_the_running_turn_three_at_most(client: Client) -> None:
    running = await hang(client)
    waiting = [await client.say(f"/mock tokens={n}") for n in (1, 2, 3)]

    error = await client.refused("user_message_stream", {"text": "one too many"})
    await client.call("cancel", {"turnId": running})
    for n, ack in zip((1, 2, 3), waiting, strict=True):
        assert ack["queued"]
        await client.ending(ack["turnId"])
        assert check_turn(client.turn(ack["turnId"])) == tokens(n)

    assert error["code"] == "TURN_QUEUE_FULL"
    turns = [running, *(ack["turnId"] for ack in waiting)]
    assert [end["turnId"] for end in client.named("stream_end")] == turns


async def test_turns_of_a_session_never_interleave(client: Client) -> None:
    acks = await asyncio.gather(
        *(
            client.say("/mock tokens=20 delay_ms=1 chars=40", stream=stream)
            for stream in (True, False, True, True)
        )
    )
    for ack in acks:
        await client.ending(ack["turnId"])

    order = [event.data["turnId"] for event in client.events if "seq" in (event.data or {})]
    starts = [turn for at, turn in enumerate(order) if at == 0 or order[at - 1] != turn]
    assert len(starts) == len(set(starts)) == 4
    await client.call("get_history")
    history = await client.wait("conversation_history")
    assert [message["role"] for message in history] == ["user", "assistant"] * 4
    assert [message["turnId"] for message in history[1::2]] == starts


async def test_reject_refuses_while_a_turn_runs_and_only_then(client: Client) -> None:
    ack = await client.say(HANG, onBusy="reject")
    await client.wait("stream_chunk")

    error = await client.refused("user_message_stream", {"text": "hello", "onBusy": "reject"})
    await client.call("cancel")
    await client.ending(ack["turnId"])

    assert error["code"] == "TURN_IN_PROGRESS"
    assert await client.say("hello", onBusy="reject")


async def test_interrupt_ends_the_running_turn_and_takes_its_place(client: Client) -> None:
    running = await hang(client)

    ack = await client.say("/mock tokens=3", onBusy="interrupt")

    cut = await client.ending(running)
    assert cut["reason"] == "interrupted"
    assert cut["text"] == tokens(2)
    await client.ending(ack["turnId"])
    assert check_turn(client.turn(ack["turnId"])) == tokens(3)
    assert client.place("stream_end", turnId=running) < client.place(
        "stream_start", turnId=ack["turnId"]
    )


async def test_interrupt_on_an_idle_session_is_a_plain_message(client: Client) -> None:
    ack = await client.say("/mock tokens=3", onBusy="interrupt")

    assert (await client.ending(ack["turnId"]))["reason"] == "completed"


# ---------------------------------------------------------------------------- cancel


async def test_cancel_ends_the_turn_with_what_was_written(client: Client) -> None:
    turn_id = await hang(client)

    ack = await client.call("cancel", {"turnId": turn_id})

    end = await client.ending(turn_id)
    assert (ack["ok"], ack["status"]) == (True, "cancelled")
    assert (end["reason"], end["text"]) == ("cancelled", tokens(2))
    assert check_turn(client.turn(turn_id)) == tokens(2)


async def test_cancel_of_a_plain_turn_ends_it(client: Client) -> None:
    ack = await client.say(HANG, stream=False)

    await client.call("cancel", {"turnId": ack["turnId"]})

    assert (await client.ending(ack["turnId"]))["reason"] == "cancelled"


async def test_cancel_without_a_turn_means_the_running_one(client: Client) -> None:
    turn_id = await hang(client)

    assert (await client.call("cancel", {}))["status"] == "cancelled"
    assert (await client.ending(turn_id))["reason"] == "cancelled"


async def test_cancel_is_idempotent(client: Client) -> None:
    turn_id = await hang(client)

    acks = await asyncio.gather(*(client.call("cancel", {"turnId": turn_id}) for _ in range(4)))
    acks.append(await client.call("cancel", {"turnId": turn_id}))

    assert [ack["status"] for ack in acks] == ["cancelled"] * 5
    assert len(client.named("stream_end")) == 1


async def test_cancel_of_a_completed_turn_says_so(client: Client) -> None:
    ack = await client.say("/mock tokens=1")
    await client.ending(ack["turnId"])

    assert (await client.call("cancel", {"turnId": ack["turnId"]}))["status"] == "completed"


async def test_a_waiting_turn_is_cancelled_and_the_others_go_on(client: Client) -> None:
    running = await hang(client)
    second = await client.say("/mock tokens=2")
    third = await client.say("/mock tokens=3")

    ack = await client.call("cancel", {"turnId": second["turnId"]})
    again = await client.call("cancel", {"turnId": second["turnId"]})
    await client.call("cancel", {"turnId": running})
    await client.ending(third["turnId"])

    assert ack["status"] == again["status"] == "cancelled"
    assert check_turn(client.turn(third["turnId"])) == tokens(3)
    cut = await client.ending(second["turnId"])
    assert cut["reason"] == "cancelled"
    assert not client.named("stream_chunk", turnId=second["turnId"])
    assert len(client.named("stream_end", turnId=second["turnId"])) == 1


async def test_a_second_device_cancels(client: Client, door: Door, account: Account) -> None:
    other = await door.open(account, sessionId=(await client.session())["sessionId"])
    turn_id = await hang(client)

    assert (await other.call("cancel", {"turnId": turn_id}))["status"] == "cancelled"
    assert (await client.ending(turn_id))["reason"] == "cancelled"


async def test_nobody_cancels_a_strangers_turn(
    client: Client, door: Door, stranger: Account
) -> None:
    turn_id = await hang(client)
    other = await door.open(stranger)

    theirs = await other.refused("cancel", {"turnId": turn_id})
    unknown = await other.refused("cancel", {"turnId": "trn_unknown"})

    assert theirs == unknown
    assert theirs["code"] == "TURN_NOT_FOUND"
    assert not client.named("stream_end")
