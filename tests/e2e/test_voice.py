"""Speaking with a real server: by the stock JavaScript client, and by ``talksy voice``."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from talksy.audio import OUT_RATE, milliseconds, size_of
from talksy.cli.sound import read_wav
from tests.e2e.accounts import PASSWORD, Account
from tests.e2e.browser import OPTIONS, browsing
from tests.proxy import running_proxy
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
async def test_the_stock_client_speaks_is_spoken_to_and_has_heard_enough(
    options: dict[str, Any], server_url: str, account: Account
) -> None:
    pcm, _ = read_wav(CLIP)
    pcm += bytes(size_of(800))
    async with browsing(server_url, account.token, **options) as browser:
        assert (await browser.call("voice_start", {"profile": "vad-triggered"}))["ok"]
        for at in range(0, len(pcm), FRAME):
            await browser.send("audio", pcm[at : at + FRAME])
        said = await browser.until_named("final_transcript")
        assert re.fullmatch(HEARD, said["text"])
        await browser.until_named("audio_chunk", turnId=said["turnId"], audioSeq=9)
        await browser.call("cancel")
        ending = await browser.until_named("stream_end", turnId=said["turnId"])
        assert ending["reason"] == "cancelled"
        sound = [event for event in browser.events if event.name.startswith("audio_")]
        names = [event.name for event in sound]
        assert names == ["audio_start", *["audio_chunk"] * (len(names) - 2), "audio_clear"]
        numbers = [event.data["audioSeq"] for event in sound[:-1]]
        assert numbers == list(range(len(numbers)))
        assert all(len(event.data["audio"]) <= size_of(40, OUT_RATE) for event in sound[1:-1])


async def test_a_file_is_spoken_and_the_answer_is_written_down_and_recorded(
    server_url: str, account: Account, tmp_path: Path
) -> None:
    answer = tmp_path / "answer.wav"
    options = ("--url", server_url, "--wav", CLIP, "--fast", "--out", answer)
    code, out, err = await speak(*options, typed=f"{account.email}\n{PASSWORD}\n")
    assert code == 0, err
    asked, answered = out.splitlines()
    assert re.fullmatch(f"you: {HEARD}", asked)
    assert answered.startswith('talksy: I understood: "I heard')
    assert re.search(r"heard \d+ ms after the last word", err)
    pcm, rate = read_wav(answer)
    # The mock's voice hums for 60 ms each letter.
    letters = len(answered.removeprefix("talksy: "))
    assert rate == OUT_RATE
    assert 55 * letters < milliseconds(len(pcm), rate) <= 60 * letters


@pytest.mark.parametrize(
    ("options", "answered"), [(["transcribe"], False), (["dictate", "--fast"], True)]
)
async def test_what_is_said_may_be_written_down_alone_or_answered_in_the_end(
    server_url: str, account: Account, options: list[str], answered: bool
) -> None:
    base = ("--url", server_url, "--token", account.token, "--wav", CLIP)
    code, out, err = await speak(*base, "--mode", *options)
    assert code == 0, err
    assert re.match(f"you: {HEARD}\n", out)
    assert ("talksy: I understood" in out) is answered


@pytest.mark.parametrize(
    "cuts",
    [
        (b"SESSION_CREATED",),
        (b"speech_stopped",),
        (b"audio_start", b"audio_start"),
        (b"stream_end",),
    ],
    ids=["early", "before it is understood", "twice", "at the end"],
)
async def test_a_cut_line_loses_no_answer(
    server_url: str, account: Account, tmp_path: Path, cuts: tuple[bytes, ...]
) -> None:
    answer = tmp_path / "answer.wav"
    async with running_proxy(server_url) as proxy:
        proxy.cut_before(*cuts)
        base = ("--url", proxy.url, "--token", account.token)
        code, out, err = await speak(*base, "--wav", CLIP, "--out", answer)
        assert proxy.cuts == len(cuts)
    assert code == 0, err
    asked, answered = out.splitlines()
    assert re.fullmatch(f"you: {HEARD}", asked)
    assert re.fullmatch(r'talksy: I understood: "I heard .* sound\." Tell me more\.', answered)
    assert err.count("the connection is lost: coming back") == len(cuts)
    pcm, _ = read_wav(answer)
    letters = len(answered.removeprefix("talksy: "))
    assert milliseconds(len(pcm), OUT_RATE) > 30 * letters


async def test_what_the_server_refuses_is_said_in_a_line(server_url: str, account: Account) -> None:
    base = ("--url", server_url, "--token", account.token)
    code, out, err = await speak(*base, "--wav", CLIP, "--profile", "car")
    assert (code, out) == (1, "")
    assert err.startswith("talksy: profile is not one of vad-triggered, wake-word")


async def test_who_has_no_microphone_is_told_what_to_install(server_url: str) -> None:
    code, _, err = await speak("--url", server_url, "--token", "any")
    assert (code, err.count("\n")) == (1, 1)
    assert "pip install sounddevice" in err
