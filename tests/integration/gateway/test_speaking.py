"""What is said aloud is admitted as what is written is, and a session has one loudspeaker."""

from collections.abc import AsyncIterator

import pytest

from talksy.ai.llm import ToolCall
from talksy.audio import size_of
from talksy.database import Database
from talksy.errors import ServerDraining, SessionExpired, TalksyError, ValidationError
from talksy.events import (
    Fault,
    SessionCreated,
    SessionOver,
    Sound,
    SoundBegan,
    SoundEnded,
    SoundVoid,
    SpeechBegan,
    ToolAsked,
    Transcribed,
)
from talksy.gateway import Connection, VoiceStart
from talksy.sessions import Life
from talksy.tools import tool
from talksy.voice.opening import VoicePlan, open_engines
from tests.clips import clip
from tests.integration.database.opened import until
from tests.integration.gateway.rig import House, Line, opened

ASKED = clip("what_time_is_it").pcm
HALF = ASKED[: size_of(1_000)]
SILENCE = bytes(size_of(1_000))
LONG = "word " * 60
"""The mock's voice hums for 60 ms each letter."""
AGE_MS = 60_000


@tool(policy="ask")
async def pay() -> str:
    """Pays."""
    return "paid"


@pytest.fixture
async def spoken(database: Database) -> AsyncIterator[House]:
    """A node with the mock's ears and mouth."""
    async with (
        open_engines(VoicePlan()) as engines,
        opened(database, engines=engines, life=Life(age_ms=AGE_MS), tools=[pay]) as house,
    ):
        yield house


async def listening(house: House, **ask: str) -> tuple[Line, Connection]:
    line, connection = await house.join()
    await house.gateway.voice_start(connection, VoiceStart(**ask))  # type: ignore[arg-type]
    return line, connection


async def hearing(house: House) -> tuple[Line, Connection, str]:
    """Somebody who hears a long answer, and its turn."""
    line, connection = await listening(house)
    house.cast.play("Go on", LONG)
    turn_id = await house.say(connection, "Go on", speak=True)
    await line.notice(Sound)
    return line, connection, turn_id


async def refused(line: Line, error: type[TalksyError]) -> None:
    """What was said is not answered, and that is told."""
    fault: Fault = await line.notice(Fault)
    assert fault.error["code"] == error.code
    assert not any(said.final for said in line.notices(Transcribed))


async def test_the_end_of_a_session_closes_its_microphone(spoken: House) -> None:
    line, connection = await listening(spoken)
    other, device = await spoken.join(session_id=connection.session.id)  # type: ignore[union-attr]
    spoken.gateway.hear(connection, HALF)
    await line.notice(SpeechBegan)
    await spoken.gateway.end(device)
    assert [over.reason for over in line.notices(SessionOver)] == ["ended"]
    with pytest.raises(ValidationError, match="voice_start"):
        spoken.gateway.hear(connection, SILENCE)
    await refused(line, SessionExpired)
    assert not spoken.cast.asked
    assert not other.notices(Transcribed)
    await spoken.gateway.voice_start(connection, VoiceStart())
    assert len(line.notices(SessionCreated)) == 2
    spoken.gateway.hear(connection, ASKED + SILENCE)
    await line.until(lambda: any(said.turn_id for said in line.notices(Transcribed)))


async def test_what_is_said_when_a_sessions_time_has_run_out_is_not_answered(
    spoken: House,
) -> None:
    line, connection = await listening(spoken)
    spoken.clock.now += AGE_MS
    spoken.gateway.hear(connection, ASKED + SILENCE)
    await refused(line, SessionExpired)
    assert [over.reason for over in line.notices(SessionOver)] == ["age"]
    assert not spoken.cast.asked
    with pytest.raises(ValidationError, match="voice_start"):
        spoken.gateway.hear(connection, SILENCE)


async def test_a_node_that_drains_answers_nothing_that_is_said(spoken: House) -> None:
    line, connection = await listening(spoken)
    await spoken.gateway.drain(0)
    spoken.gateway.hear(connection, ASKED + SILENCE)
    await refused(line, ServerDraining)
    assert not spoken.cast.asked


async def test_who_lets_go_of_the_microphone_and_takes_it_again_hears_on_and_may_interrupt(
    spoken: House,
) -> None:
    line, connection, turn_id = await hearing(spoken)
    await spoken.gateway.voice_stop(connection)
    spoken.gateway.played(connection, turn_id, 0)
    await spoken.gateway.voice_start(connection, VoiceStart())
    spoken.gateway.hear(connection, ASKED)
    await line.notice(SoundVoid)
    assert not any(said.final for said in line.notices(Transcribed))
    ending = await line.ending(turn_id)
    assert (ending.reason, len(line.notices(SoundBegan))) == ("interrupted", 1)
    assert len(ending.text or "") < len(LONG) / 4


async def test_what_is_spoken_goes_to_the_device_that_takes_the_microphone(spoken: House) -> None:
    line, connection, turn_id = await hearing(spoken)
    session_id = connection.session.id  # type: ignore[union-attr]
    other, device = await spoken.join(session_id=session_id)
    with pytest.raises(ValidationError, match="nobody speaks"):
        spoken.gateway.played(device, turn_id, 0)
    await spoken.gateway.voice_stop(connection)
    await spoken.gateway.voice_start(device, VoiceStart())
    assert line.notices(SoundVoid)
    await other.notice(Sound)
    before = len(line.notices(Sound))
    spoken.gateway.hear(device, ASKED)
    await other.notice(SoundVoid)
    assert len(line.notices(Sound)) == before


async def test_the_answer_to_a_dictation_is_spoken_and_can_be_followed(spoken: House) -> None:
    line, connection = await listening(spoken, mode="dictate")
    spoken.gateway.hear(connection, ASKED + SILENCE)
    await spoken.gateway.voice_stop(connection)
    began: SoundBegan = await line.notice(SoundBegan)
    spoken.gateway.played(connection, began.turn_id, 0)
    assert (await line.ending(began.turn_id)).reason == "completed"
    await line.notice(SoundEnded)


async def test_who_goes_after_voice_stop_leaves_what_it_hears_to_who_comes_back(
    spoken: House,
) -> None:
    _, connection, turn_id = await hearing(spoken)
    session_id = connection.session.id  # type: ignore[union-attr]
    await spoken.gateway.voice_stop(connection)
    spoken.gateway.leave(connection)
    line, back = await spoken.join(session_id=session_id)
    await spoken.gateway.voice_start(back, VoiceStart())
    assert (await line.notice(SoundBegan)).turn_id == turn_id
    await line.notice(Sound)


async def test_a_turn_that_waits_for_a_person_keeps_no_sound_and_is_spoken_on(
    spoken: House,
) -> None:
    line, connection = await listening(spoken)
    spoken.cast.play("Pay", "One moment. ", ToolCall("call_1", "pay", {}))
    turn_id = await spoken.say(connection, "Pay", speak=True)
    await line.notice(SoundEnded)
    voices = spoken.gateway._voice
    (loudspeaker,) = voices._loudspeakers.values()
    await until(lambda: not loudspeaker.has(turn_id))

    def asked() -> list[ToolAsked]:
        return [event for _, event in line.events(turn_id) if isinstance(event, ToolAsked)]

    await line.until(asked)
    verdict = await spoken.gateway.decide(connection, asked()[0].call_id, "approve")
    verdict.begin()
    assert (await line.ending(turn_id)).reason == "completed"
    numbers = [
        each.audio_seq for each in line.got if isinstance(each, SoundBegan | Sound | SoundEnded)
    ]
    assert numbers == list(range(len(numbers)))
    assert len(line.notices(SoundBegan)) == 2
    assert not voices._spoken
