"""What is loaded before anybody speaks."""

import asyncio
import sys

import pytest
from structlog.testing import capture_logs

from talksy.ai.wake.keyphrase import KeyphraseWake
from talksy.voice.opening import VoicePlan, open_engines

OFFLINE = VoicePlan(stt=("offline", "mock"), stt_options={"offline": {"workers": 1}}, warm=1)


async def warmed() -> None:
    (warming,) = [task for task in asyncio.all_tasks() if task.get_name() == "engines"]
    await warming


async def test_who_listens_for_the_wake_word_is_there_before_it_is_said() -> None:
    async with open_engines(OFFLINE) as engines:
        await warmed()
        engine = engines.wake._opened["keyphrase"]
        assert isinstance(engine, KeyphraseWake)
        assert engine._link is not None
        assert engine._link.alive


async def test_where_it_is_not_installed_that_is_no_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with capture_logs() as logs:
        async with open_engines(
            VoicePlan(stt=("groq",), warm=1, stt_options={"groq": {"api_key": "-"}})
        ):
            await warmed()
    (told,) = [line for line in logs if line["event"] == "wake_word_not_ready"]
    assert told["log_level"] == "info"
    assert told["hint"] == "pocketsphinx is missing: pip install 'talksy[voice]'"


async def test_the_mock_alone_starts_no_process() -> None:
    async with open_engines(VoicePlan(warm=1)) as engines:
        await warmed()
        assert not engines.wake._opened
