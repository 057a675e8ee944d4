"""The detector that needs nothing: what it takes for a voice, and what not."""

import random
from array import array
from math import pi, sin

from talksy.ai.vad import Judged, open_detector
from tests.clips import clip


def heard(*sounds: list[float]) -> list[Judged]:
    samples = [max(-32_768, min(32_767, round(each))) for sound in sounds for each in sound]
    return open_detector("energy").hear(array("h", samples).tobytes())


def noise(loud: float, seconds: float) -> list[float]:
    chance = random.Random(7)
    return [chance.gauss(0, loud) for _ in range(round(seconds * 16_000))]


def hum(loud: float, seconds: float, hertz: float = 150) -> list[float]:
    return [loud * sin(2 * pi * hertz * at / 16_000) for at in range(round(seconds * 16_000))]


def voiced(judged: list[Judged]) -> float:
    return sum(each.probability >= 0.5 for each in judged) / len(judged)


def test_white_noise_is_no_voice_however_loud_and_sudden() -> None:
    for loud in (100, 3_000, 30_000):
        assert voiced(heard([0.0] * 8_000, noise(loud, 2))) == 0


def test_a_microphone_with_an_offset_is_silent_all_the_same() -> None:
    assert voiced(heard([5_000.0] * 16_000)) == 0


def test_a_tone_counts_as_a_voice_until_it_is_part_of_the_room() -> None:
    judged = heard(hum(500, 12))
    assert voiced(judged[:100]) == 1
    assert voiced(judged[-100:]) == 0


def test_a_voice_is_heard_in_a_noisy_room() -> None:
    room = noise(150, 4.15)
    voice = array("h", clip("jarvis_then_time").pcm)
    judged = heard(noise(150, 4), [a + b for a, b in zip(room, voice, strict=True)])
    assert voiced(judged[:235]) == 0
    assert voiced(judged[241:270]) > 0.7


def test_clipping_breaks_nothing() -> None:
    assert voiced(heard(hum(200_000, 1))) > 0.9
    assert open_detector("energy").hear(b"\x00\x80" * 320)[0].probability == 0
