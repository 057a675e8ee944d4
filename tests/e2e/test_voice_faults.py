"""Strange sounds, and engines that fail in mid-sentence: it is told, and the session goes on."""

import asyncio
import os
import signal
import subprocess
from array import array
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress

import pytest
import pytest_asyncio

from talksy.audio import size_of
from tests.clips import clip
from tests.e2e.accounts import Account
from tests.e2e.client import Client
from tests.e2e.conftest import Door
from tests.server import Server, running_server

QUESTION = "what time is it"
ASKED = clip("what_time_is_it").pcm
HALF = size_of(1_000)
"""In the middle of it."""
SILENCE = bytes(size_of(1_000))
TRIES = 10
PATIENCE = 40.0
"""Seconds for a recogniser on a busy machine."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server() -> AsyncIterator[Server]:
    """One recogniser, which may think as long as a busy machine needs."""
    async with _listening(60_000) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hasty_server() -> AsyncIterator[Server]:
    """One that gives its recogniser up when that has thought for four seconds."""
    async with _listening(4_000) as server:
        yield server


def _listening(timeout_ms: int) -> AbstractAsyncContextManager[Server]:
    return running_server(
        STT_PROVIDER="offline", STT_WORKERS=1, STT_TIMEOUT_MS=timeout_ms, SHUTDOWN_TIMEOUT_MS=100
    )


@pytest.fixture
async def client(server: Server, open_clients: AsyncExitStack) -> Client:
    return await _speaker(server, open_clients)


async def _speaker(server: Server, open_clients: AsyncExitStack) -> Client:
    door = Door(server.url, "websocket", open_clients)
    client = await door.open(await Account.register(server.url))
    assert (await client.call("voice_start", {"mode": "transcribe"}))["ok"]
    return client


async def understood(client: Client) -> None:
    """Asks until that is understood: a recogniser may be on its way."""
    for _ in range(TRIES):
        told = len(client.named("final_transcript")) + len(client.named("error"))
        await client.emit("audio", ASKED + SILENCE)
        await client.wait_for(
            lambda _, told=told: (  # type: ignore[misc]
                len(client.named("final_transcript")) + len(client.named("error")) > told
            ),
            seconds=PATIENCE,
        )
        texts = [said["text"] for said in client.named("final_transcript")]
        if texts and texts[-1] == QUESTION:
            return
        await asyncio.sleep(0.5)
    raise AssertionError(client.events[-20:])


async def finals(client: Client, count: int) -> list[str]:
    """What was understood, once it is so much."""
    await client.wait_for(
        lambda _: len(client.named("final_transcript")) >= count, seconds=PATIENCE
    )
    return [said["text"] for said in client.named("final_transcript")]


def recogniser(server: Server) -> int:
    """The process that recognises."""
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    (pid,) = (
        int(line.split()[0])
        for line in listed.stdout.splitlines()
        if int(line.split()[1]) == server.process.pid and "sphinx/worker.py" in line
    )
    return pid


async def test_a_recogniser_that_dies_in_mid_sentence_is_told_and_replaced(
    server: Server, client: Client
) -> None:
    await understood(client)
    assert await failed(server, client, signal.SIGKILL) == "PROVIDER_UNAVAILABLE"
    await understood(client)


async def test_one_that_hangs_in_mid_sentence_is_given_up_in_time_and_replaced(
    hasty_server: Server, open_clients: AsyncExitStack
) -> None:
    client = await _speaker(hasty_server, open_clients)
    await understood(client)
    stopped = recogniser(hasty_server)
    assert await failed(hasty_server, client, signal.SIGSTOP) == "PROVIDER_TIMEOUT"
    with suppress(ProcessLookupError):  # it may have been replaced
        os.kill(stopped, signal.SIGCONT)
    await understood(client)


async def failed(server: Server, client: Client, fate: signal.Signals) -> str:
    """The code that is told when the recogniser meets its fate in mid-sentence."""
    before, faults = len(client.named("partial_transcript")), len(client.named("error"))
    await client.emit("audio", ASKED[:HALF])
    await client.wait_for(  # it has begun
        lambda _: len(client.named("partial_transcript")) > before, seconds=PATIENCE
    )
    os.kill(recogniser(server), fate)
    await client.emit("audio", ASKED[HALF:] + SILENCE)
    await client.wait_for(lambda _: len(client.named("error")) > faults, seconds=PATIENCE)
    return str(client.named("error")[faults]["code"])


async def test_a_sound_that_is_clipped_or_halts_is_heard_all_the_same(client: Client) -> None:
    loud = array("h", (max(-32_768, min(32_767, 5 * each)) for each in array("h", ASKED)))
    assert sum(abs(each) > 32_766 for each in loud) > 500
    await client.emit("audio", loud.tobytes() + SILENCE)
    await finals(client, 1)
    for part in (ASKED[:HALF], ASKED[HALF:] + SILENCE):
        await client.emit("audio", part)
        await asyncio.sleep(0.3)  # it comes slower than it was spoken
    assert (await finals(client, 2))[1] == QUESTION
    assert not client.named("error")


async def test_sound_at_a_wrong_rate_is_nonsense_until_it_is_said_right(client: Client) -> None:
    stream = (await client.call("voice_start", {"mode": "transcribe"}))["streamId"]
    wrong = {"mode": "transcribe", "sampleRate": 48_000}
    assert (await client.call("voice_start", wrong))["streamId"] == stream
    await client.emit("audio", ASKED + SILENCE * 3)
    assert (await client.call("voice_start", {"mode": "transcribe"}))["streamId"] == stream
    assert QUESTION not in [said["text"] for said in client.named("final_transcript")]
    assert not client.named("error")
    await understood(client)


async def test_a_second_start_ends_what_is_being_said_and_goes_on_as_asked(client: Client) -> None:
    await client.emit("audio", ASKED[:HALF])
    await client.wait("speech_started")
    assert (await client.call("voice_start", {"mode": "turn"}))["ok"]
    await finals(client, 1)
    assert "turnId" not in client.named("final_transcript")[0]
    await client.emit("audio", ASKED + SILENCE)
    assert (await finals(client, 2))[1] == QUESTION
    asked = client.named("final_transcript")[1]
    assert (await client.wait("stream_start"))["turnId"] == asked["turnId"]
    await client.call("cancel")
