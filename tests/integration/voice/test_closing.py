"""A node that stops while somebody speaks."""

import asyncio
from pathlib import Path

import pytest

from talksy.ai.tts import open_synthesizer
from talksy.ai.vad import Detectors
from talksy.ai.wake import WakeEngines
from talksy.audio import size_of
from talksy.database import Database
from talksy.gateway import voice
from talksy.gateway.requests import VoiceStart
from talksy.voice import Engines, TurnDetection
from tests.clips import clip
from tests.integration.gateway.rig import opened
from tests.unit.stt.script import ScriptedRecognizer

ENERGY = TurnDetection.model_validate({"detector": "energy"})


@pytest.mark.parametrize("gone", [False, True], ids=["somebody speaks", "somebody has gone"])
async def test_it_does_not_wait_for_a_recogniser_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    monkeypatch.setattr(voice, "LAST_SECONDS", 0.05)
    thinking = ScriptedRecognizer(asyncio.Event())
    engines = Engines(Detectors(), WakeEngines(), thinking, open_synthesizer("mock"))
    async with asyncio.timeout(10), Database.open(f"sqlite:///{tmp_path}/talksy.db") as database:
        async with opened(database, engines=engines) as house:
            _, connection = await house.join()
            ask = VoiceStart("transcribe", turn_detection=ENERGY)
            await house.gateway.voice_start(connection, ask)
            house.gateway.hear(connection, clip("what_time_is_it").pcm + bytes(size_of(800)))
            await thinking.idle.wait()
            if gone:
                house.gateway.leave(connection)
        assert thinking.open == 0, "it was told that nobody waits"
        assert engines.detectors.lent == 0
