"""The whole way of a voice, offline: the stock JavaScript client, real detectors and engines."""

import asyncio
import re
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from talksy.audio import OUT_RATE, milliseconds, size_of
from talksy.cli.sound import read_wav
from tests.clips import clip
from tests.e2e.accounts import PASSWORD, Account
from tests.e2e.browser import Browser, browsing
from tests.server import running_server

ORDER = (
    "wake_word",
    "speech_started",
    "partial_transcript",
    "speech_stopped",
    "final_transcript",
    "stream_start",
    "tool_call",
    "tool_result",
    "stream_chunk",
    "audio_start",
    "audio_chunk",
    "audio_end",
    "stream_end",
)
GUIDE = Path(__file__).parents[2] / "docs" / "voice.md"
QUESTION = "what time is it"
ANSWER = r"It is \d\d:\d\d:\d\d in UTC\."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server_url() -> AsyncIterator[str]:
    async with running_server(
        STT_PROVIDER="offline", TTS_PROVIDER="offline", STT_WORKERS=1, SHUTDOWN_TIMEOUT_MS=100
    ) as server:
        yield server.url


@pytest.fixture
async def account(server_url: str) -> Account:
    return await Account.register(server_url)


def firsts(browser: Browser) -> list[str]:
    """What came of voice, each in the place of its first."""
    return list(dict.fromkeys(event.name for event in browser.events if event.name in ORDER))


async def test_who_calls_and_asks_is_understood_to_the_word_and_answered_aloud(
    server_url: str, account: Account
) -> None:
    async with browsing(server_url, account.token) as browser:
        assert (await browser.call("voice_start", {"profile": "wake-word"}))["ok"]
        await browser.speak(clip("jarvis_then_time").pcm + bytes(size_of(300)), ms=20)
        said = await browser.until_named("final_transcript")
        turn_id = said["turnId"]
        ending = await browser.until_named("stream_end", turnId=turn_id)
        await browser.until_named("spoken")
        assert ending["reason"] == "completed"
        assert firsts(browser) == list(ORDER)
        assert not browser.named("error")
        assert [len(browser.named(name)) for name in ORDER[:2]] == [1, 1]

        assert said["text"] == QUESTION
        ends = [partial["endMs"] for partial in browser.named("partial_transcript")]
        assert ends == sorted(set(ends)), "each goes further than the one before"
        (_, (start, end)) = clip("jarvis_then_time").utterances
        assert abs(browser.named("speech_started")[0]["offsetMs"] - start) <= 64
        assert abs(browser.named("speech_stopped")[0]["offsetMs"] - end) <= 64

        turn = [it.data for it in browser.events if "seq" in (it.data or ()) and it.name in ORDER]
        assert [event["seq"] for event in turn] == list(range(len(turn)))
        written = "".join(chunk["content"] for chunk in browser.named("stream_chunk"))
        assert re.fullmatch(ANSWER, written)
        sound = [event for event in browser.events if event.name.startswith("audio_")]
        names = [event.name for event in sound]
        assert names == ["audio_start", *["audio_chunk"] * (len(sound) - 2), "audio_end"]
        assert [event.data["audioSeq"] for event in sound] == list(range(len(sound)))
        assert {event.data["turnId"] for event in sound} == {turn_id}
        chunks = browser.named("audio_chunk")
        assert {chunk["sampleRate"] for chunk in chunks} == {OUT_RATE}
        assert "".join(chunk.get("text", "") for chunk in chunks) == written
        spoken = b"".join(chunk["audio"] for chunk in chunks)
        assert milliseconds(len(spoken), OUT_RATE) > 1_000
        assert len(set(spoken)) > 100, "it is a voice and no silence"

        await browser.call("get_history")
        history = await browser.until_named("conversation_history")
        assert [(it["role"], it["content"]) for it in history] == [
            ("user", QUESTION),
            ("assistant", written),
        ]


async def test_the_guide_begins_with_a_question_that_is_answered(
    server_url: str, tmp_path: Path
) -> None:
    text = GUIDE.read_text(encoding="utf-8")
    script = re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[1]
    client = shlex.join([sys.executable, "-m", "talksy", "voice", "--fast", "--url", server_url])
    assert script.count("talksy voice ") == 1
    process = await asyncio.create_subprocess_exec(
        *("sh", "-euc", script.replace("talksy voice", client)),
        cwd=tmp_path,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(f"{PASSWORD}\ny\n".encode())
    assert process.returncode == 0, err.decode()
    assert out.decode().splitlines()[0] == f"you: {QUESTION}"
    pcm, rate = read_wav(tmp_path / "answer.wav")
    assert milliseconds(len(pcm), rate) > 500
