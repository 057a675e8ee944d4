"""Sound over the wire: attached to its events, by whatever carries them, in its place."""

import asyncio
import json
import wave
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from talksy.ai.stt import open_recognizer
from talksy.ai.tts import open_synthesizer
from talksy.ai.vad import Detectors
from talksy.ai.wake import WakeEngines
from talksy.audio import OUT_RATE, milliseconds, size_of
from talksy.database import Database
from talksy.database.profiles import Profiles
from talksy.transports.socketio import Limits, Transport, open_server
from talksy.voice import Engines
from tests.e2e.client import Client
from tests.e2e.client import Transport as Way
from tests.e2e.raw import open_wire
from tests.integration.gateway.rig import House, opened

CLIP = Path(__file__).parents[2] / "clips" / "what_time_is_it.wav"
START = {"turnDetection": {"detector": "energy"}}
FRAME = size_of(40)
TOLD = (
    "speech_started",
    "speech_stopped",
    "partial_transcript",
    "final_transcript",
    "stream_start",
    "audio_start",
    "audio_chunk",
    "audio_end",
    "stream_end",
)


def clip() -> list[bytes]:
    """Somebody asks something, then is silent for long enough."""
    with wave.open(str(CLIP), "rb") as file:
        pcm = file.readframes(file.getnframes()) + bytes(size_of(800))
    return [pcm[at : at + FRAME] for at in range(0, len(pcm), FRAME)]


@asynccontextmanager
async def serving(house: House, kind: Transport = "own") -> AsyncIterator[str]:
    server = open_server(
        kind,
        house.gateway,
        origins=("*",),
        trusted_proxies=(),
        limits=Limits(ping_interval=0.1),  # a task of the library's sleeps so long
    )
    app = web.Application()
    server.attach(app)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await server.close()
        await runner.cleanup()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    engines = Engines(Detectors(), WakeEngines(), open_recognizer("mock"), open_synthesizer("mock"))
    async with (
        Database.open(f"sqlite:///{tmp_path}/talksy.db") as database,
        opened(database, engines=engines) as house,
    ):
        yield house


@pytest.fixture
async def url(house: House) -> AsyncIterator[str]:
    async with serving(house) as url:
        yield url


@asynccontextmanager
async def talking(house: House, url: str, way: Way = "websocket") -> AsyncIterator[Client]:
    client = await Client.connect(url, transport=way, auth={"token": await house.token()})
    try:
        await client.session()
        yield client
    finally:
        await client.close()


def names(client: Client) -> list[str]:
    """What came of voice, in order, what came several times once."""
    told = [event.name for event in client.events if event.name in TOLD]
    return [name for at, name in enumerate(told) if name != told[at - 1] or not at]


@pytest.mark.parametrize("kind", ["own", "library"])
@pytest.mark.parametrize("way", ["websocket", "polling", "upgrade"])
async def test_sound_goes_in_and_comes_out_whatever_carries_it(
    house: House, kind: Transport, way: Way
) -> None:
    async with serving(house, kind) as url, talking(house, url, way) as client:
        started = await client.call("voice_start", START)
        assert (started["ok"], started["profile"]) == (True, "vad-triggered")
        for frame in clip():
            await client.emit("audio", frame)
        said = await client.wait("final_transcript")
        ending = await client.ending(said["turnId"])
        assert names(client) == list(TOLD)
        numbers = [event.data["audioSeq"] for event in client.events if "audioSeq" in str(event)]
        assert numbers == list(range(len(numbers)))
        frames = client.named("audio_chunk", turnId=said["turnId"])
        assert all(frame["sampleRate"] == OUT_RATE for frame in frames)
        heard = b"".join(frame["audio"] for frame in frames)
        assert milliseconds(len(heard), OUT_RATE) == 60 * len("hello")
        assert "".join(frame.get("text", "") for frame in frames) == "hello"
        assert ending["metrics"].keys() >= {"sttMs", "firstAudioMs", "mouthToEarMs"}


async def test_base64_is_heard_as_bytes_are(house: House, url: str) -> None:
    told = []
    for encode in (bytes, lambda frame: b64encode(frame).decode()):
        async with talking(house, url) as client:
            await client.call("voice_start", {**START, "mode": "transcribe"})
            for frame in clip():
                await client.emit("audio", encode(frame))
            await client.wait("final_transcript")
            assert (await client.call("voice_stop"))["ok"]
            told.append([event.data for event in client.events if "transcript" in event.name])
    assert told[0] == told[1]


async def test_a_message_is_answered_aloud_where_that_is_asked_for(house: House, url: str) -> None:
    async with talking(house, url) as client:
        refused = await client.refused("user_message_stream", {"text": "hi", "speak": True})
        assert refused["code"] == "VALIDATION_ERROR"
        await client.call("voice_start", START)
        silent = await client.say("hi")
        await client.ending(silent["turnId"])
        aloud = await client.say("hi", speak=True)
        await client.wait("audio_start", turnId=aloud["turnId"])
        assert (await client.call("played", {"turnId": aloud["turnId"], "ms": 60.5}))["ok"]
        await client.ending(aloud["turnId"])
        assert {it["turnId"] for it in client.named("audio_chunk")} == {aloud["turnId"]}


async def test_a_profile_of_ones_own_is_listened_by(house: House, url: str) -> None:
    profiles = Profiles(house.database)
    async with talking(house, url) as client:
        await profiles.keep("usr_ada", "desk", {"base": "wake-word", "wakeWord": None}, 0)
        assert (await client.call("voice_start", {"profile": "desk", **START}))["profile"] == "desk"
        refused = await client.refused("voice_start", {"profile": "car"})
        assert refused["errors"][0]["path"] == "profile"


@pytest.mark.parametrize("asks", [True, False], ids=["with an ack", "without"])
async def test_sound_that_nobody_listens_to_is_told_so(house: House, url: str, asks: bool) -> None:
    async with talking(house, url) as client:
        if asks:
            error = await client.refused("audio", bytes(FRAME))
        else:
            await client.emit("audio", bytes(FRAME))
            error = await client.wait("error")
        assert error["code"] == "VALIDATION_ERROR"
        assert "voice_start" in error["message"]
        assert (await client.call("voice_start", START))["ok"], "it goes on"
        assert (await client.call("audio", bytes(FRAME)))["ok"]


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (({"audio": bytes(2)},), "send PCM as a binary attachment"),
        (([1, 2],), "send PCM as a binary attachment"),
        ((), "send PCM as a binary attachment"),
        (("%%%",), "is not the base64 of audio"),
        ((bytes(2), bytes(2)), "takes one payload, not 2"),
        ((bytes(2), "mp3"), "takes one payload, not 2"),
        ((b"RIFF" + bytes(40),), "this is a file and no PCM"),
    ],
)
async def test_what_is_no_sound_is_named_and_the_session_goes_on(
    house: House, url: str, payload: tuple[Any, ...], says: str
) -> None:
    async with talking(house, url) as client:
        await client.call("voice_start", START)
        refused = await client.refused("audio", *payload)
        assert refused["code"] == "VALIDATION_ERROR"
        assert says in refused["message"]
        await client.emit("audio", *payload)
        assert says in (await client.wait("error"))["message"]
        assert (await client.call("audio", bytes(FRAME)))["ok"]


async def test_bytes_are_for_audio_alone(house: House, url: str) -> None:
    async with talking(house, url) as client:
        for event, payload in (
            ("user_message", {"text": b"hi"}),
            ("call_tool", {"toolName": "clock", "parameters": {"zones": [b"UTC"]}}),
            ("voice_start", bytes(2)),
        ):
            refused = await client.refused(event, payload)
            assert "for audio alone" in refused["message"]


async def test_sound_that_was_announced_and_does_not_come_ends_the_connection(
    house: House, url: str
) -> None:
    announced = '451-["audio",{"_placeholder":true,"num":0}]'
    for then in ("42" + json.dumps(["get_session_info", {}]), announced):
        async with open_wire(url) as wire:
            await wire.join({"token": await house.token()})
            await wire.event("SESSION_CREATED")
            await wire.send(announced)
            await wire.send(then)
            assert (await wire.event("error"))["code"] == "VALIDATION_ERROR"
            assert await wire.receive() is None


async def test_sound_is_heard_in_its_place_behind_what_is_being_served(
    house: House, url: str
) -> None:
    async with talking(house, url) as client:
        started = asyncio.create_task(client.call("voice_start", START))
        await asyncio.sleep(0)
        await client.emit("audio", bytes(FRAME))
        assert (await client.call("audio", bytes(FRAME)))["ok"]
        assert (await started)["ok"]
        assert client.named("error") == []
