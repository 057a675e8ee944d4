"""What is heard in a day: silence, noise and people who talk, in turn."""

import random
from collections.abc import Awaitable, Callable, Mapping

from talksy.audio import IN_RATE, SAMPLE_BYTES, size_of
from tests.clips import clip
from tests.soak.client import Speaker

ANSWER_MS = 30_000
"""No answer is heard for longer."""
TALKS = 4
"""So many questions in a talk; every other answer is spoken over."""


def _room(seconds: int) -> bytes:
    """A quiet room: no sample of it is certain."""
    chance = random.Random(7)
    size = seconds * IN_RATE
    return b"".join(chance.randint(-3, 3).to_bytes(2, "little", signed=True) for _ in range(size))


def _louder(pcm: bytes, times: float) -> bytes:
    samples = memoryview(pcm).cast("h")
    return b"".join(
        round(sample * times).to_bytes(SAMPLE_BYTES, "little", signed=True) for sample in samples
    )


ROOM = _room(10)
PAUSE = ROOM[: size_of(800)]
ASKED = clip("what_time_is_it").pcm + PAUSE
COUGH = clip("cough_noise").pcm + PAUSE
NOISES = [_louder(clip("white_noise_1s").pcm, times) for times in (0.05, 1, 0.3, 0.7)]


async def silence(speaker: Speaker) -> None:
    """Five minutes."""
    for _ in range(30):
        await speaker.say(ROOM)


async def noise(speaker: Speaker) -> None:
    """Two minutes, now louder, now not, with a cough now and then."""
    for _ in range(12):
        for each in NOISES * 2:
            await speaker.say(each)
        await speaker.say(COUGH)


async def talk(speaker: Speaker) -> None:
    """About one minute: questions and answers, some of them cut short, some coughed at."""
    for number in range(TALKS):
        await _ask(speaker)
        if number % 2:
            await _ask(speaker)  # in the middle of the answer
        if number == 0:
            await speaker.say(COUGH, slowly=True)
        await _listen(speaker)
        await speaker.say(ROOM)


PARTS: Mapping[str, Callable[[Speaker], Awaitable[None]]] = {
    "talk": talk,
    "silence": silence,
    "noise": noise,
}


async def _ask(speaker: Speaker) -> None:
    """Asks, and returns when the answer is begun to be heard."""
    told = speaker.outlet.counted
    finals, begun = told["final"] + 1, told["SoundBegan"] + 1
    await speaker.say(ASKED, slowly=True)
    await speaker.outlet.until("final", finals)
    await speaker.outlet.until("SoundBegan", begun)


async def _listen(speaker: Speaker) -> None:
    """To all of the answer."""
    told = speaker.outlet.counted
    over = lambda: told["SoundEnded"] + told["SoundVoid"] >= told["SoundBegan"]  # noqa: E731
    room = ROOM * (ANSWER_MS // 10_000)
    if not await speaker.say(room, over, slowly=True):
        raise AssertionError(f"an answer does not end: {told}")
    await speaker.outlet.until("Ending", told["SoundBegan"])
