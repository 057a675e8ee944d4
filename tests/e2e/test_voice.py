"""Speaking with a real server: by the stock JavaScript client, and by ``talksy voice``."""

import asyncio
import importlib.util
import sys
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from talksy.audio import OUT_RATE, milliseconds, size_of
from talksy.cli.sound import read_wav
from tests.e2e.accounts import PASSWORD, Account
from tests.e2e.browser import OPTIONS, browsing
from tests.server import running_server

CLIP = Path(__file__).parents[1] / "clips" / "what_time_is_it.wav"
FRAME = size_of(40)
SECONDS = 20
HEARD = r"I heard \d\.\d seconds of sound\."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server_url() -> AsyncIterator[str]:
    async with running_server(SHUTDOWN_TIMEOUT_MS=100) as server:
        yield server.url


@pytest.fixture
async def account(server_url: str) -> Account:
    return await Account.register(server_url)


async def speak(*options: str | Path, typed: str = "") -> tuple[int, str, str]:
    """What ``talksy voice`` ends with, and what it writes to stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "talksy", "voice", *options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate(typed.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
async def test_the_stock_client_speaks_and_is_spoken_to(
    options: dict[str, Any], server_url: str, account: Account
) -> None:
    pcm, _ = read_wav(CLIP)
    pcm += bytes(size_of(800))
    async with browsing(server_url, account.token, **options) as browser:
        assert (await browser.call("voice_start", {"profile": "vad-triggered"}))["ok"]
        for at in range(0, len(pcm), FRAME):
            await browser.send("audio", pcm[at : at + FRAME])
        said = await browser.until_named("final_transcript")
        assert said["text"].startswith("I heard ")
        await browser.until_named("audio_end", turnId=said["turnId"])
        await browser.until_named("stream_end", turnId=said["turnId"])
        frames = browser.named("audio_chunk")
        assert [frame["audioSeq"] for frame in frames] == list(range(1, len(frames) + 1))
        spoken = "".join(frame.get("text", "") for frame in frames)
        assert spoken == "".join(it["content"] for it in browser.named("stream_chunk"))
