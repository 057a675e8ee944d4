"""Somebody speaks, is understood, answered aloud, and interrupts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from talksy.audio import IN_RATE, milliseconds
from tests.clips import clip
from tests.e2e.accounts import Account
from tests.e2e.client import Client, Event
from tests.e2e.conftest import Door
from tests.server import Server, running_server

FRAME = 1_280
"""Bytes of 40 ms."""
SILENCE = bytes(2 * IN_RATE)
"""One second."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def speaking() -> AsyncIterator[Server]:
    """A server that understands and speaks without a vendor."""
    async with running_server(STT_PROVIDER="offline", VOICE_WARM_DETECTORS=2) as server:
        yield server


@pytest.fixture
async def mine(speaking: Server) -> Account:
    return await Account.register(speaking.url)


@pytest.fixture
def way(speaking: Server, open_clients: AsyncExitStack) -> Door:
    return Door(speaking.url, "websocket", open_clients)


async def say(client: Client, *pcm: bytes) -> None:
    """Speaks into the microphone, as fast as anybody does."""
    sound = b"".join(pcm)
    for first in range(0, len(sound), FRAME):
        frame = sound[first : first + FRAME]
        await client.emit("audio", frame)
        await asyncio.sleep(milliseconds(len(frame)) / 1_000)


async def heard(client: Client, *pcm: bytes) -> None:
    """The same, all at once: whoever listens goes by the sound and not by the clock."""
    for piece in pcm:
        await client.emit("audio", piece)


def sounds(client: Client, turn_id: str) -> list[Event]:
    """What was to be heard of a turn."""
    names = ("audio_start", "audio_chunk", "audio_end", "audio_clear")
    return [e for e in client.events if e.name in names and e.data["turnId"] == turn_id]


def numbered(events: Sequence[Event]) -> list[int]:
    return [event.data["audioSeq"] for event in events if event.name != "audio_clear"]


async def asked(client: Client) -> dict[str, Any]:
    """A question that was understood: its final transcript."""
    await heard(client, clip("what_time_is_it").pcm, SILENCE)
    told: dict[str, Any] = await client.wait("final_transcript")
    return told


async def test_who_speaks_is_understood_and_answered_aloud(way: Door, mine: Account) -> None:
    client = await way.open(mine)
    ack = await client.call("voice_start", {"mode": "turn"})
    assert (ack["ok"], ack["profile"]) == (True, "vad-triggered")
    said = await asked(client)
    assert said["text"] == "what time is it"
    turn_id = said["turnId"]
    ending = await client.ending(turn_id)
    assert (ending["reason"], ending["metrics"]["mouthToEarMs"] > 0) == ("completed", True)
    events = sounds(client, turn_id)
    assert [events[0].name, events[-1].name] == ["audio_start", "audio_end"]
    assert numbered(events) == list(range(len(events)))
    spoken = "".join(event.data.get("text", "") for event in events)
    written = "".join(chunk["content"] for chunk in client.named("stream_chunk"))
    assert spoken == written
    order = [client.place(name) for name in ("speech_started", "speech_stopped", "stream_start")]
    assert order == sorted(order)
    assert client.place("final_transcript") < client.place("stream_start")
    await client.call("get_history")
    question, answer = await client.wait("conversation_history")
    assert (question["content"], answer["content"]) == ("what time is it", written)


async def test_what_is_heard_does_not_depend_on_how_the_sound_was_cut(
    way: Door, mine: Account
) -> None:
    pcm = clip("what_time_is_it").pcm
    told = []
    for size in (321, 640, len(pcm)):
        client = await way.open(mine)
        assert (await client.call("voice_start", {"mode": "transcribe"}))["ok"]
        await heard(client, *(pcm[at : at + size] for at in range(0, len(pcm), size)))
        assert (await client.call("voice_stop"))["ok"]
        assert not client.named("error")
        assert client.named("partial_transcript")
        names = ("speech_started", "speech_stopped", "final_transcript")
        told.append({name: [bare(each) for each in client.named(name)] for name in names})
    assert [each["text"] for each in told[0]["final_transcript"]] == ["what time is it"]
    assert told[0] == told[1] == told[2]


def bare(told: dict[str, Any]) -> dict[str, Any]:
    """The same whatever the stream is called, and whomever the recogniser has heard before: that
    leaves a trace in its first guesses and in how sure it is.
    """
    return {name: told[name] for name in told if name not in ("streamId", "confidence")}


async def test_the_wake_word_is_waited_for(way: Door, mine: Account) -> None:
    client = await way.open(mine)
    await client.call("voice_start", {"profile": "wake-word"})
    await heard(client, clip("what_time_is_it").pcm, clip("negative_hey_marcus").pcm)
    await say(client, clip("jarvis_then_time").pcm, SILENCE)
    said = await client.wait("final_transcript")
    assert said["text"] == "what time is it"
    assert len(client.named("wake_word")) == 1
    assert client.place("wake_word") < client.place("speech_started")
    assert len(client.named("speech_started")) == 1


async def test_a_profile_of_ones_own_counts(way: Door, mine: Account) -> None:
    profile = {
        "name": "deaf",
        "base": "vad-triggered",
        "autoStart": False,
        "turnDetection": {"minSpeechMs": 2_000},
    }
    headers = {"Authorization": f"Bearer {mine.token}"}
    async with (
        aiohttp.ClientSession(mine.url, headers=headers) as http,
        http.post("/v1/voice/profiles", json=profile) as answer,
    ):
        assert answer.status == 201
    client = await way.open(mine)
    ack = await client.call("voice_start", {"profile": "deaf"})
    assert (ack["profile"], ack["autoStart"]) == ("deaf", False)
    await heard(client, clip("what_time_is_it").pcm, SILENCE)
    await client.call("voice_stop")
    assert not client.named("speech_started")
    assert (await client.call("voice_start", {}))["profile"] == "vad-triggered"
    assert (await asked(client))["text"] == "what time is it"


async def test_who_speaks_over_the_answer_interrupts_it(way: Door, mine: Account) -> None:
    client = await way.open(mine)
    await client.call("voice_start", {"mode": "turn"})
    text = "Please repeat all of this very long sentence, which nobody wants to hear to its end."
    turn_id = (await client.say(text, speak=True))["turnId"]
    await client.wait("audio_chunk", turnId=turn_id)
    await say(client, clip("what_time_is_it").pcm, SILENCE)
    ending = await client.ending(turn_id)
    assert ending["reason"] == "interrupted"
    events = sounds(client, turn_id)
    assert events[-1].name == "audio_clear"
    whole = "".join(e.data["content"] for e in client.turn(turn_id) if e.name == "stream_chunk")
    assert whole.startswith(ending["text"])
    assert 0 < len(ending["text"]) < len(whole)
    said = await client.wait("final_transcript")
    assert (await client.ending(said["turnId"]))["reason"] == "completed"
    await client.call("get_history")
    answer = (await client.wait("conversation_history"))[1]
    assert (answer["content"], answer["interrupted"]) == (ending["text"], True)


@pytest.mark.parametrize("noise", ["cough_noise", "white_noise_1s", "silence_1s"])
async def test_a_noise_interrupts_nothing(way: Door, mine: Account, noise: str) -> None:
    client = await way.open(mine)
    await client.call("voice_start", {"mode": "turn"})
    turn_id = (await client.say("Tell me a joke", speak=True))["turnId"]
    await client.wait("audio_chunk", turnId=turn_id)
    await heard(client, clip(noise).pcm, SILENCE)
    assert (await client.ending(turn_id))["reason"] == "completed"
    assert sounds(client, turn_id)[-1].name == "audio_end"
    assert not client.named("speech_started")


async def test_cancelling_does_the_same_as_speaking(way: Door, mine: Account) -> None:
    client = await way.open(mine)
    await client.call("voice_start", {"mode": "turn"})
    turn_id = (await client.say("Say something that takes a long time", speak=True))["turnId"]
    await client.wait("audio_chunk", turnId=turn_id)
    assert (await client.call("cancel", {"turnId": turn_id}))["status"] == "cancelled"
    assert sounds(client, turn_id)[-1].name == "audio_clear"


async def test_what_was_played_is_what_was_heard(way: Door, mine: Account) -> None:
    client = await way.open(mine)
    await client.call("voice_start", {"mode": "turn"})
    turn_id = (await client.say("one two three four five six seven", speak=True))["turnId"]
    await client.wait("audio_chunk", turnId=turn_id)
    await client.emit("played", {"turnId": turn_id, "ms": 0})
    await client.call("cancel", {"turnId": turn_id})
    assert len((await client.ending(turn_id))["text"].split()) <= 3


async def test_one_microphone_a_session(way: Door, mine: Account) -> None:
    first = await way.open(mine)
    session = (await first.session())["sessionId"]
    second = await way.open(mine, sessionId=session)
    assert (await first.call("voice_start", {}))["ok"]
    assert (await second.refused("voice_start", {}))["code"] == "MIC_BUSY"
    assert (await first.call("voice_stop"))["ok"]
    assert (await second.call("voice_start", {}))["ok"]
    await second.drop()
    async with asyncio.timeout(5):
        while not (await first.call("voice_start", {}))["ok"]:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)


async def test_dictation_is_answered_when_it_is_over(way: Door, mine: Account) -> None:
    client = await way.open(mine)
    await client.call("voice_start", {"mode": "dictate"})
    for _ in range(2):
        await heard(client, clip("what_time_is_it").pcm, SILENCE)
    await client.wait("final_transcript", nth=1)
    assert not client.named("stream_start")
    await client.call("voice_stop")
    started = await client.wait("stream_start")
    await client.ending(started["turnId"])
    await client.call("get_history")
    (question, _) = await client.wait("conversation_history")
    assert question["content"] == "what time is it what time is it"


async def test_transcripts_alone_ask_for_nothing(way: Door, mine: Account) -> None:
    client = await way.open(mine)
    await client.call("voice_start", {"mode": "transcribe"})
    said = await asked(client)
    assert "turnId" not in said
    assert (await client.call("get_session_info"))["ok"]
    assert not client.named("stream_start")


async def test_who_hangs_up_in_mid_sentence_was_heard_so_far(way: Door, mine: Account) -> None:
    client = await way.open(mine)
    session = (await client.session())["sessionId"]
    await client.call("voice_start", {"mode": "turn"})
    pcm = clip("what_time_is_it").pcm
    await heard(client, pcm[: int(len(pcm) * 0.62)])
    await client.wait("speech_started")
    await client.drop()
    back = await way.open(mine, sessionId=session)
    asked_before = 0
    async with asyncio.timeout(5):
        while True:
            await back.call("get_history")
            if told := (await back.wait("conversation_history", nth=asked_before)):
                break
            asked_before += 1
            await asyncio.sleep(0.05)
    assert told[0]["content"].startswith("what")


LONG = "Listen. Here are two. One more."


async def test_who_comes_back_goes_on_hearing_from_the_present_sentence(
    way: Door, mine: Account
) -> None:
    client = await way.open(mine)
    session = (await client.session())["sessionId"]
    await client.call("voice_start", {"mode": "turn"})
    turn_id = (await client.say(LONG, speak=True))["turnId"]
    await client.wait("audio_chunk", turnId=turn_id, text="Here are two. ")
    await client.emit("played", {"turnId": turn_id, "ms": 60_000})
    await client.call("get_session_info")
    before = sounds(client, turn_id)[-1].data["audioSeq"]
    await client.drop()
    resume = [{"turnId": turn_id, "after": client.turn(turn_id)[-1].data["seq"]}]
    back = await way.open(mine, sessionId=session, resume=resume)
    assert (await back.call("voice_start", {"mode": "turn"}))["ok"]
    ending = await back.ending(turn_id)
    assert ending["reason"] == "completed"
    events = sounds(back, turn_id)
    assert [events[0].name, events[-1].name] == ["audio_start", "audio_end"]
    numbers = numbered(events)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert numbers[0] > before
    spoken = "".join(event.data.get("text", "") for event in events)
    whole = "".join(
        event.data["content"]
        for each in (client, back)
        for event in each.turn(turn_id)
        if event.name == "stream_chunk"
    )
    assert whole.endswith(spoken)
    assert len(LONG) / 2 < len(spoken) < len(whole)


async def test_who_comes_back_may_interrupt_what_is_heard_again(way: Door, mine: Account) -> None:
    client = await way.open(mine)
    session = (await client.session())["sessionId"]
    await client.call("voice_start", {"mode": "turn"})
    turn_id = (await client.say(LONG, speak=True))["turnId"]
    await client.wait("audio_chunk", turnId=turn_id)
    await client.drop()
    resume = [{"turnId": turn_id, "after": client.turn(turn_id)[-1].data["seq"]}]
    back = await way.open(mine, sessionId=session, resume=resume)
    await back.call("voice_start", {"mode": "turn"})
    await back.wait("audio_chunk", turnId=turn_id)
    await say(back, clip("what_time_is_it").pcm, SILENCE)
    assert (await back.ending(turn_id))["reason"] == "interrupted"
    assert sounds(back, turn_id)[-1].name == "audio_clear"
    said = await back.wait("final_transcript")
    assert (await back.ending(said["turnId"]))["reason"] == "completed"


async def test_what_was_said_before_the_line_was_cut_is_answered_to_who_comes_back(
    way: Door, mine: Account
) -> None:
    client = await way.open(mine)
    session = (await client.session())["sessionId"]
    await client.call("voice_start", {"mode": "turn"})
    await heard(client, clip("what_time_is_it").pcm)
    await client.wait("speech_started")
    await client.drop()
    back = await way.open(mine, sessionId=session)
    assert (await back.call("voice_start", {"mode": "turn"}))["ok"]
    began = await back.wait("audio_start")
    assert (await back.ending(began["turnId"]))["reason"] == "completed"
    assert sounds(back, began["turnId"])[-1].name == "audio_end"


@pytest.mark.parametrize(
    ("event", "payload", "says"),
    [
        ("audio", b"\0\0", "voice_start"),
        ("played", {"turnId": "trn_1", "ms": 3}, "voice_start"),
        ("voice_stop", None, "voice_start"),
        ("voice_start", {"profile": "nobody"}, "profile"),
        ("voice_start", {"sampleRate": 1}, "sampleRate"),
        ("voice_start", {"turnDetection": {"threshold": 3}}, "turnDetection.threshold"),
        ("voice_start", {"turnDetection": {"maxSpeechMs": 120_000}}, "turnDetection.maxSpeechMs"),
        ("voice_start", {"language": "de"}, "language is not understood by offline"),
        ("user_message_stream", {"text": "x", "speak": True}, "voice_start"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(
    way: Door, mine: Account, event: str, payload: Any, says: str
) -> None:
    client = await way.open(mine)
    error = await client.refused(event, *([] if payload is None else [payload]))
    assert (error["code"], says in error["message"]) == ("VALIDATION_ERROR", True), error


async def test_a_file_is_no_sound(way: Door, mine: Account) -> None:
    client = await way.open(mine)
    await client.call("voice_start", {})
    error = await client.refused("audio", b"RIFF" + bytes(100))
    assert error["code"] == "VALIDATION_ERROR"
    said = await asked(client)
    assert said["text"] == "what time is it"


async def test_nobody_speaks_faster_than_people_do(way: Door, mine: Account) -> None:
    client = await way.open(mine)
    await client.call("voice_start", {})
    for _ in range(32):
        await client.emit("audio", SILENCE)
    assert (await client.wait("error"))["code"] == "RATE_LIMITED"
    assert (await client.call("get_session_info"))["ok"]
