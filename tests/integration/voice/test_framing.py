"""One sound, cut in many ways: whoever listens through the whole door is told the same."""

import random
from array import array
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest

from talksy.ai.stt import open_recognizer
from talksy.ai.tts import open_synthesizer
from talksy.ai.vad import Detectors
from talksy.ai.wake import WakeEngines
from talksy.audio import IN_RATE, size_of
from talksy.database import Database
from talksy.database.profiles import Profiles
from talksy.events import Fault, SpeechBegan, SpeechEnded, Transcribed, Woken
from talksy.gateway import Connection, stream
from talksy.gateway.requests import VoiceStart
from talksy.voice import Engines
from tests.clips import clip
from tests.integration.gateway.rig import RULES, House, Line, opened
from tests.integration.voice.conftest import detector_called
from tests.integration.voice.test_detectors import pieces

CALLED = {
    "base": "wake-word",
    "wakeWord": {"phrase": "hey jarvis", "engine": "micro", "sensitivity": 0.5},
}
DEFAULT = {"base": "wake-word", "wakeWord": {"phrase": "jarvis", "engine": "keyphrase"}}
CUTS_MS = (1, 7, 10, 20, 33, 37, 40, 100, 1_000)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    detector_called("combined")  # or the test says what is missing
    engines = Engines(Detectors(), WakeEngines(), open_recognizer("mock"), open_synthesizer("mock"))
    rules = replace(RULES, messages=10_000)
    async with (
        Database.open(f"sqlite:///{tmp_path}/talksy.db") as database,
        opened(database, engines=engines, rules=rules) as house,
    ):
        yield house
        await engines.wake.close()


@dataclass
class Microphone:
    """One client, who says the same again and again."""

    house: House
    line: Line
    connection: Connection

    async def told(self, cut: Sequence[bytes], **ask: Any) -> dict[str, list[Any]]:
        """What it is told of a sound in pieces: of each kind in order, without names and clocks.

        What is recognised comes from elsewhere, so the kinds have no order among each other.
        """
        self.line.got.clear()
        await self.house.gateway.voice_start(self.connection, VoiceStart("transcribe", **ask))
        for piece in cut:
            self.house.gateway.hear(self.connection, piece)
        await self.house.gateway.voice_stop(self.connection)
        got = self.line.got
        return {
            "woken": [replace(it, timestamp=0) for it in got if isinstance(it, Woken)],
            "began": [replace(it, stream_id="") for it in got if isinstance(it, SpeechBegan)],
            "ended": [replace(it, stream_id="") for it in got if isinstance(it, SpeechEnded)],
            "written": [it for it in got if isinstance(it, Transcribed)],
            "faults": [it for it in got if isinstance(it, Fault)],
        }


@pytest.fixture
async def microphone(house: House, monkeypatch: pytest.MonkeyPatch) -> Microphone:
    monkeypatch.setattr(stream, "_now", partial(next, count(step=3_600)))  # none comes too early
    line, connection = await house.join()
    await Profiles(house.database).keep("usr_ada", "called", CALLED, 0)
    await Profiles(house.database).keep("usr_ada", "default", DEFAULT, 0)
    return Microphone(house, line, connection)


def uneven(pcm: bytes, chance: random.Random) -> list[bytes]:
    """Pieces as no microphone has them: some are empty, most end within a sample."""
    cuts = sorted(chance.randrange(len(pcm)) for _ in range(200))
    return [pcm[start:end] for start, end in pairwise([0, *cuts, cuts[-1], len(pcm)])]


@pytest.mark.parametrize(
    ("profile", "woken", "utterances"),
    [("vad-triggered", 0, 2), ("called", 1, 1), ("default", 1, 1)],
)
async def test_who_listens_is_told_the_same_however_the_sound_is_cut(
    microphone: Microphone, profile: str, woken: int, utterances: int
) -> None:
    pcm = clip("jarvis_then_time").pcm
    whole = await microphone.told([pcm], profile=profile)
    finals = [it for it in whole["written"] if it.final]
    assert [len(whole[kind]) for kind in ("woken", "began", "ended")] == [woken, *[utterances] * 2]
    assert len(finals) == utterances
    assert not whole["faults"]
    for ms in CUTS_MS:
        assert await microphone.told(pieces(pcm, size_of(ms)), profile=profile) == whole, ms
    odd = uneven(pcm, random.Random(7))
    assert {len(piece) % 2 for piece in odd} == {0, 1}
    assert await microphone.told(odd, profile=profile) == whole


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
async def test_the_same_holds_for_sound_of_another_rate(microphone: Microphone, rate: int) -> None:
    pcm = resampled(clip("what_time_is_it").pcm, rate)
    usual = await microphone.told([clip("what_time_is_it").pcm])
    whole = await microphone.told([pcm], sample_rate=rate)
    for kind in ("began", "ended"):
        (heard,), (truly,) = whole[kind], usual[kind]
        assert abs(heard.offset_ms - truly.offset_ms) <= 64
    cuts = [pieces(pcm, size_of(ms, rate)) for ms in CUTS_MS]
    for cut in [*cuts, uneven(pcm, random.Random(7))]:
        assert near(await microphone.told(cut, sample_rate=rate)) == near(whole)


def near(told: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The same without what the last bit of a sample may change: the resampler dithers."""
    unsure = {
        kind: [replace(it, probability=0) for it in told[kind]] for kind in ("began", "ended")
    }
    return {**told, **unsure}


def resampled(pcm: bytes, rate: int) -> bytes:
    """The sound at another rate, by straight lines."""
    samples = array("h", pcm)
    step = IN_RATE / rate
    made = array("h")
    for number in range(int((len(samples) - 1) / step)):
        before, share = divmod(number * step, 1)
        here, there = samples[int(before) : int(before) + 2]
        made.append(round(here + (there - here) * share))
    return made.tobytes()
