"""What one microphone may send, and how the loop goes on meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from talksy.ai.stt import open_recognizer
from talksy.ai.tts import open_synthesizer
from talksy.ai.vad import Detectors
from talksy.ai.wake import WakeEngines
from talksy.audio import size_of
from talksy.database import Database
from talksy.errors import RateLimited, ValidationError
from talksy.events import SpeechBegan
from talksy.gateway import Connection, stream
from talksy.gateway.requests import VoiceStart
from talksy.voice import Engines, TurnDetection
from tests.clips import clip
from tests.integration.gateway.rig import House, Line, opened

ASK = VoiceStart("transcribe", turn_detection=TurnDetection.model_validate({"detector": "energy"}))
SAID = clip("what_time_is_it").pcm + bytes(size_of(800))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    engines = Engines(Detectors(), WakeEngines(), open_recognizer("mock"), open_synthesizer("mock"))
    async with (
        Database.open(f"sqlite:///{tmp_path}/talksy.db") as database,
        opened(database, engines=engines) as house,
    ):
        yield house


@pytest.fixture
async def microphone(house: House) -> tuple[Line, Connection]:
    line, connection = await house.join()
    await house.gateway.voice_start(connection, ASK)
    return line, connection


class Clock:
    """Goes on when it is told to."""

    now = 1_000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    monkeypatch.setattr(stream, "_now", lambda: Clock.now)
    yield Clock()
    Clock.now = 1_000.0


async def test_a_long_piece_is_judged_in_many_turns_of_the_loop(
    house: House, microphone: tuple[Line, Connection]
) -> None:
    """Who holds the loop for all of it tells all of it between two turns of others."""
    line, connection = microphone
    seen = {0}

    async def look() -> None:
        while True:
            seen.add(sum(isinstance(it, SpeechBegan) for it in line.got))
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    house.gateway.hear(connection, SAID * 8)
    assert not any(isinstance(it, SpeechBegan) for it in line.got), (
        "it is not judged where it comes in"
    )
    await house.gateway.voice_stop(connection)
    looking.cancel()
    assert seen == set(range(9))


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("stopped", [False, True])
async def test_what_came_too_early_is_not_forgotten_by_voice_start(
    house: House, microphone: tuple[Line, Connection], stopped: bool
) -> None:
    connection = microphone[1]
    house.gateway.hear(connection, bytes(size_of(29_000)))
    if stopped:
        await house.gateway.voice_stop(connection)
    await house.gateway.voice_start(connection, ASK)
    with pytest.raises(RateLimited):
        house.gateway.hear(connection, bytes(size_of(2_000)))
    Clock.now += 1.5
    house.gateway.hear(connection, bytes(size_of(2_000)))


@pytest.mark.usefixtures("clock")
async def test_who_is_quiet_saves_up_no_more_than_may_come_too_early(
    house: House, microphone: tuple[Line, Connection]
) -> None:
    connection = microphone[1]
    Clock.now += 3_600
    with pytest.raises(RateLimited):
        house.gateway.hear(connection, bytes(size_of(31_000)))
    house.gateway.hear(connection, bytes(size_of(30_000)))


@pytest.mark.parametrize("first", [b"", b"R", b"RI", b"RIF"])
async def test_a_file_is_known_however_it_is_cut_and_sound_may_follow(
    house: House, microphone: tuple[Line, Connection], first: bytes
) -> None:
    line, connection = microphone
    house.gateway.hear(connection, first)
    with pytest.raises(ValidationError, match="file"):
        house.gateway.hear(connection, b"RIFF"[len(first) :] + bytes(100))
    house.gateway.hear(connection, SAID)
    await house.gateway.voice_stop(connection)
    assert any(isinstance(it, SpeechBegan) for it in line.got)
