"""A server that stops, or is killed, in the middle of answers."""

from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.e2e.accounts import Account
from tests.e2e.client import check_turn, tokens
from tests.e2e.conftest import Door
from tests.server import running_server

# ---------------------------------------------------------------------------- a stop


async def test_a_server_that_is_told_to_stop_lets_turns_end(door: Door) -> None:
    async with running_server(SHUTDOWN_TIMEOUT_MS=8_000) as server:
        client = await door.at(server.url).open(await Account.register(server.url))
        turn_id = (await client.say("/mock tokens=30 delay_ms=20 chars=10"))["turnId"]
        await client.until(turn_id, 2)

        server.terminate()
        draining = await client.wait("server_draining")
        end = await client.ending(turn_id)
        await client.disconnected()

        assert await server.ended() == 0
    assert draining.keys() == {"reconnectAfterMs"}
    assert draining["reconnectAfterMs"] >= 0
    assert end["reason"] == "completed"
    assert check_turn(client.turn(turn_id)) == tokens(30, 10)


async def test_turns_that_take_too_long_get_their_ending_before_the_deadline(
    door: Door, tmp_path: Path
) -> None:
    async with running_server(DATA_DIR=tmp_path, SHUTDOWN_TIMEOUT_MS=400) as server:
        account = await Account.register(server.url)
        client = await door.at(server.url).open(account)
        session = (await client.session())["sessionId"]
        turn_id = (await client.say("/mock tokens=2 hang_after=2"))["turnId"]
        await client.wait("stream_chunk")

        server.terminate()
        end = await client.ending(turn_id)
        assert await server.ended() == 0

    assert (end["reason"], end["text"]) == ("interrupted", tokens(2))
    async with running_server(DATA_DIR=tmp_path) as server:
        back = await door.at(server.url).open(account, sessionId=session)
        history = (await back.wait("SESSION_RESTORED"))["history"]
    assert (history[1]["content"], history[1]["interrupted"]) == (tokens(2), True)


async def test_a_message_that_waits_when_the_server_stops_is_answered_by_the_next(
    websocket_door: Door, tmp_path: Path
) -> None:
    async with running_server(DATA_DIR=tmp_path, SHUTDOWN_TIMEOUT_MS=300) as server:
        account = await Account.register(server.url)
        client = await websocket_door.at(server.url).open(account)
        session = (await client.session())["sessionId"]
        await client.say("/mock hang_after=1")
        waiting = (await client.say("/mock tokens=3"))["turnId"]
        server.terminate()
        assert await server.ended() == 0

    async with running_server(DATA_DIR=tmp_path) as server:
        resume = [{"turnId": waiting, "after": -1}]
        back = await websocket_door.at(server.url).open(account, sessionId=session, resume=resume)
        end = await back.ending(waiting)
    assert end["reason"] == "completed"
    assert end.get("text", tokens(3)) == tokens(3)


async def test_a_draining_server_is_not_ready_and_takes_no_new_message(
    websocket_door: Door,
) -> None:
    async with running_server(SHUTDOWN_TIMEOUT_MS=1_000) as server:
        client = await websocket_door.at(server.url).open(await Account.register(server.url))
        await client.say("/mock hang_after=1")
        await client.wait("stream_chunk")
        async with aiohttp.ClientSession(server.url) as http, http.get("/health/ready") as answer:
            assert answer.status == 200

            server.terminate()
            await client.wait("server_draining")
            async with http.get("/health/ready") as unready:
                assert unready.status == 503
            async with http.get("/health/live") as live:
                assert live.status == 200
            # A balancer takes a handshake to the next node, the stock client asks again.
            async with http.get("/socket.io/?EIO=4&transport=polling") as handshake:
                assert (handshake.status, (await handshake.json())["code"]) == (
                    503,
                    "SERVER_DRAINING",
                )
        error = await client.refused("user_message", {"text": "hello"})

    assert error["code"] == "SERVER_DRAINING"


async def test_a_second_signal_ends_at_once(websocket_door: Door) -> None:
    async with running_server(SHUTDOWN_TIMEOUT_MS=60_000) as server:
        client = await websocket_door.at(server.url).open(await Account.register(server.url))
        await client.say("/mock hang_after=1")
        await client.wait("stream_chunk")
        server.terminate()
        await client.wait("server_draining")

        server.terminate()

        assert await server.ended() != 0


async def test_an_idle_server_stops_without_waiting_for_its_sockets(door: Door) -> None:
    async with running_server(SHUTDOWN_TIMEOUT_MS=60_000) as server:
        client = await door.at(server.url).open(await Account.register(server.url))
        await client.session()

        server.terminate()

        await client.wait("server_draining")
        assert await server.ended() == 0


# ---------------------------------------------------------------------------- a crash

LONG = "/mock tokens=2000 delay_ms=10 chars=100"
ENOUGH = 150
"""Events after which, at 10 ms each, more than a second's worth has been written down."""


@dataclass(frozen=True)
class Crash:
    """What a client knew when the server was killed under a running and a waiting turn."""

    data_dir: Path
    account: Account
    session: str
    turn_id: str
    waiting: str
    last: int


async def crashed(tmp_path: Path, door: Door) -> Crash:
    """Kills a server with one turn running and one waiting."""
    async with running_server(DATA_DIR=tmp_path) as server:
        account = await Account.register(server.url)
        client = await door.at(server.url).open(account)
        session = (await client.session())["sessionId"]
        turn_id = (await client.say(LONG, messageId="mine"))["turnId"]
        waiting = (await client.say("/mock tokens=3"))["turnId"]
        await client.until(turn_id, ENOUGH)
        server.kill()
        assert await server.ended() == -9
        await client.drop()
    last = max(event.data["seq"] for event in client.turn(turn_id))
    return Crash(tmp_path, account, session, turn_id, waiting, last)


async def test_after_a_crash_nothing_that_was_kept_is_lost(tmp_path: Path, door: Door) -> None:
    crash = await crashed(tmp_path, door)
    async with running_server(DATA_DIR=crash.data_dir) as server:
        resume = [
            {"turnId": crash.turn_id, "after": crash.last},
            {"turnId": crash.waiting, "after": -1},
        ]
        client = await door.at(server.url).open(
            crash.account, sessionId=crash.session, resume=resume
        )
        end = await client.ending(crash.turn_id)
        after = await client.ending(crash.waiting)
        await client.call("get_history")
        history = await client.wait("conversation_history")

    assert (end["reason"], end["seq"]) == ("interrupted", crash.last + 1)
    assert len(end["text"]) > 0
    assert tokens(2_000, 100).startswith(end["text"])
    assert len(client.turn(crash.turn_id)) == 1
    assert after["reason"] == "completed"
    assert [message["role"] for message in history] == ["user", "assistant"] * 2
    assert (history[1]["content"], history[1]["interrupted"]) == (end["text"], True)
    assert history[3]["content"] == tokens(3)


async def test_after_a_crash_a_dead_turn_is_resumed_and_its_message_tried_again(
    tmp_path: Path, websocket_door: Door
) -> None:
    crash = await crashed(tmp_path, websocket_door)
    async with running_server(DATA_DIR=crash.data_dir) as server:
        client = await websocket_door.at(server.url).open(crash.account, sessionId=crash.session)
        resumed = await client.call("resume", {"turnId": crash.turn_id, "after": crash.last})
        end = await client.ending(crash.turn_id)
        cancelled = await client.call("cancel", {"turnId": crash.turn_id})
        duplicate = await client.say(LONG, messageId="mine")
        again = await client.say(LONG, messageId="mine", retry=True)
        await client.wait("stream_chunk", turnId=again["turnId"])
        await client.call("cancel", {"turnId": again["turnId"]})

    assert resumed["status"] == cancelled["status"] == "interrupted"
    assert end["seq"] == crash.last + 1
    assert (duplicate["duplicate"], duplicate["turnId"]) == (True, crash.turn_id)
    assert "duplicate" not in again
    assert again["turnId"] != crash.turn_id
